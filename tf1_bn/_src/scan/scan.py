# SPDX-License-Identifier: Apache-2.0
"""Reads the files of a tree, one after the other, and asks the rules about all together."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from typing import Callable, Iterable, Iterator, NamedTuple, Sequence

from .collected import collected_rules
from .finding import LEVELS, Finding
from .old_names import call_rules, name_rules, options_of
from .source.facts import Facts
from .source.norms import Norm, norm_of
from .source.text import DEEP, NOTEBOOK, Unreadable, parse_file
from .source.tree import Tree, tree_of
from .source.walk import facts_of
from .training import training_rules
from .updates import updates_rules

UNREAD = ("BN001", "BN002", "BN003")
RULES = (call_rules, training_rules, updates_rules, collected_rules, name_rules)
# What tools put into a project, not its authors; besides all that begins with a dot.
_FOREIGN = ("__pycache__", "node_modules", "site-packages")
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
    findings: list[Finding] = []
    known = []
    files = _files_of(paths, findings)
    with _set_up():
        for path in watch(files):
            found = _facts(path)
            if isinstance(found, Facts):
                known.append(found)
            else:
                findings.append(Finding(path, found.line, found.column, found.code, found.text))
    tree = tree_of(known)
    findings += _found(tree)
    norms = [(each.path, norm) for each in tree.files for norm in map(norm_of, each.calls) if norm]
    options = options_of(tree)
    return Result(sorted(set(findings)), norms, len(files), options)


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


def _found(tree: Tree) -> Iterator[Finding]:
    """What the rules find, but for lines with a `noqa` for it."""
    silenced = {each.path: each.silenced for each in tree.files}
    for rule in RULES:
        for finding in rule(tree):
            codes = silenced[finding.path].get(finding.line)
            if codes is None or (codes and finding.code not in codes):
                yield finding


def _facts(path: str) -> Facts | Unreadable:
    source = parse_file(path)
    if isinstance(source, Unreadable):
        return source
    try:
        return facts_of(path, source.tree, source.lines)
    except RecursionError:
        return Unreadable("BN003", 1, 1, DEEP)
    except Exception as error:
        # A mistake of ours costs one file, which is told, and not the others.
        text = f"could not be checked, by a mistake of tf1_bn: {type(error).__name__}: {error}"
        return Unreadable("BN003", 1, 1, text.split("\n")[0])


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


def _files_of(paths: Sequence[str], lost: list[Finding]) -> list[str]:
    """The files below some paths, in order and each once; what leads nowhere goes into `lost`.

    Links to folders are not followed, so there is an end.
    """
    files: dict[str, str] = {}
    for path in paths:
        found = _below(path, lost) if os.path.isdir(path) else [path]
        for each in found:
            files.setdefault(os.path.abspath(each), os.path.normpath(each) if each else each)
    return list(files.values())


def _below(top: str, lost: list[Finding]) -> Iterator[str]:
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        folders, files = [], []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if _is_folder(entry):
                        folders.append(entry)
                    elif entry.name.endswith((".py", NOTEBOOK)):
                        files.append(entry.path)
        except OSError as error:
            text = f"could not be read: {error.strerror or error}"
            lost.append(Finding(os.path.normpath(folder), 1, 1, "BN001", text))
        yield from sorted(files)
        wanted = sorted(each.path for each in folders if _is_of_project(each))
        waiting += reversed(wanted)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and entry.is_dir())
    except OSError:
        # A link to itself, for one; who opens it says so.
        return False


def _is_of_project(entry: os.DirEntry[str]) -> bool:
    if entry.is_symlink() or entry.name.startswith(".") or entry.name in _FOREIGN:
        return False
    # A virtual environment.
    return not os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))
