# SPDX-License-Identifier: Apache-2.0
"""Which value a name has: the scopes of one file, and what is bound in each."""

from __future__ import annotations

import ast
import builtins
from typing import Any, Iterator

from .facts import Target
from .words import FOLLOWED_NOT, STARS

_LONGEST = 200
_BUILTIN = frozenset(dir(builtins))


class Scope:
    """The names of a module, a class or a function.

    Attributes:
      key: how names show it: "" of the module, `.f` of a function, `.C().m` of a method.
      is_class: functions inside do not see its names.
      is_loose: a branch is being read, so a name keeps what it was, too.
    """

    def __init__(self, key: str, above: Scope | None = None, is_class: bool = False) -> None:
        self.key, self.above, self.is_class = key, above, is_class
        self.is_loose = False
        self.bound: dict[str, Target | None] = {}
        self.globals: set[str] = set()

    def bind(self, name: str, target: Target | None) -> None:
        """Binds a name to what it may be; None is a value nobody knows."""
        if name in self.globals:
            self.top().bind(name, target)
            return
        old = self.bound.get(name)
        self.bound[name] = either(old, target) if self.is_loose and old is not None else target

    def find(self, name: str, stars: list[str]) -> Target | None:
        """What a name is, looked up as Python does; of builtins `builtins.len`."""
        for scope in self._seen():
            if name in scope.bound:
                return scope.bound[name]
        if name in _BUILTIN:
            return Target((f"builtins.{name}",))
        given = [each for each in stars if name in STARS or not each.startswith("tensorflow")]
        return Target(tuple(member(each, name) for each in given)) if given else None

    def top(self) -> Scope:
        """The module's scope."""
        scope = self
        while scope.above is not None:
            scope = scope.above
        return scope

    def _seen(self) -> Iterator[Scope]:
        yield self
        scope = self.above
        while scope is not None:
            if not scope.is_class:
                yield scope
            scope = scope.above


def member(module: str, name: str) -> str:
    """The dotted name of what a module holds; `<` in front of one are the dots of its import."""
    return f"{module}{'' if module.endswith('<') else '.'}{name}"


def either(one: Target | None, other: Target | None) -> Target | None:
    """One of two values; the known one where only one is.

    >>> either(Target(("tensorflow.layers",)), Target(("tf_slim",))).names
    ('tensorflow.layers', 'tf_slim')
    """
    if one is None or other is None:
        return one or other
    names = tuple(dict.fromkeys((*one.names, *other.names)))
    return one if one.names == names else Target(names)


def attribute(base: Target | None, name: str) -> Target:
    """What `base.name` is.

    >>> attribute(None, "minimize").names
    ('?.minimize',)
    """
    names = () if base is None else base.names
    longer = tuple(f"{each}.{name}" for each in names if len(each) < _LONGEST)
    return Target(longer or (f"?.{name}",))


def result(base: Target | None) -> Target | None:
    """What a call of `base` gives."""
    if base is None or base.names[:1] == () or base.names[0].startswith("?"):
        return None
    longer = tuple(f"{each}()" for each in base.names if len(each) < _LONGEST)
    return Target(longer) if longer else None


def is_own_function(target: Target | None) -> bool:
    """Whether something may be a function, or a class, of the file itself.

    >>> is_own_function(Target((".build",))), is_own_function(Target((".build()",)))
    (True, False)
    """
    names = target.names if target is not None else ()
    return any(name.startswith(".") and "()" not in name for name in names)


def imported_in(test: Any, scope: Scope, stars: list[str]) -> list[str]:
    """The dotted names of other modules that a condition asks, as `compat.OLD`."""
    found = []
    for node in ast.walk(test):
        for target in _dotted(node, scope, stars):
            if (
                target[:1] not in (".", "?")
                and target.lstrip("<").split(".")[0] not in FOLLOWED_NOT
            ):
                found.append(target)
    return found


def _dotted(node: Any, scope: Scope, stars: list[str]) -> Iterator[str]:
    rest = ""
    while isinstance(node, ast.Attribute):
        node, rest = node.value, f".{node.attr}{rest}"
    if isinstance(node, ast.Name):
        target = scope.find(node.id, stars)
        yield from (f"{name}{rest}" for name in (target.names if target is not None else ()))
