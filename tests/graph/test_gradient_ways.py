"""Derivatives do not depend on who takes them: every kernel, in every way, against float64.

Each kind of program runs in a process of its own, once, since eager execution and control flow v2
hold for a whole process; a test looks at one kernel and one way in what it has written.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import tf_version
from tests.graph.ways_cases import HESSIANS, JACOBIANS, SECOND, Derivatives, Truth, pairs, truth_of
from tests.tolerances import assert_close

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 1800
truth = functools.lru_cache(maxsize=None)(truth_of)


def _run(folder: Path, *arguments: str) -> str:
    """Runs a module of this project in a fresh process; what it prints."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
        "TF1_BN_TEST_V2": "0",
    }
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=str(folder),
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _results(factory: Any, kind: str) -> dict:
    folder = factory.mktemp(kind)
    _run(folder, "tests.graph.ways_program", kind, "found.npz")
    with np.load(str(folder / "found.npz")) as found:
        return dict(found)


@pytest.fixture(scope="module")
def of_graphs(tmp_path_factory: Any) -> dict:
    """What plain graphs gave, with control flow v1 and v2."""
    return {**_results(tmp_path_factory, "graph"), **_results(tmp_path_factory, "graph_v2")}


@pytest.fixture(scope="module")
def of_functions(tmp_path_factory: Any) -> dict:
    """What functions gave under eager execution."""
    return _results(tmp_path_factory, "function")


def _by_kernel_and_way(kind: str) -> list:
    found: dict = {}
    for kernel, way, phase in pairs(kind):
        found.setdefault((kernel, way), []).append(phase)
    return [(*pair, phases) for pair, phases in found.items()]


def _wanted(way: str, truth: Truth) -> list:
    if way in HESSIANS:
        return [np.diag(truth.hessian)]
    if way in JACOBIANS:
        return [np.stack([getattr(one, of) for one in truth.first]) for of in Derivatives._fields]
    if way == "vectorized_map":
        return [truth.first[0].x]
    return list(truth.second if way in SECOND else truth.first[0])


def _check(found: dict, kernel: str, way: str, phase: str) -> None:
    name = f"{kernel} | {way} | {phase}"
    assert f"{name} | error" not in found, str(found[f"{name} | error"])
    quantity = (
        ("second difference", "float32", "NumPy")
        if way in SECOND + HESSIANS
        else ("gradient", "float32", "large")
    )
    for number, want in enumerate(_wanted(way, truth(kernel))):
        assert_close(
            found[f"{name} | {number}"].reshape(want.shape), want, *quantity, f"{name} {number}"
        )


@pytest.mark.parametrize(("kernel", "way", "phases"), _by_kernel_and_way("graph"))
def test_in_a_graph(kernel: str, way: str, phases: list, of_graphs: dict) -> None:
    for phase in phases:
        _check(of_graphs, kernel, way, phase)


@pytest.mark.parametrize(("kernel", "way", "phases"), _by_kernel_and_way("function"))
def test_in_a_function(kernel: str, way: str, phases: list, of_functions: dict) -> None:
    if "check_numerics" in way and tf_version() < (2, 0):
        pytest.skip("tf_min 2.0: there are no op callbacks before")
    for phase in phases:
        _check(of_functions, kernel, way, phase)
