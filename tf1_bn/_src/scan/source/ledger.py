# SPDX-License-Identifier: Apache-2.0
"""What has been noted of one file: its names, where they stand, and what they speak of."""

from __future__ import annotations

import contextlib
from typing import Any, Iterable, Iterator, Mapping

from .facts import Argument, Import, Target, Use
from .words import (
    ASKED,
    ASSIGNING,
    FOLLOWED_NOT,
    HARMLESS,
    is_of_statistics,
    is_of_updates,
    speaks_of_version,
    words_of,
)

_LONGEST_NAME, _LONGEST_WORD = 150, 80
_MOST_ASKED = 40


class Ledger:
    """Notes of a file.

    Attributes:
      imports, loaded, has_places, functions, flags, strangers: as in `Facts`.
      order: of the last call.
      guards, tries: how many questions for the version are around, and how many `try`.
      asked: what is asked around that other files may have for one.
    """

    def __init__(self, lines: list[str]) -> None:
        self.imports: list[Import] = []
        self.loaded: set[str] = set()
        self.has_places, self._of_updates, self._of_statistics = False, False, False
        self.functions: dict[str, Mapping[str, Argument | None]] = {}
        self.flags: set[str] = set()
        self.strangers: dict[str, int] = {}
        self.order = 0
        self.guards, self.tries = 0, 0
        self.asked: tuple[str, ...] = ()
        self._lines = lines
        self._uses: dict[tuple[str, ...], Use] = {}
        self._words: set[str] = set()

    @property
    def uses(self) -> list[Use]:
        return list(self._uses.values())

    @property
    def has_updates(self) -> bool:
        """Whether something speaks of update ops, or moves the statistics by itself."""
        is_by_hand = self._of_statistics and not self.loaded.isdisjoint(ASSIGNING)
        return self._of_updates or is_by_hand

    def word(self, name: str) -> None:
        """Looks whether an identifier, or a text, speaks of update ops."""
        if name not in self._words and len(name) < _LONGEST_WORD:
            self._words.add(name)
            self.has_places = self.has_places or name == "updates_collections"
            self._of_updates = self._of_updates or is_of_updates(name)
            self._of_statistics = self._of_statistics or is_of_statistics(name)

    def read(self, name: str) -> None:
        """Notes that a name is read."""
        self.word(name)
        self.loaded.add(name)

    @property
    def has_way_out(self) -> bool:
        """Whether what is read may fail, or belongs to one TensorFlow."""
        return bool(self.guards or self.tries)

    @property
    def questions(self) -> tuple[int, tuple[str, ...]]:
        """What is asked around."""
        return self.guards, self.asked

    @questions.setter
    def questions(self, questions: tuple[int, tuple[str, ...]]) -> None:
        self.guards, self.asked = questions

    def guard(self, test: Any, imported: Iterable[str]) -> None:
        """What is noted from here on is a question of `test`, which asks these imported names."""
        words = words_of(test)
        is_flag = not self.flags.isdisjoint(words.split())
        self.guards += is_flag or speaks_of_version(words)
        self.asked = (self.asked + tuple(imported))[-_MOST_ASKED:]

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Ends what was asked inside."""
        questions = self.questions
        yield
        self.questions = questions

    def counts(self, names: tuple[str, ...], scope: str) -> bool:
        """Notes that something is called in a scope; whether a rule may ask for it."""
        self.order += 1
        lasts = {each.replace("()", "").split(".")[-1] for each in names}
        roots = {each.split(".")[0] for each in names}
        if not names[:1] or not any(each.startswith(".") for each in names):
            self.stranger(names, scope)
        return bool(lasts & ASKED or (roots - FOLLOWED_NOT and roots != {"?"}))

    def stranger(self, names: tuple[str, ...], scope: str) -> None:
        """Notes a call in a scope that could lead anywhere."""
        is_template = any(each.endswith("make_template()") for each in names)
        if is_template or all(each.split(".")[0] not in FOLLOWED_NOT for each in names):
            self.strangers.setdefault(scope, self.order)

    def use(self, target: Target, node: Any) -> None:
        """Notes the use of an imported name, but not behind a question for the version."""
        names = target.names
        known = self._uses.get(names)
        if self.has_way_out:
            return
        if known is not None and (self.asked or not known.asked):
            self._uses[names] = known._replace(times=known.times + 1)
        elif _is_foreign(names):
            # A use that nothing asks for counts before those behind a question.
            self._uses[names] = Use(names, *self.place(node), 1, self.asked)

    def place(self, node: Any) -> tuple[int, int]:
        """Line and column, both from 1, the column in characters."""
        line = self._lines[node.lineno - 1] if node.lineno <= len(self._lines) else ""
        before = line.encode("utf-8", "surrogatepass")[: node.col_offset]
        return node.lineno, len(before.decode("utf-8", "replace")) + 1


def _is_foreign(names: tuple[str, ...]) -> bool:
    """Whether they are of other modules, and not of harmless ones."""
    if any(each[:1] in ".?" or "()" in each or len(each) > _LONGEST_NAME for each in names):
        return False
    return any(each.split(".")[0] not in HARMLESS for each in names)
