# SPDX-License-Identifier: Apache-2.0
"""What is known of one source file: plain values, in which every name is resolved."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Sequence


class Argument(NamedTuple):
    """What stands for an argument.

    Attributes:
      is_literal: whether `value` is the value itself.
      value: a literal's value; else the dotted name that is given; None for any other expression.
    """

    is_literal: bool
    value: Any


class Target(NamedTuple):
    """What an expression may be.

    Attributes:
      names: dotted, from the module on, as `tensorflow.layers.conv2d`; with `.` in front of this
        file; with `?.` in front where the beginning is unknown. `()` stands for the result of a
        call.
      positional, keywords: what `functools.partial` has given already.
    """

    names: tuple[str, ...]
    positional: tuple[Argument, ...] = ()
    keywords: tuple[tuple[str, Argument], ...] = ()


class Call(NamedTuple):
    """A call, or a reference to a function of batch normalization that is kept as a value.

    Attributes:
      names: of what is called, as in `Target`.
      line, column: where the expression begins, both from 1.
      positional, keywords: the arguments, those of partial included.
      is_open: whether `*` or `**` gives others.
      scope: the function it stands in, as names show it; "" is the module.
      order: rises in the order of execution, within one scope.
      is_straight: no condition and no loop is around it in its scope.
      is_kept: nothing is called here: the function itself is given on.
      into: the variable that takes the result; "" where it is dropped; None where it is used.
    """

    names: tuple[str, ...]
    line: int
    column: int
    positional: tuple[Argument, ...]
    keywords: Mapping[str, Argument]
    is_open: bool
    scope: str
    order: int
    is_straight: bool
    is_kept: bool = False
    into: str | None = None

    def argument(self, name: str, place: int) -> Argument | None:
        """The argument `name`, which is number `place`; None where it is not given."""
        if name in self.keywords:
            return self.keywords[name]
        return self.positional[place] if len(self.positional) > place else None


class Use(NamedTuple):
    """The first use of a dotted name in a file, and how many times it is used.

    `asked` are imported names that each use is a question of; in another file they may stand for
    the version.
    """

    names: tuple[str, ...]
    line: int
    column: int
    times: int
    asked: tuple[str, ...] = ()


class Import(NamedTuple):
    """An import of a module: `level` dots and a dotted name."""

    level: int
    module: str


class Facts(NamedTuple):
    """What is known of a file.

    Attributes:
      path: as it was found.
      calls: in the order of the walk.
      uses: of imported names; those inside `try` or a question for the version are left out.
      imports: of modules, and of names in modules.
      exports: dotted names behind the names that the module's top level binds.
      functions: by scope, the parameters in order, with defaults that are literals.
      strangers: by scope, the order of the first call that could lead anywhere.
      loaded: names that are read somewhere.
      has_updates: some identifier speaks of update ops, or something moves the statistics itself.
      has_places: some identifier says where contrib's update ops go.
      silenced: by line, the codes of a `noqa`; an empty set stands for all.
      flags: names that say which TensorFlow there is.
    """

    path: str
    calls: Sequence[Call]
    uses: Sequence[Use]
    imports: Sequence[Import]
    exports: Mapping[str, tuple[str, ...]]
    functions: Mapping[str, Mapping[str, Argument | None]]
    strangers: Mapping[str, int]
    loaded: frozenset[str]
    has_updates: bool
    has_places: bool
    silenced: Mapping[int, frozenset[str]]
    flags: frozenset[str] = frozenset()
