# SPDX-License-Identifier: Apache-2.0
"""What has been noted of one file: its names, where they stand, and what they speak of."""

from __future__ import annotations

from typing import Any, Mapping

from .facts import Argument, Import, Target, Use
from .words import ASSIGNING, HARMLESS, is_of_statistics, is_of_updates

_LONGEST_NAME, _LONGEST_WORD = 150, 80


class Ledger:
    """Notes of a file.

    Attributes:
      imports, loaded, has_places, functions: as in `Facts`.
    """

    def __init__(self, lines: list[str]) -> None:
        self.imports: list[Import] = []
        self.loaded: set[str] = set()
        self.has_places, self._of_updates, self._of_statistics = False, False, False
        self.functions: dict[str, Mapping[str, Argument | None]] = {}
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

    def use(self, target: Target, node: Any) -> None:
        """Notes the use of an imported name."""
        names = target.names
        known = self._uses.get(names)
        if known is not None:
            self._uses[names] = known._replace(times=known.times + 1)
        elif _is_foreign(names):
            self._uses[names] = Use(names, *self.place(node), 1)

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
