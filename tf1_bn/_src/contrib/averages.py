# SPDX-License-Identifier: Apache-2.0
"""The moving statistics of `contrib.batch_norm` and the ways to move them."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

import numpy as np

from ..call import tf1_names
from ..call.call_plan import Plan
from ..call.calls import Call, note_call
from ..call.core import normalize
from ..call.stranded_updates import warn_of_stranded
from ..call.updates import after_updates, with_updates
from ..kernels.moments import Moments, MomentsFn, batch_moments, has_values, moments_or
from ..plan.geometry import Geometry
from ..runtime.graph_place import is_stranded
from ..runtime.tensorflow_v1 import (
    Operation,
    Tensor,
    Variable,
    loses_gradient_in_cond,
    op_of,
    tf,
)
from ..state.variable_kinds import (
    assign,
    beside,
    check_assignable,
    count_up,
    full_name,
    is_ref,
    move,
    rate_where,
    read,
    update_rate,
    value_of,
)
from ..state.variables import BatchNormVariables
from .variables import Shadow


class Averages(NamedTuple):
    """The moving statistics of one call and the ways to move them.

    `has_weight` is a scalar bool tensor, False for a batch without any weight; None if all have.
    """

    plan: Plan
    shadow: Shadow | None
    has_weight: Tensor | None

    def collected_updates(self, inputs: Tensor, training: Any, collections: Any) -> Tensor:
        """The outputs; the updates go to `collections`, and something must run them."""
        call = self._normalized(inputs, training, self.plan)
        variables = self.plan.variables
        collected = [_moved(*pair) for pair in zip(call.updates, variables[2:4])]
        for tensor in collected:
            tf.add_to_collections(collections, tensor)
        note_call(call._replace(updates=tuple(tensor.op for tensor in collected)))
        if any(is_stranded(tensor.op) for tensor in collected):
            warn_of_stranded(_layer_name(variables))
        return call.outputs

    def after_outputs(self, inputs: Tensor, training: Any) -> Tensor:
        """Outputs to be had once the updates have run, which wait for what computes them.

        As of a layer inside of `tf1_bn.updates("in_place")`.
        """
        call = self._normalized(inputs, training, self.plan._replace(in_place=True))
        outputs = call.outputs
        if call.updates:
            outputs = after_updates(outputs, call.updates, call.moments.mean)
        note_call(call._replace(outputs=outputs))
        return outputs

    def _normalized(self, inputs: Tensor, training: Any, plan: Plan) -> Call:
        """The call with contrib's own updates, which are not collected yet."""
        return with_updates(
            normalize(inputs, training, plan),
            plan,
            lambda outcome, _, fresh: self._updates(
                outcome.call.moments, outcome.call.active, fresh
            ),
        )

    def before_outputs(self, inputs: Tensor, training: Any) -> Tensor:
        """Outputs that, in training, move the averages before they can be had."""
        outputs = self._with_moves(inputs, training)
        active = None if training is True else training
        plan = self.plan
        call = Call(inputs, training, outputs, plan.variables, plan.choice, active=active)
        note_call(call)
        return outputs

    def _with_moves(self, inputs: Tensor, training: Any) -> Tensor:
        if not isinstance(training, bool) and self._are_refs_under_v2():
            return self._after_moves(inputs, training)
        if not self.plan.choice.fused:
            # The moments wait for the updates, so that gradients alone bring them about, too.
            plan = self.plan._replace(moments_fn=self._moving_moments)
            return normalize(inputs, training, plan).call.outputs

        widen = loses_gradient_in_cond(inputs.dtype) and not isinstance(training, bool)
        seen = tf.cast(inputs, tf.float32) if widen else inputs

        def train() -> Tensor:
            return self._after_moves(seen, True)

        def infer() -> Tensor:
            return normalize(seen, False, self.plan).call.outputs

        if isinstance(training, bool):
            return train() if training else infer()
        # TF1 had a conditional for the kernel before this one, and people fetch by name.
        tf1_names.conditionals(1)
        if not widen:
            return tf.cond(training, train, infer)
        outputs = tf.cond(training, train, infer, name="wide_cond")
        return tf1_names.cast_output(outputs, inputs.dtype, *tf1_names.conditionals(1))

    def _after_moves(self, inputs: Tensor, training: Any) -> Tensor:
        call = normalize(inputs, training, self.plan).call
        with tf.control_dependencies(self._updates(call.moments, call.active, fresh=True)):
            return tf.identity(call.outputs)

    def _are_refs_under_v2(self) -> bool:
        """Whether no conditional can assign: those of control flow v2 cannot to ref variables."""
        return bool(tf.control_flow_v2_enabled() and is_ref(self.plan.variables.moving_mean))

    def _moving_moments(self, inputs: Tensor, axes: Sequence[int], keep_dims: bool) -> Moments:
        moments_fn = self.plan.moments_fn or batch_moments
        mean, variance = moments_fn(inputs, axes, keep_dims)
        dtype = self.plan.geometry.param_dtype
        batch = Moments(tf.cast(mean, dtype), tf.cast(variance, dtype))
        filled = has_values(inputs, self.plan.geometry)
        batch = moments_or(batch, moving_moments(self.plan.variables), filled)
        with tf.control_dependencies(self._updates(batch, filled, fresh=True)):
            return Moments(tf.identity(batch.mean), tf.identity(batch.variance))

    def _updates(
        self, batch: Moments, active: Tensor | None, fresh: bool = False
    ) -> list[Operation]:
        """The ops that move mean and variance; `fresh` ones read them once `batch` is there."""
        variables, geometry = self.plan.variables, self.plan.geometry
        if self.has_weight is not None:
            active = self.has_weight if active is None else tf.logical_and(active, self.has_weight)
        with tf.name_scope("rate"):
            full_rate = update_rate(self.plan.spec.momentum, geometry.param_dtype, fused=False)
            rate = rate_where(active, full_rate)
        with tf.control_dependencies(list(batch) if fresh else []):
            if self.shadow is None:
                first = move(variables.moving_mean, batch.mean, rate, fresh=fresh)
            else:
                first = _move_debiased(
                    variables.moving_mean, batch.mean, full_rate, self.shadow, active
                )
            return [first, move(variables.moving_variance, batch.variance, rate, fresh=fresh)]


