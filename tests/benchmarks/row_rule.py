"""`python -m tests.benchmarks.row_rule`: how rows are best laid out, and which op best sums them.

Prints times relative to a plain way, and what follows for constants of `plan/costs.py`: the fused
op on the same rows, by how many of them lie on its first axis (`row_examples` and
`few_row_examples`); elementary ops on a matrix, by the values in a row (`row_vector`); and
reduce_sum over rows, against BiasAddGrad, by number of channels (`bias_gradient_channels`).
"""

from __future__ import annotations

import itertools
import random
import statistics
import time
from typing import Any, Callable, Mapping, Sequence

from tests.benchmarks.grid import Case, Phase
from tests.benchmarks.kernel_rule import Point, best_rule
from tests.benchmarks.vector_rule import listed, smallest_multiple, start

# Rows and channels: one shape alone says 0.84 where another says 1.16.
SHAPES = ((65536, 32), (16384, 128), (4096, 512), (1024, 2048), (512, 1024))
EXAMPLES = (1, 4, 16, 64, 256)
# Multiples of 1, 2, 4, 8, 16 and more, near enough to each other.
WIDTH_ROWS, WIDTHS = 256, (2048, 2047, 2046, 2044, 2040, 2032, 2024, 2016, 2000, 1992, 1984)
ROUNDS, STEPS = 4, 10
EXAMPLE_ROUNDS = 6
# Ratios to the least time up to which a width counts as quick.
QUICK = 1.15
SUMMED = 2**20
SUM_CHANNELS = (8, 16, 32, 64, 96, 128, 192, 256, 512, 1024)


def compared(steps: Mapping[Any, Any], budget: float) -> dict[Any, float]:
    """The least seconds of each of `steps`, which are run in turns."""
    from tests.benchmarks import measure

    runs = {str(key): step.run for key, step in steps.items()}
    # Short blocks: some of them meet nothing else that runs on the machine.
    found = measure.compare(runs, budget, block=0.003).least
    for step in steps.values():
        step.close()
    return {key: found[str(key)] for key in steps}


def by_examples(phase: Phase, budget: float) -> dict[int, float]:
    """The fused op's time, by how many rows are on the first axis, over that with all of them."""
    from tests.benchmarks import build

    ratios: dict[int, list[float]] = {count: [] for count in EXAMPLES}
    # Where a batch lies in memory makes 0.76 to 1.43 of the same step, hence the rounds.
    for (rows, channels), turn in itertools.product(SHAPES, range(EXAMPLE_ROUNDS)):
        order = random.Random(turn).sample([*EXAMPLES, rows], len(EXAMPLES) + 1)
        steps = {
            count: build.bare_step(Case("", "", (count, rows // count, 1, channels), phase=phase))
            for count in order
        }
        found = compared(steps, budget)
        for count in EXAMPLES:
            ratios[count].append(found[count] / found[rows])
    return {count: statistics.median(each) for count, each in ratios.items()}


def by_width(budget: float) -> dict[int, float]:
    """Processor time of elementary ops for a value, by values in a row, over the least of them."""
    from tests.benchmarks import build

    layer, each = build.our_layer(), dict.fromkeys(WIDTHS, float("inf"))
    # Anew in each round, since it matters where in memory a batch lies.
    for _, width in itertools.product(range(ROUNDS), WIDTHS):
        step = build.layer_step(Case("", "", (WIDTH_ROWS, width), options={"fused": False}), layer)
        each[width] = min(each[width], processor_seconds(step.run, budget / ROUNDS) / width)
        step.close()
    return {width: each[width] / min(each.values()) for width in WIDTHS}


def processor_seconds(run: Callable[[], Any], budget: float) -> float:
    """The least processor time of a step, to which other programs add little."""
    least, end = float("inf"), time.perf_counter() + budget
    while time.perf_counter() < end:
        start_time = time.process_time()
        for _ in range(STEPS):
            run()
        least = min(least, (time.process_time() - start_time) / STEPS)
    return least


def by_sum_channels(dtype: str, budget: float) -> list[Point]:
    """The time of `reduce_sum` over the rows of a matrix over that of BiasAddGrad."""
    from tests.benchmarks import build

    tf = build.tf
    sums: Mapping[str, Callable[[Any], Any]] = {
        "reduce_sum": lambda x: tf.reduce_sum(x, [0]),
        "bias_gradient": lambda x: tf.raw_ops.BiasAddGrad(out_backprop=x),
    }
    points = []
    for channels in SUM_CHANNELS:
        shape = (SUMMED // channels, channels)
        steps = {name: build.op_step(shape, dtype, compute) for name, compute in sums.items()}
        found = compared(steps, budget)
        ratio = found["reduce_sum"] / found["bias_gradient"]
        points.append(Point(1, channels, ratio))
    return points


def main(arguments: Sequence[str] | None = None) -> int:
    from tests.benchmarks import build

    budget = start("row_rule", arguments)
    print(f"TensorFlow {build.tensorflow_version()}")
    sizes = ", ".join(f"{rows}x{channels}" for rows, channels in SHAPES)
    print(f"\ntime of the fused op on rows / with all as examples, the median of {sizes}")
    for phase in (Phase.TRAIN, Phase.INFER):
        found = by_examples(phase, budget)
        print(f"{phase.value}, by examples: {listed(found)}")
        print(f"  best with {min(found, key=lambda count: found[count])} examples", flush=True)
    print(f"\nprocessor time of elementary ops for a value on {WIDTH_ROWS} rows / the least")
    found = by_width(budget)
    print(f"float32, by values a row: {listed(found)}")
    vector = smallest_multiple({width: QUICK / ratio for width, ratio in found.items()})
    print(f"  quick for multiples of {vector}", flush=True)
    print("\ntime of reduce_sum over rows / of BiasAddGrad, by number of channels")
    for dtype in ("float32", "float64"):
        points = by_sum_channels(dtype, budget)
        ratios = {point.channels: point.composed_over_fused for point in points}
        print(f"{dtype}: {listed(ratios)}")
        print(f"  BiasAddGrad from {best_rule(points).least} channels on", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
