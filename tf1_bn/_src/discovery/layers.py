# SPDX-License-Identifier: Apache-2.0
"""The layers of a graph: calls by their variables, with what moves their averages."""

from __future__ import annotations

from typing import Any, Iterable

from .composed import composed_normalizations
from .found import Found, FoundCall, FoundLayer, FoundUpdate, FoundVariables
from .fused import fused_normalizations
from .libraries import folded_layers, library_of
from .pairing import called
from .raw import Raw
from .reading.functions import expanded
from .reading.nodes import View, named, shape_of, view_of
from .reading.tracing import Parameter
from .writes import Write, assigned_from, writes_of

# What contrib counts in to make the mean of, with `zero_debias_moving_mean`.
_BIASED = "/moving_mean/biased"


def find(graph: Any) -> Found:
    """The batch normalizations of a graph, and what could not be read.

    Args:
      graph: a `tf.Graph`, which is left as it is, a GraphDef or a MetaGraphDef.
    """
    return find_in(*read(graph))


def read(graph: Any) -> tuple[View, list[str]]:
    """A view of the whole graph, functions included, and what of them could not be read."""
    if hasattr(graph, "as_graph_def"):
        graph = graph.as_graph_def(add_shapes=True)
    nodes, unread = expanded(getattr(graph, "graph_def", graph))
    return view_of(nodes), unread


def find_in(view: View, unread: list[str]) -> Found:
    """As `find`, in what `read` gave."""
    unread = list(unread)
    raws = [*fused_normalizations(view), *composed_normalizations(view, unread)]
    raws.sort(key=lambda raw: view.places[raw.anchor])
    by_root = _by_root(writes_of(view))
    calls = [(raw, _writes_for(raw, by_root)) for raw in called(view, raws)]
    calls = [call for call in calls if _is_batch_norm(call, unread)]
    layers = [*_layers(view, calls), *folded_layers(view)]
    return Found(tuple(layers), tuple(unread))


def _by_root(writes: Iterable[Write]) -> dict[Any, list[Write]]:
    """Those of each statistic of a batch, and of each variable that others are made of."""
    found: dict[Any, list[Write]] = {}
    for write in writes:
        for root in (*write.roots, *([write.source] if write.source else [])):
            found.setdefault(root, []).append(write)
    return found


def _writes_for(raw: Raw, by_root: dict[Any, list[Write]]) -> list[Write]:
    """Those that depend on the batch of this call."""
    roots = sorted(raw.mean_roots) + sorted(raw.variance_roots)
    direct = dict.fromkeys(write for root in roots for write in by_root.get(root, ()))
    made = (each for write in direct for each in by_root.get(write.variable, ()))
    return list(dict.fromkeys([*direct, *made]))


def _is_batch_norm(call: tuple[Raw, list[Write]], unread: list[str]) -> bool:
    raw, writes = call
    if raw.gamma or raw.beta or raw.variance or writes:
        return True
    unread.append(f"{raw.anchor}: normalizes by its own batch, without variables")
    return False


def _layers(view: View, calls: list[tuple[Raw, list[Write]]]) -> list[FoundLayer]:
    groups: dict[str, list[tuple[Raw, list[Write]]]] = {}
    for raw, writes in calls:
        held = raw.gamma or raw.beta or raw.variance
        key = held.name if held else writes[0].variable.name
        groups.setdefault(key, []).append((raw, writes))
    return [_layer(view, group) for group in groups.values()]


def _layer(view: View, group: list[tuple[Raw, list[Write]]]) -> FoundLayer:
    raws = [raw for raw, _ in group]
    gamma, beta, mean, variance = (
        next((value for value in (getattr(raw, key) for raw in raws) if value is not None), None)
        for key in ("gamma", "beta", "mean", "variance")
    )
    renorm = list(dict.fromkeys(each for raw in raws for each in raw.renorm))
    for raw, writes in group:
        first, second, more = _moved(raw, writes, (mean, variance), renorm)
        mean, variance = mean or first, variance or second
        renorm += [each for each in more if each not in renorm]
    if mean is not None and mean.name.endswith(_BIASED):
        mean = assigned_from(view, mean) or mean
    renorm = [each for each in renorm if each not in (mean, variance)]
    held = [each for each in (gamma, beta, mean, variance) if each is not None]
    names = [each.name if each is not None else None for each in (gamma, beta, mean, variance)]
    frozen = bool(held) and all(each.frozen for each in held)
    variables = FoundVariables(
        names[0], names[1], names[2], names[3], tuple(each.name for each in renorm), frozen
    )
    found = tuple(_call(view, raw, writes) for raw, writes in group)
    return FoundLayer(variables, found, library_of(view, variables, found))


def _moved(
    raw: Raw,
    writes: list[Write],
    known: tuple[Parameter | None, Parameter | None],
    renorm: list[Parameter],
) -> tuple[Parameter | None, Parameter | None, list[Parameter]]:
    """The averages of mean and variance that are written, and other ones."""
    mean, variance = known
    more = []
    if variance is None:
        variance = next((each.variable for each in writes if each.source is not None), None)
    for write in writes:
        if write.variable in (mean, variance, *renorm):
            continue
        if write.roots & raw.variance_roots:
            if variance is None:
                variance = write.variable
            else:
                more.append(write.variable)
        elif mean is None:
            mean = write.variable
        else:
            more.append(write.variable)
    return mean, variance, more


def _call(view: View, raw: Raw, writes: list[Write]) -> FoundCall:
    updates = tuple(FoundUpdate(each.op, each.variable.name, each.inside) for each in writes)
    return FoundCall(
        named(raw.input),
        named(raw.output),
        raw.phase,
        named(raw.switch) if raw.switch is not None else None,
        raw.axes,
        raw.kernel,
        raw.epsilon,
        updates,
        shape_of(view, raw.input),
        raw.training_on,
    )
