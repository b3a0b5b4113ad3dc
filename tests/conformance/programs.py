"""The ways a layer is placed in a program: scopes, names, reuse, towers, the class.

Each is a function of a `runner.Build`. Names of calls are as people write them.
"""

from __future__ import annotations

from typing import Any, Callable

PROGRAMS: dict = {}


def program(function: Callable) -> Callable:
    PROGRAMS[function.__name__] = function
    return function


def _wider(b: Any, by: int = 1) -> tuple:
    """The case's shape with more channels on the last axis, to tell two layers apart."""
    return (*b.case.shape[:-1], b.case.shape[-1] + by)


@program
def single(b: Any) -> None:
    b.bn(b.x())


@program
def positional(b: Any) -> None:
    """Every argument by position, in the order of TF1's signature."""
    tf, x = b.tf, b.x()
    y = b.candidate.function(
        x, 1, 0.75, 0.125, True, True,
        tf.constant_initializer(0.5), tf.constant_initializer(1.5),
        tf.constant_initializer(0.25), tf.constant_initializer(2.0),
        None, None, None, None, b.phase.value, True, "placed", None,
        True, {"rmax": 2.0}, 0.625, False, None, None,
    )  # fmt: skip
    b.output(y, x)


@program
def variable_as_input(b: Any) -> None:
    tf, shape = b.tf, b.case.shape
    v = tf.get_variable("v", shape, trainable=False)
    b.x()
    b.bn(v)


@program
def unnamed_twice(b: Any) -> None:
    b.bn(b.x())
    b.bn(b.x(_wider(b)))


@program
def chained(b: Any) -> None:
    b.bn(b.tf.nn.relu(b.bn(b.x(), name="first")), name="second")


@program
def same_name_twice(b: Any) -> None:
    b.bn(b.x(), name="bn")
    b.bn(b.x(), name="bn")


@program
def nested_scopes(b: Any) -> None:
    tf = b.tf
    with tf.variable_scope("a"):
        b.bn(b.x())
        b.bn(b.x(_wider(b)))
        with tf.variable_scope("b"):
            b.bn(b.x(_wider(b, 2)))
    with tf.variable_scope("c"):
        b.bn(b.x(_wider(b, 3)))


@program
def reentered_by_name(b: Any) -> None:
    """The second entry asks for the first's default name again, and is refused."""
    for _ in range(2):
        with b.tf.variable_scope("a"):
            b.bn(b.x())


@program
def reentered_by_name_reuse(b: Any) -> None:
    for again in (None, True):
        with b.tf.variable_scope("a", reuse=again):
            b.bn(b.x())
            b.bn(b.x())


@program
def reentered_auto_reuse(b: Any) -> None:
    for _ in range(2):
        with b.tf.variable_scope("a", reuse=b.tf.AUTO_REUSE):
            b.bn(b.x())
            b.bn(b.x(), name="named")


@program
def reentered_by_object(b: Any) -> None:
    tf = b.tf
    with tf.variable_scope("a") as scope:
        b.bn(b.x(), name="first")
    with tf.variable_scope(scope):
        b.bn(b.x(), name="other")
    inner = tf.variable_scope(scope, auxiliary_name_scope=False)
    with inner, tf.name_scope(scope.original_name_scope):
        b.bn(b.x(), name="third")


@program
def reuse_variables_method(b: Any) -> None:
    with b.tf.variable_scope("a") as scope:
        b.bn(b.x(), name="bn")
        scope.reuse_variables()
        b.bn(b.x(), name="bn")


@program
def reuse_false_in_reusing_scope(b: Any) -> None:
    with b.tf.variable_scope("a"):
        b.bn(b.x(), name="bn")
    with b.tf.variable_scope("a", reuse=True):
        b.bn(b.x(), name="bn", reuse=False)


@program
def shared_by_name(b: Any) -> None:
    b.bn(b.x(), name="bn")
    b.bn(b.x(), name="bn", reuse=True)


@program
def shared_auto(b: Any) -> None:
    for _ in range(3):
        b.bn(b.x(), name="bn", reuse=b.tf.AUTO_REUSE)


@program
def shared_unnamed(b: Any) -> None:
    b.bn(b.x())
    b.bn(b.x(), reuse=True)


@program
def shared_unnamed_auto(b: Any) -> None:
    b.bn(b.x(), reuse=b.tf.AUTO_REUSE)
    b.bn(b.x(), reuse=b.tf.AUTO_REUSE)


@program
def reuse_missing(b: Any) -> None:
    b.bn(b.x(), name="nope", reuse=True)


@program
def reuse_other_shape(b: Any) -> None:
    b.bn(b.x(), name="bn")
    b.bn(b.x(_wider(b)), name="bn", reuse=True)


