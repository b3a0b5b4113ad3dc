# SPDX-License-Identifier: Apache-2.0
"""What the caller asks for: tensors of the session's graph by whatever name, and the phase."""

from __future__ import annotations

import difflib
import errno
import os
from typing import Any, NamedTuple

import numpy as np

from ...files.whole_files import check_target
from ...runtime.tensorflow_v1 import tf
from ..surgery.flags import Setting
from ..surgery.freezing import Fed

FORMATS = ("graph_def", "saved_model", "tflite")


class Phase(NamedTuple):
    """What is set for good, and whether layers that know training alone are rewritten."""

    settings: tuple[Setting, ...]
    every_layer: bool


def check_session(session: Any) -> None:
    if not hasattr(session, "run") or not hasattr(getattr(session, "graph", None), "as_graph_def"):
        raise TypeError(f"`session` must be a tf.compat.v1.Session (got {session!r}).")


def checked_path(path: Any, format: str) -> str:
    """The path to write to.

    Raises:
      OSError: nothing can be written there.
      ValueError: the format is none; a folder is there already.
    """
    if format not in FORMATS:
        raise ValueError(f"`format` must be one of {', '.join(FORMATS)} (got {format!r}).")
    name: str = os.fspath(path)
    if not name:
        raise ValueError("`path` must name a file or folder (got '').")
    if format != "saved_model":
        check_target(name)
        real = os.path.realpath(name)
        if os.path.lexists(real) and not os.path.isfile(real):
            # A rename would put a file in the place of a device, for everybody.
            raise OSError(errno.EINVAL, "it is no file", name)
        return real
    name = name.rstrip(os.sep)
    if os.path.lexists(name):
        raise ValueError(f"{name} exists: name a new folder.")
    check_target(name)
    return name


def tensors(graph: Any, argument: str, given: Any) -> dict[str, Any]:
    """The tensors that are named, by the names that a signature has for them.

    Args:
      graph: the session's.
      argument: its name, for errors.
      given: a tensor, an op of one output, a name, a list of these, or a dict of them by keys.

    Raises:
      TypeError: it is none of these.
      ValueError: there is no such tensor, or none at all.
    """
    if isinstance(given, dict):
        found = {str(key): tensor(graph, argument, each) for key, each in given.items()}
    else:
        several = given if isinstance(given, (list, tuple)) else [given]
        listed = [tensor(graph, argument, each) for each in several]
        found = {_key(each): each for each in listed}
    if not found:
        raise ValueError(f"`{argument}` must name at least one tensor (got {given!r}).")
    return found


def _key(tensor: Any) -> str:
    name, _, place = str(tensor.name).rpartition(":")
    return name if place == "0" else f"{name}_{place}"


def tensor(graph: Any, argument: str, given: Any) -> Any:
    """One tensor of the graph; see `tensors`."""
    try:
        element = given
        if isinstance(element, str) and ":" not in element:
            element = f"{element}:0"
        elif isinstance(element, tf.Operation):
            element = f"{element.name}:0"
        return graph.as_graph_element(element, allow_operation=False)
    except TypeError:
        raise TypeError(
            f"`{argument}` must be a tensor of the session's graph, a name, or a list or dict of "
            f"these (got {given!r})."
        ) from None
    except (KeyError, ValueError):
        raise ValueError(
            f"`{argument}`: the session's graph has no tensor {_told(given)}"
            f"{_near(graph, str(getattr(given, 'name', given)))}."
        ) from None


def _told(given: Any) -> str:
    return repr(given) if isinstance(given, str) else str(getattr(given, "name", given))


def _near(graph: Any, name: str) -> str:
    wish = name.rpartition(":")[0] or name
    names = [op.name for op in graph.get_operations() if op.outputs]
    inside = [each for each in names if wish.lower() in each.lower()] if wish else []
    near = difflib.get_close_matches(wish, names, 3, 0.6) or inside[:3]
    return f"; near it are {', '.join(near)}" if near else ""


def phase_of(graph: Any, phase: Any) -> Phase:
    """Reads the argument `phase`: None, False, a tensor that is set to 0, a dict, a list of these.

    Raises:
      TypeError, ValueError: it is none of these; a tensor is no number.
    """
    if phase is None:
        return Phase((), False)
    if phase is False:
        return Phase((), True)
    if phase is True:
        raise ValueError("`phase` must lead to inference (got True).")
    if isinstance(phase, (list, tuple)):
        parts = [phase_of(graph, each) for each in phase]
        settings = tuple(each for part in parts for each in part.settings)
        return Phase(settings, any(part.every_layer for part in parts))
    given = phase if isinstance(phase, dict) else {phase: 0}
    return Phase(tuple(_setting(graph, key, value) for key, value in given.items()), False)


def _setting(graph: Any, key: Any, value: Any) -> Setting:
    found = tensor(graph, "phase", key)
    if found.shape.rank not in (0, None):
        raise ValueError(f"`phase`: {found.name} is no single number, its shape is {found.shape}.")
    kind = found.dtype.base_dtype.as_numpy_dtype
    try:
        if not isinstance(value, (bool, int, float, np.generic)):
            raise TypeError
        return Setting((found.op.name, found.value_index), kind(value).item())
    except (TypeError, ValueError, AttributeError):
        raise ValueError(
            f"`phase`: {found.name} is {found.dtype.name} and cannot be {value!r}."
        ) from None


def fed(tensor: Any) -> Fed:
    shape = None if tensor.shape.rank is None else tuple(tensor.shape.as_list())
    place = (tensor.op.name, tensor.value_index)
    return Fed(place, int(tensor.dtype.base_dtype.as_datatype_enum), shape)
