"""What one line of the table says, and the name that follows from it."""

from __future__ import annotations

import re
from typing import Any, Callable, NamedTuple

from tests.conformance.phases import default_steps


class Made(NamedTuple):
    """An argument that needs TensorFlow to exist: made when the case is built."""

    label: str
    make: Callable[[Any], Any]

    def __repr__(self) -> str:
        return self.label


class Case(NamedTuple):
    """One program, how it is called, and what is done with it.

    args: keyword arguments of the layer. training: a key of PHASES, or "omitted".
    unknown: axes of the input without a static size, "rank" for none at all.
    scope: arguments of a variable scope named "outer" around the program.
    steps: T trains (updates run), F runs forward in training, I is inference.
    consume: how the update ops run, see runner.CONSUMERS. initial: "own" gives each variable its
    own value, "initializers" runs the initializers.
    mentions: what the message about bad input must name.
    like: fields to change for the numbers ours must give where TF 1.15.5 fails without need.
    """

    group: str
    shape: tuple = (7, 5)
    training: str = "placeholder"
    args: dict = {}
    dtype: str = "float32"
    unknown: Any = ()
    program: str = "single"
    entry: str = "function"
    scope: dict = {}
    consume: str = "fetch"
    initial: str = "own"
    steps: str | None = None
    mentions: str = ""
    like: dict | None = None

    @property
    def name(self) -> str:
        parts = [] if self.program == "single" else [self.program]
        parts += ["x".join(str(size) for size in self.shape)]
        parts += [] if self.dtype == "float32" else [self.dtype]
        parts += [f"unknown={self.unknown}"] if self.unknown != () else []
        parts += [f"training={self.training}"]
        parts += [f"{key}={_label(value)}" for key, value in self.args.items()]
        parts += ["class"] if self.entry == "class" else []
        parts += [f"scope.{key}={_label(value)}" for key, value in self.scope.items()]
        parts += [f"updates={self.consume}"] if self.consume != "fetch" else []
        parts += ["initializers"] if self.initial != "own" else []
        parts += [f"steps={self.steps}"] if self.steps is not None else []
        return re.sub(r"[\s\"'{}]", "", "-".join(parts)).replace("/", "|")

    @property
    def run(self) -> str:
        return default_steps(self.training) if self.steps is None else self.steps


def _label(value: Any) -> str:
    if isinstance(value, type) or callable(value) and not isinstance(value, Made):
        raise TypeError(f"wrap {value!r} in Made, its name must not depend on the process")
    return repr(value)
