# SPDX-License-Identifier: Apache-2.0
"""Savers that keep gamma and beta, and not the statistics that belong to them."""

from __future__ import annotations

from typing import Iterator

from ....discovery.found import FoundLayer
from ...facts.case import Case, affine_of, is_read, names_of, statistics_of
from ...facts.finding import Finding


def statistics_not_saved(case: Case) -> Iterator[Finding]:
    """BN306: of layers whose statistics are read or moved."""
    saved = case.saved
    if saved is None:
        return
    layers = [
        layer
        for layer in case.found.layers
        if saved.intersection(affine_of(layer))
        and not saved.issuperset(statistics_of(layer))
        and _counts(case, layer)
    ]
    if layers:
        yield Finding(
            "BN306",
            names_of(layers),
            "gamma and beta are saved, and the moving statistics are not",
            "a restored model normalizes by 0 and 1",
            "saver = tf.train.Saver(), or with tf.global_variables()",
        )


def _counts(case: Case, layer: FoundLayer) -> bool:
    moved = case.step.moved if case.step is not None else frozenset()
    return is_read(layer) or bool(moved.intersection(statistics_of(layer)))
