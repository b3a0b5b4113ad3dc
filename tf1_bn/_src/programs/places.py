# SPDX-License-Identifier: Apache-2.0
"""Values in places where others find them, written and given back; no TensorFlow in here."""

from __future__ import annotations

import types
from typing import Any, Callable, Iterable, NamedTuple

_MISSING = object()


class Move(NamedTuple):
    """A value, and where it goes: under a name in a mapping (`is_item`), or as an attribute.

    Attributes:
      owner: the mapping, module or class.
      name: the key or the attribute's name.
      value: what is to stand there.
      is_item: whether `owner` is a mapping.
    """

    owner: Any
    name: str
    value: Any
    is_item: bool = False

    def read(self) -> Any:
        """What stands there by itself; asking the module would make a lazy one load."""
        return (self.owner if self.is_item else vars(self.owner)).get(self.name, _MISSING)

    def write(self, value: Any) -> None:
        """Puts any `value` there; what `read` gives for nothing removes the name."""
        if self.is_item and value is _MISSING:
            self.owner.pop(self.name, None)
        elif self.is_item:
            self.owner[self.name] = value
        elif value is _MISSING:
            delattr(self.owner, self.name)
        else:
            # Not by vars(): TensorFlow's module wrappers keep a cache that only setattr renews.
            setattr(self.owner, self.name, value)


def attribute(owner: Any, name: str, value: Any) -> Move:
    """`owner.name = value`; for a lazy loader past its `__setattr__`, which would load."""
    return Move(vars(owner), name, value, True) if is_lazy(owner) else Move(owner, name, value)


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


class Ledger:
    """Everything that was placed, with what stood there before.

    Several callers may place the same value; the original comes back when the last takes it back.
    """

    def __init__(self) -> None:
        self._originals: dict[tuple[int, str], tuple[Move, Any]] = {}
        self._wanted: list[set[tuple[int, str]]] = []

    def place(self, moves: Iterable[Move]) -> Callable[[], None]:
        """Makes the moves; returns what takes them back, except where others want the same."""
        wanted: set[tuple[int, str]] = set()
        self._wanted.append(wanted)
        for move in moves:
            key = (id(move.owner), move.name)
            if key not in self._originals:
                self._originals[key] = (move, move.read())
                move.write(move.value)
            wanted.add(key)

        def take_back() -> None:
            self._wanted = [others for others in self._wanted if others is not wanted]
            self._give_back()

        return take_back

    def clear(self) -> None:
        """Takes everybody's moves back."""
        self._wanted.clear()
        self._give_back()

    def is_used(self) -> bool:
        """Whether some call of `place` was not taken back yet, one without moves included."""
        return bool(self._wanted)

    def _give_back(self) -> None:
        wanted = set().union(*self._wanted)
        # What was placed last goes first.
        for key, (move, original) in reversed(list(self._originals.items())):
            if key not in wanted:
                del self._originals[key]
                # What somebody else put on top since is theirs to take away.
                if move.read() is move.value:
                    move.write(original)


class StandIn(types.ModuleType):
    """A module that holds what was put into it and asks the originals for everything else."""

    def __init__(
        self, name: str, originals: tuple[Any, ...], way_out: Callable[[str], str]
    ) -> None:
        super().__init__(name, f"Stands in for {name}; tf1_bn.uninstall() takes it away.")
        self._tf1_bn_originals = originals
        self._tf1_bn_way_out = way_out

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
        raise AttributeError(f"{first} {self._tf1_bn_way_out(name)}")

    def __dir__(self) -> list[str]:
        found = {name for name in vars(self) if not name.startswith("_tf1_bn_")}
        for original in self._tf1_bn_originals:
            # dir() of a Keras 3 loader imports a module that Keras 3 does not have.
            listed: Iterable[str] = vars(original) if is_lazy(original) else dir(original)
            found.update(name for name in listed if not name.startswith("_"))
        return sorted(found)
