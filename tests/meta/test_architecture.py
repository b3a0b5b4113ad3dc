"""ARCHITECTURE.md draws the rooms that are checked, and names files that are there."""

from __future__ import annotations

import re

import pytest

from tests.meta.project import PACKAGE, ROOT
from tests.meta.test_rooms import LEVELS, PURE

PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
# `room/file.py` stands for a file of the package, other paths for one of the project.
PATHS = re.findall(r"`([a-z_0-9]+(?:/[a-z_0-9]+)+\.(?:py|txt|md))`", PAGE)


def drawn(page: str) -> list[tuple[str, ...]]:
    """Return the rooms of each line of the picture, from the top down."""
    (picture,) = re.findall(r"(?s)```text rooms\n(.*?)```", page)
    # Rooms stand two blanks apart, and what they hold in one column behind the longest of them.
    column = picture.index("the commands")
    lines = [line[:column].split() for line in picture.splitlines()]
    return [tuple(words) for words in lines if words != ["|"]]


def test_the_picture_is_what_is_checked() -> None:
    assert drawn(PAGE) == list(reversed(LEVELS))


def test_a_picture_of_another_order_is_seen() -> None:
    assert drawn(PAGE.replace("\napi  ", "\ncli  ")) != list(reversed(LEVELS))


@pytest.mark.parametrize("path", sorted(set(PATHS)))
def test_a_named_file_is_there(path: str) -> None:
    assert (PACKAGE / "_src" / path).is_file() or (ROOT / path).is_file()


def test_the_files_without_tensorflow_are_named() -> None:
    (line,) = [line for line in PAGE.splitlines() if "do not need TensorFlow" in line]
    named = [word.replace("/", ".").replace(".py", "") for word in re.findall(r"`(.*?)`", line)]
    assert sorted(named) == sorted(PURE)
