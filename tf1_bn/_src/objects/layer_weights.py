# SPDX-License-Identifier: Apache-2.0
"""The variables of a layer and the losses of their regularizers."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Sequence

from ..runtime.graph_place import add_once
from ..runtime.tensorflow_v1 import Tensor, Variable, tf
from ..state.leftovers import get_variable, is_of_tensorflow


class _Regularized(NamedTuple):
    name: str
    variable: Variable
    regularizer: Callable[[Tensor], Tensor | None]


class LayerWeights:
    """What a layer made or shares, in order, and which of it is trainable."""

    def __init__(self) -> None:
        self._weights: list[tuple[Variable, bool]] = []
        self._losses: list[Tensor] = []
        self._shared_regularized: list[_Regularized] = []

    def add(
        self,
        scope: Any,
        name: str,
        shape: Sequence[int],
        trainable: bool,
        regularizer: Callable[..., Any] | None,
        **kwargs: Any,
    ) -> Variable:
        """Gets the variable from the entered `scope`; keywords go to `tf.get_variable`.

        A regularizer's loss is collected if the variable is new.

        Raises:
          ValueError: the variable exists and is not to be shared, or the reverse.
        """
        before = set() if regularizer is None else _global_variable_ids()
        try:
            variable = get_variable(name, shape, trainable=trainable, **kwargs)
        except ValueError as error:
            if not is_of_tensorflow(error):
                raise
            raise ValueError(
                f"{error}\nThis is variable `{name}` of shape {list(shape)} of the batch-norm "
                f"layer in scope {scope.name!r} (got `reuse={scope.reuse}`)."
            ) from error
        # A custom getter may have made it untrainable, or have handed out a plain tensor.
        self._weights.append((variable, trainable and _is_trainable(variable)))
        if regularizer is not None:
            item = _Regularized(name, variable, regularizer)
            if any(id(part) in before for part in parts_of(variable)):
                self._shared_regularized.append(item)
            else:
                self.add_losses(_regularization(item))
        return variable

    def add_losses(self, losses: Sequence[Tensor]) -> None:
        """Adds losses to the layer and to REGULARIZATION_LOSSES."""
        self._losses.extend(losses)
        add_once(tf.GraphKeys.REGULARIZATION_LOSSES, losses)

    @property
    def losses(self) -> list[Tensor]:
        """The losses of new variables as collected, those of shared ones computed when asked."""
        while self._shared_regularized:
            self._losses.extend(_regularization(self._shared_regularized.pop(0)))
        return list(self._losses)

    def variables(self, trainable: bool) -> list[Variable]:
        """The trainable variables, or the others, in order."""
        return [variable for variable, is_trainable in self._weights if is_trainable == trainable]

    def all(self) -> list[Variable]:
        """All variables in the order they were made."""
        return [variable for variable, _ in self._weights]


def _regularization(item: _Regularized) -> list[Tensor]:
    losses = []
    for part in parts_of(item.variable):
        with tf.name_scope(f"{item.name}/Regularizer"):
            losses.append(item.regularizer(part))
    return _as_tensors(losses)


def _as_tensors(losses: Sequence[Any]) -> list[Tensor]:
    """What is there, a number as a float32 tensor, as TF1 made it for every dtype of the layer."""
    return [
        loss if tf.is_tensor(loss) else tf.convert_to_tensor(loss, tf.float32)
        for loss in losses
        if loss is not None
    ]


def _is_trainable(variable: Variable) -> bool:
    try:
        return bool(getattr(variable, "trainable", False))
    except NotImplementedError:
        # TF 1.15's variable of a CentralStorageStrategy does not tell.
        return any(variable is trained for trained in tf.trainable_variables())


def parts_of(variable: Variable) -> list[Variable]:
    """The parts of a partitioned variable; a list of itself for any other."""
    is_partitioned = hasattr(variable, "as_tensor") and hasattr(variable, "__iter__")
    return list(variable) if is_partitioned else [variable]


def _global_variable_ids() -> set[int]:
    return {id(v) for v in tf.get_default_graph().get_collection_ref(tf.GraphKeys.GLOBAL_VARIABLES)}
