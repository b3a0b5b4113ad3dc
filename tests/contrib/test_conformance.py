"""Variables, collections, ops, outputs, gradients and averages as TF 1.15.5's contrib made them."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest

from tests.conftest import V2_MODE, tensorflow
from tests.contrib import record
from tests.contrib.bench import outcome_of, real_contrib
from tests.contrib.cases import CASES
from tests.contrib.compare import DEVIATIONS, RECORDED, allowed, differences, number_difference
from tests.contrib.goldens_io import GOLDENS
from tests.contrib.record import signature_of

# Ours says when it ignores an argument, which contrib did silently.
pytestmark = pytest.mark.filterwarnings("ignore:tf1_bn.contrib.batch_norm ignores")

BAD = [name for name, case in CASES.items() if case.mentions]
MINIMUM_CASES = 400


def _text(found: dict) -> str:
    return "\n".join(f"[{aspect}]\n{text}" for aspect, text in found.items())


@pytest.mark.parametrize("name", CASES)
def test_case_is_that_of_tf_1_15(name: str, outcome: Any) -> None:
    found = differences(name, outcome(name))
    assert set(found) <= allowed(name), _text(found)


@pytest.mark.parametrize("deviation", DEVIATIONS, ids=lambda deviation: deviation.pattern)
def test_deviation_is_still_needed(deviation: Any, outcome: Any) -> None:
    names = [name for name in CASES if deviation.matches(name)]
    shown = {aspect for name in names for aspect in differences(name, outcome(name))}
    needed = set(deviation.aspects)
    if V2_MODE:
        needed -= {"updates", "collected"}
    assert needed <= shown, f"no case needs {needed - shown} of {deviation} any more"


@pytest.mark.parametrize("name", BAD)
def test_bad_input_names_what_is_wrong_and_leaves_nothing(name: str, outcome: Any) -> None:
    case, structure = CASES[name], outcome(name).structure
    if "error" not in structure:
        assert name.startswith("contrib-7x5-training=None"), "a learning phase is no error"
        return
    error = structure["error"]
    assert case.mentions in error["message"], error["message"]
    if case.program == "contrib":
        left = {key: error[key] for key in ("variables_left", "updates_left", "losses_left")}
        assert not any(left.values()), left


def test_signature_is_that_of_tf_1_15() -> None:
    from tf1_bn.contrib import batch_norm

    recorded = json.loads((GOLDENS / "recorded_by.json").read_text(encoding="utf-8"))
    assert signature_of(batch_norm) == recorded["signature"]


def test_every_argument_is_varied_by_some_case() -> None:
    from tf1_bn.contrib import batch_norm

    varied = {key for case in CASES.values() for key in case.args} | {"inputs", "is_training"}
    assert set(inspect.signature(batch_norm).parameters) <= varied


def test_every_case_has_its_record() -> None:
    assert set(CASES) == set(RECORDED)
    assert len(CASES) >= MINIMUM_CASES


@pytest.mark.tf_max("1.15", reason="only TF 1.15 has tf.contrib, newer ones have the records alone")
def test_the_records_are_those_of_this_tensorflow() -> None:
    """A sample is run again with the real function, so that the records are known to be true."""
    tensorflow()
    running = [name for name in CASES if RECORDED[name].numbers and CASES[name].like is None]
    for name in running[::20]:
        numbers = outcome_of(real_contrib(), name).numbers
        for key, array in RECORDED[name].numbers.items():
            text = number_difference(key, {key: array}, numbers, CASES[name].dtype)
            assert text is None, f"{name}: {text}"


@pytest.mark.tf_min("2.0", reason="TF 1.15 may record")
def test_no_other_tensorflow_records(capsys: Any) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in GOLDENS.iterdir()}
    assert record.main([]) == 2
    assert "goldens come from TF 1.15 only" in capsys.readouterr().err
    assert {path.name: path.stat().st_mtime_ns for path in GOLDENS.iterdir()} == before
