# SPDX-License-Identifier: Apache-2.0
"""Variables of a checkpoint that belong together, by their names."""

from __future__ import annotations

import re
from typing import Collection, Iterable, Iterator

from ...facts.finding import Finding

_RENORM = ("moving_stddev", "renorm_mean", "renorm_stddev")
# What an older TensorFlow kept beside two of these.
_WEIGHTS = ("renorm_mean_weight", "renorm_stddev_weight")
_AFFINE, _MOVING = ("gamma", "beta"), ("moving_mean", "moving_variance")
_OTHER_NORMS = re.compile(r"layer_?norm|instance|group|(^|[/_])ln", re.IGNORECASE)


def affine_alone(names: Collection[str]) -> Iterator[Finding]:
    """BN405, of the names of a checkpoint that no graph explains."""
    alone = [
        scope
        for scope, held in _scopes(names).items()
        if held.intersection(_AFFINE)
        and not held.intersection(_MOVING)
        and not _OTHER_NORMS.search(scope)
    ]
    if alone:
        yield Finding(
            "BN405",
            tuple(alone),
            "gamma or beta stand alone, without moving statistics",
            "if it is batch normalization, inference from this checkpoint normalizes by 0 and 1",
            "saver = tf.train.Saver(), or with tf.global_variables()",
        )


def renorm_in_part(names: Collection[str], wanted: Iterable[str] = ()) -> Iterator[Finding]:
    """BN406.

    Args:
      names: those of the checkpoint.
      wanted: averages of renorm that a graph beside it has.
    """
    scopes = _scopes(names)
    partial = _partial(scopes)
    for name in wanted:
        scope, _, last = name.rpartition("/")
        if scope in scopes and last not in scopes[scope]:
            partial.setdefault(scope, []).append(last)
    if partial:
        lacking = ", ".join(dict.fromkeys(next(iter(partial.values()))))
        yield Finding(
            "BN406",
            tuple(partial),
            f"of renorm's averages the checkpoint lacks {lacking}",
            "a program with renorm=True stops when it restores it",
            "restore the rest, and start these by hand: renorm_mean as moving_mean, moving_stddev "
            "and renorm_stddev as sqrt(moving_variance + epsilon); or renorm=False",
        )


def _scopes(names: Collection[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name in names:
        scope, _, last = name.rpartition("/")
        if last in (*_RENORM, *_WEIGHTS, *_AFFINE, *_MOVING):
            found.setdefault(scope, set()).add(last)
    return found


def _partial(scopes: dict[str, set[str]]) -> dict[str, list[str]]:
    found = {}
    for scope, held in scopes.items():
        missing = [name for name in _RENORM if name not in held]
        if missing and held.intersection([*_RENORM, *_WEIGHTS]):
            found[scope] = missing
    return found
