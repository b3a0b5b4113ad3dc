# SPDX-License-Identifier: Apache-2.0
"""Rewrites calls of tf.layers' batch norm to tf1_bn, and no other character of a file."""

from __future__ import annotations

import ast
import difflib
import os
import re
import stat
from typing import Iterator, NamedTuple, Sequence

from ..files.whole_files import open_regular, written_beside
from .scan import Result
from .source.norms import Norm
from .source.text import MOST_BYTES, NOTEBOOK, Source, parse

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
    def diff(self) -> bytes:
        """What changes, as a unified diff that patch and git take, in the file's own encoding."""
        old, new = (re.findall(b"[^\n]*\n|[^\n]+", raw) for raw in (self.before, self.after))
        name = self.path.replace(os.sep, "/").lstrip("/")
        a, b = _quoted(f"a/{name}"), _quoted(f"b/{name}")
        rows = difflib.diff_bytes(difflib.unified_diff, old, new, a, b)
        ended = (
            row if row.endswith(b"\n") else row + b"\n\\ No newline at end of file\n"
            for row in rows
        )
        return b"".join(ended)


def _quoted(name: str) -> bytes:
    """A path as the head of a diff has it: git's quotes where a line could not hold it."""
    raw = os.fsencode(name)
    if not re.search(rb'[\x00-\x1f\x7f"\\]', raw):
        # What stands behind a tab is no part of a name.
        return raw + b"\t" if b" " in raw else raw
    special = re.sub(rb'["\\]', rb"\\\g<0>", raw)
    told = re.sub(rb"[\x00-\x1f\x7f]", lambda found: b"\\%03o" % found.group()[0], special)
    return b'"' + told + b'"'


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
        if not mode & stat.S_IWUSR or not os.access(fix.path, os.W_OK):
            return "left alone: it is write-protected"
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
    if path.endswith(NOTEBOOK):
        return Fix(path, before, before, "it is a notebook")
    try:
        before = _read(path)
        after = rewritten(before, {(norm.call.line, norm.call.column) for norm in norms})
    except Untouched as error:
        return Fix(path, before, before, str(error))
    except OSError as error:
        return Fix(path, before, before, error.strerror or str(error))
    source = parse(before)
    if not isinstance(source, Source) or not isinstance(parse(after), Source):
        return Fix(path, before, before, "what it would become does not parse")
    if _is_taken(source.tree):
        return Fix(path, before, before, "`tf1_bn` is a name of something else in it")
    return Fix(path, before, after)


def _is_taken(tree: ast.Module) -> bool:
    """Whether a file calls something else tf1_bn."""
    for node in ast.walk(tree):
        if isinstance(node, ast.alias):
            # Imports of ours are as good as the one that is written.
            bound = node.asname if node.name.split(".")[0] != "tf1_bn" else None
        elif isinstance(node, ast.Name):
            bound = node.id if isinstance(node.ctx, ast.Store) else None
        else:
            bound = getattr(node, "arg", None) if isinstance(node, ast.arg) else None
            bound = bound or getattr(node, "name", None)
        if bound == "tf1_bn":
            return True
    return False


def _read(path: str) -> bytes:
    with open_regular(path, MOST_BYTES) as opened:
        return opened.read()
