# SPDX-License-Identifier: Apache-2.0
"""What a layer tells of itself once it was called, and the losses that it is given."""

from __future__ import annotations

import copy
from typing import Any, Callable, Sequence

from ..runtime.graph_place import add_once
from ..runtime.tensorflow_v1 import Operation, Tensor, Variable, tf
from ..state.variables import parts_of
from .dependents import found_by
from .session_values import read_values, write_values

# The attributes that are empty lists at first.
LISTS = (
    *("_weights", "_weight_losses", "_open_losses"),
    *("_updates", "_losses", "_late_losses"),
)


class Answers:
    """Names, variables, values, updates and losses; what they are made of is in `GraphLayer`."""

    built: bool
    trainable: Any
    activity_regularizer: Any
    add_weight: Callable[..., Variable]
    _weights_that_are: Callable[..., list[Variable]]
    _dtype: str | None
    _name: Any
    # The variable scope, settled by the first use; None before. All calls share one op scope.
    _scope: Any
    # Each variable with whether it is trainable, in the order they were made.
    _weights: list[tuple[Variable, bool]]
    _weight_losses: list[Tensor]
    # Of shared variables: functions that make the losses, once these are asked for.
    _open_losses: list[Callable[[], list[Tensor]]]
    # Each with what it was made from, None for nothing.
    _updates: list[tuple[Operation, Any]]
    _losses: list[tuple[Tensor, Any]]
    _late_losses: list[tuple[Tensor, Any]]

    @property
    def name(self) -> str:
        return str(self._name)

    @property
    def dtype(self) -> str | None:
        return self._dtype

    @property
    def scope_name(self) -> str:
        """The name of the variable scope.

        Raises:
          ValueError: no call or build has settled it yet.
        """
        if self._scope is None:
            raise ValueError(
                f"No name available for layer scope because the layer {self.name!r} has not been "
                "used yet: call or build it first."
            )
        return str(self._scope.name)

    @property
    def name_scope(self) -> Any:
        """A context manager that opens the layer's op scope again, for `with_name_scope`.

        Raises:
          AttributeError: no call or build has settled it yet.
        """
        if self._scope is None:
            raise AttributeError(
                f"The layer {self.name!r} has no name scope yet: call or build it first."
            )
        return tf.name_scope(self._scope.original_name_scope)

    # -- variables and their values --------------------------------------------------------------

    def add_variable(self, *args: Any, **kwargs: Any) -> Variable:
        """As `add_weight`."""
        return self.add_weight(*args, **kwargs)

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

    def get_weights(self) -> list[Any]:
        """The values of `weights` as arrays, in the default session; none before it is built.

        Raises:
          RuntimeError: there is no default session.
        """
        return read_values(self.weights)

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Gives `weights` these values in the default session, as `get_weights` returns them.

        Raises:
          ValueError: another number of values, or another shape.
          RuntimeError: there is no default session.
        """
        write_values(self.weights, weights, self.name)

    # -- updates and losses ----------------------------------------------------------------------

    def get_updates_for(self, inputs: Any) -> list[Operation]:
        """The update ops of calls that depend on `inputs`; with None those of no call's input.

        Args:
          inputs: a tensor, op or variable that a call's input is or comes from, or a list of them.

        Raises:
          TypeError: `inputs` holds something else.
        """
        return found_by(inputs, self._updates) if self.trainable else []

    def add_loss(self, losses: Any, inputs: Any = None) -> None:
        """Adds losses to the layer and to REGULARIZATION_LOSSES.

        Args:
          losses: a scalar, or a function without arguments that makes one or None; or a list.
          inputs: what the losses depend on, for `get_losses_for`; None for nothing.
        """
        for loss in losses if isinstance(losses, (list, tuple)) else [losses]:
            made = loss() if callable(loss) else loss
            if made is None:
                continue
            if not isinstance(made, tf.Tensor):
                made = tf.convert_to_tensor(
                    made, dtype=None if hasattr(made, "dtype") else "float32"
                )
            kept = self._late_losses if callable(loss) else self._losses
            # TF1 asks whether inputs were given, not which.
            kept.append((made, None if inputs is None else made))
            add_once(tf.GraphKeys.REGULARIZATION_LOSSES, [made])

    @property
    def losses(self) -> list[Tensor]:
        """The losses that were added, and the regularization losses, reused variables' included."""
        early, late = ([loss for loss, _ in kept] for kept in (self._losses, self._late_losses))
        return early + self._regularization_losses() + late

    def get_losses_for(self, inputs: Any) -> list[Tensor]:
        """The losses added with `inputs` that depend on these; with None all that need no input.

        Raises:
          TypeError: `inputs` holds something else than tensors, ops and variables.
        """
        of_weights = self._regularization_losses() if inputs is None else []
        return found_by(inputs, self._losses) + of_weights + found_by(inputs, self._late_losses)

    def _add_activity_loss(self, inputs: Any, outputs: Tensor) -> None:
        with tf.name_scope("ActivityRegularizer"):
            loss = self.activity_regularizer(outputs)
            self.add_loss(loss / tf.cast(tf.shape(outputs)[0], loss.dtype), inputs=inputs)

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

    def _known_variables(self) -> set[int]:
        return {id(each) for each in tf.global_variables()}

    def _regularization_losses(self) -> list[Tensor]:
        """The losses of new variables as collected, those of shared ones made when asked for."""
        while self._open_losses:
            self._weight_losses.extend(self._open_losses.pop(0)())
        return list(self._weight_losses)

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


def _as_tensors(losses: Sequence[Any]) -> list[Tensor]:
    """What is there, a number as a float32 tensor, as TF1 made it for every dtype of the layer."""
    return [
        loss if tf.is_tensor(loss) else tf.convert_to_tensor(loss, tf.float32)
        for loss in losses
        if loss is not None
    ]
