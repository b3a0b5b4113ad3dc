"""Applies a mutation to source text: exactly one line changes."""

from __future__ import annotations

from pathlib import Path

from tests.mutations.table import Mutation

ROOT = Path(__file__).resolve().parents[2]


class DoesNotApply(ValueError):
    """The line is not there, or more than once: the table must follow the source."""


def mutated(mutation: Mutation, source: str) -> str:
    lines = source.split("\n")
    found = [number for number, line in enumerate(lines) if line.strip() == mutation.old]
    if len(found) != 1:
        raise DoesNotApply(f"{mutation.file}: {len(found)} lines are {mutation.old!r}")
    line = lines[found[0]]
    lines[found[0]] = line[: len(line) - len(line.lstrip())] + mutation.new
    return "\n".join(lines)
