# SPDX-License-Identifier: Apache-2.0
"""What stands around us in the thread that runs a session: the run, and what it was given."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from ...runtime.tensorflow_v1 import tf

# The module of the class below all sessions, whatever a program has put in the place of theirs.
_SESSIONS = tf.Session.__mro__[-2].__module__
_PACKAGE = __name__.partition(".")[0]


class Given(NamedTuple):
    """The arguments of a session run."""

    fetches: Any
    feed_dict: Any


def run_under_way() -> Given | None:
    """The arguments of the `Session.run` that asks us; None where something else does.

    A graph is asked about each fetch but not told of the feeds, and only these tell the phase. So
    the arguments of a public method are read from its call, by their documented names.
    """
    frame: Any = sys._getframe(1)
    while frame is not None and is_ours(frame):
        frame = frame.f_back
    # A run further out may be another one, in which a callable is made.
    while frame is not None and frame.f_globals.get("__name__") == _SESSIONS:
        if frame.f_code.co_name == "run":
            return Given(frame.f_locals["fetches"], frame.f_locals["feed_dict"])
        frame = frame.f_back
    return None


def is_ours(frame: Any) -> bool:
    """Whether the frame is one of this package."""
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] == _PACKAGE
