"""Which axes fold to rows for the fused op, and how."""

from __future__ import annotations

from typing import Any

import pytest

from tf1_bn._src.plan.costs import Costs, Machine
from tf1_bn._src.plan.geometry import geometry_of
from tf1_bn._src.plan.row_layout import Fold, column_fold, inference_fold, row_fold, rows_shape
from tf1_bn._src.plan.spec import BatchNormSpec

# An op that takes any number of channels, and one that wants fours and has at least six rows.
COSTS = Costs(ghost_slices=4, ghost_slice=100, column_rows=6)
ANY = Machine(quick=False, costs=COSTS)
FOURS = Machine(vectors=True, costs=COSTS)


def _rows(shape: Any, machine: Machine = ANY, **options: Any) -> Any:
    spec = BatchNormSpec(**options)
    geometry = geometry_of(spec, shape, "float32")
    return _without_reason(row_fold(geometry, spec.virtual_batch_size, machine))


def _in_inference(shape: Any, dtype: str = "float32", **options: Any) -> Any:
    geometry = geometry_of(BatchNormSpec(**options), shape, dtype)
    return _without_reason(inference_fold(geometry, FOURS))


def _columns(shape: Any, costs: Costs, **options: Any) -> Any:
    geometry = geometry_of(BatchNormSpec(**options), shape, "float32")
    return _without_reason(column_fold(geometry, costs))


def _without_reason(fold: Any) -> Any:
    return fold if fold is None else fold._replace(reason="")


@pytest.mark.parametrize(
    ("shape", "axis", "fold"),
    [
        ((7, 5), -1, Fold(5)),
        ((None, None, 5), -1, Fold(5)),
        ((2, 3, 4, 6, 5), 4, Fold(5)),
        ((7, 3, 5), 1, Fold(3, after=5, transposed=True)),
        ((None, 3, 2, 6), 1, Fold(3, after=12, transposed=True)),
        ((7, 3, 5), 0, Fold(7, after=15, transposed=True, slow=True)),
        ((7, 3, 5), [1, 2], Fold(15)),
        ((7, 3, 2, 5), [2, 1], Fold(6, after=5, transposed=True)),
        ((7, 3, 1, 5), [1, 3], Fold(15)),
        ((7, 5, 1, 1), 1, Fold(5)),
        ((7, 3, 1), [2], Fold(1)),
        ((7, 3, 2, 5), [1, 3], None),
        ((7, 3, None, 5), [1, 3], None),
        ((7, 3, None), 1, None),
        ((7, 3, 0), 1, None),
        ((7, 0), 1, None),
    ],
)
def test_a_block_of_channel_axes_folds(shape: Any, axis: Any, fold: Any) -> None:
    assert _rows(shape, axis=axis) == fold


@pytest.mark.parametrize(
    ("shape", "axis", "fold"),
    [
        ((8, 5), -1, Fold(5, ghosts=True)),
        ((None, 5), -1, Fold(5, ghosts=True)),
        ((8, 3, 5), [1, 2], Fold(15, ghosts=True)),
        ((8, 10, 7), -1, Fold(7, between=10, ghosts=True, slices=4)),
        ((8, 7, 7), -1, Fold(7, between=7, ghosts=True, transposed=True)),
        ((10, 10, 7), -1, Fold(7, between=10, ghosts=True, transposed=True)),
        ((None, 10, 7), -1, Fold(7, between=10, ghosts=True, transposed=True)),
        ((8, 7, 10), 1, Fold(7, after=10, ghosts=True, transposed=True)),
        ((8, None, 7), -1, None),
    ],
)
def test_ghosts_become_channels_or_are_cut_out(shape: Any, axis: Any, fold: Any) -> None:
    assert _rows(shape, axis=axis, virtual_batch_size=2) == fold


