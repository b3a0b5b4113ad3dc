"""`python -m tests.benchmarks.vector_rule`: for which channels the fused op is quick, and columns.

With oneDNN the op has vector kernels for some numbers of channels, and for others takes many times
as long. What has other channels, or does not have them last, can be given to the op as columns.
This prints, for each dtype, how the kernels compare by number of channels, and by how many rows
columns compare with the best of the other kernels; and the constants that follow.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import Any, Iterator, Mapping, Sequence

from tests.benchmarks.grid import Case, Phase
from tests.benchmarks.kernel_rule import Point, best_rule

CHANNELS = (50, 64, 100, 104, 130, 192, 250, 256, 257, 304, 496, 508, 512, 513, 516, 520, 528)
MULTIPLES = (1, 2, 4, 8, 16, 32)
DTYPES = ("float32", "bfloat16", "float16")
ROWS = (8, 16, 32, 64, 128, 256, 512)
ELEMENTS = 2**19
# Channels in the middle, in fours and not, and channels on two axes apart.
COLUMNS: Mapping[str, tuple[tuple[int, ...], int | tuple[int, ...]]] = {
    "32 channels first": ((32,), 1),
    "30 channels first": ((30,), 1),
    "4 x 8 channels apart": ((4, 16, 8), (1, 3)),
}


def smallest_multiple(ratios: Mapping[int, float]) -> int | None:
    """The least of MULTIPLES all of whose multiples gain; None if none does.

    Args:
      ratios: the composed kernel's time over the fused one's, by number of channels.
    """
    for multiple in MULTIPLES:
        gains = [ratio > 1.0 for channels, ratio in ratios.items() if channels % multiple == 0]
        if gains and all(gains):
            return multiple
    return None


@contextlib.contextmanager
def folds(columns: bool) -> Iterator[None]:
    """Inside, `fused=True` takes columns wherever they are possible, or where nothing else is."""
    from tf1_bn import _compat, kernel_choice, layer

    kept = (layer.host, kernel_choice.COLUMN_ROWS)  # type: ignore[attr-defined]
    host = _compat.host()._replace(vectors=False, quick=True)
    layer.host = lambda: host  # type: ignore[attr-defined]
    kernel_choice.COLUMN_ROWS = 1 if columns else 2**62
    try:
        yield
    finally:
        layer.host, kernel_choice.COLUMN_ROWS = kept  # type: ignore[attr-defined]


def times(case: Case, budget: float, kernels: Sequence[str]) -> dict[str, float]:
    """Seconds of a step by the composed kernel, by the op on rows as they are, and by columns."""
    from tests.benchmarks import build, measure

    steps = {}
    for name in kernels:
        with folds(columns=name == "columns"):
            options = {"fused": name != "composed"}
            one = Case(case.name, "", case.shape, case.axis, case.dtype, case.phase, options)
            steps[name] = build.layer_step(one, build.our_layer())
    timing = measure.compare({name: step.run for name, step in steps.items()}, budget)
    for step in steps.values():
        step.close()
    return dict(timing.seconds)


def by_channels(dtype: str, phase: Phase, budget: float) -> dict[int, float]:
    ratios = {}
    for channels in CHANNELS:
        print(f"{dtype} {phase.value} {channels} channels", file=sys.stderr, flush=True)
        case = Case("", "", (ELEMENTS // channels, channels), dtype=dtype, phase=phase)
        found = times(case, budget, ("composed", "rows"))
        ratios[channels] = found["composed"] / found["rows"]
    return ratios


def by_width(budget: float) -> list[Point]:
    """In inference the composed kernel's time over the op's, for ever fewer channels."""
    points = []
    for rows in ROWS:
        case = Case("", "", (rows, ELEMENTS // rows), phase=Phase.INFER)
        found = times(case, budget, ("composed", "rows"))
        points.append(Point(rows, 1, found["composed"] / found["rows"]))
    return points


def by_rows(kind: str, phase: Phase, budget: float) -> list[Point]:
    """The best other kernel's time over that of columns."""
    behind, axis = COLUMNS[kind]
    width = 1
    for size in behind:
        width *= size
    points = []
    for rows in ROWS:
        print(f"{kind}, {phase.value}, {rows} rows", file=sys.stderr, flush=True)
        shape = (rows, *behind, ELEMENTS // (rows * width)) if axis == 1 else (rows, *behind)
        if axis != 1:
            shape = (rows, behind[0], ELEMENTS // (rows * width) * behind[1], behind[2])
        others = ("composed", "rows") if axis == 1 and phase.trains else ("composed",)
        case = Case("", "", shape, axis=axis, phase=phase)
        found = times(case, budget, ("columns", *others))
        columns = found.pop("columns")
        points.append(Point(rows, 1, min(found.values()) / columns))
    return points


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.vector_rule")
    parser.add_argument("--quick", action="store_true", help="a third of the time, more noise")
    budget = 0.3 if parser.parse_args(arguments).quick else 0.9
    from tests.benchmarks import build, measure

    build.use_graph_mode()
    measure.settle_allocator()
    print(f"TensorFlow {build.tensorflow_version()}, {ELEMENTS} elements\n")
    print("time of the composed kernel / the fused op on rows, by number of channels")
    for dtype in DTYPES:
        for phase in (Phase.TRAIN, Phase.INFER):
            ratios = by_channels(dtype, phase, budget)
            print(f"{dtype}, {phase.value}: {_listed(ratios)}")
            print(f"  quick for multiples of {smallest_multiple(ratios)}", flush=True)
    points = by_width(budget)
    print(f"\nthe same in inference, by number of rows\nfloat32: {_listed(_by_rows(points))}")
    print(f"  quick from {best_rule(points).least} rows on", flush=True)
    print("\ntime of the best other kernel / columns, by number of rows")
    for kind in COLUMNS:
        for phase in (Phase.TRAIN, Phase.INFER):
            points = by_rows(kind, phase, budget)
            print(f"{kind}, {phase.value}: {_listed(_by_rows(points))}")
            print(f"  columns from {best_rule(points).least} rows on", flush=True)
    return 0


def _by_rows(points: Sequence[Point]) -> dict[int, float]:
    return {point.rows: point.composed_over_fused for point in points}


def _listed(ratios: Mapping[Any, float]) -> str:
    return ", ".join(f"{key}: {ratio:.2f}" for key, ratio in ratios.items())


if __name__ == "__main__":
    raise SystemExit(main())
