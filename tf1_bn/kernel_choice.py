# SPDX-License-Identifier: Apache-2.0
"""Which kernel normalizes, and why: the one place that decides, no TensorFlow."""

from __future__ import annotations

import enum
from typing import NamedTuple

from .folding_plan import Costs, Fold, fold_of
from .geometry import HALF_DTYPES, Geometry
from .spec import BatchNormSpec, is_tensor_like

# TF1 raises smaller epsilons to this for the fused op, as cuDNN demands; newer TF does not.
FUSED_MIN_EPSILON = 1.001e-5

# Elements from which the fused op is quicker than elementary ops. Derived by
# `python -m tests.benchmarks.kernel_rule` on two cores, float32, time of a training step:
#   TF 2.21 with oneDNN, fused / composed: 65 536 elements 2.4, 131 072 elements 0.7, 2 M 0.4;
#   without oneDNN, forward op with the gradient by hand: 262 144 elements 1.2, 2 M 0.9.
#   renorm there: 524 288 elements 1.1, 2 M 0.5 to 1.06, the less memory is at hand the better.
# Inference, with oneDNN: 131 072 elements 1.5, 262 144 elements 0.8, 4 M 0.5; without: never.
QUICK_TRAINING = 100_000
QUICK_INFERENCE = 200_000
PLAIN_TRAINING = 1_000_000
PLAIN_RENORM = 2_000_000
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
# Columns beat data moved and elementary ops from this many rows on; with fewer, merging weighs:
#   16 rows 0.8, 32 rows 1.03, 128 rows 1.4; in inference 64 rows 0.8, 128 rows 1.0, 256 rows 1.2.
COLUMN_ROWS = 32
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
      gradient_by_hand: whether the fused op's own gradient is left out for elementary ops.
    """

    kernel: Kernel
    inference: Kernel
    reason: str
    fused: bool = False
    data_format: str = ""
    transposed: bool = False
    fold: Fold | None = None
    inference_fold: Fold | None = None
    gradient_by_hand: bool = False

    def __str__(self) -> str:
        phases = self.kernel.value
        if self.inference is not self.kernel:
            phases = f"{phases} in training, {self.inference.value} in inference"
        return f"{phases}: {self.reason}"

    def composed(self, why: str) -> KernelChoice:
        """The composed kernel in its place."""
        return _composed(why)


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
    impossible = _why_not_fused(spec, geometry, moments_overridden)
    if impossible:
        return _composed(impossible)
    refusal = _why_not_tf1_fused(spec, geometry)
    if not refusal:
        return _tf1_fused(geometry, host)
    if float(spec.epsilon) < FUSED_MIN_EPSILON:
        return _composed(f"{refusal}; the fused op may raise an epsilon below {FUSED_MIN_EPSILON}")
    costs = _costs(geometry, host)
    fold = fold_of(geometry, spec.virtual_batch_size, costs)
    if fold is None:
        axes = list(geometry.channel_axes)
        return _composed(f"{refusal}; axis {axes} of rank {geometry.rank} does not fold to NHWC")
    if _may_have_no_channels(fold, geometry) and not host.no_channels:
        return _composed(f"{refusal}; of unknown size, and the fused op dies here on no ghosts")
    if _may_be_a_float16_row(spec, geometry) and not host.float16_row:
        return _composed(f"{refusal}; maybe one row of float16, of which the fused op dies here")
    return _folded(spec, geometry, host, (fold, fold_of(geometry, None, costs)), refusal)


def _composed(reason: str) -> KernelChoice:
    return KernelChoice(Kernel.COMPOSED, Kernel.COMPOSED, reason)


def _costs(geometry: Geometry, host: Host) -> Costs:
    multiple = VECTOR_OF.get(geometry.dtype, 1) if host.vectors else 1
    # Without a quick gradient of the op, columns gain nothing.
    rows = COLUMN_ROWS if host.quick else _NEVER
    return Costs(MAX_GHOST_SLICES, GHOST_SLICE, multiple, rows, ASSUMED_BATCH)


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
    folds: tuple[Fold, Fold | None],
    refusal: str,
) -> KernelChoice:
    fold, inference_fold = folds
    size = _elements(geometry)
    known = "elements" if None not in geometry.input_shape else "elements assumed"
    by_hand = not host.quick and _by_hand_is_quicker(geometry, fold)
    training, inference = _smallest(spec, geometry, host, fold)
    forced = spec.fused is not None
    kernel = Kernel.FUSED if forced or size >= training else Kernel.COMPOSED
    in_inference = Kernel.COMPOSED
    if inference_fold is not None and not inference_fold.transposed:
        rows = COLUMN_ROWS_IN_INFERENCE if inference_fold.columns else ROWS_IN_INFERENCE
        enough_rows = size >= rows * inference_fold.width
        if forced or (size >= inference and enough_rows and not inference_fold.slow):
            in_inference = Kernel.FUSED
    if forced:
        why = f"fused=True; {fold.reason}"
    elif kernel is Kernel.FUSED:
        why = f"{size} {known}, at least {training:.0f}; {fold.reason}"
    elif fold.slow:
        why = f"the fused op would be slower; {fold.reason}"
    elif training == _NEVER:
        why = "the fused op is slower for it here"
    else:
        why = f"{size} {known}, fewer than {training:.0f}"
    return KernelChoice(
        kernel,
        in_inference,
        f"{refusal}; {why}",
        fold=fold,
        inference_fold=inference_fold,
        gradient_by_hand=by_hand and kernel is Kernel.FUSED,
    )


def _smallest(
    spec: BatchNormSpec, geometry: Geometry, host: Host, fold: Fold
) -> tuple[float, float]:
    """From how many elements on the fused op is quicker, in training and in inference."""
    interleaved = fold.ghosts and (fold.slices or fold.transposed)
    bfloat16 = geometry.dtype == "bfloat16"
    if fold.slow:
        return _NEVER, QUICK_INFERENCE
    if host.quick:
        return GHOST_TRAINING if interleaved else QUICK_TRAINING, QUICK_INFERENCE
    if interleaved:
        return GHOST_TRAINING, _NEVER
    if bfloat16 and not fold.transposed:
        return QUICK_TRAINING, QUICK_INFERENCE
    if geometry.dtype in HALF_DTYPES or fold.transposed or (spec.renorm and fold.ghosts):
        return _NEVER, _NEVER
    return PLAIN_RENORM if spec.renorm else PLAIN_TRAINING, _NEVER


def _by_hand_is_quicker(geometry: Geometry, fold: Fold) -> bool:
    plain = not fold.ghosts and not fold.transposed and not fold.columns
    return geometry.dtype == "float32" and plain


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