@program
def reuse_needs_renorm(b: Any) -> None:
    b.bn(b.x(), name="bn")
    b.bn(b.x(), name="bn", reuse=True, renorm=True)


@program
def train_and_eval_graph(b: Any) -> None:
    b.bn(b.x(), name="bn", training=True)
    b.bn(b.x(), name="bn", training=False, reuse=True)


@program
def eval_then_train_graph(b: Any) -> None:
    b.bn(b.x(), name="bn", training=False)
    b.bn(b.x(), name="bn", training=True, reuse=True)


@program
def scope_as_name(b: Any) -> None:
    with b.tf.variable_scope("q") as scope:
        pass
    b.bn(b.x(), name=scope)


@program
def scope_as_name_inside(b: Any) -> None:
    with b.tf.variable_scope("p/q") as scope:
        b.bn(b.x(), name=scope)


@program
def name_scope_only(b: Any) -> None:
    with b.tf.name_scope("n"):
        b.bn(b.x())
        b.bn(b.x(_wider(b)), name="bn")


@program
def op_name_taken(b: Any) -> None:
    b.tf.constant(0, name="bn")
    b.bn(b.x(), name="bn")


@program
def name_scope_taken(b: Any) -> None:
    with b.tf.name_scope("a"):
        with b.tf.name_scope("bn"):
            b.tf.constant(0, name="c")
        b.bn(b.x(), name="bn")
    with b.tf.variable_scope("a"):
        b.bn(b.x(), name="bn")


@program
def variable_name_taken(b: Any) -> None:
    b.tf.get_variable("bn/gamma", [3])
    b.bn(b.x(), name="bn")


@program
def default_name_taken(b: Any) -> None:
    b.bn(b.x(), name="batch_normalization")
    b.bn(b.x())


@program
def towers(b: Any) -> None:
    tf = b.tf
    for tower in range(2):
        shared = tf.variable_scope(tf.get_variable_scope(), reuse=tower > 0)
        with tf.name_scope(f"tower_{tower}"), shared:
            b.bn(tf.nn.elu(b.bn(b.x(), name="bn0")), name="bn1")


@program
def towers_unnamed(b: Any) -> None:
    tf = b.tf
    for tower in range(2):
        with tf.variable_scope("model", reuse=tf.AUTO_REUSE), tf.name_scope(f"tower_{tower}"):
            b.bn(b.x())


@program
def discriminator(b: Any) -> None:
    """A discriminator on real and on fake samples: two calls over one set of variables."""
    tf = b.tf
    with tf.variable_scope("generator"):
        fake = b.bn(b.x(), name="bn")
    for samples, again in ((b.x(), False), (fake, True)):
        with tf.variable_scope("discriminator", reuse=again):
            b.bn(tf.nn.elu(samples), name="bn")


@program
def in_cond(b: Any) -> None:
    """Inside a branch the updates are usable there only."""
    tf, x, training = b.tf, b.x(), b.phase.value
    b.updates_can_be_fetched = False

    def branch() -> Any:
        with tf.variable_scope("branch"):
            y = b.candidate.function(x, training=training, **b.args)
        with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
            return tf.identity(y)

    on = tf.placeholder_with_default(True, [], name="on")
    b.output(tf.cond(on, branch, lambda: tf.identity(x)), x)


@program
def in_while_loop(b: Any) -> None:
    """Three passes through one layer, each updating the statistics before the next."""
    tf, x, training = b.tf, b.x(), b.phase.value
    b.updates_can_be_fetched = False

    def body(i: Any, value: Any) -> tuple:
        y = b.candidate.function(value, training=training, **b.args)
        with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
            return i + 1, tf.identity(y)

    loop = tf.while_loop(lambda i, _: i < 3, body, [0, x], parallel_iterations=1)
    b.output(tf.identity(loop[1], name="result"), x)


@program
def under_device(b: Any) -> None:
    with b.tf.device("/cpu:0"):
        b.bn(b.x(), name="bn")
    b.attributes["devices"] = [v.device for v in b.tf.global_variables()]


@program
def seen_by_getter(b: Any) -> None:
    """What a custom getter is told about each variable, which legacy code relies on."""
    tf, seen = b.tf, []

    def getter(getter: Any, **kwargs: Any) -> Any:
        seen.append({
            "name": kwargs["name"],
            "shape": [int(n) for n in kwargs["shape"]],
            "dtype": tf.as_dtype(kwargs["dtype"]).name,
            "trainable": kwargs["trainable"],
            "regularizer": kwargs["regularizer"] is not None,
            "constraint": kwargs["constraint"] is not None,
            "reuse": kwargs["reuse"] is True,
            "synchronization": kwargs["synchronization"].name,
            "aggregation": kwargs["aggregation"].name,
            "keywords": sorted(key for key in kwargs if key != "getter"),
        })  # fmt: skip
        return getter(**kwargs)

    with tf.variable_scope("a", custom_getter=getter):
        b.bn(b.x(), name="bn")
    with tf.variable_scope("a", custom_getter=getter, reuse=True):
        b.bn(b.x(), name="bn")
    b.attributes["getter calls"] = seen


