# SPDX-License-Identifier: Apache-2.0
"""The layer class: owns a spec and, once built, the variables; the arithmetic is in `core`."""

from __future__ import annotations

import dataclasses
import logging
import re
from typing import Any, Callable, Sequence

from ._compat import (
    Operation,
    Tensor,
    Variable,
    as_written,
    host,
    loses_sizes_in_cond,
    raise_if_eager,
    tf,
)
from .call_checks import INITIALIZERS, check_call, check_scope_name, dims, make_spec
from .core import Applied
from .geometry import Geometry, check_same_layer, geometry_of
from .graph_collections import Call, add_once, next_layer_name, record_call
from .initializers import initializer_config, resolve_initializer
from .kernel_choice import KernelChoice, choose_kernel
from .layer_scope import LayerScope
from .layer_weights import LayerWeights
from .merging import apply_in_scope
from .moments import Moments, MomentsFn, batch_moments
from .plan import Plan
from .spec import BatchNormSpec, check_reuse, is_scope
from .stranded_updates import warn_if_stranded
from .training_flag import resolve_training
from .update_mode import after_updates, in_place
from .variables import BatchNormVariables, create_variables

_LOG = logging.getLogger("tf1_bn")


class _SpecAttribute:
    """A constructor argument as an attribute; setting it replaces the spec, and is validated."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, layer: Any, owner: type | None = None) -> Any:
        return self if layer is None else getattr(layer._spec, self._name)

    def __set__(self, layer: Any, value: Any) -> None:
        layer._spec = dataclasses.replace(layer._spec, **{self._name: value})


class BatchNormalization:
    """Batch normalization as an object that keeps its variables: `tf.layers.BatchNormalization`.

    Normalizes each channel to mean 0 and standard deviation 1, then applies the learned gamma and
    beta (arXiv 1502.03167). In training the moments of the batch are used and two update ops for
    the moving mean and variance are put into `tf.GraphKeys.UPDATE_OPS`, where something must run
    them (`tf1_bn.minimize` does); in inference the moving statistics are used.

    The first call, or `build`, makes the variables under the variable scope that is active then;
    later calls share variables and op scope. `batch_normalization` documents the arguments; the
    class takes them without `inputs`, `training` and `reuse`, and in TF1's own order.

    Subclasses may override `call`, `build` (and add weights with `add_weight`) and
    `_moments(self, inputs, reduction_axes, keep_dims)`, with or without a further `mask=None`.

    Args:
      dtype: of parameters and statistics; that of the first input if None, float32 for half
        precision.
      _scope: the string or VariableScope the variables are made in, directly.
      _reuse: as `reuse` of `batch_normalization`.

    Raises:
      TypeError: an argument of a wrong type, or an unknown one.
      ValueError: an argument of a wrong value; any call under eager execution.
    """

    momentum = _SpecAttribute()
    epsilon = _SpecAttribute()
    center = _SpecAttribute()
    scale = _SpecAttribute()
    beta_initializer = _SpecAttribute()
    gamma_initializer = _SpecAttribute()
    moving_mean_initializer = _SpecAttribute()
    moving_variance_initializer = _SpecAttribute()
    beta_regularizer = _SpecAttribute()
    gamma_regularizer = _SpecAttribute()
    beta_constraint = _SpecAttribute()
    gamma_constraint = _SpecAttribute()
    renorm = _SpecAttribute()
    renorm_clipping = _SpecAttribute()
    renorm_momentum = _SpecAttribute()
    trainable = _SpecAttribute()
    virtual_batch_size = _SpecAttribute()
    adjustment = _SpecAttribute()

    def __init__(
        self,
        axis: int | list[int] = -1,
        momentum: Any = 0.99,
        epsilon: Any = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = tf.zeros_initializer(),
        gamma_initializer: Any = tf.ones_initializer(),
        moving_mean_initializer: Any = tf.zeros_initializer(),
        moving_variance_initializer: Any = tf.ones_initializer(),
        beta_regularizer: Callable[..., Any] | None = None,
        gamma_regularizer: Callable[..., Any] | None = None,
        beta_constraint: Callable[..., Any] | None = None,
        gamma_constraint: Callable[..., Any] | None = None,
        renorm: bool = False,
        renorm_clipping: dict[str, Any] | None = None,
        renorm_momentum: Any = 0.99,
        fused: bool | None = None,
        trainable: bool = True,
        virtual_batch_size: int | None = None,
        adjustment: Callable[..., Any] | None = None,
        name: Any = None,
        **kwargs: Any,
    ) -> None:
        dtype, scope, reuse = (kwargs.pop(key, None) for key in ("dtype", "_scope", "_reuse"))
        if kwargs:
            raise TypeError(f"Keyword argument not understood: {sorted(kwargs)}")
        check_reuse(reuse)
        check_scope_name(name)
        check_scope_name(scope)
        spec = make_spec(
            axis=axis,
            momentum=momentum,
            epsilon=epsilon,
            center=center,
            scale=scale,
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            moving_mean_initializer=moving_mean_initializer,
            moving_variance_initializer=moving_variance_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
            renorm=renorm,
            renorm_clipping=renorm_clipping,
            renorm_momentum=renorm_momentum,
            fused=fused,
            trainable=trainable,
            virtual_batch_size=virtual_batch_size,
            adjustment=adjustment,
        )
        self._start(spec, name, reuse, scope, dtype)
        # TF1 counts and names layers, and opens a given scope, when they are constructed.
        self._take_name()
        if scope:
            self._scope.settle()

    @classmethod
    def _of(cls, spec: BatchNormSpec, name: Any, reuse: Any) -> BatchNormalization:
        """A layer of checked arguments that leaves the graph alone until a call is checked too."""
        layer = cls.__new__(cls)
        layer._start(spec, name, reuse, scope=name)
        return layer

    def _start(
        self, spec: BatchNormSpec, name: Any, reuse: Any, scope: Any, dtype: Any = None
    ) -> None:
        self._spec = spec
        self.built = False
        self._dtype = None if dtype is None else tf.as_dtype(dtype).name
        self._geometry: Geometry | None = None
        self._made: BatchNormVariables | None = None
        self._weights = LayerWeights()
        self._updates: list[tuple[Operation, Any]] = []
        self._name = name if isinstance(name, str) else ""
        base_name = (name.name if is_scope(name) else name) or _snake_case(type(self).__name__)
        self._scope = LayerScope(base_name, reuse, scope)

    def _take_name(self) -> None:
        self._name = self._name or next_layer_name(_snake_case(type(self).__name__))

    # -- calling ---------------------------------------------------------------------------------

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Normalizes `inputs`; see `call`. `scope=` names the scope of a first call."""
        # TF 1.15 would rewrite a decorated `__call__` all the same.
        return self.apply(inputs, *args, **kwargs)

    @as_written
    def apply(self, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        """As calling the layer."""
        raise_if_eager(type(self).__name__)
        scope = kwargs.pop("scope", None)
        check_scope_name(scope)
        training = args[0] if args else kwargs.get("training", False)
        geometry = check_call(self._spec, inputs, training, self._dtype, self._geometry)
        if self._geometry is not None:
            check_same_layer(self._geometry, geometry, self.name)
        self._take_name()
        with self._scope.sharing() if self.built else self._scope.making(scope):
            inputs = tf.convert_to_tensor(inputs)
            if inputs.shape.as_list() != list(geometry.input_shape):
                # The channels that a later call leaves open are those the layer has.
                inputs = tf.ensure_shape(inputs, geometry.input_shape)
            if not self.built:
                self._dtype = self._dtype or inputs.dtype.base_dtype.name
                self.build(inputs.shape)
                self.built = True
            outputs = self.call(inputs, *args, **kwargs)
        add_once(tf.GraphKeys.UPDATE_OPS, self.updates)
        return outputs

    @as_written
    def build(self, input_shape: Any) -> None:
        """Makes the variables for inputs of this static shape, under the active variable scope.

        Raises:
          ValueError: the shape has no known rank or channel size, a variable exists already and
            is not to be reused, or the reverse; under eager execution.
        """
        raise_if_eager(type(self).__name__)
        dtype = self._dtype or "float32"
        geometry = geometry_of(self._spec, dims(tf.TensorShape(input_shape)), dtype, dtype)
        with self._scope.making():
            self._made = create_variables(self._spec, geometry, self.add_weight)
        self._geometry, self._dtype, self.built = geometry, dtype, True

    @as_written
    def call(self, inputs: Any, training: Any = False) -> Tensor:
        """Normalizes a tensor of the shape the layer was built for.

        Args:
          inputs: a tensor whose axes `axis` hold the channels.
          training: True uses the batch's moments and makes update ops, False uses the moving
            statistics; a scalar bool tensor or variable chooses at run time; None is Keras'
            learning phase, False unless fed.

        Returns:
          A tensor of the shape and dtype of `inputs`.
        """
        geometry = check_call(self._spec, inputs, training, self._dtype)
        assert self._made is not None, "call needs the variables that build makes"
        flag = resolve_training(training)
        plan = self._plan(geometry, self._made, flag)
        applied = apply_in_scope(inputs, flag, plan)
        if plan.in_place and applied.moments is not None:
            return self._after_updates(applied)
        self.add_update(applied.updates, inputs=inputs)
        if applied.updates_again is not None and self.trainable:
            statistics = (self.moving_mean, self.moving_variance)
            again, phase = applied.updates_again, (applied.moments, applied.active)
            record_call(Call(inputs, applied.outputs, applied.updates, again, statistics, *phase))
            warn_if_stranded(applied.updates, self.name)
        return applied.outputs

    def _plan(self, geometry: Geometry, variables: BatchNormVariables, training: Any) -> Plan:
        choice = self._choose(geometry)
        open_sizes = choice.fold is not None and None in geometry.input_shape
        if open_sizes and not isinstance(training, bool) and loses_sizes_in_cond():
            choice = choice.composed("unknown sizes in a conditional, which XLA could not compile")
        _LOG.debug("%s: %s", variables.moving_mean.name.rpartition("/")[0], choice)
        moves_in_place = self.trainable and in_place()
        return Plan(self._spec, geometry, choice, variables, self._moments_fn(), moves_in_place)

    def _after_updates(self, applied: Applied) -> Tensor:
        assert applied.moments is not None, "only training has updates"
        return after_updates(applied.outputs, applied.updates, applied.moments.mean)

    def _moments(
        self, inputs: Tensor, reduction_axes: Sequence[int], keep_dims: bool, mask: Any = None
    ) -> tuple[Tensor, Tensor]:
        """Mean and population variance of the batch: what synchronized subclasses override."""
        if mask is not None:
            raise ValueError(f"`mask` must be None: statistics cannot be masked (got {mask!r}).")
        return batch_moments(inputs, reduction_axes, keep_dims)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the output: that of the input."""
        return tf.TensorShape(input_shape)

    # -- variables, updates, losses --------------------------------------------------------------

    def add_weight(
        self,
        name: str,
        shape: Sequence[int] = (),
        dtype: Any = None,
        initializer: Any = None,
        regularizer: Callable[..., Any] | None = None,
        trainable: bool | None = None,
        constraint: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> Variable:
        """Makes, or shares under reuse, the variable `name` in the layer's scope.

        A regularizer's loss is added to REGULARIZATION_LOSSES if the variable is new. Further
        keywords go to `tf.get_variable`.
        """
        initializer = resolve_initializer(f"{name}_initializer", initializer)
        on_read = kwargs.get("synchronization") == tf.VariableSynchronization.ON_READ
        wanted = not on_read if trainable is None else bool(trainable)
        with self._scope.making() as scope:
            return self._weights.add(
                scope,
                name,
                shape,
                wanted and self.trainable,
                regularizer,
                dtype=tf.as_dtype(dtype or self._dtype or tf.float32),
                initializer=initializer,
                constraint=constraint,
                **kwargs,
            )

    def add_update(self, updates: Any, inputs: Any = None) -> None:
        """Adds update ops; those of a call are given its `inputs`."""
        listed = updates if isinstance(updates, (list, tuple)) else [updates]
        self._updates.extend(
            (update if isinstance(update, tf.Operation) else update.op, inputs) for update in listed
        )

    def add_loss(self, losses: Any, inputs: Any = None) -> None:
        """Adds loss tensors to the layer and to REGULARIZATION_LOSSES."""
        self._weights.add_losses(losses if isinstance(losses, (list, tuple)) else [losses])

    @property
    def updates(self) -> list[Operation]:
        """The update ops of all calls, in order; none while the layer is not trainable."""
        return [update for update, _ in self._updates] if self.trainable else []

    def get_updates_for(self, inputs: Any) -> list[Operation]:
        """The update ops of the calls on `inputs`; with None those that depend on no input."""
        return [op for op, source in self._updates if source is inputs] if self.trainable else []

    @property
    def losses(self) -> list[Tensor]:
        """The regularization losses of the layer's variables, reused ones included."""
        return self._weights.losses

    def get_losses_for(self, inputs: Any) -> list[Tensor]:
        """The losses that depend on `inputs`: none, and with None all."""
        return self.losses if inputs is None else []

    @property
    def trainable_variables(self) -> list[Variable]:
        return self._weights.variables(trainable=True) if self.trainable else []

    @property
    def non_trainable_variables(self) -> list[Variable]:
        weights = self._weights
        return weights.variables(trainable=False) if self.trainable else weights.all()

    @property
    def variables(self) -> list[Variable]:
        return self.trainable_variables + self.non_trainable_variables

    weights = variables
    trainable_weights = trainable_variables
    non_trainable_weights = non_trainable_variables

    gamma = property(lambda self: self._made and self._made.gamma)
    beta = property(lambda self: self._made and self._made.beta)
    moving_mean = property(lambda self: self._made and self._made.moving_mean)
    moving_variance = property(lambda self: self._made and self._made.moving_variance)
    moving_stddev = property(lambda self: self._made and self._made.moving_stddev)
    renorm_mean = property(lambda self: self._made and self._made.renorm_mean)
    renorm_stddev = property(lambda self: self._made and self._made.renorm_stddev)

    def count_params(self) -> int:
        """How many numbers the layer's variables hold.

        Raises:
          ValueError: the layer is not built.
        """
        if not self.built:
            raise ValueError(f"Layer {self.name} has no parameters to count before it is built.")
        return sum(variable.shape.num_elements() for variable in self.weights)

    # -- what the layer is -----------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self._name

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
    def dtype(self) -> str | None:
        return self._dtype

    @property
    def axis(self) -> Any:
        """As given before the layer is built, then a list of non-negative ints.

        With virtual batches each is one larger, as TF1 counts the ghost axis.
        """
        if self._geometry is None:
            return self._spec.axis
        shift = int(self.virtual_batch_size is not None)
        return [axis + shift for axis in self._geometry.channel_axes]

    @axis.setter
    def axis(self, value: Any) -> None:
        self._spec = dataclasses.replace(self._spec, axis=value)

    @property
    def fused(self) -> bool:
        """Whether the fused kernel is wanted or, once the layer is built, used."""
        if self._geometry is None:
            return self._spec.fused is None or bool(self._spec.fused)
        return self._choose(self._geometry).fused

    @fused.setter
    def fused(self, value: bool | None) -> None:
        self._spec = dataclasses.replace(self._spec, fused=value)

    @property
    def kernel(self) -> KernelChoice | None:
        """The kernel and the reason it was chosen for; None before the layer is built."""
        return None if self._geometry is None else self._choose(self._geometry)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as TF1 lists them; `from_config` takes them.

        Regularizers, constraints and initializers that are no TensorFlow objects stand as they are.
        """
        spec = {f.name: getattr(self._spec, f.name) for f in dataclasses.fields(self._spec)}
        for name in INITIALIZERS:
            spec[name] = initializer_config(spec[name])
        if self._geometry is not None:
            # TF1 lists the resolved axes, but counts a ghost axis that no input has.
            spec["axis"] = list(self._geometry.channel_axes)
        optional = ("renorm", "renorm_clipping", "renorm_momentum") if not self.renorm else ()
        unset = [k for k in ("fused", "virtual_batch_size", "adjustment") if spec[k] is None]
        kept = {key: spec[key] for key in spec if key not in optional and key not in unset}
        if self.renorm:
            kept["renorm_clipping"] = self._spec.clipping
        return {"name": self.name, "dtype": self.dtype, **kept}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> BatchNormalization:
        """A new, unbuilt layer from what `get_config` returned."""
        return cls(**config)

    def __repr__(self) -> str:
        given = ", ".join(
            f"{field.name}={getattr(self._spec, field.name)!r}"
            for field in dataclasses.fields(self._spec)
            if field.name not in INITIALIZERS
            and repr(getattr(self._spec, field.name)) != repr(field.default)
        )
        choice = self.kernel
        state = "not built" if choice is None else str(choice)
        return f"<{type(self).__name__} {self.name!r} ({given}), {state}>"

    def _choose(self, geometry: Geometry) -> KernelChoice:
        return choose_kernel(self._spec, geometry, host(), self._moments_overridden())

    def _moments_overridden(self) -> bool:
        return getattr(self._moments, "__func__", None) is not BatchNormalization._moments

    def _moments_fn(self) -> MomentsFn | None:
        if not self._moments_overridden():
            return None
        # No `mask`: overrides exist with and without it.
        return lambda inputs, axes, keep: Moments(
            *self._moments(inputs, list(axes), keep_dims=keep)
        )


def _snake_case(name: str) -> str:
    words = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    snake = re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()
    return f"private{snake}" if snake.startswith("_") else snake
