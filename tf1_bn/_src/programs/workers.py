# SPDX-License-Identifier: Apache-2.0
"""Gives the workers of `multiprocessing` that start anew what their parent's program finds.

Forked workers have it. One that is spawned, or forked by the server, is a new Python, which reads
what it is to do from a pickle; a piece of that pickle loads this package there.
"""

from __future__ import annotations

import contextlib
import runpy
import sys
from typing import Any, Callable

from ..files import same_package
from ..runtime.after_import import after_import

_SPAWN, _SERVER = "multiprocessing.spawn", "multiprocessing.forkserver"


def prepare_workers(module: str, options: dict[str, Any]) -> Callable[[], Any]:
    """Lets workers that are started from now on call `start(options)` of a module of ours first.

    Args:
      module: its name.
      options: a dict that can be pickled.

    Returns:
      What ends it.
    """
    undo = contextlib.ExitStack()

    def patch() -> None:
        spawn: Any = sys.modules[_SPAWN]
        tell = spawn.get_preparation_data

        def told(*arguments: Any, **named: Any) -> dict[str, Any]:
            data = tell(*arguments, **named)
            if sys._getframe(1).f_globals.get("__name__") == _SERVER:
                # It would import the program before anything is prepared.
                return {name: data[name] for name in data if not name.startswith("init_main")}
            return {**data, "tf1_bn": _Start(module, options)}

        spawn.get_preparation_data = told
        undo.callback(setattr, spawn, "get_preparation_data", tell)

    undo.callback(after_import(_SPAWN, patch))
    return undo.close


class _Start:
    """What prepares the worker when it is read from a pickle, before the program's modules are."""

    def __init__(self, *given: Any) -> None:
        self._given = given

    def __reduce__(self) -> Any:
        # By path: the worker looks for modules in its current folder first.
        return runpy.run_path, (same_package.FILE, {"given": self._given})
