# SPDX-License-Identifier: Apache-2.0
"""What every layer of TF1 has besides its arithmetic: names, weights, updates and losses."""

from __future__ import annotations

from typing import Any, Callable, Sequence

from ..runtime.graph_place import add_once
from ..runtime.tensorflow_v1 import Operation, Tensor, Variable, op_of, tf
from ..settings.constraints import resolve_constraint
from ..settings.initializers import resolve_initializer
from ..settings.regularizers import resolve_regularizer
from .dependents import Dependents, RunningCalls, depends_on, is_given
from .layer_scope import LayerScope
from .layer_weights import LayerWeights, parts_of
from .session_values import read_values, write_values
from .tracked_module import TrackedModule
from .unconnected import Unconnected


class GraphLayer(TrackedModule, Unconnected):
    """The public face of `tf.layers.Layer`; a subclass has `trainable`, `built` and `call`."""

    built: bool
    _dtype: str | None
    _name: Any
    _scope: LayerScope
    _weights: LayerWeights
    _updates: Dependents
    _losses: Dependents
    _late_losses: Dependents
    _running: RunningCalls
    _input_spec: Any
    trainable: Any
    activity_regularizer: Callable[..., Any] | None = None

    def _start_layer(self, name: Any, base_name: str, reuse: Any, scope: Any, dtype: Any) -> None:
        # `tf.Module`'s constructor would open a name scope, and so rename the layer's ops.
        # None of this is to be tracked, and setting it one by one costs time.
        self.__dict__.update(
            _dtype=None if dtype is None else tf.as_dtype(dtype).name,
            _name=name,
            _scope=LayerScope(base_name, reuse, scope),
            _weights=LayerWeights(),
            _updates=Dependents(depends_on),
            _losses=Dependents(is_given),
            _late_losses=Dependents(is_given),
            _running=RunningCalls(),
            _input_spec=None,
        )

    # -- names -----------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return str(self._name)

    @property
    def scope_name(self) -> str:
        """The name of the variable scope.

        Raises:
          ValueError: no call or build has settled it yet.
        """
        if self._scope.name is None:
            raise ValueError(
                f"No name available for layer scope because the layer {self.name!r} has not been "
                "used yet: call or build it first."
            )
        return self._scope.name

    @property
    def name_scope(self) -> Any:
        """A context manager that opens the layer's op scope again, for `with_name_scope`.

        Raises:
          AttributeError: no call or build has settled it yet.
        """
        if self._scope.op_scope is None:
            raise AttributeError(
                f"The layer {self.name!r} has no name scope yet: call or build it first."
            )
        return tf.name_scope(self._scope.op_scope)

    @property
    def dtype(self) -> str | None:
        return self._dtype

    # -- weights ---------------------------------------------------------------------------------

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
        """
        regularizer = resolve_regularizer(f"{name}_regularizer", regularizer)
        kwargs.pop("experimental_autocast", None)
        on_read = synchronization == tf.VariableSynchronization.ON_READ
        if on_read and trainable:
            raise ValueError(
                "Synchronization value can be set to VariableSynchronization.ON_READ only for "
                f"non-trainable variables (got `trainable={trainable!r}` for {name!r})."
            )
        trainable = not on_read if trainable is None else trainable
        with self._scope.making() as scope:
            weight = self._weights.add(
                scope,
                name,
                shape,
                bool(trainable and self.trainable),
                regularizer,
                dtype=tf.as_dtype(dtype or self._dtype or tf.float32),
                initializer=resolve_initializer(f"{name}_initializer", initializer),
                constraint=resolve_constraint(f"{name}_constraint", constraint),
                use_resource=use_resource,
                synchronization=synchronization,
                aggregation=aggregation,
                partitioner=partitioner,
                **kwargs,
            )
        self._show_weight(name, weight)
        return weight

    def add_variable(self, *args: Any, **kwargs: Any) -> Variable:
        """As `add_weight`."""
        return self.add_weight(*args, **kwargs)

    def _show_weight(self, name: str, weight: Variable) -> None:
        parts = parts_of(weight)
        for index, part in enumerate(parts):
            self._track(name if part is weight else f"{name}/part_{index}", part)
        # `tf.Module` finds variables in lists, and gives them in the order of the lists' names.
        for attribute, trainable in (
            ("_trainable_weights", True),
            ("_non_trainable_weights", False),
        ):
            found = self._weights.variables(trainable)
            self.__dict__[attribute] = [part for variable in found for part in parts_of(variable)]

    def _own_weights(self) -> Sequence[Variable]:
        weights = self.__dict__.get("_weights")
        return weights.all() if weights else ()

    @property
    def trainable_variables(self) -> list[Variable]:
        return self._weights.variables(trainable=True) if self.trainable else []

    @property
    def non_trainable_variables(self) -> list[Variable]:
        others = self._weights.variables(trainable=False)
        return others if self.trainable else self._weights.variables(trainable=True) + others

    @property
    def variables(self) -> list[Variable]:
        return self.trainable_variables + self.non_trainable_variables

    weights = variables
    trainable_weights = trainable_variables
    non_trainable_weights = non_trainable_variables

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

    def count_params(self) -> int:
        """How many numbers the layer's variables hold.

        Raises:
          ValueError: the layer is not built.
        """
        if not self.built:
            raise ValueError(f"Layer {self.name} has no parameters to count before it is built.")
        return sum(variable.shape.num_elements() for variable in self.weights)

    # -- updates and losses ----------------------------------------------------------------------

    def add_update(self, updates: Any, inputs: Any = None) -> None:
        """Adds update ops, or what makes one: tensors, assigned variables, functions of nothing.

        `inputs` is ignored, as in TF1: updates that are added in `call` are those of its input.

        Raises:
          ValueError: None.
        """
        for update in updates if isinstance(updates, (list, tuple)) else [updates]:
            made = update() if callable(update) and not hasattr(update, "op") else update
            if not isinstance(made, tf.Operation) and not hasattr(made, "op"):
                made = tf.convert_to_tensor(made)
            self._updates.add(op_of(made), self._running.inputs)

    @property
    def updates(self) -> list[Operation]:
        """The update ops of all calls, in order; none while the layer is not trainable."""
        return self._updates.all() if self.trainable else []

    def get_updates_for(self, inputs: Any) -> list[Operation]:
        """The update ops of calls that depend on `inputs`; with None those of no call's input.

        Args:
          inputs: a tensor, op or variable that a call's input is or comes from, or a list of them.

        Raises:
          TypeError: `inputs` holds something else.
        """
        return self._updates.of(inputs) if self.trainable else []

    def add_loss(self, losses: Any, inputs: Any = None) -> None:
        """Adds losses to the layer and to REGULARIZATION_LOSSES.

        Args:
          losses: a scalar, or a function of nothing that makes one or None; or a list of them.
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
            (self._late_losses if callable(loss) else self._losses).add(made, inputs)
            add_once(tf.GraphKeys.REGULARIZATION_LOSSES, [made])

    @property
    def losses(self) -> list[Tensor]:
        """The losses that were added, and the regularization losses, reused variables' included."""
        return self._losses.all() + self._weights.losses + self._late_losses.all()

    def get_losses_for(self, inputs: Any) -> list[Tensor]:
        """The losses added with `inputs` that depend on these; with None all that need no input.

        Raises:
          TypeError: `inputs` holds something else than tensors, ops and variables.
        """
        of_weights = self._weights.losses if inputs is None else []
        return self._losses.of(inputs) + of_weights + self._late_losses.of(inputs)

    def _add_activity_loss(self, inputs: Any, outputs: Tensor) -> None:
        if self.activity_regularizer is None:
            return
        with tf.name_scope("ActivityRegularizer"):
            loss = self.activity_regularizer(outputs)
            self.add_loss(loss / tf.cast(tf.shape(outputs)[0], loss.dtype), inputs=inputs)
