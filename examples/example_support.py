# SPDX-License-Identifier: Apache-2.0
"""What the examples share: quiet start, checked options, progress on stderr, Ctrl-C as code 130.

Import this module before TensorFlow: TensorFlow reads its settings while it is imported.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence, TextIO

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class ExampleError(Exception):
    """A mistake of the person at the keyboard: shown as one line, without a traceback."""


def _start() -> None:
    """Quiets TensorFlow's start-up log, explains a missing TensorFlow, leaves at once on Ctrl-C."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Small nets gain nothing from oneDNN, and without it newer versions print the same digits.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    if importlib.util.find_spec("tensorflow") is None:
        sys.exit("The examples need TensorFlow: pip install -e '.[tensorflow]'")
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # While TensorFlow is being imported nothing is written yet, so there is nothing to tidy.
        signal.signal(signal.SIGINT, lambda *_: os._exit(EXIT_INTERRUPTED))


_start()


def run(main: Callable[[], None]) -> None:
    """Calls `main` and exits: 0 when it returns, 2 on an `ExampleError`, 130 on Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        main()
    except ExampleError as error:
        print(f"{Path(sys.argv[0]).name}: error: {error}", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)


def whole_number(minimum: int, maximum: int = 2**31 - 1) -> Callable[[str], int]:
    """An argparse type: a whole number from `minimum` to `maximum`, both allowed."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if not minimum <= value <= maximum:
            raise argparse.ArgumentTypeError(
                f"expected a whole number from {minimum} to {maximum}, got {text!r}"
            )
        return value

    return parse


def fraction(text: str) -> float:
    """An argparse type: a number at least 0 and below 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < 1.0:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to below 1, got {text!r}")
    return value


def columns_of(stream: TextIO) -> int | None:
    """How wide the terminal is that `stream` writes to; None where there is none."""
    if not stream.isatty():
        return None
    try:
        told = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        told = 0
    # COLUMNS of the environment comes first, as everywhere.
    return shutil.get_terminal_size().columns if os.environ.get("COLUMNS") else told or 80


class Progress:
    """A bar redrawn in place on a terminal; anywhere else one plain line for each `note`."""

    def __init__(self, total: int, stream: TextIO | None = None, width: int = 30) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._on_terminal = self._stream.isatty()
        self._total = total
        self._width = width
        self._note = ""
        self._drawn_at = 0.0

    def advance(self, done: int) -> None:
        """Says that `done` of the total steps are finished."""
        now = time.monotonic()
        # Ten redraws a second look smooth; more would cost as much as a training step.
        if self._on_terminal and (done == self._total or now - self._drawn_at > 0.1):
            self._drawn_at = now
            # In the last column the terminal would go on in a new line, which no return undoes.
            room = (columns_of(self._stream) or 80) - 1
            self._stream.write(f"\r\033[K{self._line(done, room)}")
            self._stream.flush()

    def _line(self, done: int, room: int) -> str:
        """Bar, count and note in `room` columns; a narrow terminal gets a short bar or none."""
        text = f"{done}/{self._total}  {self._note}"
        width = self._width if len(text) + self._width + 3 <= room else min(10, room // 4)
        filled = width * done // self._total
        bar = f"[{'#' * filled}{'.' * (width - filled)}] " if room >= 40 else ""
        line = (bar + text).rstrip()
        return line if len(line) <= room else f"{line[: max(0, room - 3)]}..."[:room]

    def note(self, text: str) -> None:
        """Reports a finished epoch."""
        self._note = text
        if not self._on_terminal:
            self._stream.write(text + "\n")
            self._stream.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        # Leave the bar on a line of its own, also after Ctrl-C.
        if self._on_terminal:
            self._stream.write("\n")
            self._stream.flush()


def table(rows: Sequence[Sequence[str]]) -> str:
    """Lines the cells up: the first column to the left, the others to the right.

    Where the terminal is narrower, each row becomes a paragraph of its cells.
    """
    columns = columns_of(sys.stdout)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  ".join(cells).rstrip())
    if columns is None or max(map(len, lines)) <= columns:
        return "\n".join(lines)
    return "\n".join(
        textwrap.fill(
            f"{row[0]}: " + ", ".join(f"{name} {cell}" for name, cell in zip(rows[0][1:], row[1:])),
            max(columns, 10),
            subsequent_indent="  ",
        )
        for row in rows[1:]
    )


def percent(fraction_correct: float) -> str:
    return f"{100.0 * fraction_correct:.2f} %"


@contextlib.contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Yields a temporary name beside `path`; it becomes `path` only if the block succeeds."""
    partial = path.with_name("." + path.name + ".partial")
    try:
        yield partial
        os.replace(str(partial), str(path))
    finally:
        if partial.exists():
            partial.unlink()


@contextlib.contextmanager
def output_directory(path: Path | None) -> Iterator[Path]:
    """Yields `path`, created if need be, or a temporary directory when `path` is None.

    A directory created here is removed again if the block fails before anything was put into it.
    """
    if path is None:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
        return
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExampleError(f"cannot create the directory {path}: {error.strerror}") from None
    if not os.access(str(path), os.W_OK):
        raise ExampleError(f"cannot write into the directory {path}")
    try:
        yield path
    except BaseException:
        for folder in missing:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def quiet(tf: Any) -> None:
    """Hides TensorFlow's deprecation notes: graph mode is what these examples are about."""
    tf.logging.set_verbosity(tf.logging.ERROR)
