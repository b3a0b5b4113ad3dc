# SPDX-License-Identifier: Apache-2.0
"""A finding, and all codes with their levels; a code never changes its meaning."""

from __future__ import annotations

from typing import Mapping, NamedTuple

LEVELS = ("note", "warning", "error")


class Code(NamedTuple):
    """What a code stands for: its level, and one sentence."""

    level: str
    says: str


class Finding(NamedTuple):
    """What was found at a place of a file, line and column from 1."""

    path: str
    line: int
    column: int
    code: str
    text: str

    @property
    def level(self) -> str:
        return CODES[self.code].level


CODES: Mapping[str, Code] = {
    "BN001": Code("error", "The file could not be read, so it was not checked."),
    "BN002": Code("error", "The file is Python 2, so it was not checked."),
    "BN003": Code("error", "No Python parses the file, so it was not checked."),
    "BN100": Code("note", "A call of batch normalization that new TensorFlow does not have."),
    "BN101": Code("warning", "No call says `training` in a file that trains."),
    "BN102": Code("note", "One call leaves `training` out beside others that give it."),
    "BN103": Code("note", "`training` is always on in code that trains."),
    "BN104": Code("note", "`training` is always off in code that trains."),
    "BN110": Code("warning", "It trains, and nothing collects the update ops."),
    "BN111": Code("note", "Nothing here collects the update ops; code elsewhere may."),
    "BN112": Code("warning", "The update ops are collected before layers are built."),
    "BN113": Code("note", "Update ops are collected perhaps before layers are built."),
    "BN114": Code("warning", "The collected update ops are not used."),
    "BN201": Code("note", "A name that is gone, which an option of tf1_bn brings back."),
    "BN202": Code("warning", "A name that is gone, and what does its work today."),
    "BN203": Code("note", "`import tensorflow` is used in the style of TF1."),
}
