"""What a case of contrib must show: the record, and the differences that are meant."""

from __future__ import annotations

import fnmatch
import json
from typing import Any, NamedTuple

from tests.conformance.runner import Outcome
from tests.conftest import V2_MODE
from tests.contrib.cases import CASES
from tests.contrib.goldens_io import INSTEAD, load
from tests.tolerances import error_of, tolerance

RECORDED = load()


class Deviation(NamedTuple):
    """In the matching cases ours may, and in one of them must, differ in these aspects."""

    pattern: str
    aspects: tuple
    reason: str

    def matches(self, name: str) -> bool:
        return fnmatch.fnmatchcase(name, self.pattern)


_DYNAMIC = "the update ops of a flag known at run time are the assignments, at rate 0 in inference"
_MOVED = "TF1 collects an object that is made for one assignment; ours a tensor that reads after it"
_NOT_A_FLAG = "TF1's fused and in-place code took any value but False and 0 for True"
_EMPTY = "an empty batch has no statistics: TF1 writes NaN, ours leaves the averages alone"
_MAPPING = "a list is no dict by variable name, and says so"

# Deliberate differences. Each is asserted both ways: unlisted ones fail, unneeded ones fail, too.
DEVIATIONS = (
    *(
        Deviation(pattern, ("updates", "collected"), _DYNAMIC)
        for pattern in (
            "contrib*7x5-training=placeholder*",
            "contrib*-training=variable-decay*",
            "contrib*-training=tensor-decay*",
            "contrib*updates_collections=my_updates*",
            "contrib_positional-*-training=placeholder",
            "contrib*-training=placeholder-zero_debias*",
            "contrib*-training=placeholder-batch_weights*",
            "contrib-7x5-unknown=(0,)-training=placeholder-*",
        )
    ),
    Deviation("contrib-7x5-*use_resource=True*", ("updates", "collected"), _MOVED),
    Deviation("contrib-*-training=2*", ("error",), _NOT_A_FLAG),
    Deviation("contrib-*-training=yes*", ("error",), _NOT_A_FLAG),
    Deviation("contrib-0x*", ("writes", "states"), _EMPTY),
    Deviation("contrib-*-param_*=[[]0.0]*", ("error",), _MAPPING),
    Deviation("contrib-*-epsilon=None*", ("error",), "None has the right type and a wrong value"),
    Deviation(
        "contrib-6x3x5-float16-*-updates_collections=None",
        ("variables",),
        "half precision keeps float32 variables on every path, TF1 did so where it was fused",
    ),
)


def allowed(name: str) -> set:
    return {aspect for d in DEVIATIONS if d.matches(name) for aspect in d.aspects}


def expected(name: str) -> Outcome:
    """The record, or where TF 1.15.5 fails without need, that of a case which it can do."""
    recorded = RECORDED[name]
    structure = {key: value for key, value in recorded.structure.items() if key != "instead"}
    if CASES[name].like is None:
        return Outcome(structure, recorded.numbers)
    numbers = {
        key[len(INSTEAD) :]: array
        for key, array in recorded.numbers.items()
        if key.startswith(INSTEAD)
    }
    instead = recorded.structure["instead"]
    if "error" in structure:
        structure = instead
    elif structure.pop("run_error", None):
        # What failed to run could not show what its updates write.
        shown = zip(structure["updates"], instead["updates"])
        structure["updates"] = [{**one, "writes": other.get("writes")} for one, other in shown]
    return Outcome(structure, numbers)


def differences(name: str, actual: Outcome) -> dict:
    """A text for each aspect that differs from what is expected."""
    want = expected(name)
    found = _structure_differences(want.structure, json.loads(json.dumps(actual.structure)))
    if "error" in want.structure or "error" in actual.structure:
        return found
    for key in sorted(set(want.numbers) | set(actual.numbers)):
        text = number_difference(key, want.numbers, actual.numbers, CASES[name].dtype)
        if text:
            aspect = _quantity(key) + "s"
            found[aspect] = "\n".join(filter(None, [found.get(aspect), text]))
    return found


def _structure_differences(want: dict, have: dict) -> dict:
    if "error" in want and "error" in have:
        expected_type, kinds = want["error"]["type"], have["error"]["is_a"]
        return {} if expected_type in kinds else {"error": f"expected {expected_type}, got {kinds}"}
    if "error" in want or "error" in have:
        return {"error": f"expected {want.get('error')}, got {have.get('error')}"}
    want, have = _aspects(want), _aspects(have)
    return {
        key: f"expected {json.dumps(want[key])}\nactual   {json.dumps(have[key])}"
        for key in want
        if want[key] != have[key]
    }


def _aspects(structure: dict) -> dict:
    """The comparable parts of a structure."""
    parts = {
        "variables": structure["variables"],
        "writes": [update.get("writes") for update in structure["updates"]],
        "losses": structure["losses"],
        "output_types": [[y["dtype"], y["shape"]] for y in structure["outputs"]],
        "getter_calls": structure["attributes"].get("getter calls"),
        "aliases": structure["attributes"]["aliases"],
        "run_error": structure.get("run_error"),
    }
    if not V2_MODE:
        # Ops of resource variables and of control flow v2 have other names.
        parts["updates"] = [[update["name"], update["family"]] for update in structure["updates"]]
        parts["output_names"] = [y["name"] for y in structure["outputs"]]
        parts["collected"] = structure["attributes"]["collected"]
    return parts


def _quantity(key: str) -> str:
    """The row of the tolerance table for an array's key."""
    if key.startswith("gradient"):
        return "gradient"
    last = key.split("/", 1)[1]
    return next((kind for kind in ("output", "loss") if last.startswith(kind + " ")), "state")


def number_difference(key: str, want: dict, have: dict, dtype: str) -> Any:
    if key not in want or key not in have:
        return f"{key}: {'missing' if key in want else 'not expected'}"
    error, limit = error_of(have[key], want[key]), tolerance(_quantity(key), dtype).error
    if error <= limit:
        return None
    return (
        f"{key}: error {error:.3g}, allowed {limit:.3g}\n"
        f"  expected {want[key].ravel()[:6]}\n  actual   {have[key].ravel()[:6]}"
    )
