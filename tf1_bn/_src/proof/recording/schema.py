# SPDX-License-Identifier: Apache-2.0
"""The schema of a recording's JSON text: every key, with its type and range, in one table.

The schema is closed: each key of the table must be there and no other may be. A value that is
missing is never replaced by a default, since the proof would then be one of another call.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Mapping, NamedTuple

FORMAT = "tf1_bn recording"
VERSION = 1
KINDS = ("layer", "contrib")
# TensorFlow's own names are far shorter.
LONGEST_TEXT = 2000
_LARGEST_SIZE = 2**40
_FLOATS = ("float16", "bfloat16", "float32", "float64")
_STORED = (*_FLOATS, "bool", "int32", "int64")


class SchemaError(ValueError):
    """A value is missing, unknown, of another type or out of range; the message names it."""


class Rule(NamedTuple):
    """A single value: what it must be, in words, and the test of it."""

    wanted: str
    holds: Callable[[Any], bool]


class OrNull(NamedTuple):
    """A value that may also be null."""

    schema: Any


class MayLack(NamedTuple):
    """The value of a key that may be missing, because the argument's dict may lack it, too."""

    schema: Any


# -- rules ---------------------------------------------------------------------------------------


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    # Half a surrogate pair is valid in JSON, but no file or terminal takes it.
    return (
        isinstance(value, str)
        and len(value) <= LONGEST_TEXT
        and not any("\ud800" <= character <= "\udfff" for character in value)
    )


def _is_number(value: Any, low: float, high: float) -> bool:
    is_finite = _is_int(value) or isinstance(value, float) and math.isfinite(value)
    return is_finite and low <= value <= high


def _is_axis(value: Any) -> bool:
    listed = value if isinstance(value, list) else [value]
    return bool(listed) and all(_is_int(axis) and -32 <= axis < 32 for axis in listed)


def _is_numbers(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_numbers(item) for item in value)
    return _is_number(value, -1e38, 1e38)


def _one_of(*choices: Any) -> Rule:
    # Not `in`: 1 equals True.
    return Rule(
        f"one of {list(choices)}",
        lambda value: any(type(value) is type(choice) and value == choice for choice in choices),
    )


def _int(low: int, high: int) -> Rule:
    return Rule(f"a whole number from {low} to {high}", lambda v: _is_int(v) and low <= v <= high)


def _number(argument: str, low: float, high: float) -> Rule:
    """A number, or the mark of an argument that is a tensor."""
    tensor = {"tensor": argument}
    return Rule(
        f"a number from {low:g} to {high:g}, or {tensor}",
        lambda value: _is_number(value, low, high) or value == tensor,
    )


_TEXT = Rule(f"a text of at most {LONGEST_TEXT} characters", _is_text)
_FLAG = Rule("true or false", lambda value: isinstance(value, bool))
_SIZE = _int(0, _LARGEST_SIZE)
_SHAPE = OrNull([OrNull(_SIZE)])
_AXIS = Rule("a whole number from -32 to 31, or a list of them", _is_axis)
_FUNCTION = Rule(
    "the name of a function of tf.nn",
    lambda value: _is_text(value) and value.isidentifier() and not value.startswith("_"),
)
_WEIGHTS = Rule(
    "a number, a list of numbers, or {'tensor': 'batch_weights'}",
    lambda value: _is_numbers(value) or value == {"tensor": "batch_weights"},
)
_CLIPPING = {
    name: MayLack(OrNull(_number(f"renorm_clipping/{name}", 0, 1e38)))
    for name in ("rmax", "rmin", "dmax")
}
_ADJUSTMENT = {
    "tensor": _one_of("adjustment"),
    "scale": MayLack(Rule("a number", lambda value: _is_number(value, -1e38, 1e38))),
    "bias": MayLack(Rule("a number", lambda value: _is_number(value, -1e38, 1e38))),
}

# -- the table -----------------------------------------------------------------------------------

