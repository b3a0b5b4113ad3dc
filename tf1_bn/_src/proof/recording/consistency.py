# SPDX-License-Identifier: Apache-2.0
"""Whether what a recording says of a call and the arrays it holds bear each other out.

The schema is checked before. What is said twice must agree, since a replay uses but one of both.
"""

from __future__ import annotations

import re
from typing import Any, Iterator, Mapping, NamedTuple, Sequence

import numpy as np

from .sampling import Sample

LEARNED = ("gamma", "beta")
LAYER_STATE = (
    *LEARNED, "moving_mean", "moving_variance", "moving_stddev", "renorm_mean", "renorm_stddev",
)  # fmt: skip
# Only the updates use these, so a run without updates may not know them.
_OF_UPDATES = ("momentum", "renorm_momentum", "decay", "renorm_decay")
_PART = re.compile(r"/part_\d+\Z")


class Inconsistent(ValueError):
    """Two parts of a recording contradict each other."""


class _Expected(NamedTuple):
    """What the JSON text of a call says of the arrays of each of its steps."""

    call: Any
    rank: int
    sample: Sample | None
    shapes: Mapping[str, tuple[list[Any], str]]
    values: Sequence[str]
    updates: int
    shared: bool


def role_of(name: str, scope: str) -> str:
    """A variable's name below `scope`, which zero-debiased averages repeat in theirs."""
    while name.startswith(f"{scope}/"):
        name = name[len(scope) + 1 :]
    return name


def check_call(call: Any, shared: bool) -> None:
    """Raises Inconsistent if the call's parts contradict each other; `shared` says that other
    calls of the recording have its variables."""
    _check_names(call)
    flags = {step.training for step in call.steps}
    if call.phase != "dynamic" and flags - {call.phase == "training"}:
        raise Inconsistent(f"its phase is {call.phase}, and it has steps of the other one")
    updating = sum(step.updates_run > 0 for step in call.steps)
    if len(call.steps) > call.wiring["runs"] or updating > call.wiring["update_runs"]:
        raise Inconsistent("it has more steps than session runs are counted in `wiring`")
    if not call.steps:
        return
    expected = _expected(call, shared)
    for number, step in enumerate(call.steps):
        try:
            _check_roles(expected, step)
            _check_shapes(expected, step)
        except Inconsistent as error:
            raise Inconsistent(f"step {number}: {error}") from None


def _check_names(call: Any) -> None:
    names = [variable["name"] for variable in call.structure["variables"]]
    if len(set(names)) < len(names):
        raise Inconsistent("two variables have one name")
    if call.steps and not any(f"{name}/".startswith(f"{call.name}/") for name in names):
        raise Inconsistent("no variable's name lies below the call's")
    for update in call.structure["updates"]:
        if not set(update["writes"]) <= set(names):
            raise Inconsistent("an update op writes a variable that is not listed")


def _expected(call: Any, shared: bool) -> _Expected:
    inputs = call.steps[0].arrays.get("input")
    rank = 0 if inputs is None else inputs.ndim
    sample = None if call.sample is None else Sample(**call.sample)
    _check_axes(call, rank, sample)
    in_place = call.kind == "contrib" and call.config["updates_collections"] is None
    updates = int(call.phase != "inference") if in_place else len(call.structure["updates"])
    shapes = {
        role_of(v["name"], call.name): (v["shape"], v["dtype"])
        for v in call.structure["variables"]
        if v["name"].startswith(f"{call.name}/") and not _PART.search(v["name"])
    }
    return _Expected(call, rank, sample, shapes, list(_values(call.config)), updates, shared)


def _check_axes(call: Any, rank: int, sample: Sample | None) -> None:
    listed = call.config.get("axis", -1)
    axes = [a % rank if -rank <= a < rank else a for a in _listed(listed)] if rank else []
    if len(set(axes)) < len(axes) or any(not 0 <= axis < rank for axis in axes):
        raise Inconsistent(f"`axis` {listed} does not fit an input of rank {rank}")
    if sample is None:
        return
    kept = list(sample.kept)
    if not kept or kept != sorted(set(kept)) or kept[-1] >= sample.of or sample.axis >= rank:
        raise Inconsistent("its sample does not say which channels it kept")
    channels = [sample.of] if call.shape is None else call.shape[sample.axis : sample.axis + 1]
    if channels not in ([sample.of], [None]):
        raise Inconsistent("its sample is of another number of channels than its shape")


def _listed(value: Any) -> list[int]:
    return list(value) if isinstance(value, list) else [value]


