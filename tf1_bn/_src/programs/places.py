# SPDX-License-Identifier: Apache-2.0
"""Places that hold a value for others to find: written and given back; no TensorFlow in here."""

from __future__ import annotations

import itertools
import types
from typing import Any, Iterable, NamedTuple

MISSING = object()


class Place(NamedTuple):
    """A name in a mapping (`is_item`), or as an attribute of a module."""

    owner: Any
    name: str
    is_item: bool

    def read(self) -> Any:
        """What stands there by itself; asking the module would make a lazy one load."""
        return (self.owner if self.is_item else vars(self.owner)).get(self.name, MISSING)

    def write(self, value: Any) -> None:
        """Puts `value` there; MISSING removes the name."""
        if self.is_item and value is MISSING:
            self.owner.pop(self.name, None)
        elif self.is_item:
            self.owner[self.name] = value
        elif value is MISSING:
            delattr(self.owner, self.name)
        else:
            # Not by vars(): TensorFlow's module wrappers keep a cache that only setattr renews.
            setattr(self.owner, self.name, value)


class Move(NamedTuple):
    """Which value goes where."""

    place: Place
    value: Any


def attribute(module: Any, name: str) -> Place:
    """`module.name`; for a lazy loader past its `__setattr__`, which loads what it stands for."""
    lazy = is_lazy(module)
    return Place(vars(module) if lazy else module, name, lazy)


def is_lazy(module: Any) -> bool:
    """Whether `module` is one of TensorFlow's lazy loaders."""
    return any(base.__name__ == "LazyLoader" for base in type(module).__mro__)


def provides(module: Any, name: str) -> bool:
    """Whether `module` has `name` when asked; a lazy one that fails is left as it was."""
    before = dict(vars(module))
    try:
        getattr(module, name)
    # A loader for a Keras that is not installed calls itself endlessly when asked again.
    except (AttributeError, ImportError, RecursionError):
        if is_lazy(module):
            vars(module).clear()
            vars(module).update(before)
        return False
    return True


class _Placed:
    """What stands at a place now, what stood there before, and who still wants it so."""

    def __init__(self, move: Move) -> None:
        self.move = move
        self.original = move.place.read()
        self.holders: set[int] = set()


class Ledger:
    """Everything that was placed. A place gets its original back when its last holder lets go."""

    def __init__(self) -> None:
        self._placed: dict[tuple[int, str], _Placed] = {}
        self._next_holder = itertools.count()

    def place(self, moves: Iterable[Move]) -> int:
        """Makes the moves and returns the number of their holder."""
        holder = next(self._next_holder)
        for move in moves:
            key = (id(move.place.owner), move.place.name)
            if key not in self._placed:
                self._placed[key] = _Placed(move)
                move.place.write(move.value)
            self._placed[key].holders.add(holder)
        return holder

    def release(self, holder: int | None) -> None:
        """Lets go of one holder's places, or of everybody's if None; the last placed go first."""
        for key, placed in reversed(list(self._placed.items())):
            if holder is not None:
                if holder not in placed.holders:
                    continue
                placed.holders.discard(holder)
                if placed.holders:
                    continue
            del self._placed[key]
            # What somebody else put on top since is theirs to take away.
            if placed.move.place.read() is placed.move.value:
                placed.move.place.write(placed.original)

    def is_empty(self) -> bool:
        return not self._placed


class StandIn(types.ModuleType):
    """A module that holds what was put into it and asks the originals for everything else."""

    def __init__(self, name: str, originals: tuple[Any, ...], ways_out: Any) -> None:
        super().__init__(name, f"Stands in for {name}; tf1_bn.uninstall() takes it away.")
        self._tf1_bn_originals = originals
        self._tf1_bn_ways_out = ways_out

    def __getattr__(self, name: str) -> Any:
        # The import system probes for such names; whoever asks wants a plain no.
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        first = None
        for original in self._tf1_bn_originals:
            try:
                return getattr(original, name)
            except AttributeError as error:
                first = first or error
        raise AttributeError(f"{first} {self._tf1_bn_ways_out(name)}")

    def __dir__(self) -> list[str]:
        found = {name for name in vars(self) if not name.startswith("_tf1_bn_")}
        for original in self._tf1_bn_originals:
            # dir() of a Keras 3 loader imports a module that Keras 3 does not have.
            listed: Iterable[str] = vars(original) if is_lazy(original) else dir(original)
            found.update(name for name in listed if not name.startswith("_"))
        return sorted(found)
