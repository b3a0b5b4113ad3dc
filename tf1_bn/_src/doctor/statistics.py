# SPDX-License-Identifier: Apache-2.0
"""What the numbers of moving statistics tell."""

from __future__ import annotations

from typing import Any, Iterator, Mapping, NamedTuple

import numpy as np

from .facts.finding import Finding

ROLES = ("gamma", "beta", "moving_mean", "moving_variance")
# What each begins with.
_BEGINS = {"gamma": 1.0, "beta": 0.0, "moving_mean": 0.0, "moving_variance": 1.0}


class Numbers(NamedTuple):
    """A layer's name, the names of its variables by role, and their arrays as far as there are."""

    layer: str
    names: Mapping[str, str]
    arrays: Mapping[str, Any]


def by_names(values: Mapping[str, Any]) -> list[Numbers]:
    """The layers of a checkpoint without a graph: scopes with a moving mean or variance."""
    scopes = dict.fromkeys(
        name.rpartition("/")[0] for name in values if name.rpartition("/")[2] in ROLES[2:]
    )
    return [
        numbers(scope, {r: f"{scope}/{r}".lstrip("/") for r in ROLES}, values) for scope in scopes
    ]


def numbers(layer: str, names: Mapping[str, str], values: Mapping[str, Any]) -> Numbers:
    return Numbers(layer, names, {r: values[n] for r, n in names.items() if n in values})


def findings_of(layers: list[Numbers]) -> Iterator[Finding]:
    """BN401 to BN403, of layers whose checkpoint was read."""
    missing = [each.layer for each in layers if _lacks(each)]
    if missing:
        yield Finding(
            "BN401",
            tuple(missing),
            "moving statistics are missing in the checkpoint",
            "a model that is restored from it stops, or normalizes by 0 and 1",
            "saver = tf.train.Saver(), or with tf.global_variables()",
        )
    fresh = [each.layer for each in layers if _is_fresh(each)]
    if fresh:
        yield Finding(
            "BN402",
            tuple(fresh),
            "gamma or beta are trained, and the moving statistics are still 0 and 1",
            "inference does not normalize",
            "run the update ops with each step: train_op = tf1_bn.minimize(optimizer, loss)",
        )
    wild = [each.layer for each in layers if _is_wild(each)]
    if wild:
        yield Finding(
            "BN403",
            tuple(wild),
            "not all numbers are finite, or a variance is below 0",
            "inference gives NaN",
            "go back to an earlier checkpoint, and look for NaN in the batches",
        )


def _lacks(layer: Numbers) -> bool:
    return bool(layer.arrays) and any(
        role in layer.names and role not in layer.arrays for role in ROLES[2:]
    )


def _is_fresh(layer: Numbers) -> bool:
    def begins(role: str) -> bool:
        return bool(np.all(layer.arrays[role] == _BEGINS[role]))

    averages = [role for role in ROLES[2:] if role in layer.arrays]
    affine = [role for role in ROLES[:2] if role in layer.arrays]
    return len(averages) == 2 and all(map(begins, averages)) and not all(map(begins, affine))


def _is_wild(layer: Numbers) -> bool:
    if not all(np.all(np.isfinite(array)) for array in layer.arrays.values()):
        return True
    return bool(np.any(layer.arrays.get("moving_variance", np.zeros(1)) < 0))
