# SPDX-License-Identifier: Apache-2.0
"""This very package in another process, whatever else has its name there.

A process of its own finds `tf1_bn` where Python looks first: in the current folder, for example.
So this file is started instead, by its path, and loads the package that it lies in.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
from typing import Any

FILE = os.path.abspath(__file__)
_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(FILE)))


def command(module: str, *arguments: str) -> list[str]:
    """The command line that calls `start(*arguments)` of one of our modules, as this Python runs.

    `sys.path[0]` is this file's folder there until a program takes its place.
    """
    flags: Any = getattr(subprocess, "_args_from_interpreter_flags", list)()
    return [sys.executable, *flags, FILE, module, *arguments]


def start(module: str, *arguments: Any) -> Any:
    """Calls `start` of the module named `module` in the package that this file lies in."""
    name = os.path.basename(_PACKAGE)
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, os.path.join(_PACKAGE, "__init__.py"))
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return importlib.import_module(module).start(*arguments)


if __name__ == "__main__":
    sys.exit(start(*sys.argv[1:]))
# Set by who runs this file by `runpy`.
given: Any = globals().get("given")
if given is not None:
    start(*given)
