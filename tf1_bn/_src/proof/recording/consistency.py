# SPDX-License-Identifier: Apache-2.0
"""Checks that what a recording says of a call agrees with the arrays it holds.

The schema is checked before. What is said twice must agree, since a replay uses only one of both.
"""

from __future__ import annotations

import re
from typing import Any, Iterator, Mapping, Sequence

import numpy as np

from ...files.text_table import counted
from .archive import RecordingError
from .model import LEARNED

LAYER_STATE = (
    *LEARNED, "moving_mean", "moving_variance", "moving_stddev", "renorm_mean", "renorm_stddev",
)  # fmt: skip
# Only the updates use these, so a run without updates may not know them.
_OF_UPDATES = ("momentum", "renorm_momentum", "decay", "renorm_decay")
_PART = re.compile(r"/part_\d+\Z")


def role_of(name: str, scope: str) -> str:
    """Returns a variable's name below `scope`, which zero-debiased averages repeat in theirs.

    >>> role_of("net/bn/gamma", "net/bn"), role_of("bn/bn/moving_mean/biased", "bn")
    ('gamma', 'moving_mean/biased')
    """
    while name.startswith(f"{scope}/"):
        name = name[len(scope) + 1 :]
    return name


def check_call(call: Any, shared: bool) -> None:
    """Raises RecordingError if the call's parts contradict each other.

    `shared` says that other calls of the recording have its variables.
    """
    _check_names(call)
    flags = {step.training for step in call.steps}
    if call.phase != "dynamic" and flags - {call.phase == "training"}:
        raise RecordingError(f"its phase is {call.phase}, and it has steps of the other one")
    updating = sum(step.updates_run > 0 for step in call.steps)
    if len(call.steps) > call.wiring["runs"] or updating > call.wiring["update_runs"]:
        raise RecordingError("it has more steps than session runs are counted in `wiring`")
    if not call.steps:
        return
    _check_axes(call)
    for number, step in enumerate(call.steps):
        try:
            _check_roles(call, step)
            _check_updates(call, step, shared)
            _check_values(call, step)
            _check_shapes(call, step)
        except RecordingError as error:
            raise RecordingError(f"step {number}: {error}") from None


def _check_names(call: Any) -> None:
    names = [variable["name"] for variable in call.structure["variables"]]
    if len(set(names)) < len(names):
        raise RecordingError("two variables have one name")
    if call.steps and not any(f"{name}/".startswith(f"{call.name}/") for name in names):
        raise RecordingError("no variable's name lies below the call's")
    for update in call.structure["updates"]:
        if not set(update["writes"]) <= set(names):
            raise RecordingError("an update op writes a variable that is not listed")


def _check_axes(call: Any) -> None:
    inputs, listed = call.steps[0].arrays.get("input"), call.config.get("axis", -1)
    rank = 0 if inputs is None else inputs.ndim
    axes = [a % rank if -rank <= a < rank else a for a in _listed(listed)] if rank else []
    if len(set(axes)) < len(axes) or any(not 0 <= axis < rank for axis in axes):
        raise RecordingError(f"`axis` {listed} does not fit an input of rank {rank}")
    if call.sample is None:
        return
    axis, kept, count = (call.sample[key] for key in ("axis", "kept", "of"))
    if not kept or kept != sorted(set(kept)) or kept[-1] >= count or axis >= rank:
        raise RecordingError("its sample does not say which channels it kept")
    channels = [count] if call.shape is None else call.shape[axis : axis + 1]
    if channels not in ([count], [None]):
        raise RecordingError("its sample is of another number of channels than its shape")


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


def _check_roles(call: Any, step: Any) -> None:
    """The roles have one order, so that exchanged ones are noticed whatever their numbers are."""
    roles = list(step.arrays)
    before, after, values = (list(step.group(key)) for key in ("before", "after", "value"))
    gradients = [f"gradient of {k}" for k in ("x", *(k for k in LEARNED if k in before))]
    ordered = [
        "input",
        "output",
        *(f"value/{name}" for name in _values(call.config) if name in values),
        *(f"before/{name}" for name in _state(call, before)),
        *(f"after/{name}" for name in before if after and name not in LEARNED),
        *(f"alone/{name}" for name in gradients if f"alone/{name}" in roles),
    ]
    rest = roles[len(ordered) :]
    if roles[: len(ordered)] != ordered or not all(r.startswith("alone/after/") for r in rest):
        raise RecordingError("its roles are not those of such a call, in their order")
    if rest and not step.training:
        raise RecordingError("statistics of a replay are those of a training step")


