"""What a case must show, what it showed, and by which aspects the two differ."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from tests.conformance.case import Case
from tests.conformance.goldens_io import load_group
from tests.conftest import V2_MODE
from tests.tolerances import error_of, tolerance

STRUCTURE = ("error", "run_error", "variables", "updates", "output_names", "output_types",
             "losses", "collections", "attributes", "config")  # fmt: skip
NUMBERS = ("outputs", "gradients", "state", "losses_values")
ASPECTS = STRUCTURE + NUMBERS

_groups: dict = {}
INSTEAD = "instead: "


class Golden(NamedTuple):
    """What a candidate is held to: structure, numbers, and the dtype that limits the numbers."""

    structure: dict
    numbers: dict
    dtype: str


def _record_of(case: Case) -> tuple:
    if case.group not in _groups:
        structures, arrays = load_group(case.group)
        numbers: dict = {}
        for key, value in arrays.items():
            name, _, rest = key.partition("::")
            numbers.setdefault(name, {})[rest] = value
        _groups[case.group] = structures, numbers
    structures, numbers = _groups[case.group]
    return structures[case.name], numbers.get(case.name, {})


def golden(case: Case) -> Golden:
    """What TF 1.15.5 did."""
    structure, arrays = _record_of(case)
    structure = {key: value for key, value in structure.items() if key != "instead"}
    plain = {k: v for k, v in arrays.items() if not k.startswith(INSTEAD)}
    return Golden(structure, plain, case.dtype)


def instead_of(case: Case) -> Golden:
    """What must come instead, where TF 1.15.5 fails without need: the record of `case.like`."""
    structure, arrays = _record_of(case)
    assert case.like is not None, f"{case.name} does not say what it must be like"
    like = json.loads(json.dumps(structure["instead"]))
    chosen = {k[len(INSTEAD) :]: v for k, v in arrays.items() if k.startswith(INSTEAD)}
    dtype = case.like.get("dtype", case.dtype)
    if "error" in structure:
        # A case may be like itself in another dtype, so the structure has the case's own.
        text = json.dumps(like).replace(json.dumps(dtype), json.dumps(case.dtype))
        return Golden(json.loads(text), chosen, dtype)
    # It was built and then could not run: its own structure, which variables are written aside.
    built = {key: value for key, value in golden(case).structure.items() if key != "run_error"}
    writes = [update.get("writes", []) for update in like["updates"]]
    built["updates"] = [
        {**update, "writes": which} if "T" in case.run else update
        for update, which in zip(built["updates"], writes)
    ]
    return Golden(built, chosen, dtype)


def aspects_of(structure: dict) -> dict:
    """The comparable parts of a structure, in the words of deviations.txt."""
    if "error" in structure:
        return {"error": structure["error"]["type"]}
    parts = {key: structure[key] for key in ("variables", "updates", "losses", "collections",
                                             "attributes")}  # fmt: skip
    layers = {k: dict(v) for k, v in parts["attributes"].items() if k.startswith("layer ")}
    parts["config"] = {key: shown.pop("config") for key, shown in layers.items()}
    parts["attributes"] = {**parts["attributes"], **layers}
    parts["output_names"] = [y["name"] for y in structure["outputs"]]
    parts["output_types"] = [[y["dtype"], y["shape"]] for y in structure["outputs"]]
    if "run_error" in structure:
        parts["run_error"] = structure["run_error"]
    return parts


def structure_differences(expected: dict, actual: dict, case: Case, v2: bool = V2_MODE) -> dict:
    """A sentence for each aspect in which the structures differ."""
    both_fail = "error" in expected and "error" in actual
    if both_fail and expected["error"]["type"] in actual["error"]["is_a"]:
        return {}
    want, have = aspects_of(expected), aspects_of(json.loads(json.dumps(actual)))
    if v2:
        want = as_under_v2(want, case)
    if "error" in want or "error" in have:
        return {} if want == have else {"error": _difference(want.get("error"), actual)}
    keys = sorted(set(want) | set(have))
    return {
        key: _difference(want.get(key), have.get(key))
        for key in keys
        if want.get(key) != have.get(key)
    }


def _difference(want: Any, have: Any) -> str:
    if isinstance(have, dict) and "error" in have:
        have = {k: have["error"][k] for k in ("type", "message")}
    if isinstance(want, list) and isinstance(have, list) and len(want) == len(have):
        pairs = [(w, h) for w, h in zip(want, have) if w != h]
        return "\n".join(f"expected {json.dumps(w)}\nactual   {json.dumps(h)}" for w, h in pairs)
    if isinstance(want, dict) and isinstance(have, dict):
        keys = [k for k in {**want, **have} if want.get(k) != have.get(k)]
        return "\n".join(f"{k}: {_difference(want.get(k), have.get(k))}" for k in keys)
    return f"expected {json.dumps(want)}\nactual   {json.dumps(have)}"


def as_under_v2(aspects: dict, case: Case) -> dict:
    """What TF1's structure is called with resource variables and control flow v2."""
    if "error" in aspects:
        return aspects
    aspects = json.loads(json.dumps(aspects).replace('/Merge"', '/Identity"'))
    names = aspects["output_names"]
    aspects["output_names"] = [name.replace("/Merge:0", "/Identity:0") for name in names]
    renamed = {u["name"]: _name_under_v2(u, case) for u in aspects["updates"]}
    for update in aspects["updates"]:
        update["name"] = renamed[update["name"]]
    text = json.dumps(aspects["attributes"])
    for old, new in renamed.items():
        text = text.replace(json.dumps(old), json.dumps(new))
    aspects["attributes"] = json.loads(text)
    return aspects


def _name_under_v2(update: dict, case: Case) -> str:
    name = update["name"]
    # A branch or loop body is a graph of its own, without the name scope around it.
    inner = {"in_cond": "cond/", "in_while_loop": "outer/while/"}.get(case.program, "")
    name = name[len(inner) :] if name.startswith(inner) else name
    resource = case.scope.get("use_resource") is not False
    if resource and update["family"] == "assign_sub" and not name.endswith("VariableOp"):
        name += "/AssignSubVariableOp"
    return name


def quantity_of(key: str) -> str:
    """The row of the tolerance table for an array's key."""
    if key.startswith("gradient"):
        return "gradient"
    last = key.split("/", 1)[1]
    if last.startswith("output "):
        return "output"
    if last.startswith("loss "):
        return "loss"
    return "state"


ASPECT_OF = {
    "gradient": "gradients",
    "output": "outputs",
    "loss": "losses_values",
    "state": "state",
}


def number_differences(expected: dict, actual: dict, dtype: str, kernels: str = "same") -> dict:
    """For each aspect that differs: the arrays that do, with error and tolerance."""
    found: dict = {}
    for key in sorted(set(expected) | set(actual)):
        aspect = ASPECT_OF[quantity_of(key)]
        if key not in expected or key not in actual:
            side = "missing" if key in expected else "not expected"
            found.setdefault(aspect, []).append(f"{key}: {side}")
            continue
        allowed = tolerance(quantity_of(key), dtype, kernels).error
        error = error_of(actual[key], expected[key])
        if not error <= allowed:
            found.setdefault(aspect, []).append(
                f"{key}: error {error:.3g}, allowed {allowed:.3g}\n"
                f"  expected {expected[key].ravel()[:6]}\n  actual   {actual[key].ravel()[:6]}"
            )
    return {aspect: "\n".join(lines) for aspect, lines in found.items()}
