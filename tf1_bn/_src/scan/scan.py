# SPDX-License-Identifier: Apache-2.0
"""Reads the files of a tree, one after the other, and asks the rules about all together."""

from __future__ import annotations

import contextlib
import gc
import sys
from typing import Callable, Iterable, Iterator, NamedTuple, Sequence

from .paths import listing_of
from .rules.finding import LEVELS, Finding
from .rules.old_names import options_of
from .rules.table import findings_of
from .source.facts import Facts
from .source.norms import Norm, norm_of
from .source.tree import tree_of
from .source.walk import facts_of
from .text import DEEP, Unreadable, parse_file

UNREAD = ("BN001", "BN002", "BN003")
# Python's own limit is that of programs; sources have long chains.
_DEEPEST = 3000


class Result(NamedTuple):
    """What a scan has found.

    Attributes:
      findings: by path, line and column.
      norms: the calls of batch normalization, each with its file.
      files: how many were looked at.
      options: those of `python -m tf1_bn run` that the tree needs on new TensorFlow.
    """

    findings: Sequence[Finding]
    norms: Sequence[tuple[str, Norm]]
    files: int
    options: Sequence[str]

    @property
    def unread(self) -> int:
        """How many files or folders could not be read or parsed."""
        return sum(finding.code in UNREAD for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """0: neither warnings nor errors; 1: some; 2: something was not checked."""
        if self.unread:
            return 2
        return int(any(finding.level != "note" for finding in self.findings))


def scan(
    paths: Sequence[str], watch: Callable[[Sequence[str]], Iterable[str]] = lambda files: files
) -> Result:
    """Scans files, and folders with all below them; nothing is executed or written.

    Args:
      paths: of files and folders.
      watch: gives each of the files, and may tell somebody how far it is.
    """
    listing = listing_of(paths)
    findings, known = list(listing.lost), []
    with _set_up():
        for path in watch(listing.files):
            found = _facts(path)
            if isinstance(found, Facts):
                known.append(found)
            else:
                findings.append(Finding(path, found.line, found.column, found.code, found.text))
    tree = tree_of(known)
    findings += findings_of(tree)
    norms = [(each.path, norm) for each in tree.files for norm in map(norm_of, each.calls) if norm]
    options = options_of(tree)
    return Result(sorted(set(findings)), norms, len(listing.files), options)


def kept(result: Result, select: Sequence[str], ignore: Sequence[str], level: str) -> Result:
    """The result without what is not asked for; what could not be read always stays.

    Args:
      select, ignore: beginnings of codes; an empty `select` takes all.
      level: the least that is shown.
    """

    def is_asked(finding: Finding) -> bool:
        if finding.code in UNREAD:
            return True
        chosen = not select or finding.code.startswith(tuple(select))
        is_high = LEVELS.index(finding.level) >= LEVELS.index(level)
        return chosen and is_high and not finding.code.startswith(tuple(ignore))

    return result._replace(findings=[each for each in result.findings if is_asked(each)])


def _facts(path: str) -> Facts | Unreadable:
    source = parse_file(path)
    if isinstance(source, Unreadable):
        return source
    try:
        return facts_of(path, source.tree, source.lines)
    except RecursionError:
        return Unreadable("BN003", 1, 1, DEEP)


@contextlib.contextmanager
def _set_up() -> Iterator[None]:
    before, is_collecting = sys.getrecursionlimit(), gc.isenabled()
    sys.setrecursionlimit(max(before, _DEEPEST))
    # Trees have no cycles, and a third of the time goes into looking for some.
    gc.disable()
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
        if is_collecting:
            gc.enable()