def _moved(update: Operation, variable: Variable) -> Tensor:
    """What the variable holds once `update` has run: contrib collected tensors, and no ops."""
    if update.outputs:
        return update.outputs[0]
    with tf.name_scope(f"{update.name}/"), tf.control_dependencies([update]):
        return tf.identity(variable.read_value(), name="moved")


def _move_debiased(
    variable: Variable, towards: Tensor, rate: Tensor, shadow: Shadow, active: Tensor | None
) -> Operation:
    """Moves `shadow.biased`, which starts at 0, and puts its unbiased value into the variable.

    After n updates the biased average has weight 1 - (1 - rate) ** n altogether
    (arXiv 1412.6980, section 3). Where `active` is False nothing changes.
    """
    variable, biased, local_step = map(check_assignable, (variable, *shadow))
    with tf.name_scope("AssignMovingAvg") as scope, beside(variable):
        old = read(biased)
        step = rate_where(active, tf.ones([], old.dtype))
        delta = (old - tf.cast(towards, old.dtype)) * rate_where(active, rate)
        moved = [op_of(tf.assign_sub(biased, delta)), count_up(local_step, step)]
        with tf.control_dependencies(moved):
            weight = 1.0 - tf.pow(1.0 - rate, read(local_step))
            value = read(biased) / weight
            if active is not None:
                value = tf.where(active, value, read(variable))
            return assign(variable, value, scope)


class Weights(NamedTuple):
    """How often each row counts, shaped to broadcast; `any` is None if some row surely counts."""

    values: Tensor
    any: Tensor | None

    @classmethod
    def of(cls, batch_weights: Any, geometry: Geometry) -> Weights:
        values = tf.cast(tf.convert_to_tensor(batch_weights), geometry.param_dtype)
        known = tf.get_static_value(values)
        any_counts = None
        if known is None or not np.sum(known):
            any_counts = tf.not_equal(tf.reduce_sum(values), 0.0, name="has_weight")
            # Dividing by a sum of 0 would give NaN, and through 0 * NaN in every gradient.
            values = tf.where(any_counts, values, tf.ones_like(values))
        return cls(tf.reshape(values, [-1] + [1] * (geometry.rank - 1)), any_counts)

    def moments_fn(self, fallback: Moments) -> MomentsFn:
        """The weighted mean and population variance; `fallback` where no row counts."""

        def moments(inputs: Tensor, axes: Sequence[int], keep_dims: bool) -> Moments:
            inputs = tf.cast(inputs, self.values.dtype)
            found = tf.nn.weighted_moments(inputs, list(axes), self.values, keep_dims=keep_dims)
            return moments_or(Moments(*found), fallback, self.any)

        return moments


def _layer_name(variables: BatchNormVariables) -> str:
    return full_name(variables.moving_mean, "moving_mean").rpartition("/")[0]


def moving_moments(variables: BatchNormVariables) -> Moments:
    return Moments(
        value_of(variables.moving_mean),
        value_of(variables.moving_variance),
    )