def _values(config: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The arguments that are tensors, in the order in which a step keeps their values."""
    for name, value in config.items():
        if not isinstance(value, dict):
            continue
        if name == "adjustment":
            yield from (f"adjustment/{key}" for key in ("scale", "bias") if key not in value)
        elif "tensor" in value:
            yield f"{prefix}{name}"
        else:
            yield from _values(value, f"{name}/")


# -- roles ---------------------------------------------------------------------------------------


def _check_roles(expected: _Expected, step: Any) -> None:
    """The roles have one order, so that exchanged ones are noticed whatever their numbers are."""
    roles = list(step.arrays)
    before = _group(roles, "before")
    statistics = [role for role in before if role not in LEARNED]
    after, values = _group(roles, "after"), _group(roles, "value")
    gradients = [f"gradient of {k}" for k in ("x", *(k for k in LEARNED if k in before))]
    gradients = [name for name in gradients if f"alone/{name}" in roles]
    ordered = [
        "input",
        "output",
        *(f"value/{name}" for name in expected.values if name in values),
        *(f"before/{name}" for name in _state(expected, before)),
        *(f"after/{name}" for name in statistics if after),
        *(f"alone/{name}" for name in gradients),
    ]
    rest = roles[len(ordered) :]
    if roles[: len(ordered)] != ordered or not all(r.startswith("alone/after/") for r in rest):
        raise Inconsistent("its roles are not those of such a call, in their order")
    if rest and not step.training:
        raise Inconsistent("statistics of a replay are those of a training step")
    _check_updates(expected, step.updates_run, bool(after))
    needed = set(_needed_values(expected, step, bool(after)))
    if not needed <= set(values):
        raise Inconsistent(f"the value of {sorted(needed - set(values))} is missing")


def _group(roles: Sequence[str], prefix: str) -> list[str]:
    return [role[len(prefix) + 1 :] for role in roles if role.startswith(f"{prefix}/")]


def _state(expected: _Expected, before: Sequence[str]) -> list[str]:
    """The variables' roles as they must be: what the structure lists, in its order."""
    if expected.call.kind == "contrib":
        names = [_PART.sub("", v["name"]) for v in expected.call.structure["variables"]]
        return list(dict.fromkeys(role_of(name, expected.call.name) for name in names))
    # A getter may hand a layer tensors, or variables of other names; their roles are the layer's.
    return [role for role in LAYER_STATE if role in before or role in expected.shapes]


def _check_updates(expected: _Expected, ran: int, has_after: bool) -> None:
    if ran > expected.updates:
        raise Inconsistent(f"{ran} updates ran, of {expected.updates}")
    all_ran = 0 < ran == expected.updates
    if has_after and not all_ran:
        raise Inconsistent(f"{ran} of {expected.updates} updates ran, but there is a state after")
    if all_ran and not has_after and not expected.shared:
        raise Inconsistent("all its updates ran, but there is no state after")


def _needed_values(expected: _Expected, step: Any, has_after: bool) -> Iterator[str]:
    for name in expected.values:
        argument = name.split("/")[0]
        if argument in _OF_UPDATES:
            is_needed = has_after and step.training
        elif argument == "epsilon":
            is_needed = True
        elif argument == "renorm_clipping":
            is_needed = step.training and expected.call.config["renorm"]
        else:
            is_needed = step.training
        if is_needed:
            yield name


# -- shapes and dtypes ---------------------------------------------------------------------------


def _check_shapes(expected: _Expected, step: Any) -> None:
    call, arrays = expected.call, step.arrays
    inputs = arrays["input"]
    if inputs.ndim < 1 or inputs.ndim != expected.rank:
        raise Inconsistent(f"its input is of rank {inputs.ndim}")
    output = call.structure["output"]
    if output["dtype"] != call.dtype:
        raise Inconsistent(f"its output is {output['dtype']}, its input {call.dtype}")
    _check_array("input", inputs, _taken(expected, call.shape), call.dtype)
    _check_array("output", arrays["output"], _taken(expected, output["shape"]), output["dtype"])
    _check_array("output", arrays["output"], list(inputs.shape), output["dtype"])
    like = {"alone/gradient of x": inputs}
    for role, array in arrays.items():
        group, _, name = role.partition("/")
        if group == "before":
            like.update({f"after/{name}": array, f"alone/after/{name}": array})
            like[f"alone/gradient of {name}"] = array
            if name in expected.shapes:
                shape, dtype = expected.shapes[name]
                _check_array(role, array, _taken(expected, shape), dtype)
    for role, model in like.items():
        if role in arrays:
            dtype = arrays[role].dtype.name if "gradient" in role else model.dtype.name
            _check_array(role, arrays[role], list(model.shape), dtype)


def _taken(expected: _Expected, shape: list[Any] | None) -> list[Any] | None:
    sample = expected.sample
    return shape if sample is None or shape is None else sample.taken(shape, expected.rank)


def _check_array(role: str, array: Any, shape: list[Any] | None, dtype: str) -> None:
    found = list(array.shape)
    if shape is not None and (
        len(shape) != len(found) or any(n not in (None, m) for n, m in zip(shape, found))
    ):
        raise Inconsistent(f"`{role}` is of shape {found}, not {shape}")
    # Files hold no bfloat16.
    if array.dtype.name != {"bfloat16": "float32"}.get(dtype, dtype):
        raise Inconsistent(f"`{role}` is of dtype {array.dtype.name}, not {dtype}")
    if dtype == "bfloat16" and np.any(array.reshape(-1).view("uint32") & 0xFFFF):
        # Its wide tolerances are not for numbers that are more exact.
        raise Inconsistent(f"`{role}` holds numbers that bfloat16 does not")
