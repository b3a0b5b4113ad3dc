# SPDX-License-Identifier: Apache-2.0
"""Which kernel normalizes, and why: the one place that decides, no TensorFlow."""

from __future__ import annotations

import enum
from typing import NamedTuple

from .geometry import Geometry
from .row_layout import Costs, Fold, column_fold, inference_fold, row_fold
from .spec import BatchNormSpec, is_tensor_like

# TF1 raises smaller epsilons to this for the fused op, as cuDNN demands; newer TF does not.
FUSED_MIN_EPSILON = 1.001e-5

# Elements from which the fused op is quicker than elementary ops. Derived by
# `python -m tests.benchmarks.kernel_rule` on two cores, float32, time of a training step:
#   TF 2.21 with oneDNN, fused / composed: 65 536 elements 2.4, 131 072 elements 0.7, 2 M 0.4;
#   without oneDNN the op's gradient is the slower one at any size, but for bfloat16.
# Inference, with oneDNN: 131 072 elements 1.5, 262 144 elements 0.8, 4 M 0.5; without: never.
QUICK_TRAINING = 100_000
QUICK_INFERENCE = 200_000
# Ghost batches in the middle of the axes cost elementary ops five times as much per element.
GHOST_TRAINING = 20_000
# One fused op for each ghost batch beats one op on transposed data from this size of one on.
GHOST_SLICE = 20_000
MAX_GHOST_SLICES = 16
# oneDNN has vector kernels for channels in multiples of these alone. Derived, as the numbers of
# rows below, by `python -m tests.benchmarks.vector_rule`; composed / fused of 524 288 elements:
#   float32: 512 channels 1.8, 513 0.4, 516 1.3, in inference 1.4, 0.3, 1.5;
#   bfloat16: 512 channels 2.4, 520 0.5, in inference 2.6, 0.4.
VECTOR_OF = {"float32": 4, "bfloat16": 16}
# Elementary ops are quicker on rows of columns. By `python -m tests.benchmarks.vector_rule`, time
# of a training step on the input as it is / on columns, float32:
#   channels not last: 4 096 elements 0.9 to 1.1, 16 384 elements 1.2 to 1.4, 262 144 2 to 3;
#   rows side by side: 4 096 elements 0.85, 32 768 elements 1.3;
#   8 rows 1.5 to 2.6, 64 rows 1.5 to 4.6.
COLUMN_ELEMENTS = 4_000
SIDE_BY_SIDE_ELEMENTS = 32_000
COLUMN_ROWS = 8
COLUMN_WIDTH = 2048
# Given moments, the fused op takes columns for other channels than it is quick for:
#   64 rows 0.8 of the time of elementary ops, 128 rows 1.0, 256 rows 1.2.
COLUMN_ROWS_IN_INFERENCE = 256
# In inference the op takes long for few rows of many channels: 16 rows 0.6, 128 rows 1.05.
ROWS_IN_INFERENCE = 128
# Sizes not known beforehand: where guessing fused or composed wrongly loses the same factor.
ASSUMED_BATCH = 256
ASSUMED_SIZE = 32
_NEVER = float("inf")


class Kernel(enum.Enum):
    """FUSED is FusedBatchNormV3, COMPOSED is made of elementary ops."""

    FUSED = "fused"
    COMPOSED = "composed"


class Host(NamedTuple):
    """What the machine's fused op can do.

    `nchw_runs`: it takes channels first. `quick`: it has a quick gradient, as with oneDNN or on a
    GPU; elsewhere its gradient is slower than one made of elementary ops. `no_channels`: it bears
    an input of no channels at all, which is what an empty batch of ghosts folds to; TF 1.15 dies.
    `float16_row`: its gradient bears a single row of float16; TF 1.15 dies.
    `vectors`: it is quick for whole vectors of channels alone, as oneDNN is.
    """

    nchw_runs: bool = True
    quick: bool = True
    no_channels: bool = True
    float16_row: bool = True
    vectors: bool = False


ANY_HOST = Host()


