# SPDX-License-Identifier: Apache-2.0
"""The variables of `contrib.batch_norm` and the collections it puts things into."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Iterator, Mapping

from ..api.layer import BatchNormalization
from ..plan.geometry import Geometry
from ..plan.spec import BatchNormSpec
from ..runtime.graph_place import add_once
from ..runtime.tensorflow_v1 import Tensor, Variable, tf
from ..state.reach import full_name
from ..state.undoing import variable_scope
from ..state.variables import BatchNormVariables, get_variable, made_beside


def create_contrib_variables(
    spec: BatchNormSpec, geometry: Geometry, variables_collections: Any
) -> BatchNormVariables:
    """Makes or reuses beta, gamma, moving_mean and moving_variance, in contrib's order."""

    def variable(name: str, trainable: bool, regularizer: Any = None) -> Variable:
        return get_variable(
            name,
            geometry.param_shape,
            dtype=tf.as_dtype(geometry.param_dtype),
            initializer=getattr(spec, f"{name}_initializer"),
            regularizer=regularizer,
            trainable=trainable,
            collections=_with_model(_collections_of(variables_collections, name)),
            **({} if name in ("beta", "gamma") else _per_replica()),
        )

    trainable = bool(spec.trainable)
    beta = variable("beta", trainable, spec.beta_regularizer) if spec.center else None
    gamma = variable("gamma", trainable, spec.gamma_regularizer) if spec.scale else None
    with _unpartitioned():
        return BatchNormVariables(
            gamma, beta, variable("moving_mean", False), variable("moving_variance", False)
        )


def create_shadow(moving_mean: Variable) -> tuple[Variable, Variable]:
    """Makes or reuses the variables behind a debiased mean, named after it inside its scope.

    Returns:
      `biased`, the average that starts at 0, of the shape of the mean; and `local_step`, a scalar:
      how many updates it has seen.
    """
    dtype = moving_mean.dtype.base_dtype

    def shadow(name: str, shape: Any) -> Variable:
        initializer = tf.zeros_initializer()
        return get_variable(
            name, shape, dtype=dtype, initializer=initializer, trainable=False, **_per_replica()
        )

    scope = full_name(moving_mean, "moving_mean")
    with variable_scope(scope), _unpartitioned(), made_beside(moving_mean):
        return shadow("biased", moving_mean.shape), shadow("local_step", [])


def _per_replica() -> dict[str, Any]:
    """Under a strategy: kept per replica and read as their mean, as the layer's are."""
    if not tf.distribute.has_strategy():
        return {}
    return {
        "synchronization": tf.VariableSynchronization.ON_READ,
        "aggregation": tf.VariableAggregation.MEAN,
    }


@contextlib.contextmanager
def _unpartitioned() -> Iterator[None]:
    """The current scope without its partitioner; opens an op scope, too, as contrib did."""
    with variable_scope(tf.get_variable_scope()) as (copied, _):
        copied.set_partitioner(None)
        yield


def model_variable(getter: Callable[..., Variable], *args: Any, **kwargs: Any) -> Variable:
    """A custom getter: the variable is put into MODEL_VARIABLES as well."""
    kwargs["collections"] = _with_model(kwargs.get("collections"))
    return getter(*args, **kwargs)


def _with_model(collections: Any) -> list[str]:
    added = [tf.GraphKeys.GLOBAL_VARIABLES, tf.GraphKeys.MODEL_VARIABLES]
    return list(dict.fromkeys([*(collections or []), *added]))


def _collections_of(variables_collections: Any, name: str) -> list[str]:
    """Those of the variable `name`.

    >>> _collections_of({"beta": ["offsets"]}, "beta"), _collections_of("all", "gamma")
    (['offsets'], ['all'])
    """
    if isinstance(variables_collections, Mapping):
        variables_collections = variables_collections.get(name)
    if isinstance(variables_collections, str):
        return [variables_collections]
    return list(variables_collections or [])


def collect_variables(layer: BatchNormalization, variables_collections: Any) -> None:
    """Puts the layer's variables into the collections for all, or for each by its name."""
    for name in ("moving_mean", "moving_variance", "beta", "gamma"):
        variable = getattr(layer, name)
        if variable is not None:
            # A partitioned variable is collected by its parts.
            parts = list(variable) if hasattr(variable, "as_tensor") else [variable]
            for collection in _collections_of(variables_collections, name):
                add_once(collection, parts)


def collect_output(outputs: Tensor, collections: Any, alias: str) -> Tensor:
    """Returns `outputs`, put into `collections` under the name `alias`, if there are any."""
    if collections:
        # slim's end points are keyed by these.
        outputs.aliases = [*getattr(outputs, "aliases", []), alias]
        tf.add_to_collections(collections, outputs)
    return outputs
