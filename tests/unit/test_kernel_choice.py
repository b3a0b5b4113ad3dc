"""The kernel is the quickest with TF 1.15.5's numbers, and the choice says why."""

from __future__ import annotations

from typing import Any

import pytest

from tf1_bn._src.plan.costs import Machine
from tf1_bn._src.plan.geometry import geometry_of
from tf1_bn._src.plan.kernel_choice import Kernel, choose_kernel
from tf1_bn._src.plan.spec import BatchNormSpec
from tf1_bn._src.plan.ways import Tf1Fused

CONV = (4, 3, 2, 5)
BIG = (4096, 512)
FUSED, COMPOSED = Kernel.FUSED, Kernel.COMPOSED


def _choice(shape: Any = CONV, dtype: str = "float32", layer_dtype: Any = None, **options: Any):
    machine = Machine(**{key: options.pop(key) for key in Machine._fields if key in options})
    overridden = options.pop("moments_overridden", False)
    spec = BatchNormSpec(**options)
    return choose_kernel(spec, geometry_of(spec, shape, dtype, layer_dtype), machine, overridden)


@pytest.mark.parametrize("fused", [None, True, "yes"])
@pytest.mark.parametrize(
    ("axis", "layout"), [(3, "NHWC"), (-1, "NHWC"), (1, "NCHW"), ([3], "NHWC")]
)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("quick", [True, False])
def test_rank_4_has_tf1s_own_fused_kernel_at_any_size(
    fused: Any, axis: Any, layout: str, dtype: str, quick: bool
) -> None:
    choice = _choice(dtype=dtype, axis=axis, fused=fused, quick=quick)

    assert choice.contract.fused and choice.reason
    assert choice.in_training == choice.in_inference == Tf1Fused(layout, transposed=False)
    assert (choice.kernel, choice.inference) == (FUSED, FUSED)


def test_channels_first_is_transposed_where_the_op_runs_nhwc_alone() -> None:
    choice = _choice(axis=1, nchw_runs=False)

    assert choice.contract.fused
    assert choice.in_training == choice.in_inference == Tf1Fused("NHWC", transposed=True)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"fused": False}, "fused=False"),
        ({"moments_overridden": True, "fused": True}, "_moments"),
        ({"dtype": "float64", "fused": True}, "float64"),
        ({"layer_dtype": "float64", "fused": True}, "float64"),
        ({"shape": BIG, "epsilon": 1e-6, "fused": True}, "epsilon"),
        (
            {"shape": (640, 13, 10, 64), "axis": [1, 3], "dtype": "float16", "fused": True},
            "axis [1, 3]",
        ),
        ({"shape": (64, 256, None), "axis": 1, "fused": True}, "axis [1]"),
        (
            {"shape": (None, 9), "virtual_batch_size": 2, "fused": True, "no_channels": False},
            "unknown size",
        ),
        # A batch of one, and ghosts of one, are rows that TF 1.15 dies of.
        *(
            ({"fused": True, "dtype": "float16", "float16_row": False, **options}, "one row")
            for options in (
                {"shape": (None, 9)},
                {"shape": (1, 9)},
                {"shape": (None, None, 9)},
                {"shape": (7, 9), "axis": [0, 1]},
                {"shape": (6, 9), "virtual_batch_size": 1},
            )
        ),
    ],
)
def test_where_the_fused_op_cannot_serve_elementary_ops_do(options: Any, reason: str) -> None:
    choice = _choice(**options)

    assert (choice.kernel, choice.inference, choice.contract.fused) == (COMPOSED, COMPOSED, False)
    assert reason in choice.reason


