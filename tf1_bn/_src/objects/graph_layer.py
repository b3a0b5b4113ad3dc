# SPDX-License-Identifier: Apache-2.0
"""What every layer of TF1 has besides its arithmetic: name, scope, weights, updates and losses."""

from __future__ import annotations

import contextlib
import re
import threading
from typing import Any, Callable, Iterator, Sequence

from ..plan.spec import is_scope
from ..runtime.graph_place import add_once, next_layer_name
from ..runtime.tensorflow_v1 import Operation, Tensor, op_of, tf
from ..state.undoing import variable_scope
from .dependents import found_by
from .session_values import read_values, write_values
from .unconnected import Unconnected
from .weights import ModuleWithWeights


class GraphLayer(ModuleWithWeights, Unconnected):
    """The public face of `tf.layers.Layer`; a subclass has `trainable`, `built` and `call`."""

    built: bool
    trainable: Any
    activity_regularizer: Callable[..., Any] | None = None
    _dtype: str | None
    _name: Any
    _input_spec: Any
    # The variable scope, settled by the first use; None before. All calls share one op scope.
    _scope: Any
    _op_scope: str
    # By thread, as those of towers and replicas may be inside of one layer at the same time: the
    # scope that is entered, and what was checked of the call that runs.
    _entered: dict[int, Any]
    _running: dict[int, Any]
    # Each with what it was made from, None for nothing.
    _updates: list[tuple[Operation, Any]]
    _losses: list[tuple[Tensor, Any]]
    _late_losses: list[tuple[Tensor, Any]]

    def _start_layer(self, name: Any, reuse: Any, scope: Any, dtype: Any) -> None:
        self._start_weights()
        # None of this is to be tracked, and setting it one by one costs time.
        self.__dict__.update(
            _dtype=None if dtype is None else tf.as_dtype(dtype).name,
            _name=name if isinstance(name, str) else "",
            _input_spec=None,
            _base_name=(name.name if is_scope(name) else name) or snake_case(type(self).__name__),
            _reuse=reuse,
            _given_scope=scope,
            _scope=None,
            _op_scope="",
            _entered={},
            _running={},
            _updates=[],
            _losses=[],
            _late_losses=[],
        )

    # -- name and scope --------------------------------------------------------------------------

    def _take_name(self) -> None:
        self._name = self._name or next_layer_name(snake_case(type(self).__name__))

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

    @contextlib.contextmanager
    def _making(self, given: Any = None) -> Iterator[Any]:
        """Inside, variables are made or shared as `_reuse` says; may be nested.

        The first entry settles the scope, as `given` says where the layer has none yet.
        """
        entered = self._entered.get(threading.get_ident())
        if entered is not None:
            yield entered
            return
        with self._open_again(self._reuse) if self._scope else self._open(given) as scope:
            yield scope

    def _open(self, given: Any = None) -> Any:
        given = self._given_scope or given
        if given is None and self._reuse:
            given = self._base_name
        return self._enter(variable_scope(given, self._base_name, reuse=self._reuse))

    def _open_again(self, reuse: Any) -> Any:
        return self._enter(variable_scope(self._scope, reuse=reuse, auxiliary_name_scope=False))

    @contextlib.contextmanager
    def _enter(self, opened: Any) -> Iterator[Any]:
        # A scope that was given as an object would put the ops into a new name scope.
        with opened as (scope, op_scope), tf.name_scope(self._op_scope or op_scope):
            if self._scope is None:
                self.__dict__.update(_scope=scope, _op_scope=op_scope)
            with held(self._entered, scope):
                yield scope

    # -- values ----------------------------------------------------------------------------------

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

    def add_update(self, updates: Any, inputs: Any = None) -> None:
        """Adds update ops: ops, tensors, assigned variables, or functions that make one of these.

        `inputs` is ignored, as in TF1: updates that are added in `call` are those of its input.

        Raises:
          ValueError: None.
        """
        running = self._running.get(threading.get_ident())
        source = None if running is None else running.inputs
        for update in updates if isinstance(updates, (list, tuple)) else [updates]:
            made = update() if callable(update) and not hasattr(update, "op") else update
            if not isinstance(made, tf.Operation) and not hasattr(made, "op"):
                made = tf.convert_to_tensor(made)
            self._updates.append((op_of(made), source))

    @property
    def updates(self) -> list[Operation]:
        """The update ops of all calls, in order; none while the layer is not trainable."""
        return [update for update, _ in self._updates] if self.trainable else []

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
        if self.activity_regularizer is None:
            return
        with tf.name_scope("ActivityRegularizer"):
            loss = self.activity_regularizer(outputs)
            self.add_loss(loss / tf.cast(tf.shape(outputs)[0], loss.dtype), inputs=inputs)


def snake_case(name: str) -> str:
    """The name that TF1 gives a layer of a class of this name.

    >>> snake_case("BatchNormalization")
    'batch_normalization'
    """
    words = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    snake = re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()
    return f"private{snake}" if snake.startswith("_") else snake


@contextlib.contextmanager
def held(by_thread: dict[int, Any], value: Any) -> Iterator[None]:
    """Inside, `value` is what this thread has in `by_thread`; may be nested."""
    thread = threading.get_ident()
    outer = by_thread.get(thread)
    by_thread[thread] = value
    try:
        yield
    finally:
        by_thread[thread] = outer
        if outer is None:
            del by_thread[thread]
