# SPDX-License-Identifier: Apache-2.0
"""The variables of a layer, of whatever kind: made in the order of TF1, and read."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Iterator, NamedTuple, Sequence

from ..plan.geometry import Geometry
from ..plan.spec import BatchNormSpec
from ..runtime.graph_place import collected_since, home_graph, lengths
from ..runtime.tensorflow_v1 import Tensor, Variable, is_ref, tf
from .half_layers import refuse_half_layers
from .leftovers import LEFT, Left, find, take
from .origin import show_lines_of_program
from .undoing import running, variable_scope


class BatchNormVariables(NamedTuple):
    """What a layer has learned and measured; None where it is switched off.

    All have the shape `Geometry.param_shape`: `[channels]` for one channel axis; for several, that
    of the input with 1 on all other axes; with ghost batches the same, and one more 1 behind the
    first. Their dtype is `Geometry.param_dtype`, float32 for half precision.
    """

    gamma: Variable | None
    beta: Variable | None
    moving_mean: Variable
    moving_variance: Variable
    moving_stddev: Variable | None = None
    renorm_mean: Variable | None = None
    renorm_stddev: Variable | None = None


def variable_names(spec: BatchNormSpec) -> tuple[str, ...]:
    """The names below the layer's scope, in creation order."""
    learned = (("gamma", spec.scale), ("beta", spec.center))
    renorm = ("moving_stddev", "renorm_mean", "renorm_stddev") if spec.renorm else ()
    return (
        tuple(name for name, wanted in learned if wanted)
        + ("moving_mean", "moving_variance")
        + renorm
    )


def create_variables(
    spec: BatchNormSpec, geometry: Geometry, add_weight: Callable[..., Variable]
) -> BatchNormVariables:
    """Makes or reuses the variables in the current scope, all of `geometry.param_shape`.

    gamma and beta are trainable; the statistics are not, are never partitioned, and under a
    distribution strategy are kept per replica and read as their mean.
    """
    shared = {"shape": geometry.param_shape, "dtype": tf.as_dtype(geometry.param_dtype)}

    def learned(name: str) -> Variable:
        return add_weight(
            name,
            initializer=getattr(spec, f"{name}_initializer"),
            regularizer=getattr(spec, f"{name}_regularizer"),
            constraint=getattr(spec, f"{name}_constraint"),
            trainable=True,
            **shared,
        )

    def statistic(name: str, initializer: Any) -> Variable:
        return add_weight(
            name,
            initializer=initializer,
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.MEAN,
            **shared,
        )

    names = variable_names(spec)
    scope = tf.get_variable_scope()
    # With reuse=True nothing is ever made. A getter may rename what it is asked for.
    makes = scope.reuse is not True and scope.custom_getter is None
    full_names = [_full_name(scope, name) for name in names]
    if makes and _any_in_use(full_names):
        refuse_half_layers(scope, dict(zip(names, full_names)), **shared)
    gamma = learned("gamma") if spec.scale else None
    beta = learned("beta") if spec.center else None
    with _no_partitioner():
        made = BatchNormVariables(
            gamma,
            beta,
            statistic("moving_mean", spec.moving_mean_initializer),
            statistic("moving_variance", spec.moving_variance_initializer),
        )
        return _with_renorm(made, spec, statistic) if spec.renorm else made


def _with_renorm(
    made: BatchNormVariables, spec: BatchNormSpec, statistic: Callable[[str, Any], Variable]
) -> BatchNormVariables:
    """The variables and those of renorm, each placed where TF1 places it."""
    of_variance = spec.moving_variance_initializer

    def stddev_initializer(*args: Any, **kwargs: Any) -> Tensor:
        return tf.sqrt(of_variance(*args, **kwargs))

    # A scope's initializer has no value to take the root of before it is called.
    root = None if of_variance is None else stddev_initializer
    with made_beside(made.moving_variance):
        moving_stddev = statistic("moving_stddev", root)
    with made_beside(made.moving_mean):
        renorm_mean = statistic("renorm_mean", spec.moving_mean_initializer)
    with made_beside(moving_stddev):
        renorm_stddev = statistic("renorm_stddev", root)
    return made._replace(
        moving_stddev=moving_stddev, renorm_mean=renorm_mean, renorm_stddev=renorm_stddev
    )


def get_variable(name: str, shape: Sequence[int], **settings: Any) -> Variable:
    """`tf.get_variable` in the current scope, or the variable that an equal call left behind.

    Raises:
      ValueError: as of `tf.get_variable`; an other call left a variable of this name.
    """
    scope = tf.get_variable_scope()
    full, made = _full_name(scope, name), running.made
    request = {
        "shape": tuple(shape),
        "synchronization": tf.VariableSynchronization.AUTO,
        "aggregation": tf.VariableAggregation.NONE,
        **settings,
        "use_resource": settings.get("use_resource", scope.use_resource),
        "caching_device": settings.get("caching_device", scope.caching_device),
    }
    # In most graphs nothing was left.
    left = find(full) if home_graph().get_collection_ref(LEFT) else None
    making = Left(full, request, lengths())
    index = 0 if made is None else len(made)
    if made is not None:
        made.append(making)

    def get() -> Variable:
        try:
            return tf.get_variable(name, tuple(shape), **settings)
        except ValueError as error:
            show_lines_of_program(error)
            raise

    variable = get() if left is None else take(left, request, get)
    if made is not None:
        made[index] = making._replace(items=collected_since(making.before), finished=True)
    return variable


@contextlib.contextmanager
def _no_partitioner() -> Iterator[None]:
    scope = tf.get_variable_scope()
    if scope.partitioner is None:
        yield
        return
    # Entering a scope by object yields a copy, so the user's own keeps its partitioner.
    with variable_scope(scope, auxiliary_name_scope=False) as (copied, _):
        copied.set_partitioner(None)
        yield


def _full_name(scope: Any, name: str) -> str:
    return f"{scope.name}/{name}" if scope.name else name


def _any_in_use(names: Sequence[str]) -> bool:
    # Scopes count too and case does not, but it is many times quicker than asking for ops.
    graph = tf.get_default_graph()
    with tf.name_scope(None):
        return any(graph.unique_name(name, mark_as_used=False) != name for name in names)


# -- of whatever kind `get_variable` or a custom getter gave ---------------------------------------


def read(variable: Variable) -> Tensor:
    """What the variable holds when the op runs, after what the op waits for."""
    if hasattr(variable, "read_value"):
        return tf.convert_to_tensor(variable.read_value())
    return tf.identity(variable)


def value_of(variable: Variable) -> Tensor:
    """What the variable holds: the graph's one read of it, where there is one."""
    value = tf.convert_to_tensor(variable)
    return tf.identity(value) if is_ref(value) else value


def made_beside(variable: Variable) -> Any:
    """A context whose variables are placed with this one, as the strategy in force does it."""
    return tf.distribute.get_strategy().extended.colocate_vars_with(variable)


def parts_of(variable: Variable) -> list[Variable]:
    """The parts of a partitioned variable; a list of itself for any other."""
    is_partitioned = hasattr(variable, "as_tensor") and hasattr(variable, "__iter__")
    return list(variable) if is_partitioned else [variable]


def is_trainable(variable: Variable) -> bool:
    """Whether it says so itself; a plain tensor never is."""
    try:
        return bool(getattr(variable, "trainable", False))
    except NotImplementedError:
        # TF 1.15's variable of a CentralStorageStrategy does not tell.
        return any(variable is trained for trained in tf.trainable_variables())
