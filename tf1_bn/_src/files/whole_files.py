# SPDX-License-Identifier: Apache-2.0
"""Files that are written whole or not at all, and read only where they have an end."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import stat
import tempfile
from typing import IO, Iterator

_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_regular(path: str, most_bytes: int) -> io.FileIO:
    """Opens a file for reading that is a regular one and not too large.

    A pipe or a device may have no end, or never a beginning.

    Raises:
      OSError: it is not there, of another kind, or larger than `most_bytes`.
    """
    _check_kind(path, os.stat(path))
    # Without waiting, should a pipe have taken the place of the file meanwhile.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        found = os.fstat(handle)
        _check_kind(path, found)
        if found.st_size > most_bytes:
            text = f"it has {found.st_size} bytes, more than {most_bytes}"
            raise OSError(errno.EFBIG, text, path)
        return io.FileIO(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _check_kind(path: str, found: os.stat_result) -> None:
    for is_kind, name in _KINDS:
        if is_kind(found.st_mode):
            raise OSError(errno.EINVAL, f"it is {name}, not a file", path)


@contextlib.contextmanager
def written_beside(path: str) -> Iterator[IO[bytes]]:
    """A file to write, which takes the name `path` at the end, and is gone after any exception.

    A link stays a link, and what it leads to is written. Nothing takes the place of a pipe or a
    device: those are written to directly.
    """
    path = os.path.realpath(path)
    if os.path.exists(path) and not os.path.isfile(path):
        # A directory raises here.
        with open(path, "wb") as opened:
            yield opened
        return
    folder = os.path.dirname(path)
    handle, beside = tempfile.mkstemp(prefix=f".{os.path.basename(path)[:40]}.", dir=folder)
    try:
        with os.fdopen(handle, "wb") as opened:
            yield opened
        # mkstemp lets nobody else read; a report is for others, as the umask allows.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(beside, 0o666 & ~mask)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def write_text(path: str, text: str) -> None:
    """Writes `text` in UTF-8."""
    with written_beside(path) as opened:
        opened.write(text.encode("utf-8"))


def check_tree(folder: str, above: tuple[str, ...] = ()) -> None:
    """Raises ValueError where a copy would have no end: a device, a pipe, a link to a parent."""
    own = os.path.realpath(folder)
    if own in above:
        raise ValueError(f"{folder} is a link to a folder that it lies in.")
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            check_tree(path, (*above, own))
        elif not stat.S_ISREG(mode):
            raise ValueError(f"{path} is neither a file nor a folder.")


@contextlib.contextmanager
def folder_beside(target: str) -> Iterator[str]:
    """A new folder's path, which takes the name `target` at the end, and is gone after failure."""
    parent, name = os.path.split(os.path.abspath(target))
    scratch = tempfile.mkdtemp(prefix=f".{name}.", dir=parent)
    try:
        beside = os.path.join(scratch, name)
        yield beside
        os.rename(beside, target)
    finally:
        shutil.rmtree(scratch)