@program
def ops_of_updates(b: Any) -> None:
    """Where the update ops stand: their control flow context and colocation."""
    b.bn(b.x(), name="bn")
    tf = b.tf
    b.attributes["colocation"] = [
        [group.decode() for group in getattr(u, "op", u).colocation_groups()]
        for u in tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    ]


@program
def layer_twice(b: Any) -> None:
    layer = b.layer(**b.args)
    with b.tf.variable_scope("here"):
        b.output(layer(b.x(), training=b.phase.value), b.inputs[-1])
    with b.tf.variable_scope("there"):
        b.output(layer(b.x(), training=b.phase.value), b.inputs[-1])
    calls = zip(["first", "second"], b.inputs)
    b.attributes["updates for"] = {n: [u.name for u in layer.get_updates_for(x)] for n, x in calls}
    b.attributes["updates for None"] = len(layer.get_updates_for(None))


@program
def layer_thrice(b: Any) -> None:
    layer = b.layer(**b.args)
    for _ in range(3):
        b.output(layer(b.x(), training=b.phase.value), b.inputs[-1])


@program
def layer_in_two_phases(b: Any) -> None:
    """One layer where the phase is known at run time, then beforehand, then at run time again."""
    layer = b.layer(**b.args)
    for training in (b.phase.value, True, b.phase.value):
        b.output(layer(b.x(), training=training), b.inputs[-1])


@program
def layer_open_channels(b: Any) -> None:
    """A later call whose static shape leaves all sizes open."""
    layer = b.layer(**b.args)
    b.output(layer(b.x(), training=b.phase.value), b.inputs[-1])
    seen = b.tf.placeholder_with_default(b.x(), [None] * len(b.case.shape))
    b.output(layer(seen, training=b.phase.value), seen)


@program
def layer_positional_training(b: Any) -> None:
    layer = b.layer(**b.args)
    b.output(layer(b.x(), b.phase.value), b.inputs[-1])


@program
def layer_apply(b: Any) -> None:
    layer = b.layer(**b.args)
    b.output(layer.apply(b.x(), training=b.phase.value), b.inputs[-1])


@program
def layer_build_first(b: Any) -> None:
    """The scope is the one around `build`, not the one around the call."""
    layer = b.layer(**b.args)
    with b.tf.variable_scope("built_here"):
        layer.build(b.tf.TensorShape(b.case.shape))
    b.attributes["after build"] = {"built": layer.built, "variables": len(layer.variables)}
    with b.tf.variable_scope("called_here"):
        b.output(layer(b.x(), training=b.phase.value), b.inputs[-1])


@program
def layer_made_elsewhere(b: Any) -> None:
    with b.tf.variable_scope("made_here"):
        layer = b.layer(**b.args)
    with b.tf.variable_scope("called_here"):
        b.output(layer(b.x(), training=b.phase.value), b.inputs[-1])


@program
def layer_pair_unnamed(b: Any) -> None:
    for shape in (b.case.shape, _wider(b)):
        x = b.x(shape)
        b.output(b.layer(**b.args)(x, training=b.phase.value), x)


@program
def layer_switched_off(b: Any) -> None:
    layer = b.layer(**b.args)
    b.output(layer(b.x(), training=b.phase.value), b.inputs[-1])
    layer.trainable = False


@program
def layer_scope_argument(b: Any) -> None:
    """As TF-Slim calls it: the variables go straight into the given scope."""
    with b.tf.variable_scope("block/BatchNorm") as scope:
        layer = b.layer(name=scope.name, _scope=scope, _reuse=None, **b.args)
        b.output(layer.apply(b.x(), training=b.phase.value), b.inputs[-1])


@program
def layer_shared_by_reuse(b: Any) -> None:
    for again in (None, True):
        layer = b.layer(name="bn", _reuse=again, **b.args)
        b.output(layer(b.x(), training=b.phase.value), b.inputs[-1])


@program
def layer_shared_by_scope(b: Any) -> None:
    for _ in range(2):
        with b.tf.variable_scope("a", reuse=b.tf.AUTO_REUSE) as scope:
            layer = b.layer(name="bn", _scope=scope, _reuse=b.tf.AUTO_REUSE, **b.args)
            b.output(layer(b.x(), training=b.phase.value), b.inputs[-1])


