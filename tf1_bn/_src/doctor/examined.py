# SPDX-License-Identifier: Apache-2.0
"""The doctor of files: layers with phase and statistics, and findings, as text and JSON."""

from __future__ import annotations

import json
from typing import Any, Iterator, NamedTuple

import numpy as np

from ..files.text_table import aligned, printable
from ..runtime.tensorflow_v1 import tf_version
from .check import RULES
from .facts.case import Case, case_of, name_of
from .facts.finding import Finding, Findings, ordered
from .rules.files.branches import dead_branches
from .rules.files.families import affine_alone, renorm_in_part
from .rules.files.refused import refused_nodes
from .statistics import Numbers, by_names, findings_of, numbers
from .targets import Target, targets_of, values_of

_HEAD = ("layer", "phase", "library", "moving_mean", "moving_variance")


class Examined(NamedTuple):
    """Rows as the table has them, findings, and what of a graph could not be read."""

    rows: tuple[tuple[str, ...], ...]
    findings: Findings
    unread: tuple[str, ...]


def examined(path: str) -> Examined:
    """What is found in a file or folder.

    Raises:
      OSError: it cannot be read.
      ValueError: it is no graph, SavedModel or checkpoint.
    """
    parts = [_examined(target) for target in targets_of(path)]
    return Examined(
        tuple(row for part in parts for row in part.rows),
        ordered(dict.fromkeys(each for part in parts for each in part.findings)),
        tuple(line for part in parts for line in part.unread),
    )


def _examined(target: Target) -> Examined:
    values = values_of(target)
    if target.graph is None:
        layers = by_names(values)
        rows = [_row(each, "not in a checkpoint", "") for each in layers]
        told = [*findings_of(layers), *affine_alone(values), *renorm_in_part(values)]
        return Examined(tuple(rows), ordered(told), ())
    case = case_of(target.graph, target.question)
    layers, rows = [], []
    for layer in case.found.layers:
        held = dict(zip(("gamma", "beta", "moving_mean", "moving_variance"), layer.variables))
        known = numbers(name_of(layer), {r: str(n) for r, n in held.items() if n}, values)
        phases = ", ".join(dict.fromkeys(call.phase for call in layer.calls))
        rows.append(_row(known, phases, layer.library))
        layers.append(known)
    found = [*_findings(case)]
    if target.values is not None:
        wanted = [name for layer in case.found.layers for name in layer.variables.renorm]
        found += [*findings_of(layers), *renorm_in_part(values, wanted)]
    return Examined(tuple(rows), ordered(found), case.found.unread)


def _findings(case: Case) -> Iterator[Finding]:
    for rule in (*RULES, dead_branches):
        yield from rule(case)
    yield from refused_nodes(case.view, tf_version())


def _row(layer: Numbers, phase: str, library: str) -> tuple[str, ...]:
    ranges = (_range(layer.arrays.get(role)) for role in ("moving_mean", "moving_variance"))
    return (layer.layer, phase, library, *ranges)


def _range(array: Any) -> str:
    if array is None or not np.size(array):
        return "-"
    low, high = float(np.min(array)), float(np.max(array))
    return f"{low:.3g} to {high:.3g}"


def as_text(path: str, result: Examined) -> str:
    lines = [printable(path)]
    lines += aligned([_HEAD, *result.rows]) if result.rows else ["no batch normalization"]
    lines += [printable(f"not read: {each}") for each in result.unread]
    lines += ["", *(printable(line) for line in str(result.findings).splitlines())]
    return "\n".join(lines) + "\n"


def as_json(path: str, result: Examined) -> str:
    document = {
        "path": path,
        "layers": [dict(zip(_HEAD, row)) for row in result.rows],
        "findings": [{**each._asdict(), "level": each.level} for each in result.findings],
        "not_read": list(result.unread),
    }
    return json.dumps(document, indent=1) + "\n"
