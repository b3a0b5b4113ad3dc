# SPDX-License-Identifier: Apache-2.0
"""The algorithm: from an input and the layer's variables to an output and its update ops."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, List, NamedTuple, Sequence

from ..kernels.batch import Affine
from ..kernels.moments import Moments, has_values
from ..kernels.renorm import RenormCorrection, batch_stddev
from ..runtime.tensorflow_v1 import Operation, Tensor, Variable, loses_gradient_in_cond, tf
from ..state.moving_average import MovingAverage, assign_variance, move, rate_where, update_rate
from ..state.variable_kinds import value_of
from .call_plan import Normalized, Plan, State
from .calls import Call
from .conditional import either
from .phases import infer, train


class Outcome(NamedTuple):
    """A call without its updates, and what these have to be told.

    Attributes:
      call: what has been built of it.
      state: what the variables hold.
      correction: that of renorm, `[channels]` each, where no conditional hides it.
      scopes: the full names that TF1 would give the two updates, after those of renorm; None where
        they come by themselves.
    """

    call: Call
    state: State
    correction: RenormCorrection | None = None
    scopes: list[str] | None = None


# Builds the update ops of an outcome; `fresh` ones read the variables anew, after what they wait
# for.
UpdatesFn = Callable[[Outcome, Plan, bool], List[Operation]]


def apply_batch_norm(inputs: Tensor, training: Any, plan: Plan) -> Call:
    """Normalizes `inputs`; `training` is True, False or a bool tensor decided at run time.

    A tensor costs one `tf.cond` around the two phases. Without training there are no updates.
    """
    return with_updates(normalize(inputs, training, plan), plan)


def with_updates(outcome: Outcome, plan: Plan, build: UpdatesFn | None = None) -> Call:
    """The second half of `apply_batch_norm`: the update ops of what `normalize` found.

    They are for the program to run, or with `plan.in_place` for the outputs to wait for.
    """
    call, build = outcome.call, build or _update_ops
    if call.active is False or not plan.moves:
        return call

    def updates_again(towards: Any = call.moments, when: Any = call.active) -> list[Operation]:
        other = call._replace(moments=towards, active=when)
        return build(outcome._replace(call=other, scopes=None), plan, True)

    if plan.in_place:
        # In a loop, what the step before wrote is there when what comes of its outputs is.
        with tf.control_dependencies([call.outputs]):
            updates = updates_again()
    else:
        updates = build(outcome, plan, False)
    return call._replace(
        updates=tuple(updates), updates_again=updates_again, collected=not plan.in_place
    )


def normalize(inputs: Tensor, training: Any, plan: Plan) -> Outcome:
    """The first half of `apply_batch_norm`: everything but the updates."""
    reshapes = _next_number("Reshape")
    state = _state(plan, renorm=plan.spec.renorm and training is not False)
    # TF1 calls it once a call, outside of any conditional.
    given = None if training is False else _adjustment(inputs, plan)
    normalized, active, scopes = _normalize(inputs, training, given, state, plan)
    outputs = _named(normalized.outputs, reshapes, plan)
    call = Call(
        inputs,
        training,
        outputs,
        plan.variables,
        plan.choice,
        moments=normalized.moments,
        active=active,
        adjusted=given,
    )
    return Outcome(call, state, normalized.correction, scopes)


def _normalize(
    inputs: Tensor, training: Any, given: Any, state: State, plan: Plan
) -> tuple[Normalized, Any, list[str] | None]:
    """The phase, or both; when the batch counts, as `Call.active`; and `Outcome.scopes`."""
    if training is False:
        return infer(inputs, state, plan), False, None
    dtype = plan.geometry.param_dtype
    adjustment = None if given is None else Affine(*(tf.cast(part, dtype) for part in given))
    # The moments of an empty batch are NaN and must reach neither averages nor gradients.
    filled = plan.given.filled if plan.given else has_values(inputs, plan.geometry)
    if training is True:
        return train(inputs, adjustment, filled, state, plan), filled, None
    # An empty batch is normalized and moves nothing, as in inference.
    active = training if filled is None else tf.logical_and(training, filled)
    normalized, scopes = _either_phase(inputs, active, adjustment, state, plan)
    return normalized, active, scopes


def _either_phase(
    inputs: Tensor, training: Tensor, adjustment: Affine | None, state: State, plan: Plan
) -> tuple[Normalized, list[str] | None]:
    """Both phases behind one conditional, and the op scopes TF1 would give the two updates."""

    def flat(normalized: Normalized) -> list[Tensor]:
        return [normalized.outputs, *normalized.moments]

    def parts(tensors: Sequence[Tensor]) -> tuple[Tensor, State]:
        left = iter(tensors)
        seen = next(left)
        affine = Affine(*(value if value is None else next(left) for value in state.learned))
        moving, given = Moments(next(left), next(left)), Moments(*left) if state.given else None
        return seen, State(affine, moving, state.renorm, given)

    def training_phase(tensors: Sequence[Tensor]) -> list[Tensor]:
        seen, switched = parts(tensors)
        return flat(train(seen, adjustment, None, switched, plan))

    def inference_phase(tensors: Sequence[Tensor]) -> list[Tensor]:
        return flat(infer(*parts(tensors), plan))

    widen = loses_gradient_in_cond(inputs.dtype)
    wide = tf.cast(inputs, tf.float32) if widen else inputs
    learned = [value for value in state.learned if value is not None]
    outputs, mean, variance = either(
        training,
        [wide, *learned, *state.moving, *(state.given or ())],
        training_phase,
        inference_phase,
        "wide_cond" if widen else "cond",
    )
    outputs.set_shape(inputs.shape)
    normalized = Normalized(outputs, Moments(mean, variance))
    # TF1 spent this many conditionals; taking their names keeps the numbers of later ones.
    unused = 1 if plan.choice.fused else 3 + 2 * (adjustment is not None) + 4 * plan.spec.renorm
    scopes = [tf.get_default_graph().unique_name("cond") for _ in range(unused + widen)]
    merge = outputs.op.name.split("/")[-1]
    if widen:
        with tf.name_scope(f"{scopes[0]}/"):
            normalized = normalized._replace(outputs=tf.cast(outputs, inputs.dtype, name=merge))
    if plan.choice.fused:
        return normalized, None
    return normalized, [f"{scope}/{merge}" for scope in scopes[-4 if plan.spec.renorm else -2 :]]


def _update_ops(outcome: Outcome, plan: Plan, fresh: bool = False) -> list[Operation]:
    """The ops for UPDATE_OPS: that of moving_mean, then that of moving_variance.

    `fresh` ones read the variables anew, after what they wait for.
    """
    spec, variables, batch = plan.spec, plan.variables, outcome.call.moments
    active, dtype = outcome.call.active, plan.geometry.param_dtype

    def rate(momentum: Any, active: Tensor | None) -> Tensor:
        with tf.name_scope("rate"):
            return rate_where(active, update_rate(momentum, dtype, plan.choice.fused))

    def moved(
        variable: Variable, value: Tensor, rate: Tensor, old: Tensor | None = None
    ) -> Operation:
        return move(MovingAverage(variable, value, rate, old), fresh)

    def move_mean() -> Operation:
        return moved(variables.moving_mean, batch.mean, moving_rate, outcome.state.moving.mean)

    def move_variance() -> Operation:
        if not spec.renorm:
            old = outcome.state.moving.variance
            return moved(variables.moving_variance, batch.variance, moving_rate, old)
        with tf.control_dependencies([moved(variables.moving_stddev, stddev, moving_rate)]):
            return assign_variance(
                variables.moving_variance, variables.moving_stddev, spec.epsilon, active
            )

    # Otherwise the statistics, when not active, are what the averages were: the move is 0.
    select = fresh or spec.renorm
    moving_rate = rate(spec.momentum, active if select else None)
    first: list[Operation] = []
    stddev = batch_stddev(batch, spec.epsilon) if spec.renorm else None
    if spec.renorm:
        # The correction uses the averages as they were before this step.
        users = outcome.correction or [outcome.call.outputs]
        with tf.control_dependencies(list(users)):
            renorm_rate = rate(spec.renorm_momentum, active)
            pairs = zip(
                (variables.renorm_mean, variables.renorm_stddev),
                (batch.mean, stddev),
                outcome.scopes or (None, None),
            )
            for variable, value, name in pairs:
                with _scope_of(name):
                    first.append(moved(variable, value, renorm_rate))
    with tf.control_dependencies(first):
        if outcome.scopes is None:
            return [move_mean(), move_variance()]
        return [
            _named_update(scope, update, batch.mean)
            for scope, update in zip(outcome.scopes[-2:], (move_mean, move_variance))
        ]


def _named_update(name: str, update: Callable[[], Operation], value: Tensor) -> Operation:
    """An op of exactly this full name that runs `update`."""
    with _scope_of(name), tf.control_dependencies([update()]):
        return tf.identity(value, name=name.rpartition("/")[2]).op


def _scope_of(name: str | None) -> Any:
    """The scope an op of this full name is in; None changes nothing."""
    if name is None:
        return contextlib.nullcontext()
    return tf.name_scope(f"{name.rpartition('/')[0]}/")


def _next_number(name: str) -> int:
    """How many ops and scopes of this name there have been where the code builds."""
    last = tf.get_default_graph().unique_name(name, mark_as_used=False).rpartition("/")[2]
    return int(last[len(name) + 1 :] or 0)


def _named(outputs: Tensor, reshapes: int, plan: Plan) -> Tensor:
    """The output under the name it has in TF1, whatever made it.

    `reshapes` is the number that the first reshape of this call has.
    """
    if plan.choice.fused:
        return outputs
    if plan.spec.virtual_batch_size is not None:
        # TF1 reshapes to ghosts first and back last; the output is the second of the pair.
        if outputs.op.name.endswith(f"/Reshape_{reshapes + 1}"):
            return outputs
        tf.get_default_graph().unique_name("Reshape")
        return tf.identity(outputs, name="Reshape")
    if outputs.op.name.endswith("/add_1"):
        return outputs
    with tf.name_scope("batchnorm"):
        return tf.identity(outputs, name="add_1")


def _state(plan: Plan, renorm: bool) -> State:
    """One read of every variable a phase may need, outside of any conditional.

    XLA copies what a branch computes into the branch of its gradient, where a read in it comes
    after the updates.
    """
    variables, dtype = plan.variables, plan.geometry.param_dtype

    def read(variable: Variable | None) -> Any:
        return None if variable is None else value_of(variable)

    # A custom getter may have handed out a half-precision copy.
    learned = (read(variable) for variable in (variables.gamma, variables.beta))
    return State(
        Affine(*(None if value is None else tf.cast(value, dtype) for value in learned)),
        Moments(read(variables.moving_mean), read(variables.moving_variance)),
        (read(variables.renorm_mean), read(variables.renorm_stddev)) if renorm else None,
        plan.given.moments if plan.given else None,
    )


def _adjustment(inputs: Tensor, plan: Plan) -> tuple[Any, Any] | None:
    if plan.spec.adjustment is None:
        return None
    scale, bias = plan.spec.adjustment(tf.shape(inputs))
    return scale, bias
