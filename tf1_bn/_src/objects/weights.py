# SPDX-License-Identifier: Apache-2.0
"""A layer's variables: made or shared, tracked by name, and the losses of their regularizers."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Callable, ContextManager, Sequence

from .. import settings
from ..plan.spec import in_both_words, is_function
from ..runtime.graph_place import add_once
from ..runtime.tensorflow_v1 import Tensor, Variable, is_of_tensorflow, is_variable, tf
from ..state.variables import get_variable, is_trainable, parts_of


class _Shelf:
    """Behind `tf.Module`, whose `__setattr__` tracks a value and calls this one to store it."""

    def __setattr__(self, name: str, value: Any) -> None:
        if value is not self.__dict__.get("_only_tracked"):
            super().__setattr__(name, value)


class ModuleWithWeights(tf.Module, _Shelf):  # type: ignore[misc]
    """A `tf.Module` that tracks its weights by their names, as the layers of TF1 do.

    An attribute is tracked besides only if it is, or holds in lists and dicts, a variable or a
    module that is no weight. All others stay what they were set to: TensorFlow would put a wrapper
    around each list and dict, with a key of its own in checkpoints.
    """

    name: Any
    built: bool
    trainable: Any
    _dtype: str | None
    _making: Callable[[], ContextManager[Any]]
    # Each variable with whether it is trainable, in the order they were made.
    _weights: list[tuple[Variable, bool]]
    _weight_losses: list[Tensor]
    # Of shared variables: functions that make the losses, once these are asked for.
    _open_losses: list[Callable[[], list[Tensor]]]

    def _start_weights(self) -> None:
        # `tf.Module`'s constructor would open a name scope, and so rename the layer's ops.
        self.__dict__.update(_weights=[], _weight_losses=[], _open_losses=[])

    def add_weight(
        self,
        name: str,
        shape: Sequence[int] = (),
        dtype: Any = None,
        initializer: Any = None,
        regularizer: Any = None,
        trainable: bool | None = None,
        constraint: Any = None,
        use_resource: bool | None = None,
        synchronization: Any = tf.VariableSynchronization.AUTO,
        aggregation: Any = tf.VariableAggregation.NONE,
        partitioner: Any = None,
        **kwargs: Any,
    ) -> Variable:
        """Makes, or shares under reuse, the variable `name` in the layer's scope, and tracks it.

        A regularizer's loss is added to REGULARIZATION_LOSSES if the variable is new. Further
        keywords go to `tf.get_variable`.

        Raises:
          ValueError: the variable exists and is not to be shared, or the reverse; it is trainable,
            and `synchronization` is ON_READ.
        """
        kwargs.pop("experimental_autocast", None)
        on_read = synchronization == tf.VariableSynchronization.ON_READ
        if on_read and trainable:
            raise in_both_words(
                ValueError,
                f"`trainable` must be False with ON_READ (got {trainable!r} for {name!r}).",
                "Synchronization value can be set to VariableSynchronization.ON_READ only for "
                "non-trainable variables",
            )
        wanted = bool((not on_read if trainable is None else trainable) and self.trainable)
        kwargs.update(
            dtype=tf.as_dtype(dtype or self._dtype or tf.float32),
            initializer=resolved(f"{name}_initializer", initializer),
            constraint=resolved(f"{name}_constraint", constraint),
            use_resource=use_resource,
            synchronization=synchronization,
            aggregation=aggregation,
            partitioner=partitioner,
        )
        regularizer = resolved(f"{name}_regularizer", regularizer)
        with self._making() as scope:
            before = set() if regularizer is None else _global_variable_ids()
            weight = _weight(scope, name, shape, trainable=wanted, **kwargs)
            # A custom getter may have made it untrainable, or have handed out a plain tensor.
            self._weights.append((weight, wanted and is_trainable(weight)))
            if regularizer is not None:
                self._regularize(name, weight, regularizer, before)
        self._show(name, weight)
        return weight

    def add_variable(self, *args: Any, **kwargs: Any) -> Variable:
        """As `add_weight`."""
        return self.add_weight(*args, **kwargs)

    def _show(self, name: str, weight: Variable) -> None:
        """Lets modules and checkpoints see it."""
        parts = parts_of(weight)
        for index, part in enumerate(parts):
            self._track(name if part is weight else f"{name}/part_{index}", part)
        # `tf.Module` finds variables in lists, and gives them in the order of the lists' names.
        for attribute, trainable in (
            ("_trainable_weights", True),
            ("_non_trainable_weights", False),
        ):
            found = self._weights_that_are(trainable)
            self.__dict__[attribute] = [part for each in found for part in parts_of(each)]

    def _regularize(
        self, name: str, weight: Variable, regularizer: Callable[..., Any], before: set[int]
    ) -> None:
        def losses() -> list[Tensor]:
            made = []
            for part in parts_of(weight):
                with tf.name_scope(f"{name}/Regularizer"):
                    made.append(regularizer(part))
            return _as_tensors(made)

        if any(id(part) in before for part in parts_of(weight)):
            self._open_losses.append(losses)
            return
        made = losses()
        self._weight_losses.extend(made)
        add_once(tf.GraphKeys.REGULARIZATION_LOSSES, made)

    def _regularization_losses(self) -> list[Tensor]:
        """The losses of new variables as collected, those of shared ones made when asked for."""
        while self._open_losses:
            self._weight_losses.extend(self._open_losses.pop(0)())
        return list(self._weight_losses)

    def _weights_that_are(self, trainable: bool) -> list[Variable]:
        return [weight for weight, is_so in self._weights if is_so == trainable]

    @property
    def trainable_variables(self) -> list[Variable]:
        return self._weights_that_are(trainable=True) if self.trainable else []

    @property
    def non_trainable_variables(self) -> list[Variable]:
        others = self._weights_that_are(trainable=False)
        return others if self.trainable else self._weights_that_are(trainable=True) + others

    @property
    def variables(self) -> list[Variable]:
        return self.trainable_variables + self.non_trainable_variables

    weights = variables
    trainable_weights = trainable_variables
    non_trainable_weights = non_trainable_variables

    def count_params(self) -> int:
        """How many numbers the layer's variables hold.

        Raises:
          ValueError: the layer is not built.
        """
        if not self.built:
            raise ValueError(f"Layer {self.name} has no parameters to count before it is built.")
        return sum(variable.shape.num_elements() for variable in self.weights)

    # -- as a module -----------------------------------------------------------------------------

    def _track(self, name: str, weight: Variable) -> None:
        """Tracks `weight` by `name`, whatever the attribute of that name is."""
        self.__dict__["_only_tracked"] = weight
        try:
            tf.Module.__setattr__(self, name, weight)
        finally:
            del self.__dict__["_only_tracked"]

    def __setattr__(self, name: str, value: Any) -> None:
        # Asked first, because a layer sets many such values while it is built.
        is_plain = value is None or isinstance(value, (bool, int, str))
        is_argument = is_plain or hasattr(getattr(type(self), name, None), "__set__")
        if is_argument or not self._is_further_state(value):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def _is_further_state(self, value: Any) -> bool:
        """Whether `value` is or holds a variable or module which is not tracked as a weight."""
        if isinstance(value, Mapping):
            return any(map(self._is_further_state, value.values()))
        if isinstance(value, (list, tuple)):
            return any(map(self._is_further_state, value))
        if not isinstance(value, tf.Module) and not is_variable(value):
            return False
        return not any(value is weight for weight, _ in self.__dict__.get("_weights", ()))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if self._weights:
            raise TypeError(
                f"The layer {self.name!r} has variables, which belong to their graph, and cannot "
                "be deep-copied. Copy it before it is built, make another with "
                f"`{type(self).__name__}.from_config(layer.get_config())`, or share its variables "
                "by its scope's name: `_scope=layer.scope_name, _reuse=True`."
            )
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        for name, value in self.__dict__.items():
            # A spec is frozen, and may hold tensors, which cannot be copied.
            shared = name == "_spec"
            object.__setattr__(copied, name, value if shared else copy.deepcopy(value, memo))
        return copied


def resolved(argument: str, given: Any) -> Any:
    """What is given as a setting such as `gamma_initializer`, names and configs looked up.

    Returns:
      None or a callable.
    """
    return given if given is None or is_function(given) else settings.resolve(argument, given)


def _weight(scope: Any, name: str, shape: Sequence[int], **kwargs: Any) -> Variable:
    try:
        return get_variable(name, shape, **kwargs)
    except ValueError as error:
        if not is_of_tensorflow(error):
            raise
        raise ValueError(
            f"{error}\nThis is variable `{name}` of shape {list(shape)} of the batch-norm "
            f"layer in scope {scope.name!r} (got `reuse={scope.reuse}`)."
        ) from error


def _as_tensors(losses: Sequence[Any]) -> list[Tensor]:
    """What is there, a number as a float32 tensor, as TF1 made it for every dtype of the layer."""
    return [
        loss if tf.is_tensor(loss) else tf.convert_to_tensor(loss, tf.float32)
        for loss in losses
        if loss is not None
    ]


def _global_variable_ids() -> set[int]:
    return {id(v) for v in tf.get_default_graph().get_collection_ref(tf.GraphKeys.GLOBAL_VARIABLES)}
