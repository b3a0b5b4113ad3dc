# SPDX-License-Identifier: Apache-2.0
"""Checks of plain values from a file, made of smaller ones; no TensorFlow."""

from __future__ import annotations

from typing import Any, Callable, Collection, Mapping

from .archive import RecordingError

# Raises RecordingError, which names the place, where the value is wrong.
Check = Callable[[Any, str], None]


def rule(wanted: str, holds: Callable[[Any], bool]) -> Check:
    """A value for which `holds`; `wanted` says what it must be, in words."""

    def check(value: Any, where: str) -> None:
        if not holds(value):
            raise _wrong(where, wanted, value)

    return check


def or_null(inner: Check) -> Check:
    """What `inner` takes, or null."""
    return lambda value, where: None if value is None else inner(value, where)


def list_of(inner: Check) -> Check:
    """A list of any number of what `inner` takes."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, list):
            raise _wrong(where, "a list", value)
        for number, item in enumerate(value):
            inner(item, f"{where}[{number}]")

    return check


def object_of(keys: Mapping[str, Check], may_lack: Collection[str] = ()) -> Check:
    """An object of exactly these keys, but for those it `may_lack`."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise _wrong(where, "an object", value)
        for key in value:
            if key not in keys:
                raise RecordingError(f"{_place(where)} has a key {shown(key)}, which is not known")
        for key, inner in keys.items():
            if key in value:
                inner(value[key], below(where, key))
            elif key not in may_lack:
                raise RecordingError(f"{_place(where)} lacks `{key}`")

    return check


def _wrong(where: str, wanted: str, value: Any) -> RecordingError:
    return RecordingError(f"{_place(where)} must be {wanted} (got {shown(value)})")


def _place(where: str) -> str:
    return f"`{where}`" if where else "its JSON text"


def below(where: str, key: str) -> str:
    """Returns the place of a key of the object at `where`."""
    return f"{where}.{key}" if where else key


def shown(value: Any) -> str:
    r"""Returns a value from a file, short and without anything a terminal would obey.

    >>> shown("a\x1b[31m")
    "'a\\x1b[31m'"
    """
    return ascii(value)[:80]


def is_whole(value: Any, low: int, high: int) -> bool:
    """Whether it is a whole number from `low` to `high`; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def is_number(value: Any, low: float, high: float) -> bool:
    """Whether it is a number from `low` to `high`; True and False are none."""
    # NaN and infinity lie between no bounds.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high


def one_of(*choices: Any) -> Check:
    """One of these values, of the same type."""
    # Not `in`: 1 equals True.
    return rule(
        f"one of {list(choices)}",
        lambda value: any(type(value) is type(choice) and value == choice for choice in choices),
    )


def whole(low: int, high: int) -> Check:
    """A whole number from `low` to `high`."""
    return rule(f"a whole number from {low} to {high}", lambda value: is_whole(value, low, high))
