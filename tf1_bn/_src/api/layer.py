# SPDX-License-Identifier: Apache-2.0
"""The layer class: owns a spec and, once built, the variables; `call` has the arithmetic."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any, Callable, Sequence

from ..call.calls import listeners
from ..call.core import apply_batch_norm
from ..call.in_place import after_updates
from ..call.stranded_updates import warn_of_stranded
from ..kernels.moments import Moments, MomentsFn, batch_moments
from ..objects.graph_layer import GraphLayer, held
from ..objects.input_spec import check_input
from ..plan.geometry import Geometry, check_same_layer, geometry_of
from ..plan.kernel_choice import KernelChoice, choose_kernel
from ..plan.spec import BatchNormSpec, check_reuse
from ..runtime.graph_place import add_once, is_stranded, nobody_runs, note_call, told
from ..runtime.open_scopes import ever_opened
from ..runtime.tensorflow_v1 import Tensor, as_written, machine, raise_if_eager, tf
from ..runtime.training_flag import resolve_training
from ..scaling.merging import SCOPE, apply_in_scope
from ..state.reach import check_future_reach
from ..state.undoing import all_or_nothing
from ..state.variables import create_variables
from .advice import unknown_arguments, warn_of_numbers
from .attributes import LayerAttributes
from .planning import check_call, check_scope_name, dims, make_spec, plan_call


class BatchNormalization(LayerAttributes, GraphLayer):
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
        given = locals()
        dtype, scope, reuse = (kwargs.pop(key, None) for key in ("dtype", "_scope", "_reuse"))
        activity_regularizer = kwargs.pop("activity_regularizer", None)
        if kwargs:
            raise unknown_arguments(f"Keyword argument not understood: {sorted(kwargs)}", kwargs)
        check_reuse(reuse)
        check_scope_name(name)
        check_scope_name(scope)
        self._start(make_spec(given), name, reuse, scope, dtype)
        if not self._spec.is_usual:
            warn_of_numbers(self._spec)
        self.activity_regularizer = activity_regularizer
        # TF1 counts and names layers, and opens a given scope, when they are constructed.
        self._take_name()
        if scope:
            with self._making():
                pass

    @classmethod
    def _of(cls, spec: BatchNormSpec, name: Any, reuse: Any) -> BatchNormalization:
        """A layer of checked arguments that leaves the graph alone until a call is checked too."""
        layer = cls.__new__(cls)
        layer._start(spec, name, reuse, scope=name)
        return layer

    def _start(
        self, spec: BatchNormSpec, name: Any, reuse: Any, scope: Any, dtype: Any = None
    ) -> None:
        self.__dict__.update(_spec=spec, built=False, _geometry=None)
        self._start_layer(name, reuse, scope, dtype)

    # -- calling ---------------------------------------------------------------------------------

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Normalizes `inputs`; see `call`. `scope=` names the scope of a first call."""
        # TF 1.15's autograph rewrites `__call__` even if it is decorated, and `apply` not.
        return self.apply(inputs, *args, **kwargs)

    @as_written
    @all_or_nothing
    def apply(self, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        """As calling the layer."""
        raise_if_eager(type(self).__name__)
        if not listeners:
            return self._apply(inputs, *args, **kwargs)
        given = dict(zip(("training",), args), **kwargs)
        with told(listeners, self, inputs, given) as done:
            return done(self._apply(inputs, *args, **kwargs))

    def _apply(self, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        scope = kwargs.pop("scope", None)
        check_scope_name(scope)
        training = args[0] if args else kwargs.get("training", False)
        checked = check_call(self._spec, inputs, training, self._dtype, self._geometry)
        if self._geometry is not None:
            check_same_layer(self._geometry, checked.geometry, self.name)
        if self._input_spec is not None:
            check_input(self._input_spec, inputs, self.name)
        self._take_name()
        with self._open_again(reuse=True) if self.built else self._making(scope):
            if not self.built and self.trainable and checked.trains is not False and nobody_runs():
                check_future_reach(training)
            inputs = tf.convert_to_tensor(inputs)
            if inputs.shape.as_list() != list(checked.geometry.input_shape):
                # Channels of unknown size are as many as the layer was built for.
                inputs = tf.ensure_shape(inputs, checked.geometry.input_shape)
            if not self.built:
                self._dtype = self._dtype or inputs.dtype.base_dtype.name
                self.build(inputs.shape)
                self.built = True
            with held(self._running, checked._replace(inputs=inputs)):
                outputs = self.call(inputs, *args, **kwargs)
                if self.activity_regularizer is not None:
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
        with self._making():
            variables = create_variables(self._spec, geometry, self.add_weight)
        # As in `_start_layer`: its weights are tracked already.
        self.__dict__.update(_vars=variables, _geometry=geometry, _dtype=dtype, built=True)

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
        checked = self._running.get(threading.get_ident())
        if checked is None or not checked.holds(self._spec, inputs, training):
            # A subclass has made another tensor of the inputs, or trains when it likes.
            checked = check_call(self._spec, inputs, training, self._dtype)
        assert self._vars is not LayerAttributes._vars, "call needs the variables that build makes"
        trains = checked.trains
        flag = resolve_training(training, trains) if trains is None else trains
        plan = plan_call(
            self._spec,
            checked.geometry,
            self._choose(checked.geometry),
            self._vars,
            self._moments_fn(),
            flag,
            bool(self.trainable),
        )
        # Without a scope ever opened there is nothing to merge, and no merged call to build again.
        merges = flag is not False and SCOPE in ever_opened
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

    @property
    def trainable(self) -> Any:
        """Whether gamma and beta are trained, and update ops collected; for later calls."""
        return self._spec.trainable

    @trainable.setter
    def trainable(self, value: Any) -> None:
        self._spec = dataclasses.replace(self._spec, trainable=value)

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
