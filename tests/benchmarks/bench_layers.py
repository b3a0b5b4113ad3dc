"""The grid under pytest-benchmark: `python -m pytest tests/benchmarks/bench_layers.py`.

The name keeps it out of the test suite. Contenders run one after the other here, not in turns, so
small ratios are better read from `python -m tests.benchmarks`.
"""

from __future__ import annotations

import os
import warnings
from typing import Any, Iterator

import pytest

from tests.benchmarks.grid import CASES, Case
from tests.benchmarks.measure import settle_allocator

pytest.importorskip("pytest_benchmark", reason="pip install -e '.[benchmarks]'")

# The suite's conftest switches oneDNN off; here TensorFlow's default is what is timed.
os.environ.pop("TF_ENABLE_ONEDNN_OPTS", None)


@pytest.fixture(scope="module", autouse=True)
def steady_memory() -> None:
    settle_allocator()


@pytest.fixture(params=("ours", "peer", "bare"))
def step(request: Any, case: Case) -> Iterator[Any]:
    from tests.benchmarks import build

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = build.one_step(case, request.param)
    if made is None:
        pytest.skip(f"{request.param} has no such call here")
    for _ in range(5):
        # The first runs optimize the graph, and would mislead the calibration.
        made.run()
    yield made
    made.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_step(benchmark: Any, case: Case, step: Any) -> None:
    benchmark.group = case.name
    benchmark(step.run)
