"""The kernel is the quickest with TF 1.15.5's numbers, and the choice says why."""

from __future__ import annotations

from typing import Any

import pytest

from tf1_bn.geometry import geometry_of
from tf1_bn.kernel_choice import Host, Kernel, choose_kernel
from tf1_bn.spec import BatchNormSpec

CONV = (4, 3, 2, 5)
BIG = (4096, 512)
FUSED, COMPOSED = Kernel.FUSED, Kernel.COMPOSED


def _choice(shape: Any = CONV, dtype: str = "float32", layer_dtype: Any = None, **options: Any):
    host = Host(**{key: options.pop(key) for key in Host._fields if key in options})
    overridden = options.pop("moments_overridden", False)
    spec = BatchNormSpec(**options)
    return choose_kernel(spec, geometry_of(spec, shape, dtype, layer_dtype), host, overridden)


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

    assert choice.fused and choice.fold is None and not choice.gradient_by_hand
    assert (choice.kernel, choice.inference, choice.data_format) == (FUSED, FUSED, layout)
    assert choice.reason and not choice.transposed


def test_channels_first_is_transposed_where_the_op_runs_nhwc_alone() -> None:
    choice = _choice(axis=1, nchw_runs=False)

    assert choice.fused and choice.transposed
    assert choice.data_format == "NHWC"


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

    assert (choice.kernel, choice.inference, choice.fused) == (COMPOSED, COMPOSED, False)
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

    assert (small.kernel, small.inference, small.fused) == (COMPOSED, COMPOSED, False)
    assert reason in small.reason and "elements" in small.reason or "slower" in small.reason
    assert (forced.kernel, forced.fused) == (FUSED, False)
    assert reason in forced.reason and "fused=True" in forced.reason


@pytest.mark.parametrize(
    ("shape", "options", "training", "inference"),
    [
        ((32, 64), {}, COMPOSED, COMPOSED),
        ((128, 512), {}, COMPOSED, COMPOSED),
        ((256, 512), {}, FUSED, COMPOSED),
        ((256, 1024), {}, FUSED, FUSED),
        ((None, 64), {}, COMPOSED, COMPOSED),
        ((None, 1024), {}, FUSED, FUSED),
        ((None, None, 128), {}, FUSED, FUSED),
        ((32, 256, 100), {"axis": 1}, FUSED, COMPOSED),
        ((4, 256, 800), {"axis": 1}, FUSED, COMPOSED),
        ((640, 13, 10, 64), {"axis": [1, 3]}, FUSED, FUSED),
        ((31, 13, 10, 64), {"axis": [1, 3]}, COMPOSED, COMPOSED),
        ((16, 256, 256), {"axis": 0}, COMPOSED, COMPOSED),
        # Few rows of many channels.
        ((127, 4096), {}, FUSED, COMPOSED),
        ((128, 4096), {}, FUSED, FUSED),
        ((255, 30, 40), {"axis": 1}, FUSED, COMPOSED),
        ((256, 30, 40), {"axis": 1}, FUSED, FUSED),
        ((32, 28, 28, 64), {"renorm": True}, FUSED, FUSED),
        ((256, 64), {"virtual_batch_size": 32}, COMPOSED, COMPOSED),
        ((32, 14, 14, 8), {"virtual_batch_size": 8}, FUSED, COMPOSED),
    ],
)
def test_the_size_decides_on_a_quick_host(
    shape: Any, options: Any, training: Any, inference: Any
) -> None:
    choice = _choice(shape, **options)

    assert (choice.kernel, choice.inference) == (training, inference)
    assert not choice.gradient_by_hand


@pytest.mark.parametrize(
    ("shape", "options", "kernel", "by_hand"),
    [
        ((256, 1024), {}, COMPOSED, False),
        ((4096, 512), {}, FUSED, True),
        ((4096, 512), {"dtype": "float16"}, COMPOSED, False),
        ((4096, 512), {"dtype": "bfloat16"}, FUSED, False),
        ((4096, 512), {"renorm": True}, FUSED, True),
        ((2048, 512), {"renorm": True}, COMPOSED, False),
        ((4096, 512), {"renorm": True, "virtual_batch_size": 64}, COMPOSED, False),
        ((64, 256, 100), {"axis": 1}, COMPOSED, False),
        ((64, 14, 14, 128), {"virtual_batch_size": 16}, FUSED, False),
    ],
)
def test_elsewhere_the_ops_own_gradient_is_avoided(
    shape: Any, options: Any, kernel: Any, by_hand: bool
) -> None:
    choice = _choice(shape, quick=False, **options)

    assert (choice.kernel, choice.gradient_by_hand) == (kernel, by_hand)
    assert choice.inference is (FUSED if options.get("dtype") == "bfloat16" else COMPOSED)


@pytest.mark.parametrize(
    ("shape", "options", "training", "inference"),
    [
        ((4096, 512), {}, FUSED, FUSED),
        ((4096, 516), {}, FUSED, FUSED),
        ((None, 1020), {}, FUSED, FUSED),
        # Several rows side by side.
        ((4096, 513), {}, FUSED, FUSED),
        ((4095, 513), {}, COMPOSED, COMPOSED),
        ((None, 1023), {}, COMPOSED, COMPOSED),
        ((4096, 520), {"dtype": "bfloat16"}, COMPOSED, COMPOSED),
        ((4096, 528), {"dtype": "bfloat16"}, FUSED, FUSED),
        ((4096, 513), {"dtype": "float16"}, FUSED, FUSED),
        ((4096, 513), {"virtual_batch_size": 1024}, FUSED, FUSED),
        ((4096, 513), {"virtual_batch_size": 2048}, COMPOSED, FUSED),
    ],
)
def test_onednn_wants_whole_vectors_of_channels(
    shape: Any, options: Any, training: Any, inference: Any
) -> None:
    choice = _choice(shape, vectors=True, **options)

    assert (choice.kernel, choice.inference) == (training, inference)
    assert "the fused op would be slower" in choice.reason or training is FUSED
    assert _choice(shape, vectors=True, fused=True, **options).kernel is FUSED
