"""`python -m tests.benchmarks`: time the grid, print one table; see --help."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tests.benchmarks import chart, grid, pages, report, results

COSTS = ("ops", "build", "memory", "import")


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if options.write_readme:
        pages.write_pages(pages.recorded())
        return 0
    if options.onednn is not None:
        # TensorFlow reads it once, at its import.
        os.environ["TF_ENABLE_ONEDNN_OPTS"] = options.onednn
    found = results.load(options.read) if options.read else None
    parts = options.measure or ([] if found else ["cases"])
    if parts:
        found = run(options, parts, found)
    assert found is not None
    if options.json:
        results.save(found, options.json)
    if options.chart:
        results.write(options.chart, chart.draw(found))
    print(report.markdown(found) if options.markdown else report.table(found))
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    made.add_argument(
        "--measure",
        type=lambda text: text.split(","),
        metavar="PARTS",
        help=f"comma-separated, of cases,{','.join(COSTS)}; cases unless --read is given",
    )
    made.add_argument("--only", default="", metavar="WORDS", help="cases or groups with any word")
    made.add_argument("--quick", action="store_true", help="a quarter of the time, more noise")
    made.add_argument("--onednn", choices=("0", "1"), help="instead of TensorFlow's default")
    made.add_argument(
        "--resource-variables", action="store_true", help="with control flow v2, not TF1's"
    )
    made.add_argument("--read", type=Path, metavar="FILE", help="start from earlier results")
    made.add_argument("--json", type=Path, metavar="FILE", help="write what was found")
    made.add_argument("--chart", type=Path, metavar="FILE", help="draw the ratios as SVG")
    made.add_argument(
        "--write-readme",
        action="store_true",
        help="measure nothing: write the tables and the chart of README, guide and "
        "tests/benchmarks/README.md from tests/benchmarks/recorded",
    )
    made.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    return made


def run(
    options: argparse.Namespace, parts: list[str], earlier: results.Results | None
) -> results.Results:
    """Measures the parts into `earlier`, if there is one; progress goes to stderr."""
    unknown = set(parts) - {"cases", *COSTS}
    if unknown:
        raise SystemExit(f"unknown part {sorted(unknown)}: choose of cases,{','.join(COSTS)}")
    # TensorFlow is imported here, after the settings above.
    from tests.benchmarks import build

    build.use_graph_mode(options.resource_variables)
    here = results.Results(
        tensorflow=build.tensorflow_version(),
        peer=build.peer_name(),
        cores=os.cpu_count() or 0,
        onednn=os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
        variables="resource variables" if options.resource_variables else "TF1 behaviour",
    )
    found = earlier or here
    if results.setting(found) != results.setting(here):
        raise SystemExit(f"{options.read} is of another setting: {results.setting(found)}")
    if "cases" in parts:
        time_cases(found, options)
    for part in parts:
        if part in COSTS:
            from tests.benchmarks import costs

            print(part, file=sys.stderr, flush=True)
            found.costs[part] = costs.MEASURES[part]()
    return found


def time_cases(found: results.Results, options: argparse.Namespace) -> None:
    from tests.benchmarks import build, measure

    measure.settle_allocator()
    cases = grid.select(options.only)
    for number, case in enumerate(cases, start=1):
        print(f"{number}/{len(cases)} {case.name}", file=sys.stderr, flush=True)
        steps = build.steps_of(case)
        timing = measure.compare(
            {name: step.run for name, step in steps.items()}, 0.2 if options.quick else 0.8
        )
        for step in steps.values():
            step.close()
        found.cases[case.name] = dict(timing.ratios)
        found.seconds[case.name] = dict(timing.seconds)


if __name__ == "__main__":
    raise SystemExit(main())
