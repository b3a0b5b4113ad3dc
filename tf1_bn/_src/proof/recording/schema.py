# SPDX-License-Identifier: Apache-2.0
"""The schema of a recording's JSON text: every key, with its type and range, in one table.

The schema is closed: each key of the table must be there and no other may be. A value that is
missing is never replaced by a default, since the proof would then be one of another call.
"""

from __future__ import annotations

from typing import Any, Mapping

from .archive import RecordingError
from .checks import (
    Check,
    below,
    is_number,
    is_whole,
    list_of,
    object_of,
    one_of,
    or_null,
    rule,
    whole,
)

FORMAT = "tf1_bn recording"
VERSION = 1
# TensorFlow's own names are far shorter.
LONGEST_TEXT = 2000
_LARGEST_SIZE = 2**40
_LARGEST_FLOAT = 1e38
_FLOATS = ("float16", "bfloat16", "float32", "float64")
_STORED = (*_FLOATS, "bool", "int32", "int64")


def _is_text(value: Any) -> bool:
    # Half a surrogate pair is valid in JSON, but no file or terminal takes it.
    return (
        isinstance(value, str)
        and len(value) <= LONGEST_TEXT
        and not any("\ud800" <= character <= "\udfff" for character in value)
    )


def _is_axis(value: Any) -> bool:
    listed = value if isinstance(value, list) else [value]
    return bool(listed) and all(is_whole(axis, -32, 31) for axis in listed)


def _is_numbers(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_numbers(item) for item in value)
    return is_number(value, -_LARGEST_FLOAT, _LARGEST_FLOAT)


def _number(argument: str, low: float, high: float) -> Check:
    """A number, or the mark of an argument that is a tensor."""
    tensor = {"tensor": argument}
    return rule(
        f"a number from {low:g} to {high:g}, or {tensor}",
        lambda value: is_number(value, low, high) or value == tensor,
    )


_TEXT = rule(f"a text of at most {LONGEST_TEXT} characters", _is_text)
_FLAG = rule("true or false", lambda value: isinstance(value, bool))
_MAYBE_FLAG = or_null(_FLAG)
_SIZE = whole(0, _LARGEST_SIZE)
_SHAPE = or_null(list_of(or_null(_SIZE)))
_AXIS = rule("a whole number from -32 to 31, or a list of them", _is_axis)
_EPSILON = _number("epsilon", 0, 1e9)
_FUNCTION = rule(
    "the name of a function of tf.nn",
    lambda value: _is_text(value) and value.isidentifier() and not value.startswith("_"),
)
_WEIGHTS = rule(
    "a number, a list of numbers, or {'tensor': 'batch_weights'}",
    lambda value: _is_numbers(value) or value == {"tensor": "batch_weights"},
)
_BOUNDS = ("rmax", "rmin", "dmax")
# The argument's own dict may lack them, too.
_CLIPPING = object_of(
    {k: or_null(_number(f"renorm_clipping/{k}", 0, _LARGEST_FLOAT)) for k in _BOUNDS}, _BOUNDS
)
_SCALAR = rule("a number", lambda value: is_number(value, -_LARGEST_FLOAT, _LARGEST_FLOAT))
_ADJUSTMENT = object_of(
    {"tensor": one_of("adjustment"), "scale": _SCALAR, "bias": _SCALAR}, ("scale", "bias")
)

# -- the table -----------------------------------------------------------------------------------

# By kind the arguments of a call, in the order in which a recording has them.
CONFIG: Mapping[str, Mapping[str, Check]] = {
    "layer": {
        "axis": _AXIS,
        "momentum": _number("momentum", 0, 1),
        "epsilon": _EPSILON,
        "center": _FLAG,
        "scale": _FLAG,
        "renorm": _FLAG,
        "renorm_clipping": or_null(_CLIPPING),
        "renorm_momentum": _number("renorm_momentum", 0, 1),
        "fused": _MAYBE_FLAG,
        "trainable": _FLAG,
        "virtual_batch_size": or_null(whole(1, _LARGEST_SIZE)),
        "adjustment": or_null(_ADJUSTMENT),
    },
    "contrib": {
        "decay": _number("decay", 0, 1),
        "center": _FLAG,
        "scale": _FLAG,
        "epsilon": _EPSILON,
        "activation_fn": or_null(_FUNCTION),
        "updates_collections": or_null(one_of("update_ops")),
        "trainable": _FLAG,
        "batch_weights": or_null(_WEIGHTS),
        "fused": _MAYBE_FLAG,
        "data_format": one_of("NHWC", "NCHW"),
        "zero_debias_moving_mean": _FLAG,
        "renorm": _FLAG,
        "renorm_clipping": or_null(_CLIPPING),
        "renorm_decay": _number("renorm_decay", 0, 1),
        "adjustment": or_null(_ADJUSTMENT),
    },
}
FLAGS = {
    name
    for arguments in CONFIG.values()
    for name, check in arguments.items()
    if check in (_FLAG, _MAYBE_FLAG)
}
_VARIABLE = object_of(
    {
        "name": _TEXT,
        "shape": list_of(_SIZE),
        "dtype": one_of(*_STORED),
        "trainable": _FLAG,
        "collections": list_of(_TEXT),
    }
)
_STRUCTURE = object_of(
    {
        "losses": whole(0, 10**6),
        "variables": list_of(_VARIABLE),
        "updates": list_of(object_of({"name": _TEXT, "writes": list_of(_TEXT)})),
        "output": object_of({"name": _TEXT, "dtype": one_of(*_FLOATS), "shape": _SHAPE}),
        "maker": _TEXT,
    }
)
_STEP = object_of({"training": _FLAG, "updates_run": whole(0, 10**6), "roles": list_of(_TEXT)})
_CALL = object_of(
    {
        "name": _TEXT,
        "kind": one_of(*CONFIG),
        # `CONFIG` of the kind.
        "config": rule("an object", lambda value: isinstance(value, dict)),
        "phase": one_of("training", "inference", "dynamic"),
        "dtype": one_of(*_FLOATS),
        "shape": _SHAPE,
        "sample": or_null(object_of({"axis": whole(0, 31), "kept": list_of(_SIZE), "of": _SIZE})),
        "structure": _STRUCTURE,
        "wiring": object_of({"runs": _SIZE, "update_runs": _SIZE}),
        "notes": list_of(_TEXT),
        "steps": list_of(_STEP),
    }
)


def check_call_text(call: Any, where: str = "") -> None:
    """Raises RecordingError unless `call` is what the table says of one call."""
    _CALL(call, where)
    arguments = CONFIG[call["kind"]]
    if not call["steps"]:
        # A value that JSON cannot hold is null, and then the call is not replayed.
        arguments = {name: or_null(check) for name, check in arguments.items()}
    object_of(arguments)(call["config"], below(where, "config"))


_FACTS = ("TensorFlow", "NumPy", "Python", "machine", "oneDNN", "tf1_bn")
_RECORDING = object_of(
    {
        "format": one_of(FORMAT),
        "version": one_of(VERSION),
        "facts": object_of(dict.fromkeys(_FACTS, _TEXT)),
        "calls": list_of(check_call_text),
    }
)


def check_header(header: Any) -> None:
    """Raises RecordingError unless `header` is what the table says of a whole recording."""
    _RECORDING(header, "")


def argument_problem(kind: str, name: str, value: Any) -> str:
    """Returns why a recording cannot hold this value of an argument, "" if it can.

    >>> argument_problem("layer", "center", 3)
    '`center` must be true or false (got 3)'
    """
    try:
        CONFIG[kind][name](value, name)
    except RecordingError as error:
        return str(error)
    return ""
