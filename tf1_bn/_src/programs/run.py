# SPDX-License-Identifier: Apache-2.0
"""Runs an unedited program as `python` does, with `install` done as soon as it imports TensorFlow.

Nothing here imports TensorFlow: a program may set environment variables before it does.
"""

from __future__ import annotations

import atexit
import importlib.abc
import importlib.machinery
import importlib.util
import os
import pkgutil
import runpy
import sys
import types
from typing import Any, Callable, NamedTuple, NoReturn

from ..runtime import after_import

_HERE = os.path.abspath(__file__)
# Whose frames stand in no traceback of the program.
_OURS = (_HERE, os.path.abspath(after_import.__file__))


class Options(NamedTuple):
    """What `python -m tf1_bn run` is told besides the program."""

    neighbours: bool = False
    force: bool = False
    tf1_alias: bool = False
    report: bool = True
    kernels: bool = False


class Program(NamedTuple):
    """A script, or with `is_module` a module to run as `python -m` does, and its arguments."""

    name: str
    arguments: list[str]
    is_module: bool = False


class CannotStart(Exception):
    """Nothing ran; `code` is the exit code that plain `python` gives."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def run(program: Program, options: Options) -> None:
    """Runs `program` to its end in this process, as `__main__`.

    Raises:
      CannotStart: there is no such program.
      BaseException: what the program raises; printed, its traceback begins in the program.
    """
    report = _prepare(options)
    try:
        code, main = (_module if program.is_module else _script)(program)
        if options.report or options.kernels:
            # Registered first, so it speaks after the program's own exit handlers.
            atexit.register(report, os.getpid())
        sys.modules["__main__"] = main
        exec(code, vars(main))
    except (CannotStart, SystemExit):
        raise
    except BaseException as error:
        _hide_our_frames(error, program.is_module)
        raise


# -- what the program meets ----------------------------------------------------------------------


def _prepare(options: Options) -> Callable[[int], None]:
    """Arranges that TensorFlow is patched when imported; returns the report for the end."""
    watches: list[Any] = []

    def patch() -> None:
        from .install import install
        from .watch import Watch

        install(force=options.force, neighbours=options.neighbours)
        watches.append(Watch())
        watches[0].start()
        if options.tf1_alias:
            _alias()

    def report(process: int) -> None:
        # A forked child that runs exit handlers has nothing to report.
        if os.getpid() != process or sys.stderr is None:
            return
        said = []
        if options.report:
            counts = watches[0].report() if watches else "TensorFlow was not imported"
            said.append(f"tf1_bn: {counts}.")
        if options.kernels and watches:
            said.append(watches[0].kernels())
        try:
            print("\n".join(said), file=sys.stderr, flush=True)
        except (OSError, ValueError):
            # Nobody reads stderr any more.
            return

    if "tensorflow" in sys.modules:
        patch()
    else:
        sys.meta_path.insert(0, _AfterTensorFlow(patch))
    return report


class _AfterTensorFlow(importlib.abc.MetaPathFinder):
    """Calls `then` once, right after `tensorflow` has been imported."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then = then

    def find_spec(
        self, name: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        loader: Any = spec and spec.loader
        if loader is None:
            sys.meta_path.insert(0, self)
            return spec
        exec_module = loader.exec_module

        def exec_then(module: types.ModuleType) -> None:
            del loader.exec_module
            try:
                exec_module(module)
            except BaseException:
                # The program may repair what was wrong and import again.
                sys.meta_path.insert(0, self)
                raise
            self._then()

        loader.exec_module = exec_then
        return spec


def _alias() -> None:
    """Makes `import tensorflow` give `tensorflow.compat.v1`, without v2 behaviour."""
    from ..runtime.tensorflow_v1 import tf, tf_version

    if tf_version() < (2, 0):
        return
    full = sys.modules["tensorflow"]
    tf.disable_v2_behavior()
    # Submodules are still looked for where they are, and `import tensorflow.compat.v1` leads here.
    tf.__path__ = [*tf.__path__, *(path for path in full.__path__ if path not in tf.__path__)]
    tf.compat.v1 = tf
    for name in ("python", "core"):
        if not hasattr(tf, name) and f"tensorflow.{name}" in sys.modules:
            setattr(tf, name, sys.modules[f"tensorflow.{name}"])
    sys.modules["tensorflow"] = tf


# -- the program ---------------------------------------------------------------------------------


def _script(program: Program) -> tuple[types.CodeType, types.ModuleType]:
    sys.argv = [program.name, *program.arguments]
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
        raise CannotStart(f"can't open file {path!r}: {reason}", 2) from None
    _set_first_path(os.path.dirname(os.path.realpath(path)))
    main = types.ModuleType("__main__")
    loader = importlib.machinery.SourceFileLoader("__main__", path)
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
            raise CannotStart(f"Cannot use package as __main__ module; {direct}", 1)
        spec = _find(package, f"No module named {package}; {direct}")
    loader: Any = spec.loader
    code = loader.get_code(spec.name) if hasattr(loader, "get_code") else None
    if code is None:
        raise CannotStart(f"No code object available for {spec.name}", 1)
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
        raise CannotStart(f"{failed} ({type(error).__name__}: {error})", 1) from None
    if spec is None:
        raise CannotStart(missing, 1)
    return spec


def _set_first_path(folder: str) -> None:
    # With -I, -P or PYTHONSAFEPATH Python puts no folder of the program there.
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        sys.path[0] = folder


# -- what the program raises ---------------------------------------------------------------------


def _hide_our_frames(error: BaseException, is_module: bool) -> None:
    """Lets the interpreter treat `error` as ever, but print it as if the program ran alone."""
    hook = sys.excepthook

    def print_once(kind: Any, value: Any, traceback: Any) -> None:
        sys.excepthook = hook
        own = _program_frames(traceback, is_module)
        sys.last_traceback = own
        value.__traceback__ = own
        hook(kind, value, own)

    sys.excepthook = print_once


def _program_frames(traceback: Any, is_module: bool) -> types.TracebackType | None:
    frames = []
    while traceback is not None:
        frames.append(traceback)
        traceback = traceback.tb_next
    first = next((i for i, frame in enumerate(frames) if _file(frame) == _HERE), 0)
    # `python -m` shows two frames of its own.
    kept = [frame for frame in frames[:first] if is_module and _is_runpy(_file(frame))]
    for frame in frames[first:]:
        if _file(frame) not in _OURS:
            kept.append(frame)
        else:
            # Python hides the import system's frames, but not those that end in ours.
            while kept and _file(kept[-1]).startswith("<frozen importlib"):
                kept.pop()
    chain: types.TracebackType | None = None
    for frame in reversed(kept):
        chain = types.TracebackType(chain, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return chain


def _file(frame: types.TracebackType) -> str:
    return frame.tb_frame.f_code.co_filename


def _is_runpy(file_name: str) -> bool:
    return file_name in ("<frozen runpy>", runpy.__file__)


def exit_with(error: CannotStart) -> NoReturn:
    """Ends as plain `python` does when it finds nothing to run."""
    python = getattr(sys, "orig_argv", [sys.executable])[0]
    print(f"{python}: {error}", file=sys.stderr)
    sys.exit(error.code)
