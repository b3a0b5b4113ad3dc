"""Read the project's Markdown: code fences, links and headings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator, NamedTuple

FENCE = re.compile(r"^(?P<indent> *)(?P<mark>```+)(?P<info>[^`]*)$")
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)[^)]*\)")


# What may stand behind "python": nothing, or the TensorFlow that the block is about.
NEEDS = ("", "tf1-only", "keras3-only")


class Block(NamedTuple):
    """One fenced block: the line of its first row, the words behind the fence, its text."""

    line: int
    info: tuple[str, ...]
    text: str


class Example(NamedTuple):
    """One Python block to run, what it needs, and what it must print where the page shows that."""

    name: str
    line: int
    source: str
    needs: str
    output: str | None


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    found = []
    opened: tuple[int, re.Match[str]] | None = None
    rows: list[str] = []
    for number, row in enumerate(text.splitlines(), start=1):
        match = FENCE.match(row)
        if opened is None:
            if match:
                opened, rows = (number + 1, match), []
        elif match and match["mark"] == opened[1]["mark"] and not match["info"].strip():
            indent = len(opened[1]["indent"])
            lines = "".join(f"{line[indent:]}\n" for line in rows)
            found.append(Block(opened[0], tuple(opened[1]["info"].split()), lines))
            opened = None
        else:
            rows.append(row)
    assert opened is None, f"the fence opened before line {opened[0]} is never closed"
    return found


def examples(page: str, text: str) -> list[Example]:
    """Return the Python blocks of a page; a ```text output fence behind one is what it prints."""
    found = []
    fences = blocks(text)
    for number, block in enumerate(fences):
        if block.info[:1] != ("python",):
            continue
        needs = " ".join(block.info[1:])
        assert needs in NEEDS, f"{page}:{block.line}: unknown words behind the fence: {needs!r}"
        following = fences[number + 1] if number + 1 < len(fences) else None
        shown = following is not None and following.info == ("text", "output")
        found.append(
            Example(
                f"{page}:{block.line}",
                block.line,
                block.text,
                needs,
                following.text if shown and following is not None else None,
            )
        )
    return found


def prose(text: str) -> str:
    """Return the page without its fenced blocks."""
    kept, mark = [], None
    for row in text.splitlines():
        match = FENCE.match(row)
        if mark is None and match:
            mark = match["mark"]
        elif mark is not None:
            mark = None if match and match["mark"] == mark else mark
        else:
            kept.append(row)
    return "\n".join(kept)


def links(text: str) -> Iterator[str]:
    """Yield the targets of the page's links and images."""
    for match in LINK.finditer(re.sub(r"`[^`]*`", "", prose(text))):
        yield match["target"]


def anchors(text: str) -> set[str]:
    """Return the anchors that a Markdown viewer makes of the headings."""
    headings = re.findall(r"(?m)^#+ +(.*?) *$", prose(text))
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


def broken_links(page: Path) -> list[str]:
    """Return the relative links of `page` that lead to no file, or to no heading of it."""
    broken = []
    for target in links(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        missing_anchor = (
            anchor
            and path.suffix == ".md"
            and path.is_file()
            and anchor not in anchors(path.read_text(encoding="utf-8"))
        )
        if not path.exists() or missing_anchor:
            broken.append(target)
    return broken
