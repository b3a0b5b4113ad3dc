# SPDX-License-Identifier: Apache-2.0
"""The doctor of files: layers with phase and statistics, and findings."""

from __future__ import annotations

from typing import Any, Iterator

from ..runtime.tensorflow_v1 import tf_version
from .check import RULES, judged
from .facts.case import Case, case_of, name_of
from .facts.finding import Finding, Findings, ordered
from .places import places_of
from .report.examination import Examination, Layer, Part
from .rules.files.branches import dead_branches
from .rules.files.families import affine_alone, renorm_in_part
from .rules.files.refused import refused_nodes
from .statistics import Numbers, by_names, findings_of, numbers
from .targets import Target, targets_of, values_of

_ROLES = ("gamma", "beta", "moving_mean", "moving_variance")


def examination(path: str) -> Examination:
    """What is found in a file or folder; what cannot be read is told, and the rest examined."""
    places = places_of(path)
    parts = [_part(each) for each in places.paths]
    parts += [Part(path, trouble=line) for line in places.lost]
    if not parts:
        nothing = f"{path}: neither a graph, a SavedModel nor a checkpoint is in it"
        parts.append(Part(path, trouble=nothing))
    return Examination(path, tuple(parts), places.limit)


def _part(path: str) -> Part:
    try:
        found = [_examined(path, target) for target in targets_of(path)]
    except OSError as error:
        why = f"cannot read {error.filename or path}: {error.strerror or error}"
        return Part(path, trouble=why)
    except ValueError as error:
        return Part(path, trouble=(str(error).splitlines() or [path])[0])
    except Exception as error:
        # Whatever a file does to us costs this file, and no other.
        what = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        return Part(path, trouble=f"{path}: could not be examined, by a mistake of tf1_bn: {what}")
    return Part(
        path,
        tuple(layer for part in found for layer in part.layers),
        ordered(dict.fromkeys(each for part in found for each in part.findings)),
        tuple(line for part in found for line in part.unread),
    )


def _examined(path: str, target: Target) -> Part:
    values = values_of(target)
    if target.graph is None:
        layers = by_names(values)
        told = [*findings_of(layers), *affine_alone(values), *renorm_in_part(values)]
        rows = tuple(_layer(each, "not in a checkpoint", "") for each in layers)
        return Part(path, rows, ordered(told))
    case = case_of(target.graph, target.question)
    known = _known(case, values)
    findings, troubles = judged(case, (*RULES, dead_branches, _refused))
    if target.values is not None:
        wanted = [name for layer in case.found.layers for name in layer.variables.renorm]
        findings += [*findings_of(known), *renorm_in_part(values, wanted)]
    rows = tuple(
        _layer(each, ", ".join(dict.fromkeys(call.phase for call in layer.calls)), layer.library)
        for each, layer in zip(known, case.found.layers)
    )
    return Part(path, rows, Findings(findings), (*case.found.unread, *troubles))


def _refused(case: Case) -> Iterator[Finding]:
    return refused_nodes(case.view, tf_version())


def _known(case: Case, values: dict[str, Any]) -> list[Numbers]:
    """The numbers of each layer of a graph."""
    held = ((layer, zip(_ROLES, layer.variables)) for layer in case.found.layers)
    return [
        numbers(name_of(layer), {role: str(name) for role, name in roles if name}, values)
        for layer, roles in held
    ]


def _layer(known: Numbers, phase: str, library: str) -> Layer:
    return Layer(known.layer, phase, library, known.arrays)