@pytest.mark.parametrize(
    "options",
    [
        {"shape": (2, 9)},
        {"shape": (None, 7, 9)},
        {"shape": (None, 9), "virtual_batch_size": 2},
        {"shape": (None, 9), "dtype": "bfloat16"},
        {"shape": (None, 9), "float16_row": True},
    ],
)
def test_where_more_than_a_row_of_float16_is_certain_the_fused_op_serves(options: Any) -> None:
    choice = _choice(**{"dtype": "float16", "fused": True, "float16_row": False, **options})

    assert choice.kernel is FUSED


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"shape": (7, 5)}, "rank 2"),
        ({"shape": (6, 3, 5)}, "rank 3"),
        ({"shape": (4, 3, 2, 6, 5)}, "rank 5"),
        ({"renorm": True}, "renorm"),
        ({"adjustment": len}, "adjustment"),
        ({"virtual_batch_size": 2}, "virtual batches"),
        ({"axis": 0}, "axis [0]"),
        ({"axis": [1, 2]}, "axis [1, 2]"),
    ],
)
def test_small_ones_are_composed_unless_fused_is_true(
    options: Any, reason: str, quick: bool
) -> None:
    small, forced = _choice(quick=quick, **options), _choice(quick=quick, fused=True, **options)

    assert (small.kernel, small.inference, small.contract.fused) == (COMPOSED, COMPOSED, False)
    assert reason in small.reason and "elements" in small.reason or "slower" in small.reason
    assert (forced.kernel, forced.contract.fused) == (FUSED, False)
    assert reason in forced.reason and "fused=True" in forced.reason


# What elementary ops see: a count of columns, or 0 for the input as it is; None is the fused op.
@pytest.mark.parametrize(
    ("shape", "options", "columns", "inference"),
    [
        ((32, 64), {}, 0, COMPOSED),
        ((128, 510), {}, 4080, COMPOSED),
        ((256, 512), {}, None, COMPOSED),
        ((256, 1024), {}, None, FUSED),
        ((None, 64), {}, 0, COMPOSED),
        ((None, 1024), {}, None, FUSED),
        ((None, None, 128), {}, None, FUSED),
        ((32, 256, 100), {"axis": 1}, 25600, COMPOSED),
        ((None, 256, 100), {"axis": 1}, 25600, FUSED),
        ((None, 256, None), {"axis": 1, "fused": False}, 0, COMPOSED),
        # Too few rows, and too few elements, for columns.
        ((4, 256, 800), {"axis": 1}, None, COMPOSED),
        ((7, 13, 10, 64), {"axis": [1, 3]}, 0, COMPOSED),
        ((64, 6, 10), {"axis": 1}, 0, COMPOSED),
        ((64, 7, 10), {"axis": 1}, 560, COMPOSED),
        ((2048, 15), {}, 0, COMPOSED),
        ((2048, 16), {}, 2048, COMPOSED),
        ((640, 13, 10, 64), {"axis": [1, 3]}, 8320, FUSED),
        ((16, 256, 256), {"axis": 0}, 0, COMPOSED),
        # Few rows of many channels.
        ((127, 4096), {}, None, COMPOSED),
        ((128, 4096), {}, None, FUSED),
        ((255, 30, 40), {"axis": 1}, 3600, COMPOSED),
        ((256, 30, 40), {"axis": 1}, 2400, FUSED),
        ((32, 28, 28, 64), {"renorm": True}, None, FUSED),
        ((256, 64), {"virtual_batch_size": 32}, 0, COMPOSED),
        ((32, 14, 14, 8), {"virtual_batch_size": 8}, None, COMPOSED),
    ],
)
def test_the_size_decides_on_a_quick_host(
    shape: Any, options: Any, columns: Any, inference: Any
) -> None:
    choice = _choice(shape, **options)

    assert (_columns(choice), choice.inference) == (columns, inference)


def _columns(choice: Any) -> Any:
    if choice.kernel is FUSED:
        return None
    columns = choice.in_training.columns
    if columns is None:
        return 0
    assert f"{columns.width} columns of " in choice.reason
    return columns.width


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"fused": False}, "fused=False"),
        ({"dtype": "float64"}, "float64"),
        ({"dtype": "float16", "epsilon": 1e-6, "renorm": True}, "epsilon"),
        ({"fused": False, "axis": 2}, "fused=False"),
    ],
)
def test_elementary_ops_get_columns_for_whatever_reason_they_are_taken(
    options: Any, reason: str
) -> None:
    choice = _choice((32, 28, 28, 50), quick=False, **options)

    assert reason in choice.reason and _columns(choice) in (2800, 1400)
    assert _choice((32, 28, 28, 50), moments_overridden=True, **options).in_training.columns is None


