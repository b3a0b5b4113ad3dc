"""`python -m tests.benchmarks.kernel_rule`: from how many elements on the fused kernel pays.

The fused op has a fixed cost, with oneDNN 0.1 to 0.5 ms, and then costs less per element. So the
rule is one number of elements per phase. It is chosen over a grid of (rows, channels) with the
least mean loss: the logarithm of how much slower the rule's kernel is than the better one.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import math
import os
import sys
from typing import Callable, Mapping, NamedTuple, Sequence

from tests.benchmarks.grid import Case, Phase

ROWS = (8, 32, 128, 512, 2048, 8192)
CHANNELS = (16, 64, 256, 1024)
MOST_ELEMENTS = 2**21
# The shape, axis and arguments that stand for `rows` times `channels` elements.
KINDS: Mapping[str, Callable[[int, int], Case]] = {
    "dense": lambda n, c: Case("dense", "", (n, c)),
    "sequence_first": lambda n, c: Case("sequence_first", "", (4, c, n // 4), axis=1),
    "ghost_dense": lambda n, c: Case("", "", (n, c), options={"virtual_batch_size": n // 4}),
    "ghost_conv": lambda n, c: Case("", "", (8, n // 8, c), options={"virtual_batch_size": 2}),
    "renorm": lambda n, c: Case("renorm", "", (n, c), options={"renorm": True}),
}


class Point(NamedTuple):
    """One size, and how many times as long the composed kernel takes as the fused one."""

    rows: int
    channels: int
    composed_over_fused: float

    @property
    def elements(self) -> int:
        return self.rows * self.channels


class Rule(NamedTuple):
    """Fused from `least` elements on; the mean and the worst factor lost by that."""

    least: int
    mean_loss: float
    worst_loss: float


def sizes() -> list[tuple[int, int]]:
    return [(n, c) for n, c in itertools.product(ROWS, CHANNELS) if n * c <= MOST_ELEMENTS]


def best_rule(points: Sequence[Point]) -> Rule:
    """The threshold with the least mean loss; of equal ones the smallest."""
    thresholds = sorted({point.elements for point in points})
    thresholds.append(2 * thresholds[-1])
    return min((rule(points, least) for least in thresholds), key=lambda r: (r.mean_loss, r.least))


def rule(points: Sequence[Point], least: int) -> Rule:
    losses = [loss(point, point.elements >= least) for point in points]
    return Rule(least, math.exp(sum(losses) / len(losses)), math.exp(max(losses)))


def loss(point: Point, fused: bool) -> float:
    """Logarithm of the chosen kernel's time over the better one's."""
    gain = math.log(point.composed_over_fused)
    return max(0.0, -gain if fused else gain)


def measured(kind: str, phase: Phase, budget: float) -> list[Point]:
    """Times both kernels of this package at each size, in turns."""
    from tests.benchmarks import build, measure

    layer = build.our_layer()
    points = []
    for rows, channels in sizes():
        print(f"{kind} {phase.value} {rows}x{channels}", file=sys.stderr, flush=True)
        steps = {
            name: build.layer_step(forced(KINDS[kind](rows, channels), phase, fused), layer)
            for name, fused in (("fused", True), ("composed", False))
        }
        timing = measure.compare({name: step.run for name, step in steps.items()}, budget)
        for step in steps.values():
            step.close()
        points.append(Point(rows, channels, timing.ratios["composed"].median))
    return points


def forced(case: Case, phase: Phase, fused: bool) -> Case:
    """The case with one kernel in one phase, whatever its size."""
    return dataclasses.replace(case, phase=phase, options={**case.options, "fused": fused})


def table(points: Sequence[Point]) -> str:
    """Rows by channels, in it composed / fused: above 1 the fused kernel is faster."""
    by_size: Mapping[tuple[int, int], float] = {
        (point.rows, point.channels): point.composed_over_fused for point in points
    }
    cell: Callable[[int, int], str] = lambda n, c: (  # noqa: E731
        f"{by_size[n, c]:8.2f}" if (n, c) in by_size else " " * 8
    )
    lines = ["rows\\ch." + "".join(f"{c:8d}" for c in CHANNELS)]
    lines += [f"{n:8d}" + "".join(cell(n, c) for c in CHANNELS) for n in ROWS]
    return "\n".join(lines)


def report(kind: str, phase: Phase, points: Sequence[Point]) -> str:
    best = best_rule(points)
    always, never = rule(points, 0), rule(points, 2 * MOST_ELEMENTS)
    return (
        f"{kind}, {phase.value}\n{table(points)}\n"
        f"fused from {best.least} elements on: {_loss(best)}; "
        f"always fused: {_loss(always)}; never: {_loss(never)}\n"
    )


def _loss(found: Rule) -> str:
    mean, worst = (100 * (factor - 1) for factor in (found.mean_loss, found.worst_loss))
    return f"{mean:.1f} % slower than the better kernel on average, {worst:.0f} % at worst"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.kernel_rule")
    parser.add_argument("--kind", choices=sorted(KINDS), default="dense")
    parser.add_argument("--phase", choices=("train", "infer"), help="both unless given")
    parser.add_argument("--onednn", choices=("0", "1"), help="instead of TensorFlow's default")
    parser.add_argument("--quick", action="store_true", help="a third of the time, more noise")
    options = parser.parse_args(arguments)
    if options.onednn is not None:
        os.environ["TF_ENABLE_ONEDNN_OPTS"] = options.onednn
    from tests.benchmarks import build, measure

    build.use_graph_mode()
    measure.settle_allocator()
    print(
        f"TensorFlow {build.tensorflow_version()}: time composed / fused, above 1 fused is faster\n"
    )
    for phase in [Phase(options.phase)] if options.phase else [Phase.TRAIN, Phase.INFER]:
        points = measured(options.kind, phase, 0.3 if options.quick else 1.0)
        print(report(options.kind, phase, points), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
