# SPDX-License-Identifier: Apache-2.0
"""The files of a tree together: who imports whom, and names that lead from one file to another."""

from __future__ import annotations

import os
from typing import Iterable, Mapping, NamedTuple, Sequence

from .facts import Call, Facts, Use
from .text import NOTEBOOK
from .words import FOLLOWED_NOT

_MOST_STEPS = 4


class Tree(NamedTuple):
    """All files that could be read.

    Attributes:
      files: their facts, names of other files in the tree followed to where they lead; a function
        of another file is `@PATH:` with its name there behind it.
      groups: of files that are connected by imports.
      imported: by path, the files of the tree that a file imports.
      outside: by path, the modules imported that are neither in the tree nor known.
    """

    files: Sequence[Facts]
    groups: Sequence[Sequence[Facts]]
    imported: Mapping[str, set[str]]
    outside: Mapping[str, Sequence[str]]


class _Index:
    """Finds the file of a module."""

    def __init__(self, files: Iterable[Facts]) -> None:
        self.by_last: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        self.by_words: dict[tuple[str, ...], str] = {}
        for each in files:
            words = _words(each.path)
            if each.path.endswith(NOTEBOOK):
                # Nobody imports it.
                continue
            self.by_words[words] = each.path
            if words:
                self.by_last.setdefault(words[-1], []).append((words, each.path))

    def find(self, importer: str, level: int, module: str) -> str | None:
        """The path of a module as a file imports it; None if it is not in the tree."""
        asked = tuple(module.split(".")) if module else ()
        folder = _words(os.path.join(os.path.dirname(importer), "x"))[:-1]
        if level:
            return self.by_words.get((*folder[: len(folder) - level + 1], *asked))
        if not asked or asked[0] in FOLLOWED_NOT:
            return None
        fits = [
            (words[: -len(asked)], path)
            for words, path in self.by_last.get(asked[-1], ())
            if words[-len(asked) :] == asked
        ]
        near = [(root, path) for root, path in fits if folder[: len(root)] == root]
        if near:
            return max(near)[1]
        return fits[0][1] if len(fits) == 1 and len(asked) > 1 else None


def tree_of(files: Sequence[Facts]) -> Tree:
    """Puts the files of a tree together."""
    index = _Index(files)
    by_path = {each.path: each for each in files}
    imported: dict[str, set[str]] = {each.path: set() for each in files}
    outside: dict[str, list[str]] = {}
    for each in files:
        for one in each.imports:
            found = index.find(each.path, one.level, one.module)
            if found is not None and found != each.path:
                imported[each.path].add(found)
        outside[each.path] = _outside(each, index)
    linked = [_linked(each, index, by_path) for each in files]
    return Tree(linked, _groups(linked, imported), imported, outside)


def importers(imported: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """By path, the files that import a file."""
    found: dict[str, set[str]] = {path: set() for path in imported}
    for path, others in imported.items():
        for other in others:
            found[other].add(path)
    return found


def reached(starts: Iterable[str], steps: Mapping[str, set[str]]) -> set[str]:
    """All paths that steps lead to, the starts included."""
    seen: set[str] = set()
    waiting = list(starts)
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += steps[path]
    return seen


def _outside(facts: Facts, index: _Index) -> list[str]:
    found = []
    for one in facts.imports:
        root = one.module.split(".")[0]
        if not one.level and root in FOLLOWED_NOT:
            continue
        parent = one.module.rpartition(".")[0]
        asked = (one.module, parent) if parent or one.level else (one.module,)
        if all(index.find(facts.path, one.level, name) is None for name in asked):
            found.append("." * one.level + one.module)
    return found


def _groups(files: Sequence[Facts], imported: Mapping[str, set[str]]) -> list[list[Facts]]:
    back = importers(imported)
    neighbours = {path: others | back[path] for path, others in imported.items()}
    places = {each.path: place for place, each in enumerate(files)}
    groups: list[list[Facts]] = []
    seen: set[str] = set()
    for each in files:
        if each.path not in seen:
            paths = reached([each.path], neighbours)
            groups.append([files[place] for place in sorted(places[path] for path in paths)])
            seen |= paths
    return groups


def _linked(facts: Facts, index: _Index, by_path: Mapping[str, Facts]) -> Facts:
    """The facts with names that go through other files of the tree followed."""

    def follow(names: tuple[str, ...]) -> tuple[str, ...]:
        found = [_followed(name, facts.path, index, by_path) for name in names]
        return tuple(dict.fromkeys(found))

    calls: list[Call] = []
    for call in facts.calls:
        names = follow(call.names)
        calls.append(call if names == call.names else call._replace(names=names))
    uses: list[Use] = [
        use._replace(names=follow(use.names))
        for use in facts.uses
        if not any(_is_flag(name, facts.path, index, by_path) for name in use.asked)
    ]
    return facts._replace(calls=calls, uses=uses)


def _is_flag(name: str, importer: str, index: _Index, by_path: Mapping[str, Facts]) -> bool:
    """Whether a name of another file says which TensorFlow there is."""
    bare = name.lstrip("<")
    words = bare.split(".")
    for count in range(len(words) - 1, -1, -1):
        path = index.find(importer, len(name) - len(bare), ".".join(words[:count]))
        if path is not None and words[count] in by_path[path].flags:
            return True
    return False


def _followed(name: str, importer: str, index: _Index, by_path: Mapping[str, Facts]) -> str:
    for _ in range(_MOST_STEPS):
        step = _step(name, importer, index, by_path)
        if step is None:
            break
        name, importer = step
    return name


def _step(
    name: str, importer: str, index: _Index, by_path: Mapping[str, Facts]
) -> tuple[str, str] | None:
    """A name in `importer` as the file calls it that it comes from, and that file."""
    bare = name.lstrip("<")
    level = len(name) - len(bare)
    words = bare.split(".")
    if name[:1] in ".?@" or (not level and words[0] in FOLLOWED_NOT):
        return None
    for count in range(min(len(words) - 1, 8), -1 if level else 0, -1):
        path = index.find(importer, level, ".".join(words[:count]))
        exported = by_path[path].exports.get(words[count]) if path is not None else None
        if path is not None and exported:
            rest = "".join(f".{word}" for word in words[count + 1 :])
            target = exported[0]
            return (
                f"@{path}:{target}{rest}" if target.startswith(".") else f"{target}{rest}"
            ), path
    return None


def _words(path: str) -> tuple[str, ...]:
    """A module's path as words; a package is its folder."""
    plain = os.path.normpath(os.path.abspath(path))
    words = tuple(os.path.splitext(plain)[0].replace("\\", "/").split("/"))
    return words[:-1] if words[-1] == "__init__" else words
