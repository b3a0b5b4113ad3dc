# SPDX-License-Identifier: Apache-2.0
"""Rewrites calls of tf.layers' batch norm to tf1_bn, and no other character of a file."""

from __future__ import annotations

import difflib
import io
import os
import stat
import tokenize
from typing import Iterator, NamedTuple, Sequence

from ..files.whole_files import open_regular, written_beside
from .scan import Result
from .source.norms import Norm
from .source.text import MOST_BYTES, Source, parse

_MISSING = "--fix needs LibCST, which is not installed: pip install 'libcst>=1.0', or tf1_bn[fix]"


class FixMissing(Exception):
    """LibCST is not installed."""


class Fix(NamedTuple):
    """What a file would become.

    Attributes:
      path: of the file.
      before, after: what stands in it, and what would.
      trouble: why it is left alone; "" where it is not.
    """

    path: str
    before: bytes
    after: bytes
    trouble: str = ""

    @property
    def diff(self) -> str:
        """What changes, as a unified diff."""
        encoding, _ = tokenize.detect_encoding(io.BytesIO(self.before).readline)
        old, new = (
            raw.decode(encoding).splitlines(keepends=True) for raw in (self.before, self.after)
        )
        name = self.path.replace(os.sep, "/").lstrip("/")
        rows = difflib.unified_diff(old, new, f"a/{name}", f"b/{name}")
        ended = (
            row if row.endswith("\n") else f"{row}\n\\ No newline at end of file\n" for row in rows
        )
        return "".join(ended)


def fixes_of(result: Result) -> Iterator[Fix]:
    """What can be rewritten, file by file: the calls that have a BN100.

    Those of contrib and slim are left alone, because an `arg_scope` may give them arguments.

    Raises:
      FixMissing: there is something to rewrite, and LibCST is not installed.
    """
    found = {(f.path, f.line, f.column) for f in result.findings if f.code == "BN100"}
    by_path: dict[str, list[Norm]] = {}
    for path, norm in result.norms:
        place = (path, norm.call.line, norm.call.column)
        if norm.library == "layers" and not norm.is_ours and place in found:
            by_path.setdefault(path, []).append(norm)
    for path, norms in by_path.items():
        fix = _fix(path, norms)
        if fix.trouble or fix.after != fix.before:
            yield fix


def write_fix(fix: Fix) -> str:
    """Writes a file anew, whole or not at all; returns why it could not, or ""."""
    try:
        if _read(fix.path) != fix.before:
            return "left alone: it has changed meanwhile"
        mode = stat.S_IMODE(os.stat(fix.path).st_mode)
        with written_beside(fix.path) as opened:
            opened.write(fix.after)
        os.chmod(fix.path, mode)
    except OSError as error:
        return f"could not be written: {error.strerror or error}"
    return ""


def _fix(path: str, norms: Sequence[Norm]) -> Fix:
    try:
        from .rewriting import Untouched, rewritten
    except ImportError as error:
        if (error.name or "").split(".")[0] != "libcst":
            raise
        raise FixMissing(_MISSING) from None
    before = b""
    try:
        before = _read(path)
        after = rewritten(before, {(norm.call.line, norm.call.column) for norm in norms})
    except Untouched as error:
        return Fix(path, before, before, str(error))
    except OSError as error:
        return Fix(path, before, before, error.strerror or str(error))
    if not isinstance(parse(after), Source):
        return Fix(path, before, before, "what it would become does not parse")
    return Fix(path, before, after)


def _read(path: str) -> bytes:
    with open_regular(path, MOST_BYTES) as opened:
        return opened.read()