def _state(call: Any, before: Sequence[str]) -> list[str]:
    """The variables' roles as they must be: what the structure lists, in its order."""
    if call.kind == "contrib":
        names = [_PART.sub("", v["name"]) for v in call.structure["variables"]]
        return list(dict.fromkeys(role_of(name, call.name) for name in names))
    # A getter may hand a layer tensors, or variables of other names; their roles are the layer's.
    listed = _variables(call)
    return [role for role in LAYER_STATE if role in before or role in listed]


def _variables(call: Any) -> dict[str, Any]:
    """What the structure says of each whole variable below the call's name, by role."""
    return {
        role_of(v["name"], call.name): v
        for v in call.structure["variables"]
        if v["name"].startswith(f"{call.name}/") and not _PART.search(v["name"])
    }


def _check_updates(call: Any, step: Any, shared: bool) -> None:
    in_place = call.kind == "contrib" and call.config["updates_collections"] is None
    updates = int(call.phase != "inference") if in_place else len(call.structure["updates"])
    ran, has_after = step.updates_run, bool(step.group("after"))
    if ran > updates:
        raise RecordingError(f"{counted(ran, 'update')} ran, of {updates}")
    all_ran = 0 < ran == updates
    if has_after and not all_ran:
        raise RecordingError(
            f"{ran} of {counted(updates, 'update')} ran, but there is a state after"
        )
    if all_ran and not has_after and not shared:
        raise RecordingError("all its updates ran, but there is no state after")


def _check_values(call: Any, step: Any) -> None:
    """Each argument that was a tensor has the value that this step computed with."""
    needed = {
        "epsilon": True,
        "renorm_clipping": step.training and call.config["renorm"],
        **dict.fromkeys(_OF_UPDATES, step.training and bool(step.group("after"))),
    }
    wanted = {n for n in _values(call.config) if needed.get(n.split("/")[0], step.training)}
    missing = sorted(wanted - set(step.group("value")))
    if missing:
        raise RecordingError(f"the value of {missing} is missing")


# -- shapes and dtypes ---------------------------------------------------------------------------


def _check_shapes(call: Any, step: Any) -> None:
    arrays, inputs, output = step.arrays, step.arrays["input"], call.structure["output"]
    if inputs.ndim < 1 or inputs.ndim != call.steps[0].arrays["input"].ndim:
        raise RecordingError(f"its input is of rank {inputs.ndim}")
    if output["dtype"] != call.dtype:
        raise RecordingError(f"its output is {output['dtype']}, its input {call.dtype}")
    _check_array("input", inputs, call.kept_shape(call.shape), call.dtype)
    _check_array("output", arrays["output"], call.kept_shape(output["shape"]), call.dtype)
    _check_array("output", arrays["output"], list(inputs.shape), call.dtype)
    like = {"alone/gradient of x": inputs}
    variables = _variables(call)
    for name, array in step.group("before").items():
        like.update({f"after/{name}": array, f"alone/after/{name}": array})
        like[f"alone/gradient of {name}"] = array
        if name in variables:
            shape, dtype = variables[name]["shape"], variables[name]["dtype"]
            _check_array(f"before/{name}", array, call.kept_shape(shape), dtype)
    for role, model in like.items():
        if role in arrays:
            dtype = arrays[role].dtype.name if "gradient" in role else model.dtype.name
            _check_array(role, arrays[role], list(model.shape), dtype)


def _check_array(role: str, array: Any, shape: list[Any] | None, dtype: str) -> None:
    found = list(array.shape)
    if shape is not None and (
        len(shape) != len(found) or any(n not in (None, m) for n, m in zip(shape, found))
    ):
        raise RecordingError(f"`{role}` is of shape {found}, not {shape}")
    # Files hold no bfloat16.
    if array.dtype.name != {"bfloat16": "float32"}.get(dtype, dtype):
        raise RecordingError(f"`{role}` is of dtype {array.dtype.name}, not {dtype}")
    if dtype == "bfloat16" and np.any(array.reshape(-1).view("uint32") & 0xFFFF):
        # Its wide tolerances are not for numbers that are more exact.
        raise RecordingError(f"`{role}` holds numbers that bfloat16 does not")
