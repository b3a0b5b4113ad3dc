"""What is timed: groups of calls with the ratio that each must reach; plain data, no TensorFlow."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Mapping


class Phase(enum.Enum):
    """What one timed step is.

    A training step is the output, the gradients of input, gamma and beta, and both updates;
    inference is the output alone. DYNAMIC ones decide by a tensor at run time.
    """

    TRAIN = "train"
    INFER = "infer"
    DYNAMIC_TRAIN = "dynamic train"
    DYNAMIC_INFER = "dynamic infer"

    @property
    def trains(self) -> bool:
        return self in (Phase.TRAIN, Phase.DYNAMIC_TRAIN)

    @property
    def dynamic(self) -> bool:
        return self in (Phase.DYNAMIC_TRAIN, Phase.DYNAMIC_INFER)


# Nothing may be slower than this against the peer, where a group asks for no more.
GENERAL_FLOOR = 0.95


@dataclass(frozen=True)
class Group:
    """Cases with one promise.

    `floor` is the least of peer's time / ours on a TensorFlow without a layer of its own, `own`
    the same against the layer that TensorFlow 1.15 has; `limit` the most of ours / the bare op.
    """

    name: str
    title: str
    floor: float = GENERAL_FLOOR
    own: float = 1.0
    limit: float | None = None


@dataclass(frozen=True)
class Case:
    """One call on one tensor; `options` are passed to the layer as they are."""

    name: str
    group: str
    shape: tuple[int, ...]
    axis: int | tuple[int, ...] = -1
    dtype: str = "float32"
    phase: Phase = Phase.TRAIN
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    adjusted: bool = False
    open_batch: bool = False

    @property
    def channel_axes(self) -> tuple[int, ...]:
        axes = self.axis if isinstance(self.axis, tuple) else (self.axis,)
        return tuple(sorted(axis % len(self.shape) for axis in axes))

    @property
    def plain(self) -> bool:
        """Whether the call is batch normalization with nothing added."""
        return not self.options and not self.adjusted


GROUPS = (
    Group("conv", "convolution, channels last", floor=1.0, limit=1.05),
    Group("conv_first", "convolution, channels first", floor=1.0, limit=1.05),
    Group("conv_odd", "convolution, odd channels"),
    Group("dense_tiny", "dense, tiny", floor=1.15),
    Group("dense_medium", "dense, medium", floor=1.6),
    Group("dense_large", "dense, large", floor=2.5, own=1.5),
    Group("dense_odd", "dense, odd channels"),
    Group("sequence", "sequence", floor=1.9),
    Group("sequence_odd", "sequence, odd channels first"),
    Group("rank5", "rank 5", floor=1.9),
    Group("axes", "several channel axes"),
    Group("renorm_conv", "renorm, convolution", floor=2.6, limit=1.25),
    Group("renorm_dense", "renorm, dense", floor=2.0, limit=1.25),
    Group("ghost_conv", "ghost batches, convolution", floor=5.5, limit=1.6),
    Group("ghost_dense", "ghost batches, dense", floor=2.2, limit=1.6),
    Group("adjusted", "adjustment"),
    Group("dense_infer", "inference, dense", floor=2.0),
    Group("odd_infer", "inference, odd channels"),
    Group("conv_infer", "inference, convolution", floor=1.0),
    Group("dynamic_conv", "dynamic `training`, convolution", floor=1.1),
    Group("dynamic_dense", "dynamic `training`, dense", floor=2.5),
    Group("dynamic_infer_dense", "dynamic `training`, inference, dense", floor=2.0),
    Group("dynamic_infer_conv", "dynamic `training`, inference, convolution", floor=1.0),
    Group("open_batch", "unknown batch size"),
    Group("half", "half precision"),
    Group("double", "float64"),
)

RENORM = {"renorm": True, "renorm_clipping": {"rmax": 3.0, "rmin": 1.0 / 3.0, "dmax": 5.0}}
INFER, DYNAMIC, DYNAMIC_INFER = Phase.INFER, Phase.DYNAMIC_TRAIN, Phase.DYNAMIC_INFER

CASES = (
    Case("conv 32x28x28x64", "conv", (32, 28, 28, 64)),
    Case("conv 16x56x56x32", "conv", (16, 56, 56, 32)),
    Case("conv 8x7x7x512", "conv", (8, 7, 7, 512)),
    Case("conv 2x4x4x8", "conv", (2, 4, 4, 8)),
    Case("conv first 32x64x28x28", "conv_first", (32, 64, 28, 28), axis=1),
    Case("conv first 8x512x7x7", "conv_first", (8, 512, 7, 7), axis=1),
    Case("conv first 2x8x4x4", "conv_first", (2, 8, 4, 4), axis=1),
    Case("conv 32x28x28x50", "conv_odd", (32, 28, 28, 50)),
    Case("conv 16x14x14x130", "conv_odd", (16, 14, 14, 130)),
    Case("dense 32x64", "dense_tiny", (32, 64)),
    Case("dense 128x256", "dense_tiny", (128, 256)),
    Case("dense 256x1024", "dense_medium", (256, 1024)),
    Case("dense 4096x512", "dense_large", (4096, 512)),
    Case("dense 16384x256", "dense_large", (16384, 256)),
    Case("dense 4096x513", "dense_odd", (4096, 513)),
    Case("dense 8192x50", "dense_odd", (8192, 50)),
    Case("dense 65536x3", "dense_odd", (65536, 3)),
    Case("sequence 32x100x256", "sequence", (32, 100, 256)),
    Case("sequence 64x50x128", "sequence", (64, 50, 128)),
    Case("sequence first 32x256x100", "sequence", (32, 256, 100), axis=1),
    Case("sequence first 64x50x128", "sequence_odd", (64, 50, 128), axis=1),
    Case("rank 5 4x8x28x28x32", "rank5", (4, 8, 28, 28, 32)),
    Case("rank 5 first 4x32x8x28x28", "rank5", (4, 32, 8, 28, 28), axis=1),
    Case("axes 1,2 of 256x8x64", "axes", (256, 8, 64), axis=(1, 2)),
    Case("axes 1,2 of 16x12x10x64", "axes", (16, 12, 10, 64), axis=(1, 2)),
    Case("axes 1,3 of 32x14x15x64", "axes", (32, 14, 15, 64), axis=(1, 3)),
    Case("renorm conv 32x28x28x64", "renorm_conv", (32, 28, 28, 64), options=RENORM),
    Case("renorm dense 4096x512", "renorm_dense", (4096, 512), options=RENORM),
    Case("ghost conv 64x14x14x128 by 16", "ghost_conv", (64, 14, 14, 128),
         options={"virtual_batch_size": 16}),
    Case("ghost conv 32x28x28x64 by 8", "ghost_conv", (32, 28, 28, 64),
         options={"virtual_batch_size": 8}),
    Case("ghost dense 4096x512 by 256", "ghost_dense", (4096, 512),
         options={"virtual_batch_size": 256}),
    Case("ghost dense 256x1024 by 32", "ghost_dense", (256, 1024),
         options={"virtual_batch_size": 32}),
    Case("adjusted dense 4096x512", "adjusted", (4096, 512), adjusted=True),
    Case("adjusted conv 32x28x28x64", "adjusted", (32, 28, 28, 64), adjusted=True),
    Case("infer dense 4096x512", "dense_infer", (4096, 512), phase=INFER),
    Case("infer dense 256x1024", "dense_infer", (256, 1024), phase=INFER),
    Case("infer dense 4096x513", "odd_infer", (4096, 513), phase=INFER),
    Case("infer dense 32768x10", "odd_infer", (32768, 10), phase=INFER),
    Case("infer conv 32x28x28x50", "odd_infer", (32, 28, 28, 50), phase=INFER),
    Case("infer conv 32x28x28x64", "conv_infer", (32, 28, 28, 64), phase=INFER),
    Case("infer conv first 32x64x28x28", "conv_infer", (32, 64, 28, 28), axis=1, phase=INFER),
    Case("dynamic conv 32x28x28x64", "dynamic_conv", (32, 28, 28, 64), phase=DYNAMIC),
    Case("dynamic dense 4096x512", "dynamic_dense", (4096, 512), phase=DYNAMIC),
    Case("dynamic infer dense 4096x512", "dynamic_infer_dense", (4096, 512),
         phase=DYNAMIC_INFER),
    Case("dynamic infer conv 32x28x28x64", "dynamic_infer_conv", (32, 28, 28, 64),
         phase=DYNAMIC_INFER),
    Case("open dense ?x512", "open_batch", (4096, 512), open_batch=True),
    Case("open dense ?x64", "open_batch", (32, 64), open_batch=True),
    Case("open dense ?x513", "open_batch", (4096, 513), open_batch=True),
    Case("open conv ?x28x28x64", "open_batch", (32, 28, 28, 64), open_batch=True),
    Case("float16 dense 4096x512", "half", (4096, 512), dtype="float16"),
    Case("bfloat16 dense 4096x512", "half", (4096, 512), dtype="bfloat16"),
    Case("bfloat16 dense 4096x520", "half", (4096, 520), dtype="bfloat16"),
    Case("float16 conv 32x28x28x64", "half", (32, 28, 28, 64), dtype="float16"),
    Case("bfloat16 conv 32x28x28x64", "half", (32, 28, 28, 64), dtype="bfloat16"),
    Case("float64 dense 4096x512", "double", (4096, 512), dtype="float64"),
)  # fmt: skip


def group_of(case: Case) -> Group:
    return next(group for group in GROUPS if group.name == case.group)


def select(pattern: str, cases: tuple[Case, ...] = CASES) -> tuple[Case, ...]:
    """The cases whose name or group contains one of the comma-separated words of `pattern`."""
    words = [word.strip() for word in pattern.split(",")]
    return tuple(c for c in cases if any(word in c.name or word in c.group for word in words))