class KernelChoice(NamedTuple):
    """The kernels of the two phases and the sentence that says why they were taken.

    Attributes:
      kernel: what runs in training.
      inference: what runs in inference.
      reason: why.
      fused: whether TF 1.15 takes its fused op here, whose numbers then count: the N / (N - 1)
        variance in moving_variance and an epsilon of at least 1.001e-5.
      data_format: what the fused op is given where `fused`.
      transposed: whether an NCHW input is turned to NHWC for it and back, where `fused`.
      fold: how the input is seen by the fused op where TF 1.15 would not take it.
      inference_fold: the same in inference, which knows no ghost batches.
      columns: how elementary ops see the input in training, None for as it is.
    """

    kernel: Kernel
    inference: Kernel
    reason: str
    fused: bool = False
    data_format: str = ""
    transposed: bool = False
    fold: Fold | None = None
    inference_fold: Fold | None = None
    columns: Fold | None = None

    def __str__(self) -> str:
        phases = self.kernel.value
        if self.inference is not self.kernel:
            phases = f"{phases} in training, {self.inference.value} in inference"
        return f"{phases}: {self.reason}"

    def composed(self, why: str) -> KernelChoice:
        """The composed kernel in its place."""
        return _composed(why, self.columns)


def choose_kernel(
    spec: BatchNormSpec,
    geometry: Geometry,
    host: Host = ANY_HOST,
    moments_overridden: bool = False,
) -> KernelChoice:
    """Picks the quickest kernel that gives the numbers of TF 1.15.

    Where TF 1.15 is fused, so are we: its fused kernel has numbers of its own. Elsewhere the fused
    op serves whatever folds to its layout and is large enough; `fused=True` takes it at any size
    and `fused=False` never.

    Args:
      spec: the validated arguments.
      geometry: what they mean for the input.
      host: what the machine can do.
      moments_overridden: whether a subclass computes the batch moments itself.
    """
    columns = None if moments_overridden else _columns(spec, geometry)
    impossible = _why_not_fused(spec, geometry, moments_overridden)
    if impossible:
        return _composed(impossible, columns)
    refusal = _why_not_tf1_fused(spec, geometry)
    if not refusal:
        return _tf1_fused(geometry, host)
    if float(spec.epsilon) < FUSED_MIN_EPSILON:
        reason = f"{refusal}; the fused op may raise an epsilon below {FUSED_MIN_EPSILON}"
        return _composed(reason, columns)
    costs = _costs(geometry, host)
    fold = row_fold(geometry, spec.virtual_batch_size, costs)
    if fold is not None and _may_have_no_channels(fold, geometry) and not host.no_channels:
        return _composed(f"{refusal}; of unknown size, and the fused op dies here on no ghosts")
    if _may_be_a_float16_row(spec, geometry) and not host.float16_row:
        reason = f"{refusal}; maybe one row of float16, of which the fused op dies here"
        return _composed(reason, columns)
    return _folded(spec, geometry, host, fold, columns, refusal)


def _composed(reason: str, columns: Fold | None = None) -> KernelChoice:
    if columns is not None:
        reason = f"{reason}; {columns.reason}"
    return KernelChoice(Kernel.COMPOSED, Kernel.COMPOSED, reason, columns=columns)


def _costs(geometry: Geometry, host: Host) -> Costs:
    multiple = VECTOR_OF.get(geometry.dtype, 1) if host.vectors else 1
    rows = COLUMN_ROWS if host.quick else _NEVER
    return Costs(MAX_GHOST_SLICES, GHOST_SLICE, multiple, rows, assumed_batch=ASSUMED_BATCH)


def _columns(spec: BatchNormSpec, geometry: Geometry) -> Fold | None:
    """How elementary ops see the input: as columns if that is quicker, None for as it is."""
    if spec.virtual_batch_size is not None:
        return None
    costs = Costs(0, 0, min_rows=COLUMN_ROWS, columns=COLUMN_WIDTH, assumed_batch=ASSUMED_BATCH)
    fold = column_fold(geometry, costs)
    # A row of nothing but channels is one as it is.
    if fold is None or fold.slow or fold.width == fold.channels:
        return None
    side_by_side = fold.columns[1:] == fold.spread[1:]
    least = SIDE_BY_SIDE_ELEMENTS if side_by_side else COLUMN_ELEMENTS
    return fold if _elements(geometry) >= least else None


def _may_have_no_channels(fold: Fold, geometry: Geometry) -> bool:
    return fold.ghosts and not fold.slices and not geometry.input_shape[0]


def _may_be_a_float16_row(spec: BatchNormSpec, geometry: Geometry) -> bool:
    if geometry.dtype != "float16":
        return False
    ghost = [spec.virtual_batch_size or geometry.input_shape[0]]
    sizes = [*ghost, *geometry.input_shape[1:]]
    return all(sizes[axis] in (None, 0, 1) for axis in geometry.reduction_axes)


