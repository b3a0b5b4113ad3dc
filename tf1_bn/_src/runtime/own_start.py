# SPDX-License-Identifier: Apache-2.0
"""TensorFlow as our own commands start it: quietly, and with one line of what is wrong with it."""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys
import warnings
from typing import Callable, Iterator

from .after_import import import_first

_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_MOST_CHARACTERS = 400
_SECONDS_TO_END = 5
# What is fatal passes, and so does what is no line of TensorFlow's log.
_FILTER = r"""
import re, sys
noise = re.compile(rb"[IWE]\d{4} [\d:.]+ |[\d: .-]+: [IWE] |WARNING: All log messages before")
for line in sys.stdin.buffer:
    if not noise.match(line):
        sys.stderr.buffer.write(line)
        sys.stderr.flush()
"""


def start_tensorflow() -> None:
    """Imports TensorFlow without its start-up noise, unless TF_CPP_MIN_LOG_LEVEL asks for it.

    Where a program has imported it already, that program's settings stay.

    Raises:
      ImportError: it is missing or broken; in one line, with its own cause.
    """
    asked = "tensorflow" in sys.modules or _LEVEL in os.environ
    if not asked:
        os.environ[_LEVEL] = "3"
    try:
        with contextlib.nullcontext() if asked else _quiet():
            import_first("tensorflow")
            tf = importlib.import_module(".tensorflow_v1", __package__).tf
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) or error.__cause__ is None:
            raise ImportError(f"TensorFlow cannot be imported: {in_one_line(error)}") from error
        raise ImportError(in_one_line(error)) from error
    if not asked:
        tf.logging.set_verbosity(tf.logging.ERROR)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Within the block warnings are ignored, and the lines of TensorFlow's log dropped.

    Newer TensorFlow logs some before it reads its level. A process drops them and not a thread:
    where TensorFlow aborts, its last words still come.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        # Without a standard error there is nothing to drop.
        with contextlib.suppress(OSError):
            stack.callback(_filter_standard_error())
        yield


def _filter_standard_error() -> Callable[[], None]:
    """Lets a process filter what is written to file descriptor 2; returns what ends that."""
    kept = os.dup(2)
    try:
        filtering = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _FILTER],
            stdin=subprocess.PIPE,
            # Ctrl-C is for us alone.
            start_new_session=os.name == "posix",
        )
    except OSError:
        os.close(kept)
        raise
    assert filtering.stdin is not None
    os.dup2(filtering.stdin.fileno(), 2)
    filtering.stdin.close()

    def end() -> None:
        os.dup2(kept, 2)
        os.close(kept)
        # It ends when nobody else holds the pipe; a process that TensorFlow left would.
        with contextlib.suppress(subprocess.TimeoutExpired):
            filtering.wait(_SECONDS_TO_END)

    return end


def in_one_line(error: BaseException) -> str:
    """What an exception says; where that is a traceback, what the exception inside of it says."""
    while str(error).startswith("Traceback") and error.__context__ is not None:
        error = error.__context__
    text = " ".join(str(error).split())
    kind = "" if type(error) is ImportError else f"{type(error).__name__}: "
    cut = text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 3]}..."
    return kind + cut
