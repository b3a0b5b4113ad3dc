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
from typing import IO, Iterator, Sequence

_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
# So many bytes must fit before hours are spent on what goes into the file.
_ROOM = 2**16


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


def check_target(path: str) -> None:
    """Raises what writing the file would raise for its place, before there is anything to write.

    A small file is written beside it and taken away again; what is there already stays as it is.
    Pipes and devices are not tried out.

    Raises:
      OSError: it is a folder or write-protected, its folder is missing or takes no new file, its
        name is too long, or the disk is full; or standard output or error goes there, which a file
        of the same name would cut off; its `filename` is `path`.
    """
    try:
        _try_out(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None


def _try_out(path: str) -> None:
    is_folder = path.endswith(os.sep) or os.path.isdir(path)
    if is_folder:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    real = os.path.realpath(path)
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.lstat(real).st_mode):
            return
        if not os.access(real, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        for number, name in ((1, "output"), (2, "error")):
            if _leads_to(number, real):
                raise OSError(errno.EBUSY, f"standard {name} goes there")
    with tempfile.NamedTemporaryFile(prefix=_prefix(real), dir=os.path.dirname(real)) as opened:
        opened.write(bytes(_ROOM))
        opened.flush()
        # A disk far away is asked only now.
        os.fsync(opened.fileno())


def _leads_to(number: int, path: str) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samestat(os.fstat(number), os.stat(path))
    return False


def check_report(
    path: str,
    starts: tuple[bytes, ...],
    read: Sequence[str],
    written: Sequence[str],
    what: str,
    instead: str,
) -> None:
    """Raises what writing a report would raise, or where it would cost something else.

    Args:
      path: of the report.
      starts: how reports start, whose place a later one may take.
      read: the files that the report is about.
      written: those of other reports.
      what: is done with the files that are read, for words.
      instead: what is for standard output, for words.

    Raises:
      OSError: see `check_target`; or it is one of these files, or there and no report.
    """
    if path == "-":
        raise OSError(f"reports go to files; {instead} for standard output")
    if any(is_same_file(path, each) for each in read):
        raise OSError(f"it is what is {what}")
    if os.path.realpath(path) in map(os.path.realpath, written):
        raise OSError("the other report goes there")
    if os.path.isfile(path):
        with open(path, "rb") as opened:
            start = opened.read(max(map(len, starts)))
        if start and not start.startswith(starts):
            raise OSError("it is no report, and would be lost")
    check_target(path)


def is_same_file(path: str, other: str) -> bool:
    """Whether both names lead to one file that exists."""
    with contextlib.suppress(OSError):
        return os.path.samefile(path, other)
    return False


def _prefix(path: str) -> str:
    """Of the name that a file has while it is written."""
    return f".{os.path.basename(path)[:40]}."


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
    handle, beside = tempfile.mkstemp(prefix=_prefix(path), dir=folder)
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


def copy_tree(source: str, target: str) -> None:
    """Copies what `check_tree` has let pass to the new folder `target`, and follows links.

    Raises:
      OSError: its `filename` is the one that cannot be read; None where the disk is full.
    """
    # Not shutil.copytree, which raises one error of all files, with lists for words.
    os.mkdir(target)
    for name in sorted(os.listdir(source)):
        inner, outer = os.path.join(source, name), os.path.join(target, name)
        if os.path.isdir(inner):
            copy_tree(inner, outer)
        else:
            with open(inner, "rb") as read, open(outer, "wb") as written:
                shutil.copyfileobj(read, written)


@contextlib.contextmanager
def folder_beside(target: str) -> Iterator[str]:
    """A new folder's path, which takes the name `target` at the end, and is gone after failure."""
    parent, name = os.path.split(os.path.abspath(target))
    scratch = tempfile.mkdtemp(prefix=f".{name}.", dir=parent)
    try:
        beside = os.path.join(scratch, name)
        yield beside
        os.replace(beside, target)
    finally:
        shutil.rmtree(scratch)
