"""Every combination of what a call can be, and few that hold every pair of them.

`python -m tests.properties.combinations` runs those few; `--full` all, which takes a quarter of an
hour; `--large` a choice of sizes beyond the thresholds of the kernel choice. Prints how many were
built and run, and what failed; exit code 0 only if nothing did.
"""

from __future__ import annotations

import argparse
import collections
import functools
import itertools
import sys
from typing import Any, Iterable, Iterator, NamedTuple, Sequence

from tests.conftest import make_session
from tests.forced_kernel import KERNELS, forced
from tests.properties.combination import (
    BUILT,
    FEATURES,
    MEASURED,
    Combination,
    failures_of,
    layer_features_of,
    plain_session,
    tf,
)
from tf1_bn._src.plan.geometry import geometry_of
from tf1_bn._src.plan.kernel_choice import KernelChoice, choose_kernel
from tf1_bn._src.plan.spec import BatchNormSpec
from tf1_bn._src.runtime.tensorflow_v1 import machine

RANKS = (1, 2, 3, 4, 5)
UNKNOWN = ("nothing", "batch", "batch and one more", "all but channels")
DOMAINS: dict = {
    "axes": [
        (rank, axes)
        for rank in RANKS
        for count in (1, 2)
        for axes in itertools.combinations(range(rank), count)
    ],
    "feature": list(FEATURES),
    "dtype": ["float16", "bfloat16", "float32", "float64"],
    "unknown": list(UNKNOWN),
    "phase": [True, False, "placeholder", None],
    "fused": [None, True, False],
    "kernel": ["", *KERNELS],
}

# Of renorm without bounds the pairs are those of renorm with them.
PAIRED = {**DOMAINS, "feature": [name for name in FEATURES if name != "renorm"]}


def unknown_axes(rank: int, axes: tuple, unknown: str) -> tuple:
    """Axis 0 holds no batch where it holds channels."""
    open_axes = tuple(axis for axis in range(rank) if axis not in axes)
    if unknown == "nothing":
        return ()
    if unknown == "all but channels":
        return open_axes
    if 0 in axes:
        return open_axes[:1] if unknown == "batch and one more" else ()
    return open_axes[: 1 if unknown == "batch" else 2]


def exists(values: dict) -> bool:
    """Whether values may stand in one combination, and mean something new there."""
    if "axes" not in values:
        return True
    rank, axes = values["axes"]
    if "unknown" in values:
        found = unknown_axes(rank, axes, values["unknown"])
        before = UNKNOWN[: UNKNOWN.index(values["unknown"])]
        if any(unknown_axes(rank, axes, unknown) == found for unknown in before):
            return False
    if "feature" in values and FEATURES[values["feature"]].by_contrib:
        # Contrib knows the last axis and axis 1 alone.
        return rank > 1 and axes in ((1,), (rank - 1,))
    return True


def is_computed(values: dict) -> bool:
    """Whether none of these values is refused beside another."""
    feature = FEATURES[values.get("feature", "plain")]
    if feature.way and "phase" in values and values["phase"] is None:
        return False
    if feature.ghosts and "axes" in values:
        _, axes = values["axes"]
        return 0 not in axes and axes != (2, 4)
    return True


def _made(values: dict) -> Combination:
    rank, axes = values["axes"]
    return Combination(
        axes,
        BUILT[:rank],
        unknown_axes(rank, axes, values["unknown"]),
        *(values[key] for key in ("dtype", "phase", "fused", "feature", "kernel")),
    )


def all_combinations() -> Iterator[Combination]:
    names = list(DOMAINS)
    for chosen in itertools.product(*DOMAINS.values()):
        values = dict(zip(names, chosen))
        if exists(values):
            yield _made(values)


def pairwise() -> list:
    """Combinations that hold every pair of values that may stand together, chosen greedily."""
    left = {
        (one, first, other, second): None
        for one, other in itertools.combinations(DOMAINS, 2)
        for first in PAIRED[one]
        for second in PAIRED[other]
        if _fits({one: first, other: second})
    }
    found = []
    while left:
        one, first, other, second = next(iter(left))
        values = {one: first, other: second}
        for name in DOMAINS:
            if name not in values:
                values[name] = _best(name, values, left)
        for pair in _pairs(values):
            left.pop(pair, None)
        found.append(_made(values))
    return found


def _best(name: str, values: dict, left: dict) -> Any:
    """The value that holds the most pairs that are left with those chosen; the first of equals."""

    def gain(value: Any) -> int:
        return sum(pair in left for pair in _pairs({**values, name: value}))

    allowed = [value for value in PAIRED[name] if _fits({**values, name: value})]
    # Turned by how much is left, so that equals take turns.
    turn = len(left) % len(allowed)
    return max(allowed[turn:] + allowed[:turn], key=gain)


def _fits(values: dict) -> bool:
    return exists(values) and is_computed(values)


def _pairs(values: dict) -> Iterable:
    ordered = [(name, values[name]) for name in DOMAINS if name in values]
    return ((*one, *other) for one, other in itertools.combinations(ordered, 2))


