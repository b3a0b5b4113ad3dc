# SPDX-License-Identifier: Apache-2.0
"""The layer class: owns a spec and, once built, the variables; `call` has the arithmetic."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any, Callable, Sequence

from ..call.calls import note_call, told
from ..call.core import apply_batch_norm
from ..call.stranded_updates import warn_of_stranded
from ..call.updates import after_updates
from ..kernels.moments import Moments, MomentsFn, batch_moments
from ..objects.graph_layer import GraphLayer
from ..objects.input_spec import InputSpec, check_input, check_is_spec
from ..objects.layer_attributes import SpecAttribute, VariableAttribute
from ..plan.geometry import Geometry, check_same_layer, geometry_of
from ..plan.kernel_choice import KernelChoice, choose_kernel
from ..plan.spec import BatchNormSpec, check_reuse, is_scope
from ..runtime.graph_place import add_once, ever_opened, is_stranded, next_layer_name
from ..runtime.tensorflow_v1 import (
    Tensor,
    as_written,
    machine,
    raise_if_eager,
    tf,
)
from ..runtime.training_flag import check_training, resolve_training, static_training
from ..scaling.merging import SCOPE, apply_in_scope
from ..state.undoing import all_or_nothing
from ..state.variable_kinds import (
    check_future_reach,
)
from ..state.variables import BatchNormVariables, create_variables
from .checks import (
    check_call,
    check_phase,
    check_scope_name,
    dims,
    make_spec,
)
from .config import config_of, described, snake_case
from .planning import plan_call

_LOG = logging.getLogger("tf1_bn")


class BatchNormalization(GraphLayer):
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

    momentum = SpecAttribute()
    epsilon = SpecAttribute()
    center = SpecAttribute()
    scale = SpecAttribute()
    beta_initializer = SpecAttribute()
    gamma_initializer = SpecAttribute()
    moving_mean_initializer = SpecAttribute()
    moving_variance_initializer = SpecAttribute()
    beta_regularizer = SpecAttribute()
    gamma_regularizer = SpecAttribute()
    beta_constraint = SpecAttribute()
    gamma_constraint = SpecAttribute()
    renorm = SpecAttribute()
    renorm_clipping = SpecAttribute()
    renorm_momentum = SpecAttribute()
    trainable = SpecAttribute()
    virtual_batch_size = SpecAttribute()
    adjustment = SpecAttribute()

    _spec: BatchNormSpec
    _geometry: Geometry | None
    _variables: BatchNormVariables | None

    gamma = VariableAttribute()
    beta = VariableAttribute()
    moving_mean = VariableAttribute()
    moving_variance = VariableAttribute()
    moving_stddev = VariableAttribute()
    renorm_mean = VariableAttribute()
    renorm_stddev = VariableAttribute()

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
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
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
        activity_regularizer = kwargs.pop("activity_regularizer", None)
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
        if activity_regularizer is not None:
            self.activity_regularizer = activity_regularizer
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
        self.__dict__.update(_spec=spec, built=False, _geometry=None, _variables=None)
        base_name = (name.name if is_scope(name) else name) or snake_case(type(self).__name__)
        self._start_layer(name if isinstance(name, str) else "", base_name, reuse, scope, dtype)

    def _take_name(self) -> None:
        self._name = self._name or next_layer_name(snake_case(type(self).__name__))

    # -- calling ---------------------------------------------------------------------------------

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Normalizes `inputs`; see `call`. `scope=` names the scope of a first call."""
        # TF 1.15 would rewrite a decorated `__call__` all the same.
        return self.apply(inputs, *args, **kwargs)

    @as_written
    @all_or_nothing
    def apply(self, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        """As calling the layer."""
        raise_if_eager(type(self).__name__)
        given = dict(zip(("training",), args), **kwargs)
        with told(self, inputs, given) as done:
            return done(self._apply(inputs, *args, **kwargs))

    def _apply(self, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        scope = kwargs.pop("scope", None)
        check_scope_name(scope)
        training = args[0] if args else kwargs.get("training", False)
        geometry = check_call(self._spec, inputs, training, self._dtype, self._geometry)
        if self._geometry is not None:
            check_same_layer(self._geometry, geometry, self.name)
        if self._input_spec is not None:
            check_input(self._input_spec, inputs, self.name)
        self._take_name()
        with self._scope.sharing() if self.built else self._scope.making(scope):
            if not self.built and self.trainable and static_training(training) is not False:
                check_future_reach("moving_mean", training)
            inputs = tf.convert_to_tensor(inputs)
            if inputs.shape.as_list() != list(geometry.input_shape):
                # The channels that a later call leaves open are those the layer has.
                inputs = tf.ensure_shape(inputs, geometry.input_shape)
            if not self.built:
                self._dtype = self._dtype or inputs.dtype.base_dtype.name
                self.build(inputs.shape)
                self.built = True
            with self._running.on(inputs, self._spec, geometry):
                outputs = self.call(inputs, *args, **kwargs)
                self._add_activity_loss(inputs, outputs)
        add_once(tf.GraphKeys.UPDATE_OPS, self.updates)
        return outputs

    @as_written
    @all_or_nothing
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
            variables = create_variables(self._spec, geometry, self.add_weight)
        # As in `_start_layer`: its weights are tracked already.
        self.__dict__.update(_variables=variables, _geometry=geometry, _dtype=dtype, built=True)

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
        geometry = self._running.checked(inputs, self._spec)
        if geometry is None:
            # A subclass has made another tensor of the inputs.
            geometry = check_call(self._spec, inputs, training, self._dtype)
        else:
            check_training(training)
            check_phase(self._spec, geometry, training)
        assert self._variables is not None, "call needs the variables that build makes"
        flag = resolve_training(training)
        plan = plan_call(
            self._spec,
            geometry,
            self._choose(geometry),
            self._variables,
            self._moments_fn(),
            flag,
            bool(self.trainable),
        )
        # Without a scope ever opened there is nothing to merge, and no merged call to build again.
        merges = flag is not False and ever_opened(SCOPE)
        made = (apply_in_scope if merges else apply_batch_norm)(inputs, flag, plan)
        outputs = made.outputs
        if plan.in_place and made.updates:
            outputs = after_updates(outputs, made.updates, made.moments.mean)
        else:
            made = made._replace(collected=made.collected and self.trainable)
            self.add_update(made.updates, inputs=inputs)
            if made.collected and any(map(is_stranded, made.updates)):
                warn_of_stranded(self.name)
        note_call(made._replace(outputs=outputs))
        return outputs

    def _moments(
        self, inputs: Tensor, reduction_axes: Sequence[int], keep_dims: bool, mask: Any = None
    ) -> tuple[Tensor, Tensor]:
        """Mean and population variance of the batch: what synchronized subclasses override."""
        if mask is not None:
            raise ValueError(f"`mask` must be None: statistics cannot be masked (got {mask!r}).")
        return batch_moments(inputs, reduction_axes, keep_dims)

    # -- what the layer is -----------------------------------------------------------------------

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
    def input_spec(self) -> Any:
        """The rank and the channel sizes that the layer was built for, or what was set."""
        if self._geometry is None or self._input_spec is not None:
            return self._input_spec
        shape = self._geometry.input_shape
        return InputSpec(
            ndim=len(shape), axes={axis: shape[axis] for axis in self._geometry.channel_axes}
        )

    @input_spec.setter
    def input_spec(self, value: Any) -> None:
        check_is_spec(value)
        self._input_spec = value

    @property
    def kernel(self) -> KernelChoice | None:
        """The kernel and the reason it was chosen for; None before the layer is built."""
        return None if self._geometry is None else self._choose(self._geometry)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as TF1 lists them; `from_config` takes them.

        Regularizers, constraints and initializers that are no TensorFlow objects stand as they are.
        """
        kept = config_of(self._spec, self._geometry)
        return {"name": self.name, "dtype": self.dtype, **kept}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> BatchNormalization:
        """A new, unbuilt layer from what `get_config` returned."""
        return cls(**config)

    def __repr__(self) -> str:
        choice = self.kernel
        state = "not built" if choice is None else str(choice)
        return f"<{type(self).__name__} {self.name!r} ({described(self._spec)}), {state}>"

    def _choose(self, geometry: Geometry) -> KernelChoice:
        return choose_kernel(self._spec, geometry, machine(), self._moments_overridden())

    def _moments_overridden(self) -> bool:
        return getattr(self._moments, "__func__", None) is not BatchNormalization._moments

    def _moments_fn(self) -> MomentsFn | None:
        if not self._moments_overridden():
            return None
        # No `mask`: overrides exist with and without it.
        return lambda inputs, axes, keep: Moments(
            *self._moments(inputs, list(axes), keep_dims=keep)
        )
