"""The kernel is TF 1.15.5's, and the choice says why."""

from __future__ import annotations

from typing import Any

import pytest

from tf1_bn.geometry import geometry_of
from tf1_bn.kernel_choice import Kernel, choose_kernel
from tf1_bn.spec import BatchNormSpec

CONV = (4, 3, 2, 5)


def _choice(shape: Any = CONV, dtype: str = "float32", layer_dtype: Any = None, **options: Any):
    host = {key: options.pop(key) for key in ("nchw_runs", "moments_overridden") if key in options}
    spec = BatchNormSpec(**options)
    return choose_kernel(spec, geometry_of(spec, shape, dtype, layer_dtype), **host)


@pytest.mark.parametrize("fused", [None, True, "yes"])
@pytest.mark.parametrize(
    ("axis", "layout"), [(3, "NHWC"), (-1, "NHWC"), (1, "NCHW"), ([3], "NHWC")]
)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_rank_4_is_fused_in_its_own_layout(fused: Any, axis: Any, layout: str, dtype: str) -> None:
    choice = _choice(dtype=dtype, axis=axis, fused=fused)

    assert (choice.kernel, choice.data_format) == (Kernel.FUSED, layout)
    assert choice.reason and not choice.transposed


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"fused": False}, "fused=False"),
        ({"renorm": True}, "renorm"),
        ({"renorm": True, "fused": True}, "renorm"),
        ({"virtual_batch_size": 2, "fused": True}, "virtual batches"),
        ({"adjustment": len}, "adjustment"),
        ({"moments_overridden": True}, "_moments"),
        ({"dtype": "float64"}, "float64"),
        ({"layer_dtype": "float64"}, "float64"),
        ({"axis": 0}, "axis [0]"),
        ({"axis": 2}, "axis [2]"),
        ({"axis": [1, 3]}, "axis [1, 3]"),
        ({"shape": (7, 5)}, "rank 2"),
        ({"shape": (6, 3, 5)}, "rank 3"),
        ({"shape": (4, 3, 2, 6, 5)}, "rank 5"),
    ],
)
def test_everything_else_is_unfused_with_its_reason(options: Any, reason: str) -> None:
    choice = _choice(**options)

    assert choice.kernel is Kernel.UNFUSED
    assert reason in choice.reason


def test_channels_first_is_transposed_where_the_op_runs_nhwc_alone() -> None:
    choice = _choice(axis=1, nchw_runs=False)

    assert choice.fused and choice.transposed
    assert choice.data_format == "NHWC"