def graph_of(combination: Combination) -> tuple:
    """What tells its graph from others: the choice of the kernel, in place of what led to it.

    `fused` and the forced kernel reach nothing else; no phase is a phase decided by a tensor.
    """
    by_contrib = combination.fused is not False if combination.asked.by_contrib else None
    phase = "placeholder" if combination.phase is None else combination.phase
    choice = _choice_of(combination._replace(phase=True))
    return (*combination._replace(fused=by_contrib, kernel="", phase=phase), choice)


@functools.lru_cache(maxsize=None)
def _choice_of(combination: Combination) -> KernelChoice:
    features = layer_features_of(combination)
    spec = BatchNormSpec(axis=list(combination.axes), fused=combination.fused, **features)
    geometry = geometry_of(spec, combination.known, combination.dtype)
    with forced(combination.kernel):
        return choose_kernel(spec, geometry, machine())._replace(reason="")


# Beyond each threshold of the kernel choice, known and unknown, and more values in a channel than
# float16 has a number for.
LARGE = [
    ((1,), (70003, 3), "plain"),
    ((1,), (70003, 3), "contrib"),
    ((2,), (7001, 11, 3), "plain"),
    # 1.1 M elements: PLAIN_TRAINING; 70 003 values a channel.
    ((1,), (70003, 16), "plain"),
    ((1,), (70003, 16), "contrib"),
    # 2.1 M: PLAIN_RENORM.
    ((1,), (70003, 30), "renorm"),
    ((1,), (70003, 30), "renorm, clipped"),
    # 105 000: QUICK_TRAINING; 210 000: QUICK_INFERENCE.
    ((1,), (1010, 104), "plain"),
    ((2,), (67, 49, 64), "adjusted"),
    ((2,), (67, 49, 64), "contrib, in place"),
    ((4,), (29, 7, 9, 5, 48), "plain"),
    # GHOST_TRAINING and GHOST_SLICE: in rows, one by one and moved.
    ((1,), (70002, 16), "ghosts"),
    ((3,), (6, 97, 89, 16), "ghosts"),
    ((1,), (6, 16, 97, 89), "renorm of ghosts"),
    ((3,), (84, 31, 29, 4), "ghosts"),
    # Columns, and channels moved to the end.
    ((1,), (2060, 513), "plain"),
    ((1, 3), (67, 6, 65, 10), "plain"),
    ((1,), (33, 65, 61), "plain"),
    # The fused kernel of TF 1.15.
    ((3,), (53, 37, 41, 3), "plain"),
    ((1,), (53, 3, 37, 41), "contrib"),
    ((0,), (3, 70003), "plain"),
]


def large_combinations() -> Iterator[Combination]:
    for axes, sizes, feature in LARGE:
        batch = (0,) if 0 not in axes else (1,)
        for dtype, unknown, phase in itertools.product(
            DOMAINS["dtype"], ((), batch), (True, "placeholder")
        ):
            for fused in (None, True):
                yield Combination(axes, sizes, unknown, dtype, phase, fused, feature, fed=sizes)


class Tally(NamedTuple):
    """How many there are, and what is wrong with some."""

    combinations: int
    refused: int
    graphs: int
    failed: dict


def run(
    combinations: Iterable[Combination],
    session_on: Any = make_session,
    part: int = 0,
    parts: int = 1,
) -> Tally:
    """Every combination; those of one graph are built and run once."""
    groups: dict = {}
    refused = 0
    for combination in combinations:
        refused += combination.refusal is not None
        key: tuple = combination._replace(fused=None, kernel="")
        if combination.refusal is None:
            key = graph_of(combination)
        groups.setdefault(key, []).append(combination)
    failed: dict = {}
    mine = list(groups.values())[part::parts]
    for index, group in enumerate(mine):
        problems = failures_of(group[0], session_on)
        if problems:
            failed.update(dict.fromkeys(group, problems))
        if index % 500 == 499:
            print(f"{index + 1} of {len(mine)} graphs, {len(failed)} failed", flush=True)
    return Tally(sum(map(len, mine)), refused, len(mine), failed)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.properties.combinations", description=__doc__
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--full", action="store_true", help="all combinations of small sizes")
    kind.add_argument("--large", action="store_true", help="large sizes, as the package chooses")
    parser.add_argument("--part", default="1/1", help="1/2 and 2/2 share the work among processes")
    options = parser.parse_args(argv)
    part, parts = (int(each) for each in options.part.split("/"))
    chosen = large_combinations() if options.large else pairwise()
    session_on = make_session
    if options.full:
        chosen, session_on = all_combinations(), plain_session
    tally = run(chosen, session_on, part - 1, parts)
    for problem, found in _by_problem(tally.failed).items():
        print(f"{len(found)} x {problem}\n    {found[0]}")
    for key, error in sorted(MEASURED.items()):
        print(f"greatest error: {' '.join(key)} {error:.2g}")
    print(
        f"TensorFlow {tf.__version__}: {tally.combinations} combinations, {tally.graphs} graphs "
        f"built and run, {len(tally.failed)} combinations failed"
    )
    return 1 if tally.failed else 0


def _by_problem(failed: dict) -> dict:
    found: dict = collections.defaultdict(list)
    for combination, problems in failed.items():
        found[problems[0]].append(combination)
    return found


if __name__ == "__main__":
    sys.exit(main())
