"""The table leaves nothing out: arguments, ranks, dtypes, phases, programs; goldens fit it."""

from __future__ import annotations

import inspect
import json
from typing import Any

import numpy as np
import pytest

from tests.conformance.case import Case
from tests.conformance.cases import CASES, GROUPS
from tests.conformance.compare import golden, quantity_of
from tests.conformance.data import make_input, make_state
from tests.conformance.goldens_io import GOLDENS, load_group
from tests.conformance.phases import PHASES
from tests.conformance.programs import PROGRAMS
from tests.conformance.runner import CONSUMERS
from tests.tolerances import TABLE

MINIMUM = 490
BYTES = 5_000_000
VALID = [case for case in CASES.values() if case.group != "bad"]
SIGNATURE = (
    "inputs", "axis", "momentum", "epsilon", "center", "scale", "beta_initializer",
    "gamma_initializer", "moving_mean_initializer", "moving_variance_initializer",
    "beta_regularizer", "gamma_regularizer", "beta_constraint", "gamma_constraint", "training",
    "trainable", "name", "reuse", "renorm", "renorm_clipping", "renorm_momentum", "fused",
    "virtual_batch_size", "adjustment",
)  # fmt: skip


def _values(argument: str) -> set:
    return {repr(case.args[argument]) for case in VALID if argument in case.args}


def test_the_signature_is_the_one_covered(candidate: Any) -> None:
    found = [p for p in inspect.signature(candidate.function).parameters if p != "kwargs"]
    assert tuple(found) == SIGNATURE


@pytest.mark.parametrize("argument", [a for a in SIGNATURE if a not in ("inputs", "training")])
def test_every_argument_is_varied(argument: str) -> None:
    parameter_default = {"center": "True", "scale": "True", "trainable": "True"}.get(argument)
    assert _values(argument) - {parameter_default}, f"no valid case sets {argument}"


def test_every_way_of_saying_training_is_used() -> None:
    assert set(PHASES) == {case.training for case in CASES.values()} - {"omitted"}


def test_every_program_is_used() -> None:
    used = {case.program for case in CASES.values()}
    used |= {(case.like or {}).get("program") for case in CASES.values()}
    # Other folders add programs of their own to the same table.
    here = "tests.conformance.programs"
    ours = {name for name, made in PROGRAMS.items() if made.__module__ == here}
    assert ours and ours <= used


def test_every_way_to_consume_updates_is_used() -> None:
    assert set(CONSUMERS) == {case.consume for case in CASES.values()}


def test_ranks_dtypes_axes_and_unknown_sizes() -> None:
    assert {len(case.shape) for case in VALID} >= {2, 3, 4, 5, 6}
    assert {case.dtype for case in VALID} == {"float16", "bfloat16", "float32", "float64"}
    axes = [case.args["axis"] for case in VALID if "axis" in case.args]
    lists = [axis for axis in axes if isinstance(axis, list)]
    assert {True, False} == {axis < 0 for axis in axes if isinstance(axis, int)}
    assert {1, 2, 3} <= {len(axis) for axis in lists}
    assert any(axis != sorted(axis) for axis in lists)
    assert any(min(axis) < 0 for axis in lists)
    assert {case.unknown for case in VALID} >= {(), (0,), (0, 1, 2)}


@pytest.mark.parametrize("kind", [True, False])
def test_both_kinds_of_variables(kind: bool) -> None:
    chosen = [case for case in VALID if case.scope.get("use_resource") is kind]
    assert {len(case.shape) for case in chosen} >= {2, 4}


@pytest.mark.parametrize("first, second", [
    ("renorm", "renorm_clipping"), ("renorm", "virtual_batch_size"), ("renorm", "adjustment"),
    ("renorm", "axis"), ("renorm", "trainable"), ("renorm", "fused"),
    ("virtual_batch_size", "axis"), ("virtual_batch_size", "fused"), ("adjustment", "axis"),
    ("adjustment", "fused"), ("gamma_regularizer", "trainable"), ("center", "scale"),
])  # fmt: skip
def test_combinations_that_tf1_allowed(first: str, second: str) -> None:
    assert any(first in case.args and second in case.args for case in VALID)


def test_no_case_has_two_equal_dimensions() -> None:
    """Sizes of one are exempt: they are there to be degenerate."""
    for case in CASES.values():
        sizes = [size for size in case.shape if size != 1]
        assert len(set(sizes)) == len(sizes), case.name


def test_a_name_follows_from_the_fields() -> None:
    plain = Case("rank", (7, 5), "True")
    changes: list = [
        {"shape": (5, 7)}, {"training": "False"}, {"args": {"axis": 0}}, {"dtype": "float64"},
        {"unknown": (0,)}, {"program": "towers"}, {"entry": "class"}, {"steps": "F"},
        {"scope": {"reuse": None}}, {"consume": "none"}, {"initial": "initializers"},
    ]  # fmt: skip
    names = {plain._replace(**change).name for change in changes} | {plain.name}
    assert len(names) == len(changes) + 1


def test_the_table_has_not_shrunk() -> None:
    assert len(CASES) >= MINIMUM


def test_goldens_and_table_name_the_same_cases() -> None:
    recorded: list = []
    for group in GROUPS:
        structures, arrays = load_group(group)
        recorded += structures
        assert {key.split("::")[0] for key in arrays} <= set(structures)
    assert sorted(recorded) == sorted(CASES)
    files = {path.stem for path in GOLDENS.glob("*.json")} - {"recorded_by"}
    assert files == set(GROUPS) == {path.stem for path in GOLDENS.glob("*.npz")}


def test_goldens_come_from_tf_1_15_and_are_small() -> None:
    record = json.loads((GOLDENS / "recorded_by.json").read_text(encoding="utf-8"))
    assert record["tensorflow"].startswith("1.15.")
    assert {"numpy", "cpu_flags", "seed", "threads"} <= set(record)
    assert sum(path.stat().st_size for path in GOLDENS.rglob("*") if path.is_file()) < BYTES


def test_every_array_has_a_row_in_the_tolerance_table() -> None:
    needed = {(quantity_of(key), case.dtype, "same")
              for case in CASES.values() for key in golden(case).numbers}  # fmt: skip
    assert needed <= set(TABLE)
    assert all(row.derivation and row.error > 0 for row in TABLE.values())


def test_states_and_inputs_can_tell_things_apart() -> None:
    """Every channel has its own statistics, and every variable its own value."""
    for shape in {case.shape for case in CASES.values() if len(case.shape) > 1}:
        if 0 in shape:
            continue
        x = make_input(shape, 0, 0)
        axes = tuple(range(len(shape) - 1))
        means = x.mean(axis=axes)
        assert len(np.unique(means)) == shape[-1], shape
        if x.size > shape[-1]:
            assert len(np.unique(x.var(axis=axes))) == shape[-1], shape
    names = ("gamma", "beta", "moving_mean", "moving_variance", "moving_stddev", "renorm_mean",
             "renorm_stddev")  # fmt: skip
    states = [tuple(make_state("bn/" + name, [5])) for name in names]
    assert len(set(states)) == len(names)
