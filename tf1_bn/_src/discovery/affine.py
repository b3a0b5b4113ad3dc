# SPDX-License-Identifier: Apache-2.0
"""Where the factor of a composed normalization meets the data, and what follows: scale, offset."""

from __future__ import annotations

from typing import NamedTuple

from .reading.nodes import Tensor, View
from .reading.statistics import Origin, origin
from .reading.tracing import PRODUCTS, SUMS, Parameter, parameter, parameter_among, terms

OFFSETS = ("Add", "AddV2", "Sub", "BiasAdd")


class Applied(NamedTuple):
    """Where the factor meets the data: the data, what that gives, gamma, and a known mean."""

    data: Tensor
    output: Tensor
    factor: Tensor
    gamma: Parameter | None
    mean: Tensor | None
    centered: bool
    scale: Tensor | None = None


class Tail(NamedTuple):
    """What stands behind the data's product: the last output, and the parts that were added."""

    output: Tensor
    gamma: Parameter | None
    beta: Parameter | None
    mean: Tensor | None
    offset: Tensor | None


def tail_of(view: View, applied: Applied, allowed: Origin) -> Tail:
    output, gamma, beta, mean = applied.output, applied.gamma, None, applied.mean
    added: Tensor | None = None
    for _ in range(6):
        following = None
        for reader in view.readers(output):
            if reader.op == "IdentityN" and reader.inputs[0] == output:
                following = (reader.name, 0)
            elif reader.op in (*PRODUCTS, *OFFSETS) and len(reader.inputs) == 2 and added is None:
                other = reader.inputs[1 if reader.inputs[0] == output else 0]
                if not _is_small(view, other, allowed):
                    continue
                if reader.op in PRODUCTS:
                    if gamma is not None or parameter(view, other) is None:
                        continue
                    gamma = parameter(view, other)
                else:
                    added = other
                    beta, mean = _offset(view, other, mean, applied.centered)
                following = (reader.name, 0)
            if following is not None:
                break
        if following is None:
            break
        output = following
    return Tail(output, gamma, beta, mean, added)


def _is_small(view: View, tensor: Tensor, allowed: Origin) -> bool:
    known = origin(view, tensor)
    return not known.others and bool(known.parameters or known.reductions)


def _offset(
    view: View, tensor: Tensor, mean: Tensor | None, centered: bool
) -> tuple[Parameter | None, Tensor | None]:
    """Beta and the mean, of what is added: beta - mean * factor, or beta."""
    beta = parameter_among(view, tensor, SUMS)
    if mean is None and not centered:
        for term in terms(view, tensor, SUMS):
            node = view.node(term)
            if node.op in PRODUCTS:
                factors = [part for part in node.inputs if not _has_root(view, part)]
                mean = factors[0] if factors else mean
    return beta, mean


def _has_root(view: View, tensor: Tensor) -> bool:
    return any(
        view.node(part).op in ("Rsqrt", "Sqrt", "RealDiv", "Pow")
        for part in terms(view, tensor, PRODUCTS)
    )


def renorm_of(
    view: View, applied: Applied, tail: Tail, known: tuple[Parameter | None, ...]
) -> tuple[Parameter, ...]:
    """The averages that correct scale and offset."""
    found: dict[Parameter, None] = {}
    for part in (applied.scale, tail.offset):
        if part is not None:
            found.update(dict.fromkeys(origin(view, part, 240).parameters))
    return tuple(each for each in found if each not in known)
