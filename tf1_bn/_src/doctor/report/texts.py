# SPDX-License-Identifier: Apache-2.0
"""An examination for a terminal, and for programs as JSON and SARIF."""

from __future__ import annotations

import json
import math
from typing import Any, Iterator

from ...files.sarif import log, result, text_of
from ...files.text_table import counted, fitted, printable, wrapped
from ...version import __version__
from ..facts.finding import CODES
from .examination import STATISTICS, Examination, Layer, Part, unread_lines

_HEAD = ("layer", "phase", "library", *STATISTICS)


def as_text(examination: Examination, width: int | None) -> str:
    """A table for each part, and its findings.

    `width`: the columns that lines are to fit in; None for any number.
    """
    blocks = [
        "\n".join(part for line in _lines(each, width) for part in wrapped(line, width))
        for each in examination.parts
        if not each.trouble
    ]
    if len(examination.parts) > 1 or examination.limit:
        blocks.append("\n".join(wrapped(_together(examination), width)))
    return "\n\n".join(blocks) + "\n" * bool(blocks)


def _lines(part: Part, width: int | None) -> Iterator[str]:
    yield printable(part.path)
    rows = [row_of(layer) for layer in part.layers]
    yield from fitted([_HEAD, *rows], width) if rows else ["no batch normalization"]
    for each in unread_lines(part):
        yield printable(f"not read: {each}")
    yield ""
    for line in str(part.findings).splitlines():
        yield printable(line)


def _together(examination: Examination) -> str:
    layers = sum(len(part.layers) for part in examination.parts)
    warnings = sum(each.level != "note" for _, each in examination.found)
    said = [
        f"{many(examination)} looked at",
        counted(layers, "layer"),
        counted(warnings, "warning"),
    ]
    lost = len(examination.troubles)
    said += [f"{lost} could not be read"] if lost else []
    said += [examination.limit] if examination.limit else []
    return printable(f"{examination.path}: {', '.join(said)}")


def many(examination: Examination) -> str:
    """How many graphs and checkpoints there are."""
    number = len(examination.parts)
    return "1 graph or checkpoint" if number == 1 else f"{number} graphs and checkpoints"


def row_of(layer: Layer) -> tuple[str, ...]:
    """The cells of a layer: name, phase, library, and from where to where its statistics reach."""
    return (layer.name, layer.phase, layer.library, *(_range(layer, role) for role in STATISTICS))


def _range(layer: Layer, role: str) -> str:
    spread = layer.spread(role)
    return "-" if spread is None else f"{spread[0]:.3g} to {spread[1]:.3g}"


def as_json(examination: Examination) -> str:
    """One object: what was looked at, layers, findings, and what could not be read."""
    parts = examination.parts
    document = {
        "tool": "tf1_bn doctor",
        "version": __version__,
        "path": text_of(examination.path),
        "looked_at": [text_of(part.path) for part in parts],
        "left_out": examination.limit,
        "layers": [
            {"path": text_of(part.path), **_plain(layer)} for part in parts for layer in part.layers
        ],
        "findings": [
            {"path": text_of(path), **each._asdict(), "level": each.level}
            for path, each in examination.found
        ],
        "not_read": [
            text_of(line)
            for part in parts
            for line in (*part.unread, *([part.trouble] if part.trouble else []))
        ],
    }
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _plain(layer: Layer) -> dict[str, Any]:
    ranges = {
        role: None if spread is None else {"min": _number(spread[0]), "max": _number(spread[1])}
        for role, spread in ((role, layer.spread(role)) for role in STATISTICS)
    }
    return {
        "layer": text_of(layer.name),
        "phase": layer.phase,
        "library": layer.library,
        **ranges,
    }


def _number(value: float) -> Any:
    """A number that JSON has; NaN and infinity as texts."""
    return value if math.isfinite(value) else str(value)


def as_sarif(examination: Examination) -> str:
    """A log of one run."""
    found = [
        result(each.code, each.level, _sentence(each), path, names=each.layers)
        for path, each in examination.found
    ]
    return log("tf1_bn doctor", __version__, CODES, found, examination.troubles)


def _sentence(finding: Any) -> str:
    said = [f"{', '.join(finding.layers)}: {finding.wrong}", finding.follows]
    mend = [f"Mend: {finding.mend}"] if finding.mend else []
    return ". ".join([each for each in said if each] + mend)