@pytest.mark.parametrize(
    ("shape", "axis", "fold"),
    [
        ((7, 12), -1, Fold(12)),
        # As many rows beside each other as make fours, sixteens if they can, and 256 columns.
        ((1200, 50), -1, Fold(50, columns=(8, 50), spread=(1, 50))),
        ((1020, 50), -1, Fold(50, columns=(6, 50), spread=(1, 50))),
        ((14, 50), -1, Fold(50, columns=(2, 50), spread=(1, 50))),
        ((6, 8, 50), -1, Fold(50, columns=(8, 50), spread=(1, 50))),
        ((None, 20, 50), -1, Fold(50, columns=(10, 50), spread=(1, 50))),
        # Too few rows, none that make fours, no known ones.
        ((4, 50), -1, Fold(50, slow=True)),
        ((1021, 50), -1, Fold(50, slow=True)),
        ((None, 50), -1, Fold(50, slow=True)),
        ((1200, 1), -1, Fold(1, slow=True)),
        # Everything behind the first channel axis.
        ((16, 12, 20), 1, Fold(12, columns=(2, 12, 20), spread=(1, 12, 1))),
        ((7, 12, 20), 1, Fold(12, columns=(12, 20), spread=(12, 1))),
        ((16, 3, 20, 5), [1, 3], Fold(15, columns=(3, 20, 5), spread=(3, 1, 5))),
        ((None, 3, 1, 20, 5), [4, 1], Fold(15, columns=(3, 1, 20, 5), spread=(3, 1, 1, 5))),
        ((5, 12, 20), 1, Fold(12, after=20, transposed=True)),
        ((5, 11, 20), 1, Fold(11, after=20, transposed=True, slow=True)),
        ((16, 12, 20), 0, Fold(16, after=240, transposed=True, slow=True)),
    ],
)
def test_an_op_that_wants_vectors_gets_columns_in_inference(
    shape: Any, axis: Any, fold: Any
) -> None:
    assert _in_inference(shape, axis=axis) == fold


def test_the_op_has_no_columns_of_half_precision() -> None:
    assert _in_inference((1200, 50), "bfloat16") == Fold(50, slow=True)
    assert _in_inference((16, 3, 20, 5), "float16", axis=[1, 3]) is None


@pytest.mark.parametrize(
    ("shape", "axis", "fold"),
    [
        # Sixteens are preferred, then as many as 100 columns, then few rows beside each other.
        ((1200, 50), -1, Fold(50, columns=(8, 50), spread=(1, 50))),
        ((1020, 33), -1, Fold(33, columns=(4, 33), spread=(1, 33))),
        ((1021, 33), -1, Fold(33, columns=(33,), spread=(33,))),
        ((None, 20, 33), -1, Fold(33, columns=(4, 33), spread=(1, 33))),
        ((7, 3, 2, 5), [1, 3], Fold(15, columns=(3, 2, 5), spread=(3, 1, 5))),
        ((None, 3, 2, 5), [3, 1], Fold(15, columns=(3, 2, 5), spread=(3, 1, 5))),
        ((3, 5, 11, 3), [1, 3], Fold(15, columns=(5, 11, 3), spread=(5, 1, 3), slow=True)),
        ((7, 3, 13, 5), 1, Fold(3, columns=(3, 13, 5), spread=(3, 1, 1))),
        ((7, 3, None, 5), [1, 3], None),
        ((7, 1, 13), 1, None),
        ((7, 0, 13), 1, None),
    ],
)
def test_elementary_ops_get_columns_of_any_number(shape: Any, axis: Any, fold: Any) -> None:
    assert _columns(shape, Costs(column_rows=6, column_width=100), axis=axis) == fold


@pytest.mark.parametrize(
    ("shape", "fold"),
    [
        ((8, 5), Fold(5, ghosts=True)),
        ((6, 5), Fold(5, ghosts=True, slow=True)),
        ((None, 5), Fold(5, ghosts=True, slow=True)),
        ((8, 10, 8), Fold(8, between=10, ghosts=True, slices=4)),
        ((8, 10, 7), Fold(7, between=10, ghosts=True, transposed=True)),
        ((6, 10, 7), Fold(7, between=10, ghosts=True, transposed=True, slow=True)),
    ],
)
def test_ghosts_beside_each_other_may_make_vectors(shape: Any, fold: Any) -> None:
    assert _rows(shape, FOURS, virtual_batch_size=2) == fold


def test_the_width_of_a_row_is_what_the_op_takes_for_channels() -> None:
    assert (_rows((7, 12)).width, _columns((7, 12, 20), COSTS, axis=1).width) == (12, 240)


@pytest.mark.parametrize(
    ("shape", "width", "rows"),
    [
        ((4096, 512), 512, [256, 16, 1, 512]),
        ((256, 1024), 1024, [128, 2, 1, 1024]),
        ((30, 7, 5), 5, [105, 2, 1, 5]),
        # Nothing that divides is of use.
        ((1031, 5), 5, [1031, 1, 1, 5]),
        ((30, 5), 5, [30, 1, 1, 5]),
        ((0, 5), 5, [0, 1, 1, 5]),
        # Columns of four rows.
        ((512, 50), 200, [64, 2, 1, 200]),
        ((None, 50), 50, [-1, 1, 1, 50]),
        ((None, 20, 50), 50, [-1, 20, 1, 50]),
        ((None, 20, 50), 500, [-1, 2, 1, 500]),
        ((None, 20, 50), 250, [-1, 4, 1, 250]),
        ((20, None, None, 50), 50, [-1, 20, 1, 50]),
    ],
)
def test_rows_lie_on_two_axes(shape: Any, width: int, rows: Any) -> None:
    assert rows_shape(shape, width) == rows
