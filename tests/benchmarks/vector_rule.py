"""`python -m tests.benchmarks.vector_rule`: for which channels the fused op is quick, and columns.

With oneDNN the op has vector kernels for some numbers of channels, and for others takes many times
as long. Elementary ops, which serve what it does not, are quicker on rows of columns: every value
behind the first channel axis a column, or several rows side by side. This prints, for each dtype,
how the kernels compare by number of channels; how columns compare with the input as it is, by
number of rows and of elements; and the constants that follow.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, ContextManager, Mapping, Sequence

from tests.benchmarks.grid import Case, Phase
from tests.benchmarks.kernel_rule import Point, best_rule

CHANNELS = (50, 64, 100, 104, 130, 192, 250, 256, 257, 304, 496, 508, 512, 513, 516, 520, 528)
MULTIPLES = (1, 2, 4, 8, 16, 32)
DTYPES = ("float32", "bfloat16", "float16")
ROWS = (8, 16, 32, 64, 128, 256, 512)
ELEMENTS = 2**19
SIZES = (2**10, 2**12, 2**13, 2**14, 2**15, 2**16, 2**18)
IMAGES = (1, 2, 4, 8, 32, 128, 512)
# Channels in the middle, in fours and not, and channels on two axes apart.
COLUMNS: Mapping[str, tuple[tuple[int, ...], int | tuple[int, ...]]] = {
    "32 channels first": ((32,), 1),
    "30 channels first": ((30,), 1),
    "4 x 8 channels apart": ((4, 8), (1, 3)),
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


def columns_from(elements: float) -> ContextManager[None]:
    """Inside, elementary ops take columns from so many elements on, whatever the rows."""
    from tf1_bn._src.runtime.tensorflow_v1 import as_on, machine

    here = machine()
    costs = here.costs._replace(
        column_elements=elements, side_by_side_elements=elements, column_rows=1
    )
    return as_on(here._replace(costs=costs))


def times(case: Case, budget: float, kernels: Sequence[str]) -> dict[str, float]:
    """Seconds of a step by elementary ops, as it is or on columns, and by the op on rows."""
    from tests.benchmarks import build, measure

    steps = {}
    for name in kernels:
        with columns_from(0 if name == "columns" else float("inf")):
            options = {"fused": name == "rows"}
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
        found = times(case, budget, ("composed", "columns", "rows"))
        ratios[channels] = min(found["composed"], found["columns"]) / found["rows"]
    return ratios


def by_width(budget: float) -> list[Point]:
    """In inference the composed kernel's time over the op's, for ever fewer channels."""
    points = []
    for rows in ROWS:
        case = Case("", "", (rows, ELEMENTS // rows), phase=Phase.INFER)
        found = times(case, budget, ("composed", "rows"))
        points.append(Point(rows, 1, found["composed"] / found["rows"]))
    return points


def by_rows(kind: str, budget: float) -> list[Point]:
    """In training the time of the input as it is over that of columns, by number of rows."""
    behind, axis = COLUMNS[kind]
    points = []
    for rows in ROWS:
        print(f"{kind}, {rows} rows", file=sys.stderr, flush=True)
        points.append(_compared(_shape(rows, behind, axis, ELEMENTS), axis, rows, budget))
    return points


def by_elements(kind: str, budget: float) -> list[Point]:
    """The same by number of elements, of 64 rows; channels that are last lie side by side."""
    behind, axis = COLUMNS.get(kind, ((16,), -1))
    points = []
    for elements in SIZES:
        print(f"{kind}, {elements} elements", file=sys.stderr, flush=True)
        last = (elements // 16, 16)
        shape = last if axis == -1 else _shape(64, behind, axis, elements)
        points.append(_compared(shape, axis, elements, budget))
    return points


def _shape(rows: int, behind: tuple[int, ...], axis: Any, elements: int) -> tuple[int, ...]:
    between = max(1, elements // rows)
    for size in behind:
        between = max(1, between // size)
    return (rows, *behind, between) if axis == 1 else (rows, behind[0], between, behind[-1])


def _compared(shape: tuple[int, ...], axis: Any, size: int, budget: float) -> Point:
    found = times(Case("", "", shape, axis=axis), budget, ("columns", "composed"))
    return Point(size, 1, found["composed"] / found["columns"])


def by_image_elements(phase: Phase, budget: float) -> list[Point]:
    """The op's time on images of 50 channels over that of what stands in for it."""
    from tests.benchmarks import build, measure
    from tf1_bn._src.runtime.tensorflow_v1 import as_on, machine

    points = []
    for batch in IMAGES:
        case = Case("", "", (batch, 7, 7, 50), phase=phase)
        steps = {}
        for name, least in (("op", float("inf")), ("others", 0)):
            costs = machine().costs._replace(odd_images=least)
            with as_on(machine()._replace(vectors=True, costs=costs)):
                steps[name] = build.layer_step(case, build.our_layer())
        found = measure.compare({name: step.run for name, step in steps.items()}, budget).seconds
        for step in steps.values():
            step.close()
        points.append(Point(batch * 7 * 7, 50, found["op"] / found["others"]))
    return points


def start(rule: str, arguments: Sequence[str] | None) -> float:
    """Reads a rule's command line and prepares TensorFlow; returns the seconds for each case."""
    from tests.benchmarks import build, measure

    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks.{rule}")
    parser.add_argument("--quick", action="store_true", help="a third of the time, more noise")
    budget = 0.3 if parser.parse_args(arguments).quick else 0.9
    build.use_graph_mode()
    measure.settle_allocator()
    return budget


def main(arguments: Sequence[str] | None = None) -> int:
    from tests.benchmarks import build

    budget = start("vector_rule", arguments)
    print(f"TensorFlow {build.tensorflow_version()}, {ELEMENTS} elements\n")
    print("time of the composed kernel / the fused op on rows, by number of channels")
    for dtype in DTYPES:
        for phase in (Phase.TRAIN, Phase.INFER):
            ratios = by_channels(dtype, phase, budget)
            print(f"{dtype}, {phase.value}: {listed(ratios)}")
            print(f"  quick for multiples of {smallest_multiple(ratios)}", flush=True)
    print("\ntime of the op on images of 50 channels / what stands in for it, by their elements")
    for phase in (Phase.TRAIN, Phase.INFER):
        points = by_image_elements(phase, budget)
        ratios = {point.elements: point.composed_over_fused for point in points}
        print(f"float32, {phase.value}: {listed(ratios)}")
        print(f"  others from {best_rule(points).least} elements on", flush=True)
    points = by_width(budget)
    print(f"\nthe same in inference, by number of rows\nfloat32: {listed(_by_rows(points))}")
    print(f"  quick from {best_rule(points).least} rows on", flush=True)
    print("\ntime of elementary ops on the input as it is / on columns, by number of rows")
    for kind in COLUMNS:
        points = by_rows(kind, budget)
        print(f"{kind}: {listed(_by_rows(points))}")
        print(f"  columns from {best_rule(points).least} rows on", flush=True)
    print("\nthe same by number of elements")
    for kind in (*COLUMNS, "16 channels last"):
        points = by_elements(kind, budget)
        print(f"{kind}: {listed(_by_rows(points))}")
        print(f"  columns from {best_rule(points).least} elements on", flush=True)
    return 0


def _by_rows(points: Sequence[Point]) -> dict[int, float]:
    return {point.rows: point.composed_over_fused for point in points}


def listed(ratios: Mapping[Any, float]) -> str:
    return ", ".join(f"{key}: {ratio:.2f}" for key, ratio in ratios.items())


if __name__ == "__main__":
    raise SystemExit(main())
