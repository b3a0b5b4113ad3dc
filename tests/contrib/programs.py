"""How contrib's batch norm is placed in a program; each function is one, called with a Build."""

from __future__ import annotations

from typing import Any, Callable

from tests.conformance.programs import PROGRAMS


def program(function: Callable[[Any], None]) -> Callable[[Any], None]:
    """Registers `function`, and notes collections and aliases once it has built its graph."""

    def build(b: Any) -> None:
        function(b)
        _note_collections(b)

    PROGRAMS[function.__name__] = build
    return function


def _note_collections(b: Any) -> None:
    """What a call adds beside variables; update ops of other collections are run as well."""
    tf, graph = b.tf, b.tf.get_default_graph()
    keys = [key for key in vars(tf.GraphKeys) if key[0].isupper() and key != "UPDATE_OPS"]
    known = [getattr(tf.GraphKeys, key) for key in keys]
    named = {
        key: [item.name.split(":")[0] for item in graph.get_collection(key)]
        for key in graph.get_all_collection_keys()
        if isinstance(key, str) and key not in known and not key.endswith("_context")
    }
    b.attributes["collected"] = {key: named[key] for key in sorted(named)}
    b.attributes["aliases"] = [getattr(y, "aliases", None) for y in b.outputs]
    updates = graph.get_collection_ref(tf.GraphKeys.UPDATE_OPS)
    present = {item.name for item in updates}
    for key in sorted(key for key in named if key.startswith("my_updates")):
        for item in graph.get_collection(key):
            if item.name not in present:
                present.add(item.name)
                updates.append(item)


def _wider(b: Any, by: int = 1) -> tuple:
    return (*b.case.shape[:-1], b.case.shape[-1] + by)


@program
def contrib(b: Any) -> None:
    b.bn(b.x())


@program
def contrib_positional(b: Any) -> None:
    """The first sixteen arguments by position, in contrib's order."""
    tf, x = b.tf, b.x()
    y = b.candidate.function(
        x,
        0.75,
        True,
        True,
        0.125,
        tf.nn.tanh,
        {"beta": tf.constant_initializer(0.5), "gamma": tf.constant_initializer(1.5)},
        {"beta": lambda w: 0.25 * tf.reduce_sum(w * w)},
        [tf.GraphKeys.UPDATE_OPS, "my_updates"],
        b.phase.value,
        None,
        ["my_variables"],
        "my_outputs",
        False,
        None,
        False,
        "NHWC",
        False,
        "placed",
    )
    b.output(y, x)


@program
def contrib_two_layers(b: Any) -> None:
    tf = b.tf
    b.bn(b.x())
    b.bn(b.x(_wider(b)))
    with tf.variable_scope("net"):
        b.bn(b.x(_wider(b, 2)))
        b.bn(b.x(_wider(b, 3)), scope="named")
        b.bn(b.x(_wider(b, 4)), scope="deep/er")


@program
def contrib_shared(b: Any) -> None:
    b.bn(b.x(), scope="bn")
    b.bn(b.x(), scope="bn", reuse=True)


@program
def contrib_shared_auto(b: Any) -> None:
    for _ in range(2):
        b.bn(b.x(), scope="bn", reuse=b.tf.AUTO_REUSE)


@program
def contrib_shared_towers(b: Any) -> None:
    tf = b.tf
    for tower in range(2):
        with tf.name_scope(f"tower_{tower}"), tf.variable_scope("net", reuse=tower > 0):
            b.bn(b.x())


@program
def contrib_train_then_eval(b: Any) -> None:
    x = b.x()
    b.bn(x, training=True, scope="bn")
    b.bn(x, training=False, scope="bn", reuse=True)


@program
def contrib_scope_object(b: Any) -> None:
    with b.tf.variable_scope("made") as scope:
        pass
    b.bn(b.x(), scope=scope)


@program
def contrib_chained(b: Any) -> None:
    b.bn(b.tf.nn.relu(b.bn(b.x())))


@program
def contrib_same_scope_twice(b: Any) -> None:
    b.bn(b.x(), scope="bn")
    b.bn(b.x(), scope="bn")


@program
def contrib_reuse_missing(b: Any) -> None:
    b.bn(b.x(), scope="bn", reuse=True)


@program
def contrib_reuse_unscoped(b: Any) -> None:
    b.bn(b.x(), reuse=True)


@program
def contrib_other_shape(b: Any) -> None:
    b.bn(b.x(), scope="bn")
    b.bn(b.x(_wider(b)), scope="bn", reuse=True)


@program
def contrib_getter(b: Any) -> None:
    """What a custom getter of the program is asked for."""
    seen = []

    def getter(getter: Any, name: str, **kwargs: Any) -> Any:
        collections = kwargs.get("collections")
        seen.append(
            {
                "name": name,
                "trainable": kwargs["trainable"],
                "collections": None if collections is None else sorted(collections),
            }
        )
        return getter(name, **kwargs)

    with b.tf.variable_scope("net", custom_getter=getter):
        b.bn(b.x())
    b.attributes["getter calls"] = seen


@program
def contrib_activation_with_variable(b: Any) -> None:
    """An activation with a parameter of its own: where it is made, and in which collections."""
    tf = b.tf

    def prelu(y: Any) -> Any:
        slope = tf.get_variable("slope", [], initializer=tf.constant_initializer(0.25))
        return tf.maximum(y, 0.0) + slope * tf.minimum(y, 0.0)

    b.bn(b.x(), activation_fn=prelu)


@program
def contrib_inside_cond(b: Any) -> None:
    tf, x = b.tf, b.x()
    use = tf.placeholder_with_default(True, [], name="use")
    y = tf.cond(
        use, lambda: tf.identity(b.candidate.function(x, training=True, **b.args)), lambda: x
    )
    b.output(y, x)


@program
def contrib_inside_loop(b: Any) -> None:
    """In place is the form that is legal inside of a loop; two rounds move the averages twice."""
    tf, x = b.tf, b.x()
    with tf.variable_scope("bn", use_resource=True):
        for name in ("beta", "moving_mean", "moving_variance"):
            tf.get_variable(name, [b.case.shape[-1]], trainable=name == "beta")

    def body(i: Any, value: Any) -> tuple:
        y = b.candidate.function(value, training=True, scope="bn", reuse=True, **b.args)
        y.set_shape(x.shape)
        return i + 1, y + 0.5

    with tf.variable_scope(tf.get_variable_scope(), use_resource=True):
        _, y = tf.while_loop(lambda i, value: i < 2, body, [0, x], parallel_iterations=1)
    b.output(y, x)


@program
def contrib_transposed(b: Any) -> None:
    """What the channel axis at 1 must give, by the kernel that has it last."""
    tf, x = b.tf, b.x()
    rank = len(b.case.shape)
    last = [0, *range(2, rank), 1]
    first = [0, rank - 1, *range(1, rank - 1)]
    y = b.candidate.function(
        tf.transpose(x, last), training=b.phase.value, **{**b.args, "data_format": "NHWC"}
    )
    b.output(tf.transpose(y, first), x)


@program
def contrib_float64_weights(b: Any) -> None:
    weights = b.tf.constant(b.args.pop("batch_weights"), b.tf.float64)
    b.bn(b.x(), batch_weights=weights)
