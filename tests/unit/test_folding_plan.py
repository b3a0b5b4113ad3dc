"""Which axes fold to rows for the fused op, and how."""

from __future__ import annotations

from typing import Any

import pytest

from tf1_bn.folding_plan import Fold, fold_of
from tf1_bn.geometry import geometry_of
from tf1_bn.spec import BatchNormSpec


def _fold(shape: Any, **options: Any) -> Any:
    spec = BatchNormSpec(**options)
    fold = fold_of(geometry_of(spec, shape, "float32"), spec.virtual_batch_size, 4, 100)
    return fold if fold is None else fold._replace(reason="")


@pytest.mark.parametrize(
    ("shape", "axis", "fold"),
    [
        ((7, 5), -1, Fold(5)),
        ((None, None, 5), -1, Fold(5)),
        ((2, 3, 4, 6, 5), 4, Fold(5)),
        ((7, 3, 5), 1, Fold(3, after=5, transposed=True)),
        ((None, 3, 2, 6), 1, Fold(3, after=12, transposed=True)),
        ((7, 3, 5), 0, Fold(7, after=15, transposed=True)),
        ((7, 3, 5), [1, 2], Fold(15)),
        ((7, 3, 2, 5), [2, 1], Fold(6, after=5, transposed=True)),
        ((7, 3, 1, 5), [1, 3], Fold(15)),
        ((7, 5, 1, 1), 1, Fold(5)),
        ((7, 3, 1), [2], Fold(1)),
        ((7, 3, 2, 5), [1, 3], None),
        ((7, 3, None), 1, None),
        ((7, 3, 0), 1, None),
        ((7, 0), 1, None),
    ],
)
def test_a_block_of_channel_axes_folds(shape: Any, axis: Any, fold: Any) -> None:
    assert _fold(shape, axis=axis) == fold


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
    assert _fold(shape, axis=axis, virtual_batch_size=2) == fold
