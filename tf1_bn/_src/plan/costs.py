# SPDX-License-Identifier: Apache-2.0
"""What is quick, and what works at all, on a machine: every measured number, no TensorFlow."""

from __future__ import annotations

from typing import NamedTuple

NEVER = float("inf")


class Costs(NamedTuple):
    """From which sizes on one way to the same numbers is quicker than another.

    Measured on two cores. `K` is `python -m tests.benchmarks.kernel_rule`, `V` is
    `python -m tests.benchmarks.vector_rule`, `R` is `python -m tests.benchmarks.row_rule`; a ratio
    above 1 means that the other way is slower.

    Attributes:
      fused_training: elements from which the fused op beats elementary ops in a training step (K;
        composed / fused with oneDNN: 65 536 elements 0.4, 131 072 elements 1.4, 2 M 2.5).
      fused_inference: the same in inference (K; 131 072 elements 0.7, 262 144 elements 1.3, 4 M 2).
      ghost_training: elements from which the op beats elementary ops on ghost batches that lie in
        the middle of the axes, which cost those five times as much (K, `--kind ghost_conv`).
      ghost_slice: elements of one ghost batch from which an op for each beats one op on transposed
        data (K, `--kind ghost_conv`).
      ghost_slices: ghost batches up to which that is done.
      float32_vector: channels; oneDNN is quick for multiples of it alone (V; composed / fused of
        524 288 elements: 512 channels 1.8, 513 0.4, 516 1.3; in inference 1.4, 0.3, 1.5).
      bfloat16_vector: the same (V; 512 channels 2.4, 520 0.5; in inference 2.6, 0.4).
      odd_images: elements from which other ways beat the op on images whose channels fill no
        vectors (V; the op with 50 channels / what stands in for it: 9 800 elements 7.6, 78 400
        elements 5.7, 1.3 M 1.5 to 3; in inference 4.0, 4.3, 8.2). Smaller ones would gain too, in
        parts of a millisecond, and keep the op that TF 1.15 has.
      column_elements: elements from which elementary ops are quicker on rows of columns, where
        channels are not last (V; as it is / on columns: 4 096 elements 0.9 to 1.1, 16 384 elements
        1.2 to 1.4, 262 144 elements 2 to 3).
      side_by_side_elements: the same where several rows lie side by side (V; 4 096 elements 0.85,
        32 768 elements 1.3).
      column_rows: rows from which columns pay (V; 8 rows 1.5 to 2.6, 64 rows 1.5 to 4.6).
      column_width: columns that a row has at least for elementary ops, where the rows allow it.
      op_column_width: the same for the fused op in inference.
      rows_in_inference: rows from which the op beats elementary ops in inference (V; 16 rows 0.6,
        128 rows 1.05).
      column_rows_in_inference: the same on columns (V; 64 rows 0.8, 128 rows 1.0, 256 rows 1.2).
      row_vector: values; a row of columns best fills vectors of so many (R; processor time for a
        value, relative to the least: 2047 values 1.15, 2044 values 1.1, 2040 values 1.01).
      row_examples: examples that rows are shared out to at most, since the op shares its work out
        over examples and over values (R; relative to all rows as examples, the median of five
        shapes: 256 examples 0.90, 64 examples 0.90, 1 example 1.06; in inference 0.83, 0.96, 1.15).
      few_row_examples: examples with fewer of which that is not done (R; 16 examples 0.97, in
        inference 1.15).
      bias_gradient_channels: channels from which BiasAddGrad sums rows quicker than reduce_sum (R;
        reduce_sum / BiasAddGrad of 1 M values: 8 channels 0.15, 32 channels 1 to 2, 128 channels
        1.2 to 1.8, 1024 channels 3 to 7). Smaller ones gain little, and lose with more rows.
      assumed_batch: examples that a batch of unknown size is taken to have: where a wrong guess
        loses the same factor either way.
      assumed_size: values that any other axis of unknown size is taken to have.
    """

    fused_training: float = 100_000
    fused_inference: int = 200_000
    ghost_training: int = 20_000
    ghost_slice: int = 20_000
    ghost_slices: int = 16
    float32_vector: int = 4
    bfloat16_vector: int = 16
    odd_images: float = 8_000
    column_elements: float = 4_000
    side_by_side_elements: float = 32_000
    column_rows: float = 8
    column_width: int = 2048
    op_column_width: int = 256
    rows_in_inference: int = 128
    column_rows_in_inference: int = 256
    row_vector: int = 16
    row_examples: int = 256
    few_row_examples: int = 16
    bias_gradient_channels: int = 128
    assumed_batch: int = 256
    assumed_size: int = 32


class Machine(NamedTuple):
    """What TensorFlow's fused op can do here, and what is quick.

    Attributes:
      nchw_runs: it takes channels first.
      quick: it has a quick gradient, as with oneDNN or on a GPU; elsewhere its gradient is slower
        than one made of elementary ops.
      no_channels: it bears an input of no channels at all, which is what an empty batch of ghosts
        folds to; TF 1.15 dies of it.
      float16_row: its gradient bears a single row of float16; TF 1.15 dies of it.
      vectors: it is quick for whole vectors of channels alone, as oneDNN is.
      costs: from which sizes on what is quicker.
    """

    nchw_runs: bool = True
    quick: bool = True
    no_channels: bool = True
    float16_row: bool = True
    vectors: bool = False
    costs: Costs = Costs()


ANY_MACHINE = Machine()