def _tf1_fused(geometry: Geometry, host: Host) -> KernelChoice:
    both = (Kernel.FUSED, Kernel.FUSED)
    if geometry.channel_axes == (3,):
        return KernelChoice(*both, "rank 4 with the channel axis last", True, "NHWC")
    if host.nchw_runs:
        return KernelChoice(*both, "rank 4 with channel axis 1", True, "NCHW")
    reason = "rank 4 with channel axis 1, transposed as the fused op runs NHWC alone here"
    return KernelChoice(*both, reason, True, "NHWC", transposed=True)


def _folded(
    spec: BatchNormSpec,
    geometry: Geometry,
    host: Host,
    fold: Fold | None,
    columns: Fold | None,
    refusal: str,
) -> KernelChoice:
    """The quickest of the fused op and elementary ops in each phase."""
    forced = spec.fused is not None
    kernel, why = _in_training(geometry, host, fold, columns, forced)
    if fold is None:
        axes = list(geometry.channel_axes)
        why = f"axis {axes} of rank {geometry.rank} does not fold to rows of channels"
    seen = inference_fold(geometry, _costs(geometry, host))
    in_inference = _in_inference(geometry, host, seen, forced)
    if kernel is Kernel.COMPOSED and columns is not None:
        why = f"{why}; {columns.reason}"
    return KernelChoice(
        kernel,
        in_inference,
        f"{refusal}; {why}",
        fold=fold if kernel is Kernel.FUSED else None,
        inference_fold=seen,
        columns=columns if kernel is Kernel.COMPOSED else None,
    )


def _in_training(
    geometry: Geometry, host: Host, fold: Fold | None, columns: Fold | None, forced: bool
) -> tuple[Kernel, str]:
    if fold is None:
        return Kernel.COMPOSED, ""
    if forced:
        return Kernel.FUSED, f"fused=True; {fold.reason}"
    size = _elements(geometry)
    known = "elements" if None not in geometry.input_shape else "elements assumed"
    least = _smallest(geometry, host, fold)
    if fold.slow or (fold.transposed and columns is not None):
        return Kernel.COMPOSED, "the fused op would be slower"
    if least == _NEVER:
        return Kernel.COMPOSED, "the fused op is slower for it here"
    if size < least:
        return Kernel.COMPOSED, f"{size} {known}, fewer than {least:.0f}"
    return Kernel.FUSED, f"{size} {known}, at least {least:.0f}; {fold.reason}"


def _in_inference(geometry: Geometry, host: Host, fold: Fold | None, forced: bool) -> Kernel:
    if fold is None or fold.transposed:
        return Kernel.COMPOSED
    if forced:
        return Kernel.FUSED
    quick = host.quick or geometry.dtype == "bfloat16"
    rows = COLUMN_ROWS_IN_INFERENCE if fold.columns else ROWS_IN_INFERENCE
    size = _elements(geometry)
    enough = size >= QUICK_INFERENCE and size >= rows * fold.width
    return Kernel.FUSED if quick and enough and not fold.slow else Kernel.COMPOSED


def _smallest(geometry: Geometry, host: Host, fold: Fold) -> float:
    """From how many elements on the fused op is quicker in training."""
    if fold.ghosts and (fold.slices or fold.transposed):
        return GHOST_TRAINING
    bfloat16 = geometry.dtype == "bfloat16" and not fold.transposed
    return QUICK_TRAINING if host.quick or bfloat16 else _NEVER


def _elements(geometry: Geometry) -> int:
    """How many elements the input has, as far as they are known."""
    count = 1
    for axis, size in enumerate(geometry.input_shape):
        count *= size if size is not None else (ASSUMED_SIZE if axis else ASSUMED_BATCH)
    return count


def _why_not_fused(spec: BatchNormSpec, geometry: Geometry, moments_overridden: bool) -> str:
    """What keeps the fused op out, be it TF 1.15's use of it or ours."""
    if spec.fused is not None and not spec.fused:
        return "fused=False"
    if moments_overridden:
        return "a subclass overrides _moments"
    if is_tensor_like(spec.epsilon):
        return "epsilon is a tensor, which the fused op cannot take"
    if "float64" in (geometry.dtype, geometry.param_dtype):
        return "the fused op has no float64 kernel"
    return ""


def _why_not_tf1_fused(spec: BatchNormSpec, geometry: Geometry) -> str:
    """What TF 1.15 does not fuse though the op could."""
    if spec.renorm:
        return "renorm"
    if spec.virtual_batch_size is not None:
        return "virtual batches"
    if spec.adjustment is not None:
        return "adjustment"
    if geometry.rank != 4:
        return f"rank {geometry.rank}"
    if geometry.channel_axes not in ((1,), (3,)):
        return f"axis {list(geometry.channel_axes)}"
    return ""
