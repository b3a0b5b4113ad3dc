# SPDX-License-Identifier: Apache-2.0
"""Where a program made a variable that TensorFlow says exists: its own lines in place of ours."""

from __future__ import annotations

import os
import re
import traceback
from typing import Any

from ..runtime.tensorflow_v1 import tf

_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_EXISTS = re.compile(
    r"Variable (?P<name>\S+) already exists, .*?(?P<shown> Originally defined at:.*)", re.S
)
# As many as TensorFlow shows.
_MOST = 5


def show_lines_of_program(error: ValueError) -> None:
    """Puts the program's lines where TensorFlow 2 shows those of this package alone.

    It leaves out its own frames, and shows the last few of the others.
    """
    text = str(error)
    found = _EXISTS.match(text)
    if found is not None and _PACKAGE in found.group("shown"):
        error.args = (text[: found.start("shown")] + _made_at(found.group("name")),)


def _made_at(name: str) -> str:
    try:
        made = tf.get_default_graph().get_operation_by_name(name)
    except (KeyError, ValueError):
        return ""
    frames = [each for each in made.traceback if _is_of_program(each)]
    lines = "".join(traceback.format_list(frames[: -_MOST - 1 : -1]))
    return f" Originally defined at:\n\n{lines}" if lines else ""


def _is_of_program(frame: Any) -> bool:
    return "tensorflow/python" not in frame[0].replace(os.sep, "/") and not frame[0].startswith(
        os.path.join(_PACKAGE, "")
    )
