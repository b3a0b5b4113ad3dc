# SPDX-License-Identifier: Apache-2.0
"""Keeps the frames of what runs a program out of what is shown of its errors.

Private name, and why: `tensorflow.python.util.tf_stack` says which files' frames TensorFlow leaves
out of the stacks that it writes into its own error texts.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import runpy
import sys
import threading
import types
from typing import Any, Iterator

from ..runtime import after_import

_HERE = os.path.dirname(os.path.abspath(__file__))
_PACKAGE = os.path.dirname(os.path.dirname(_HERE))
_RUNNER, _PREPARATION = (os.path.join(_HERE, name) for name in ("program.py", "preparation.py"))
# What runs a program, imports TensorFlow for it, watches and records it, and finds old names.
_OURS = (
    os.path.join(_PACKAGE, "__main__.py"),
    os.path.abspath(str(after_import.__file__)),
    *(os.path.join(_HERE, name) for name in ("program.py", "preparation.py", "frames.py")),
    *(os.path.join(_HERE, room, "") for room in ("old_names", "watching")),
    os.path.join(_PACKAGE, "_src", "cli", ""),
    os.path.join(_PACKAGE, "_src", "proof", "record", ""),
)


def hide_our_frames(error: BaseException, by_runpy: bool) -> None:
    """Lets the interpreter treat `error` as ever, but print it as if the program ran alone."""
    hook = sys.excepthook

    def print_once(kind: Any, value: Any, traceback: Any) -> None:
        sys.excepthook = hook
        if value is not error:
            # Somebody above caught the program's, and this is another.
            hook(kind, value, traceback)
            return
        _trim_all(value, by_runpy)
        sys.last_traceback = value.__traceback__
        try:
            hook(kind, value, value.__traceback__)
        except SystemExit:
            raise
        except BaseException as failed:
            _show_failed_hook(failed, value)

    sys.excepthook = print_once


def _show_failed_hook(failed: BaseException, error: BaseException) -> None:
    """Shows that a program's own hook failed at an error, as Python does, without our frames."""
    if failed.__context__ is error:
        failed.__context__ = None
    _trim_all(failed, by_runpy=False)
    # The program may have closed it.
    with contextlib.suppress(AttributeError, OSError, ValueError):
        for words, each in (
            ("Error in sys.excepthook:", failed),
            ("Original exception was:", error),
        ):
            print(words, file=sys.stderr)
            sys.__excepthook__(type(each), each, each.__traceback__)
            if each is failed:
                print(file=sys.stderr, flush=True)


def hide_in_threads() -> None:
    """The same for what ends a thread, where Python lets us: from 3.8 on."""
    hook = getattr(threading, "excepthook", None)
    if hook is None:
        return

    def print_trimmed(given: Any) -> None:
        if given.exc_value is None:
            hook(given)
            return
        _trim_all(given.exc_value, by_runpy=False)
        shown = (given.exc_type, given.exc_value, given.exc_value.__traceback__, given.thread)
        hook(type(given)(shown))

    threading.excepthook = print_trimmed


def hide_in_tensorflow(by_runpy: bool) -> None:
    """The same for the stacks in TensorFlow's error texts, of ops that this thread makes.

    There the layers' own frames are left out as well: nothing else leads to the program's line.
    """
    try:
        stacks = importlib.import_module("tensorflow.python.util.tf_stack")
        files = frozenset([*_files_below_a_program(by_runpy), *_files_of_package()])
        ours = stacks.StackTraceFilter()
        ours.get_filtered_filenames = lambda: files
        ours.__enter__()
    except (ImportError, AttributeError, TypeError):
        # This TensorFlow knows no such filter, and shows the frames.
        return


def _files_below_a_program(by_runpy: bool) -> Iterator[str]:
    """The files of this thread's frames below the program's, but for runpy's that Python shows."""
    frame: Any = sys._getframe()
    names = []
    while frame is not None:
        names.append(frame.f_code.co_filename)
        frame = frame.f_back
    if _RUNNER in names:
        below = names[len(names) - 1 - names[::-1].index(_RUNNER) :]
        yield from (name for name in below if not (by_runpy and _is_runpy(name)))


def _files_of_package() -> Iterator[str]:
    for folder, _, names in os.walk(_PACKAGE):
        yield from (os.path.join(folder, name) for name in names if name.endswith(".py"))


def _trim_all(error: BaseException, by_runpy: bool) -> None:
    """Trims the traceback of `error`, and of all that it came from."""
    pending: list[BaseException | None] = [error]
    seen: set[int] = set()
    while pending:
        each = pending.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        # Where Ctrl-C met what we do at the import of TensorFlow is nobody's matter.
        last = _PREPARATION if isinstance(each, KeyboardInterrupt) else ""
        each.__traceback__ = _program_frames(each.__traceback__, by_runpy and each is error, last)
        pending += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]


def _program_frames(traceback: Any, by_runpy: bool, last: str) -> types.TracebackType | None:
    frames = []
    while traceback is not None:
        frames.append(traceback)
        traceback = traceback.tb_next
    first = next((i for i, frame in enumerate(frames) if _file(frame) == _RUNNER), 0)
    # `python -m` shows two frames of its own.
    kept = [frame for frame in frames[:first] if by_runpy and _is_runpy(_file(frame))]
    for frame in frames[first:]:
        if not _file(frame).startswith(_OURS):
            kept.append(frame)
        else:
            # Python hides the import system's frames, but not those that end in ours.
            while kept and _file(kept[-1]).startswith("<frozen importlib"):
                kept.pop()
        if _file(frame) == last:
            break
    chain: types.TracebackType | None = None
    for frame in reversed(kept):
        chain = types.TracebackType(chain, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return chain


def _file(frame: types.TracebackType) -> str:
    return frame.tb_frame.f_code.co_filename


def _is_runpy(file_name: str) -> bool:
    return file_name in ("<frozen runpy>", runpy.__file__)