@pytest.mark.parametrize(
    ("shape", "options", "columns"),
    [
        ((256, 1024), {}, 2048),
        ((4096, 512), {}, 2048),
        ((4096, 512), {"dtype": "float16"}, 2048),
        ((4096, 512), {"dtype": "bfloat16"}, None),
        ((4096, 512), {"renorm": True}, 2048),
        ((4096, 512), {"renorm": True, "virtual_batch_size": 64}, 0),
        ((64, 256, 100), {"axis": 1}, 25600),
        ((64, 14, 14, 128), {"virtual_batch_size": 16}, None),
    ],
)
def test_elsewhere_the_ops_own_gradient_is_avoided(shape: Any, options: Any, columns: Any) -> None:
    choice = _choice(shape, quick=False, **options)

    assert _columns(choice) == columns
    assert choice.inference is (FUSED if options.get("dtype") == "bfloat16" else COMPOSED)


@pytest.mark.parametrize(
    ("shape", "options", "columns", "inference"),
    [
        ((4096, 512), {}, None, FUSED),
        ((4096, 516), {}, None, FUSED),
        ((None, 1020), {}, None, FUSED),
        # Several rows side by side.
        ((4096, 513), {}, 8208, FUSED),
        ((4095, 513), {}, 2565, COMPOSED),
        ((None, 1023), {}, 0, COMPOSED),
        ((4096, 520), {"dtype": "bfloat16"}, 2080, COMPOSED),
        ((4096, 528), {"dtype": "bfloat16"}, None, FUSED),
        ((4096, 513), {"dtype": "float16"}, None, FUSED),
        ((4096, 513), {"virtual_batch_size": 1024}, None, FUSED),
        ((4096, 513), {"virtual_batch_size": 2048}, 0, FUSED),
    ],
)
def test_onednn_wants_whole_vectors_of_channels(
    shape: Any, options: Any, columns: Any, inference: Any
) -> None:
    choice = _choice(shape, vectors=True, **options)

    assert (_columns(choice), choice.inference) == (columns, inference)
    assert "the fused op would be slower" in choice.reason or columns is None
    assert _choice(shape, vectors=True, fused=True, **options).kernel is FUSED


@pytest.mark.parametrize(
    ("shape", "options", "columns", "inference"),
    [
        ((32, 28, 28, 50), {}, 2800, FUSED),
        ((32, 28, 28, 50), {"fused": True}, 2800, FUSED),
        ((None, 28, 28, 50), {}, 2800, FUSED),
        ((32, 28, 28, 50), {"dtype": "bfloat16"}, 2800, COMPOSED),
        ((32, 50, 28, 28), {"axis": 1}, 39200, COMPOSED),
        # Too few elements for columns, and for anything but the op.
        ((8, 7, 7, 50), {}, 0, COMPOSED),
        ((2, 7, 7, 50), {}, None, FUSED),
        # Whole vectors, and a dtype that knows none.
        ((32, 28, 28, 52), {}, None, FUSED),
        ((32, 28, 28, 50), {"dtype": "float16"}, None, FUSED),
        ((32, 28, 28, 50), {"vectors": False}, None, FUSED),
    ],
)
def test_images_whose_channels_fill_no_vectors_keep_tf1s_promise(
    shape: Any, options: Any, columns: Any, inference: Any
) -> None:
    choice = _choice(shape, **{"vectors": True, **options})

    assert choice.contract.fused and "rank 4" in choice.reason
    assert (_columns(choice), choice.inference) == (columns, inference)
    assert ("slow for 50 channels" in choice.reason) == (columns is not None)
