"""Every pair of what a call can be, in few combinations, beside float64 NumPy.

The whole product, which takes a quarter of an hour: `python -m tests.properties.combinations
--full`.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.properties.combination import Combination, failures_of, plain_session, tf
from tests.properties.combinations import (
    DOMAINS,
    UNKNOWN,
    all_combinations,
    graph_of,
    large_combinations,
    pairwise,
    unknown_axes,
)

PAIRWISE = pairwise()
# A count of its own, so that no edit of the domains thins the product out without a word.
IN_ALL, REFUSED = 130_608, 13_536


def label(combination: Combination) -> str:
    sizes = "x".join("?" if size is None else str(size) for size in combination.known)
    axes = " and ".join(map(str, combination.axes))
    words = (combination.dtype, sizes, "axis", axes, combination.feature, combination.phase)
    forced = f"forced {combination.kernel}" if combination.kernel else ""
    return " ".join(map(str, (*words, f"fused={combination.fused}", forced))).strip()


@pytest.mark.parametrize("combination", PAIRWISE, ids=label)
def test_each_pair_of_choices_gives_the_numbers_of_float64(combination: Combination) -> None:
    assert failures_of(combination, plain_session) == []


def test_the_selection_holds_each_pair_of_the_product() -> None:
    def pairs(combination: Combination) -> list:
        rank, axes = len(combination.sizes), combination.axes
        unknown = [unknown_axes(rank, axes, each) for each in UNKNOWN].index(combination.unknown)
        values = ((rank, axes), unknown, *combination[3:8])
        return list(itertools.combinations(enumerate(values), 2))

    held = {pair for combination in PAIRWISE for pair in pairs(combination)}
    count = refused = 0
    for combination in all_combinations():
        count += 1
        if combination.refusal is not None:
            refused += 1
        # Others have the same pairs.
        elif combination.feature == "renorm" or count % 7:
            continue
        elif combination.refusal_in_training is None:
            assert held.issuperset(pairs(combination)), combination

    assert (count, refused) == (IN_ALL, REFUSED)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_more_values_than_float16_can_count(dtype: str) -> None:
    """By the kernel of the package's choice and by the fused one, batch unknown."""
    found = {}
    for combination in large_combinations():
        *others, channels = combination.sizes
        many = channels == 3 and np.prod(others) > 65_504
        if many and combination.dtype == dtype and combination.unknown:
            found.setdefault(graph_of(combination), combination)
    assert len(found) >= 6
    for combination in found.values():
        assert failures_of(combination) == [], combination


@pytest.mark.parametrize("sizes", [(6, 5), (6, 3, 2, 5)], ids=str)
def test_bfloat16_keeps_its_gradient_through_a_conditional_of_contrib(sizes: tuple) -> None:
    """TF 1.15's `tf.cond` has none for it."""
    axes, feature = (len(sizes) - 1,), "contrib, in place"
    combination = Combination(axes, sizes, (0,), "bfloat16", "placeholder", None, feature)

    assert failures_of(combination) == []


@pytest.mark.parametrize("refused", ["ghosts without a batch", "no phase"])
def test_what_tf_1_15_refuses_is_refused_and_leaves_nothing(refused: str) -> None:
    axes, feature, phase = (0, 2), "ghosts", True
    if refused == "no phase":
        axes, feature, phase = (1,), "contrib, in place", None  # type: ignore[assignment]
    for dtype, fused in itertools.product(DOMAINS["dtype"], DOMAINS["fused"]):
        combination = Combination(axes, (6, 5, 4), (), dtype, phase, fused, feature)
        assert combination.refusal is ValueError
        assert failures_of(combination) == []
    assert not tf.global_variables()
