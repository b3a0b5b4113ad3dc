# SPDX-License-Identifier: Apache-2.0
"""THE program runner: runs a script or module in this process as `python` does, as `__main__`.

Nothing here imports TensorFlow: a program may set environment variables before it does.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import pkgutil
import sys
import types
from typing import Any, Callable, NamedTuple

from ..runtime.after_import import after_import
from .frames import hide_in_tensorflow, hide_in_threads, hide_our_frames


class Program(NamedTuple):
    """A program and its arguments.

    Attributes:
      name: of a script; `-` for one on standard input; of a module with `is_module`.
      arguments: what the program finds behind its name in `sys.argv`.
      is_module: run it as `python -m` does.
    """

    name: str
    arguments: list[str]
    is_module: bool = False


class ProgramFailed(Exception):
    """There is no such program, or it ended itself as failed; `code` is the exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def run(program: Program, before: Callable[[], None] = lambda: None) -> None:
    """Runs `program` to its end in this process; calls `before` once it has been found.

    `sys.argv`, `sys.path[0]` and `__main__` are the program's from then on, also after its end,
    as its exit handlers and threads expect.

    Raises:
      ProgramFailed: there is no such program; the exit code is that of plain `python`.
      BaseException: what the program raises, SystemExit included. Printed by Python, its
        traceback begins in the program.
    """
    by_runpy = program.is_module
    hide_in_threads()
    after_import("tensorflow", lambda: hide_in_tensorflow(by_runpy))
    try:
        code, main = (_module if program.is_module else _script)(program)
        # That of a folder and an archive, too.
        by_runpy = main.__spec__ is not None
        before()
        sys.modules["__main__"] = main
        exec(code, vars(main))
    except (ProgramFailed, SystemExit):
        raise
    except BaseException as error:
        hide_our_frames(error, by_runpy)
        raise


# -- finding the program -------------------------------------------------------------------------


def _script(program: Program) -> tuple[types.CodeType, types.ModuleType]:
    sys.argv = [program.name, *program.arguments]
    if program.name == "-":
        _set_first_path("")
        source = sys.stdin.buffer.read() if sys.stdin else b""
        return _compiled(source, "<stdin>", importlib.machinery.BuiltinImporter)
    # Python makes the path absolute since 3.9.
    path = os.path.abspath(program.name) if sys.version_info >= (3, 9) else program.name
    # A folder or an archive has an importer, a file has none.
    if pkgutil.get_importer(path) is not None:
        _set_first_path(path)
        return _module_code("__main__", f"can't find '__main__' module in {path!r}")
    try:
        with open(path, "rb") as opened:
            source = opened.read()
    except OSError as error:
        reason = f"[Errno {error.errno}] {error.strerror}"
        raise ProgramFailed(f"can't open file {path!r}: {reason}", 2) from None
    _set_first_path(os.path.dirname(os.path.realpath(path)))
    return _compiled(source, path, importlib.machinery.SourceFileLoader("__main__", path))


def _compiled(source: bytes, path: str, loader: Any) -> tuple[types.CodeType, types.ModuleType]:
    main = types.ModuleType("__main__")
    vars(main).update(
        __file__=path,
        __cached__=None,
        __loader__=loader,
        __annotations__={},
        __builtins__=sys.modules["builtins"],
    )
    return compile(source, path, "exec", dont_inherit=True), main


def _module(program: Program) -> tuple[types.CodeType, types.ModuleType]:
    sys.argv = ["-m", *program.arguments]
    _set_first_path(os.getcwd())
    code, main = _module_code(program.name, f"No module named {program.name}")
    sys.argv[0] = str(main.__file__)
    return code, main


def _module_code(name: str, missing: str) -> tuple[types.CodeType, types.ModuleType]:
    spec = _find(name, missing)
    if spec.submodule_search_locations is not None:
        package = f"{name}.__main__"
        direct = f"{name!r} is a package and cannot be directly executed"
        if name.endswith("__main__"):
            raise ProgramFailed(f"Cannot use package as __main__ module; {direct}", 1)
        spec = _find(package, f"No module named {package}; {direct}")
    loader: Any = spec.loader
    code = loader.get_code(spec.name) if hasattr(loader, "get_code") else None
    if code is None:
        raise ProgramFailed(f"No code object available for {spec.name}", 1)
    main = types.ModuleType("__main__")
    vars(main).update(
        __file__=spec.origin,
        __cached__=spec.cached,
        __loader__=loader,
        __package__=spec.parent,
        __spec__=spec,
        __builtins__=sys.modules["builtins"],
    )
    return code, main


def _find(name: str, missing: str) -> importlib.machinery.ModuleSpec:
    parent = name.rpartition(".")[0]
    try:
        if parent:
            __import__(parent)
    except ImportError as error:
        # A parent that is missing fails below; one whose own code fails to import is the program's.
        if error.name is None or not (parent + ".").startswith(error.name + "."):
            raise
    try:
        if name == "__main__":
            # It is loaded already, as everybody's, so only the path can tell of the program's.
            spec = importlib.machinery.PathFinder.find_spec(name, sys.path[:1])
        else:
            spec = importlib.util.find_spec(name)
    except (AttributeError, ImportError, TypeError, ValueError) as error:
        failed = f"Error while finding module specification for {name!r}"
        raise ProgramFailed(f"{failed} ({type(error).__name__}: {error})", 1) from None
    if spec is None:
        raise ProgramFailed(missing, 1)
    return spec


def _set_first_path(folder: str) -> None:
    # With -I, -P or PYTHONSAFEPATH Python puts no folder of the program there.
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        sys.path[0] = folder
