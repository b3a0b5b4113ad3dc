"""Axes and shapes from a spec and a static shape; expected values are those TF 1.15.5 shows."""

from __future__ import annotations

from typing import Any

import pytest

from tf1_bn._src.plan.geometry import check_ghost_batches, check_same_layer, geometry_of
from tf1_bn._src.plan.spec import BatchNormSpec

SHAPES = [
    # shape, axis, virtual_batch_size -> channel axes, parameter shape, broadcast shape, reduced
    ((7, 5), -1, None, (1,), (5,), (1, 5), (0,)),
    ((7, 5), 0, None, (0,), (7,), (7, 1), (1,)),
    ((None, 3, 5), -2, None, (1,), (3,), (1, 3, 1), (0, 2)),
    ((4, 3, 2, 5), 1, None, (1,), (3,), (1, 3, 1, 1), (0, 2, 3)),
    ((4, 3, 2, 5), [3], None, (3,), (5,), (1, 1, 1, 5), (0, 1, 2)),
    ((3, 4, 6, 5), [1, 3], None, (1, 3), (1, 4, 1, 5), (1, 4, 1, 5), (0, 2)),
    ((3, 4, 6, 5), [-1, 1], None, (3, 1), (1, 4, 1, 5), (1, 4, 1, 5), (0, 2)),
    ((3, 4), [0, 1], None, (0, 1), (3, 4), (3, 4), ()),
    ((8, 5), -1, 4, (1,), (1, 1, 5), (1, 5), (0,)),
    ((4, 3, 2, 5), [1, 3], 2, (1, 3), (1, 1, 3, 1, 5), (1, 3, 1, 5), (0, 2)),
]


@pytest.mark.parametrize(
    ("shape", "axis", "ghost", "channels", "param", "broadcast", "reduced"), SHAPES
)
def test_shapes_follow_the_axes(
    shape: Any, axis: Any, ghost: Any, channels: Any, param: Any, broadcast: Any, reduced: Any
) -> None:
    spec = BatchNormSpec(axis=axis, virtual_batch_size=ghost)

    found = geometry_of(spec, shape, "float32")

    assert found.channel_axes == channels
    assert found.param_shape == param
    assert found.broadcast_shape == broadcast
    assert found.reduction_axes == reduced


def test_ghost_batches_are_reduced_over_rows_and_space_but_not_over_ghosts() -> None:
    found = geometry_of(BatchNormSpec(virtual_batch_size=2), (6, 3, 4, 5), "float32")

    assert found.ghost_reduction_axes == (0, 2, 3)


@pytest.mark.parametrize(
    ("shape", "count"), [((7, 5), 7), ((4, 3, 2, 5), 24), ((None, 5), None), ((0, 5), 0)]
)
def test_the_count_of_reduced_values_is_known_or_none(shape: Any, count: Any) -> None:
    assert geometry_of(BatchNormSpec(), shape, "float32").static_count == count


@pytest.mark.parametrize(
    ("dtype", "layer_dtype", "param"),
    [
        ("float16", None, "float32"),
        ("bfloat16", None, "float32"),
        ("float32", None, "float32"),
        ("float64", None, "float64"),
        ("float32", "float64", "float64"),
        ("float32", "float16", "float32"),
    ],
)
def test_parameters_are_never_half_precision(dtype: str, layer_dtype: Any, param: str) -> None:
    assert geometry_of(BatchNormSpec(), (3, 4), dtype, layer_dtype).param_dtype == param


@pytest.mark.parametrize(
    ("shape", "dtype", "arguments", "error", "says"),
    [
        (None, "float32", {}, ValueError, ("inputs", "unknown")),
        ((), "float32", {}, ValueError, ("inputs", "[]")),
        ((3, None), "float32", {}, ValueError, ("axis", "[3, None]")),
        ((3, 4), "int32", {}, TypeError, ("inputs", "int32", "float32")),
        ((3, 4), "bool", {}, TypeError, ("inputs", "bool")),
        ((3, 4), "string", {}, TypeError, ("inputs", "string")),
        ((3, 4), "float32", {"axis": 2}, ValueError, ("Invalid axis: 2", "[-2, 2)")),
        ((3, 4), "float32", {"axis": -3}, ValueError, ("Invalid axis: -3", "[3, 4]")),
        ((3, 4), "float32", {"axis": [1, -1]}, ValueError, ("Duplicate axis: [1, 1]",)),
        (
            (4, 3),
            "float32",
            {"axis": 0, "virtual_batch_size": 2},
            ValueError,
            ("virtual_batch_size", "axis", "(got 0)"),
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    shape: Any, dtype: str, arguments: Any, error: type, says: tuple[str, ...]
) -> None:
    with pytest.raises(error) as raised:
        geometry_of(BatchNormSpec(**arguments), shape, dtype)

    assert [text for text in says if text not in str(raised.value)] == []


def test_a_known_batch_must_divide_into_ghosts() -> None:
    spec = BatchNormSpec(virtual_batch_size=4)

    with pytest.raises(ValueError, match=r"virtual_batch_size.*batch size 6 .*got 4"):
        check_ghost_batches(spec, geometry_of(spec, (6, 3), "float32"))
    check_ghost_batches(spec, geometry_of(spec, (8, 3), "float32"))
    check_ghost_batches(spec, geometry_of(spec, (None, 3), "float32"))


def test_a_later_call_must_have_the_rank_and_channels_of_the_first() -> None:
    built = geometry_of(BatchNormSpec(), (7, 5), "float32")

    with pytest.raises(ValueError, match="expected ndim=2, found ndim=3"):
        check_same_layer(built, geometry_of(BatchNormSpec(), (7, 2, 5), "float32"), "q")
    with pytest.raises(ValueError, match="expected axis 1 of input shape to have value 5"):
        check_same_layer(built, geometry_of(BatchNormSpec(), (7, 6), "float32"), "q")
    check_same_layer(built, geometry_of(BatchNormSpec(), (None, 5), "float32"), "q")
