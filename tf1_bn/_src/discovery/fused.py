# SPDX-License-Identifier: Apache-2.0
"""Normalizations by TensorFlow's fused op."""

from __future__ import annotations

from .raw import Raw
from .reading.nodes import Node, View, text_of
from .reading.statistics import FUSED, origin
from .reading.tracing import PRODUCTS, SUMS, Parameter, parameter, parameter_among


def fused_normalizations(view: View) -> list[Raw]:
    """All of them, those without variables too, as a layer norm may be made.

    An op that only measures the batch for another, as renorm's first pass, is part of that.
    """
    found: dict[str, Raw] = {}
    for node in list(view.nodes.values()):
        if node.op in FUSED and len(node.inputs) >= 5:
            found[node.name] = _read(view, node)
    measures: dict[str, str] = {}
    for name in found:
        for op, _ in origin(view, view.nodes[name].inputs[1], 60).reductions:
            if op in found and op != name and not view.consumers.get((op, 0)):
                measures[op] = name
    for measure, name in measures.items():
        if name in measures:
            continue
        first, raw = found.pop(measure), found[name]
        found[name] = raw._replace(
            mean_roots=raw.mean_roots | first.mean_roots,
            variance_roots=raw.variance_roots | first.variance_roots,
        )
    return list(found.values())


def _read(view: View, node: Node) -> Raw:
    data, scale, offset, mean, variance = node.inputs[:5]
    known = "is_training" not in node.attributes or node.attributes["is_training"].b
    axis = 1 if text_of(node, "data_format") == "NCHW" else 3
    epsilon = node.attributes["epsilon"].f if "epsilon" in node.attributes else 1e-4
    gamma, beta = parameter_among(view, scale, PRODUCTS), parameter_among(view, offset, SUMS)
    behind: dict[Parameter, None] = {}
    if known:
        for part in (scale, offset):
            behind.update(dict.fromkeys(origin(view, part).parameters))
    return Raw(
        node.name,
        data,
        (node.name, 0),
        "training" if known else "inference",
        None,
        (axis,),
        node.op,
        float(epsilon),
        gamma,
        beta,
        None if known else parameter(view, mean),
        None if known else parameter(view, variance),
        tuple(each for each in behind if each not in (gamma, beta)),
        frozenset({(node.name, 1)} if known else ()),
        frozenset({(node.name, 2)} if known else ()),
    )