CONFIG: Mapping[str, Mapping[str, Any]] = {
    "layer": {
        "axis": _AXIS,
        "momentum": _number("momentum", 0, 1),
        "epsilon": _number("epsilon", 0, 1e9),
        "center": _FLAG,
        "scale": _FLAG,
        "renorm": _FLAG,
        "renorm_clipping": OrNull(_CLIPPING),
        "renorm_momentum": _number("renorm_momentum", 0, 1),
        "fused": OrNull(_FLAG),
        "trainable": _FLAG,
        "virtual_batch_size": OrNull(_int(1, _LARGEST_SIZE)),
        "adjustment": OrNull(_ADJUSTMENT),
    },
    "contrib": {
        "decay": _number("decay", 0, 1),
        "center": _FLAG,
        "scale": _FLAG,
        "epsilon": _number("epsilon", 0, 1e9),
        "activation_fn": OrNull(_FUNCTION),
        "updates_collections": OrNull(_one_of("update_ops")),
        "trainable": _FLAG,
        "batch_weights": OrNull(_WEIGHTS),
        "fused": OrNull(_FLAG),
        "data_format": _one_of("NHWC", "NCHW"),
        "zero_debias_moving_mean": _FLAG,
        "renorm": _FLAG,
        "renorm_clipping": OrNull(_CLIPPING),
        "renorm_decay": _number("renorm_decay", 0, 1),
        "adjustment": OrNull(_ADJUSTMENT),
    },
}
SCHEMA: Mapping[str, Any] = {
    "format": _one_of(FORMAT),
    "version": _one_of(VERSION),
    "facts": {
        "TensorFlow": _TEXT,
        "NumPy": _TEXT,
        "Python": _TEXT,
        "machine": _TEXT,
        "oneDNN": _TEXT,
        "tf1_bn": _TEXT,
    },
    "calls": [
        {
            "name": _TEXT,
            "kind": _one_of(*KINDS),
            # `CONFIG` of the kind.
            "config": Rule("an object", lambda value: isinstance(value, dict)),
            "phase": _one_of("training", "inference", "dynamic"),
            "dtype": _one_of(*_FLOATS),
            "shape": _SHAPE,
            "sample": OrNull({"axis": _int(0, 31), "kept": [_SIZE], "of": _SIZE}),
            "structure": {
                "losses": _int(0, 10**6),
                "variables": [
                    {
                        "name": _TEXT,
                        "shape": [_SIZE],
                        "dtype": _one_of(*_STORED),
                        "trainable": _FLAG,
                        "collections": [_TEXT],
                    }
                ],
                "updates": [{"name": _TEXT, "writes": [_TEXT]}],
                "output": {"name": _TEXT, "dtype": _one_of(*_FLOATS), "shape": _SHAPE},
                "maker": _TEXT,
            },
            "wiring": {"runs": _SIZE, "update_runs": _SIZE},
            "notes": [_TEXT],
            "steps": [{"training": _FLAG, "updates_run": _int(0, 10**6), "roles": [_TEXT]}],
        }
    ],
}

# -- checks --------------------------------------------------------------------------------------


def check_header(header: Any) -> None:
    """Raises SchemaError unless `header` is what `SCHEMA` says."""
    _check(header, SCHEMA, "")
    for number, call in enumerate(header["calls"]):
        _check_config(call, f"calls[{number}].config")


def check_call_text(call: Any) -> None:
    """Raises SchemaError unless `call` is what `SCHEMA` says of one call."""
    _check(call, SCHEMA["calls"][0], "")
    _check_config(call, "config")


def _check_config(call: Mapping[str, Any], where: str) -> None:
    config = CONFIG[call["kind"]]
    if not call["steps"]:
        # A value that JSON cannot hold is null, and then the call is not replayed.
        config = {key: OrNull(schema) for key, schema in config.items()}
    _check(call["config"], config, where)


def argument_problem(kind: str, name: str, value: Any) -> str:
    """Why a recording cannot hold this value of an argument, "" if it can."""
    try:
        _check(value, CONFIG[kind][name], name)
    except SchemaError as error:
        return str(error)
    return ""


def _check(value: Any, schema: Any, where: str) -> None:
    if isinstance(schema, (OrNull, MayLack)):
        if value is None and isinstance(schema, OrNull):
            return
        _check(value, schema.schema, where)
    elif isinstance(schema, Rule):
        if not schema.holds(value):
            raise _wrong(where, schema.wanted, value)
    elif isinstance(schema, list):
        if not isinstance(value, list):
            raise _wrong(where, "a list", value)
        for number, item in enumerate(value):
            _check(item, schema[0], f"{where}[{number}]")
    else:
        _check_object(value, schema, where)


def _check_object(value: Any, schema: Mapping[str, Any], where: str) -> None:
    if not isinstance(value, dict):
        raise _wrong(where, "an object", value)
    for key in value:
        if key not in schema:
            raise SchemaError(f"{_place(where)} has a key {shown(key)}, which is not known")
    for key, inner in schema.items():
        if key in value:
            _check(value[key], inner, f"{where}.{key}" if where else key)
        elif not isinstance(inner, MayLack):
            raise SchemaError(f"{_place(where)} lacks `{key}`")


def _wrong(where: str, wanted: str, value: Any) -> SchemaError:
    return SchemaError(f"{_place(where)} must be {wanted} (got {shown(value)})")


def _place(where: str) -> str:
    return f"`{where}`" if where else "its JSON text"


def shown(value: Any) -> str:
    """A value from a file, short and without anything a terminal would obey."""
    return ascii(value)[:80]