@program
def layer_from_config(b: Any) -> None:
    first = b.candidate.layer(**b.args)
    b.layers.append(b.candidate.layer.from_config(first.get_config()))
    b.output(b.layers[0](b.x(), training=b.phase.value), b.inputs[-1])


@program
def layer_other_rank(b: Any) -> None:
    layer = b.layer(**b.args)
    b.output(layer(b.x(), training=b.phase.value), b.inputs[-1])
    layer(b.x((*b.case.shape[:1], 2, *b.case.shape[1:])), training=b.phase.value)


@program
def layer_other_channels(b: Any) -> None:
    layer = b.layer(**b.args)
    b.output(layer(b.x(), training=b.phase.value), b.inputs[-1])
    layer(b.x(_wider(b)), training=b.phase.value)


@program
def layer_bogus_argument(b: Any) -> None:
    b.layer(bogus=1)


@program
def layer_scope_name_before_call(b: Any) -> None:
    b.layer(name="bn").scope_name  # noqa: B018  (the attribute itself raises)


@program
def subclass_call(b: Any) -> None:
    class Halved(b.candidate.layer):
        def call(self, inputs: Any, training: Any = False) -> Any:
            return 0.5 * super().call(inputs, training=training)

    layer = Halved(**b.args)
    b.layers.append(layer)
    b.output(layer(b.x(), training=b.phase.value), b.inputs[-1])


@program
def subclass_weight(b: Any) -> None:
    class Shifted(b.candidate.layer):
        def build(self, input_shape: Any) -> None:
            self.extra = self.add_weight("extra", shape=[1], initializer="ones")
            super().build(input_shape)

        def call(self, inputs: Any, training: Any = False) -> Any:
            return super().call(inputs, training=training) + self.extra

    layer = Shifted(**b.args)
    b.layers.append(layer)
    b.output(layer(b.x(), training=b.phase.value), b.inputs[-1])


@program
def subclass_moments(b: Any) -> None:
    """The hook of the synchronising subclasses: moments other than the batch's."""

    class Wide(b.candidate.layer):
        def _moments(self, inputs: Any, reduction_axes: Any, keep_dims: Any) -> Any:
            mean, variance = super()._moments(inputs, reduction_axes, keep_dims)
            return mean * 0.5, variance * 2.0

    layer = Wide(**b.args)
    b.layers.append(layer)
    b.output(layer(b.x(), training=b.phase.value), b.inputs[-1])


@program
def frozen(b: Any) -> None:
    """The kinds of ops left of an inference graph after its variables became constants."""
    tf, y = b.tf, b.bn(b.x())
    graph = tf.get_default_graph()
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        convert = tf.graph_util.convert_variables_to_constants
        left = convert(session, graph.as_graph_def(), [y.op.name])
    b.attributes["ops left"] = sorted({node.op for node in left.node})


@program
def through_meta_graph(b: Any) -> None:
    """Built in one graph, exported, and used in another that only has the MetaGraph."""
    tf = b.tf
    with tf.Graph().as_default():
        first = type(b)(b.candidate, b.case)
        y = first.bn(first.x())
        first.phase  # noqa: B018  (made here, used by name below)
        exported = tf.train.export_meta_graph()
    tf.train.import_meta_graph(exported)
    by_name = tf.get_default_graph().get_tensor_by_name
    b.feeds = [(by_name("x:0"), b.case.shape)]
    b.inputs = [by_name("x:0")]
    b.use_phase(by_name("phase:0"))
    b.output(by_name(y.name), b.inputs[0])


@program
def transposed(b: Any) -> None:
    """Channels-first input sent through the channels-last kernel: what NCHW must compute."""
    tf, x = b.tf, b.x()
    last = [0, *range(2, len(b.case.shape)), 1]
    first = [0, len(b.case.shape) - 1, *range(1, len(b.case.shape) - 1)]
    y = b.candidate.function(
        tf.transpose(x, last), training=b.phase.value, **{**b.args, "axis": -1}
    )
    b.output(tf.transpose(y, first), x)


@program
def input_is_nested_list(b: Any) -> None:
    b.candidate.function([[1.0, 2.0], [3.0, 4.0]], training=b.phase.value)


@program
def input_is_list_of_tensors(b: Any) -> None:
    b.candidate.function([b.x(), b.x()], training=b.phase.value)


@program
def input_is_none(b: Any) -> None:
    b.candidate.function(None, training=b.phase.value)


@program
def input_is_sparse(b: Any) -> None:
    x = b.tf.sparse_placeholder(b.tf.float32, b.case.shape)
    b.candidate.function(x, training=b.phase.value)


@program
def bogus_argument(b: Any) -> None:
    b.candidate.function(b.x(), bogus=1)
