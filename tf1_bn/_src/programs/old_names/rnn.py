# SPDX-License-Identifier: Apache-2.0
"""Cells and functions of `tf.contrib.rnn` that TensorFlow dropped, on its own base of all cells."""

from __future__ import annotations

from typing import Any, Callable, Sequence

from ...runtime.tensorflow_v1 import Tensor, tf
from .modules import find

RNNCell: Any = find("contrib.rnn", "RNNCell")
LSTMStateTuple: Any = find("contrib.rnn", "LSTMStateTuple")


class LayerNormBasicLSTMCell(RNNCell):  # type: ignore[misc]
    """An LSTM cell with layer normalization (arXiv 1607.06450) and dropout (1603.05118)."""

    def __init__(
        self,
        num_units: int,
        forget_bias: float = 1.0,
        input_size: Any = None,
        activation: Callable[[Tensor], Tensor] = tf.tanh,
        layer_norm: bool = True,
        norm_gain: float = 1.0,
        norm_shift: float = 0.0,
        dropout_keep_prob: Any = 1.0,
        dropout_prob_seed: int | None = None,
        reuse: Any = None,
    ) -> None:
        """Takes contrib's arguments; `input_size` has no effect, as there."""
        super().__init__(_reuse=reuse)
        self._num_units = num_units
        self._forget_bias = forget_bias
        self._activation = activation
        self._layer_norm = layer_norm
        self._gain_and_shift = norm_gain, norm_shift
        self._keep_prob = dropout_keep_prob
        self._seed = dropout_prob_seed

    @property
    def state_size(self) -> Any:
        return LSTMStateTuple(self._num_units, self._num_units)

    @property
    def output_size(self) -> int:
        return self._num_units

    def call(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One step: `inputs` [batch, depth]; outputs and both parts of a state [batch, units]."""
        c, h = state
        gates = _projected(tf.concat([inputs, h], 1), 4 * self._num_units, not self._layer_norm)
        i, j, f, o = tf.split(gates, 4, axis=1)
        i, j = self._normed(i, "input"), self._normed(j, "transform")
        f, o = self._normed(f, "forget"), self._normed(o, "output")
        g = self._activation(j)
        if not isinstance(self._keep_prob, float) or self._keep_prob < 1:
            g = tf.nn.dropout(g, rate=1 - self._keep_prob, seed=self._seed)
        c = c * tf.sigmoid(f + self._forget_bias) + tf.sigmoid(i) * g
        c = self._normed(c, "state")
        h = self._activation(c) * tf.sigmoid(o)
        return h, LSTMStateTuple(c, h)

    def _normed(self, inputs: Tensor, scope: str) -> Tensor:
        """`inputs` [batch, units], each example normalized over its units."""
        if not self._layer_norm:
            return inputs
        gain, shift = self._gain_and_shift
        with tf.variable_scope(scope):
            gamma = _variable("gamma", [self._num_units], tf.constant_initializer(gain), inputs)
            beta = _variable("beta", [self._num_units], tf.constant_initializer(shift), inputs)
        mean, variance = tf.nn.moments(inputs, [1], keep_dims=True)
        return tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, 1e-12)


class OutputProjectionWrapper(RNNCell):  # type: ignore[misc]
    """A cell whose outputs go through a dense layer."""

    def __init__(self, cell: Any, output_size: int, activation: Any = None, reuse: Any = None):
        super().__init__(_reuse=reuse)
        self._cell, self._output_size, self._activation = cell, output_size, activation

    state_size = property(lambda self: self._cell.state_size)
    output_size = property(lambda self: self._output_size)

    def zero_state(self, batch_size: Any, dtype: Any) -> Any:
        return _zero_state(self, batch_size, dtype)

    def call(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One step: `inputs` [batch, depth], the output [batch, output_size]."""
        output, state = self._cell(inputs, state)
        return _dense(output, self._output_size, self._activation), state


class InputProjectionWrapper(RNNCell):  # type: ignore[misc]
    """A cell whose inputs go through a dense layer."""

    def __init__(
        self,
        cell: Any,
        num_proj: int,
        activation: Any = None,
        input_size: Any = None,
        reuse: Any = None,
    ) -> None:
        super().__init__(_reuse=reuse)
        self._cell, self._num_proj, self._activation = cell, num_proj, activation

    state_size = property(lambda self: self._cell.state_size)
    output_size = property(lambda self: self._cell.output_size)

    def zero_state(self, batch_size: Any, dtype: Any) -> Any:
        return _zero_state(self, batch_size, dtype)

    def call(self, inputs: Tensor, state: Any) -> Any:
        """One step: `inputs` [batch, depth], the output is that of the cell."""
        return self._cell(_dense(inputs, self._num_proj, self._activation), state)


def _zero_state(wrapper: Any, batch_size: Any, dtype: Any) -> Any:
    with tf.name_scope(type(wrapper).__name__ + "ZeroState"):
        return wrapper._cell.zero_state(batch_size, dtype)


def _dense(inputs: Tensor, size: int, activation: Any) -> Tensor:
    """[batch, depth] to [batch, size]."""
    outputs = _projected(inputs, size, True, tf.zeros_initializer())
    return outputs if activation is None else activation(outputs)


def stack_bidirectional_dynamic_rnn(
    cells_fw: Sequence[Any],
    cells_bw: Sequence[Any],
    inputs: Tensor,
    initial_states_fw: Sequence[Any] | None = None,
    initial_states_bw: Sequence[Any] | None = None,
    dtype: Any = None,
    sequence_length: Any = None,
    parallel_iterations: Any = None,
    time_major: bool = False,
    scope: Any = None,
    swap_memory: bool = False,
) -> tuple[Tensor, tuple[Any, ...], tuple[Any, ...]]:
    """Layers of cells over `inputs` [batch, time, depth], each on both outputs of the one before.

    Returns:
      The outputs [batch, time, depths of both], and the last states of the forward and of the
      backward cells.

    Raises:
      ValueError: there are no cells, or not as many of each.
    """
    layers = _both_ways(cells_fw, cells_bw, initial_states_fw, initial_states_bw)
    states = []
    with tf.variable_scope(scope or "stack_bidirectional_rnn"):
        for number, (forward, backward, first_forward, first_backward) in enumerate(layers):
            with tf.variable_scope(f"cell_{number}"):
                outputs, last = tf.nn.bidirectional_dynamic_rnn(
                    forward,
                    backward,
                    inputs,
                    initial_state_fw=first_forward,
                    initial_state_bw=first_backward,
                    dtype=dtype,
                    sequence_length=sequence_length,
                    parallel_iterations=parallel_iterations,
                    swap_memory=swap_memory,
                    time_major=time_major,
                )
                inputs = tf.concat(outputs, 2)
            states.append(last)
    return inputs, tuple(last[0] for last in states), tuple(last[1] for last in states)


def stack_bidirectional_rnn(
    cells_fw: Sequence[Any],
    cells_bw: Sequence[Any],
    inputs: Sequence[Tensor],
    initial_states_fw: Sequence[Any] | None = None,
    initial_states_bw: Sequence[Any] | None = None,
    dtype: Any = None,
    sequence_length: Any = None,
    scope: Any = None,
) -> tuple[Sequence[Tensor], tuple[Any, ...], tuple[Any, ...]]:
    """As `stack_bidirectional_dynamic_rnn`, unrolled over a list of inputs [batch, depth]."""
    layers = _both_ways(cells_fw, cells_bw, initial_states_fw, initial_states_bw)
    states = []
    with tf.variable_scope(scope or "stack_bidirectional_rnn"):
        for number, (forward, backward, first_forward, first_backward) in enumerate(layers):
            # In a scope of its own it would make one more.
            with tf.variable_scope(f"cell_{number}") as own:
                inputs, *last = tf.nn.static_bidirectional_rnn(
                    forward,
                    backward,
                    inputs,
                    first_forward,
                    first_backward,
                    dtype,
                    sequence_length,
                    scope=own,
                )
            states.append(last)
    return inputs, tuple(last[0] for last in states), tuple(last[1] for last in states)


def _both_ways(
    forward: Sequence[Any], backward: Sequence[Any], first_forward: Any, first_backward: Any
) -> list[tuple[Any, Any, Any, Any]]:
    """For each layer its two cells and their first states, None where there are none."""
    if not forward or len(forward) != len(backward):
        raise ValueError("There must be as many cells_fw as cells_bw, and at least one of each.")
    none = [None] * len(forward)
    return list(zip(forward, backward, first_forward or none, first_backward or none))


def transpose_batch_time(x: Any) -> Tensor:
    """[batch, time, ...] as [time, batch, ...] and back; lower ranks as they are."""
    x = tf.convert_to_tensor(x)
    if x.shape.rank is None or x.shape.rank < 2:
        return x
    return tf.transpose(x, [1, 0, *range(2, x.shape.rank)])


def _linear(
    args: Any,
    output_size: int,
    bias: bool,
    bias_initializer: Any = None,
    kernel_initializer: Any = None,
) -> Tensor:
    """Inputs [batch, depth] side by side times `kernel`, plus `bias` if asked for."""
    inputs = tf.concat(args if isinstance(args, (list, tuple)) else [args], 1)
    shape = [int(inputs.shape[1]), output_size]
    outputs = tf.matmul(inputs, _variable("kernel", shape, kernel_initializer, inputs))
    if not bias:
        return outputs
    initializer = bias_initializer or tf.zeros_initializer()
    return outputs + _variable("bias", [output_size], initializer, inputs)


def _projected(inputs: Tensor, size: int, use_bias: bool, initializer: Any = None) -> Tensor:
    """`inputs` [batch, depth] times `kernel` [depth, size], plus `bias`."""
    kernel = _variable("kernel", [int(inputs.shape[1]), size], None, inputs)
    outputs = tf.matmul(inputs, kernel)
    return outputs + _variable("bias", [size], initializer, inputs) if use_bias else outputs


def _variable(name: str, shape: Sequence[int], initializer: Any, inputs: Tensor) -> Any:
    return tf.get_variable(name, shape, inputs.dtype, initializer=initializer)
