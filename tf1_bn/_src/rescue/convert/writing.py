# SPDX-License-Identifier: Apache-2.0
"""The mapping: parts in the words of `tf.layers` to the rows of a target."""

from __future__ import annotations

import re
from typing import Any, Iterator, Sequence

import numpy as np

from .formats.held import joined, split
from .parts import ConversionError, Part, Row, Unmatched, shown
from .targets import Rule, Target

_LEFT_OUT = {
    "slot": "left out: of an optimizer or average",
    "counter": "left out: a counter",
    "shadow": "left out: of contrib's zero_debias_moving_mean",
    "weight": "left out: it is 1 in TF 1.15",
    "dropped": "left out by --rule",
}


def rows_of(
    parts: Sequence[Part],
    target: Target,
    fills: bool,
    unmatched: Sequence[Unmatched],
    total: int,
) -> list[Row]:
    """The mapping to a target.

    Args:
      parts: what `parts_of` gave.
      target: its words and layouts.
      fills: whether a layer must have what the source's lacks: of PyTorch.
      unmatched: keys that no rule of the source's fits.
      total: how many keys the source has, for messages.

    Raises:
      ConversionError: keys that no rule fits, and targets that several keys would have.
      ValueError: a layer's parameters have several axes, and the target's have one.
    """
    scopes = {split(part.name)[0] for part in parts if part.kind == "norm"}
    rows, unmatched = [], list(unmatched)
    for part in parts:
        if part.kind == "norm":
            rows.append(_norm(part, target))
        elif part.kind == "other":
            try:
                rows.append(_other(part, target))
            except LookupError as error:
                unmatched.append(Unmatched(part.source, str(error.args[0])))
        else:
            rows.append(_apart(part, target, scopes))
    rows += _filled(parts, target) if fills else ()
    unmatched += _collisions(rows)
    if unmatched:
        raise ConversionError(unmatched, total)
    return rows


def _norm(part: Part, target: Target) -> Row:
    scope, leaf = split(part.name)
    before, array = np.shape(part.array), part.array
    if leaf not in target.roles:
        return Row(part.source, None, before, array, "left out: of renorm, for training alone")
    rule = part.rule or "batch norm"
    if target.is_squeezed and len(before) != 1:
        if max(before) != np.size(array):
            raise ValueError(
                f"{part.name} has shape {shown(before)}, statistics along several axes; the "
                "target's batch normalization has them along one"
            )
        array, rule = np.reshape(array, [-1]), f"{rule}, squeezed"
    name = target.place(target.scope(scope), target.roles[leaf])
    return Row(part.source, name, before, array, rule, is_norm=True)


def _other(part: Part, target: Target) -> Row:
    scope, leaf = split(part.name)
    rank = np.ndim(part.array)
    rule = _rule(part, leaf, rank, target)
    array = rule.function(part.array)
    effect = part.rule or rule.effect
    name = target.place(scope, leaf if rule.leaf is None else rule.leaf)
    return Row(part.source, name, np.shape(part.array), array, effect)


def _rule(part: Part, leaf: str, rank: int, target: Target) -> Rule:
    if part.word == "keep":
        return Rule("", (), "keep", lambda array: array, None, "kept")
    word = (part.word or "").partition(":")[0]
    is_said = bool(word) and word in {rule.word for rule in target.others}
    for rule in target.others:
        fits = rule.word == word if is_said else re.fullmatch(rule.pattern, leaf)
        if fits and rank in rule.ranks:
            return rule
    said = f" cannot be {part.word}" if part.word else ": no known layer has such"
    raise LookupError(f"{shown(np.shape(part.array))}{said}")


def _apart(part: Part, target: Target, scopes: set[str]) -> Row:
    """What only its own library needs: kept under its layer's new name, or left out."""
    before = np.shape(part.array)
    if part.kind not in target.keeps:
        return Row(part.source, None, before, part.array, _LEFT_OUT[part.kind])
    name = part.name
    for scope in scopes:
        if scope and name.startswith(f"{scope}/"):
            # Contrib repeats the scope in the names behind a debiased mean.
            behind = name[len(scope) + 1 :]
            new = target.scope(scope)
            if behind.startswith(f"{scope}/"):
                behind = joined(new, behind[len(scope) + 1 :])
            name = joined(new, behind)
            break
    return Row(part.source, name, before, part.array, "unchanged")


def _filled(parts: Sequence[Part], target: Target) -> Iterator[Row]:
    """What a module of PyTorch has and a layer without gamma or beta lacks, and the counter."""
    layers: dict[str, dict[str, Any]] = {}
    for part in parts:
        if part.kind == "norm":
            scope, leaf = split(part.name)
            layers.setdefault(scope, {})[leaf] = part.array
    for scope, arrays in layers.items():
        mean = np.reshape(arrays["moving_mean"], [-1])
        for leaf, value in (("gamma", 1.0), ("beta", 0.0)):
            if leaf not in arrays:
                name = target.place(scope, target.roles[leaf])
                yield Row(
                    f"(no {leaf})", name, (), np.full_like(mean, value), f"all {value:g}", True
                )
        counted = np.zeros([], np.int64)
        yield Row(
            "(none)", target.place(scope, "num_batches_tracked"), (), counted, "starts at 0", True
        )


def _collisions(rows: Sequence[Row]) -> Iterator[Unmatched]:
    by_target: dict[str, list[str]] = {}
    for row in rows:
        if row.target is not None:
            by_target.setdefault(row.target, []).append(row.source)
    for name, sources in by_target.items():
        if len(sources) > 1:
            others = ", ".join(sources[1:])
            yield Unmatched(sources[0], f"{name} would come from {others} as well; --rename one")
