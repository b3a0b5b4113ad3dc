# SPDX-License-Identifier: Apache-2.0
"""Rounds of all batches through a session, and what they measure of some layers."""

from __future__ import annotations

from typing import Any, Iterable, Mapping, NamedTuple, Sequence

import numpy as np

from ...discovery.found import Found
from ...discovery.reading.nodes import View, named
from ..surgery.baked import place_of
from ..surgery.flags import solved
from .batches import Batches, Phase, arrays_of, run
from .convention import is_sample, written_by
from .layers import Layer
from .moments import Moments, Running, begun, merged, moments_of, standard_errors, with_batch

# Before so many batches their spread says little.
_FEWEST = 8


class Rounds(NamedTuple):
    """What all rounds have in common.

    Attributes:
      session, view: the graph that runs, and as it reads.
      batches: what is fed.
      switches: the bool tensors that choose the phase, by name, and their value in training.
      training: the phase that layers are measured in.
      standard_error: where a round may end, None for no place.
      progress: whether a terminal shows how far it is.
    """

    session: Any
    view: View
    batches: Batches
    switches: Mapping[str, bool]
    training: bool
    standard_error: float | None
    progress: bool


class Result(NamedTuple):
    """What was measured of a layer, and whether it keeps a sample's variance."""

    running: Running
    sample: bool


def switches_of(graph: Any, found: Found) -> dict[str, bool]:
    """The bool tensors that choose the phase of a graph's layers, with their value in training.

    Raises:
      ValueError: one cannot be fed, or means training to one layer and inference to another.
    """
    switches: dict[str, bool] = {}
    for call in (call for layer in found.layers for call in layer.calls):
        if call.switch is None:
            continue
        tensor = _tensor(graph, call.switch)
        if tensor is None or not graph.is_feedable(tensor):
            raise ValueError(f"{call.switch}, which chooses the phase, cannot be fed")
        if switches.setdefault(call.switch, call.training_on) != call.training_on:
            raise ValueError(
                f"{call.switch}: where it sets one layer to training it sets another to inference"
            )
    return switches


def check_inputs(graph: Any, layers: Iterable[Layer]) -> None:
    """Raises ValueError where the input of a layer cannot be fetched, or has no known channels."""
    for layer in layers:
        for call in layer.calls:
            tensor = _tensor(graph, call.input)
            if tensor is None or not graph.is_fetchable(tensor):
                raise ValueError(
                    f"{layer.name}: its input {call.input} lies inside a loop, a conditional or a "
                    "function, and cannot be measured; `layers` can leave it out"
                )
            if call.channel_axes is None:
                raise ValueError(
                    f"{layer.name}: the graph does not show which axis of {call.input} is that of "
                    "the channels; `layers` can leave it out"
                )


def _tensor(graph: Any, name: str) -> Any:
    try:
        return graph.get_tensor_by_name(name)
    except (KeyError, ValueError):
        return None


def measured(
    rounds: Rounds, layers: Sequence[Layer], rules: Mapping[str, bool], told: str
) -> dict[str, Result]:
    """One round of all batches, or of as many as the standard error needs, by layers' names.

    Raises:
      ValueError: there is no batch with values, or one with values that are not finite.
    """
    fetches = {call.input: call.input for layer in layers for call in layer.calls}
    phase = _phase(rounds, rounds.training)
    running: dict[str, Running] = {}
    arrays = arrays_of(
        rounds.session, rounds.batches, fetches, phase, told if rounds.progress else ""
    )
    for number, inputs in enumerate(arrays, 1):
        for layer in layers:
            batch = _moments(layer, inputs)
            if not (np.isfinite(batch.mean).all() and np.isfinite(batch.squares).all()):
                raise ValueError(f"batch {number}: the input of {layer.name} is not finite")
            running[layer.name] = with_batch(running.get(layer.name) or begun(batch), batch)
        if _is_enough(rounds, running.values()):
            break
    arrays.close()
    empty = [layer.name for layer in layers if not _has_values(running.get(layer.name))]
    if empty:
        raise ValueError(f"there are no batches with values for {', '.join(empty)}")
    return {name: Result(found, rules[name]) for name, found in running.items()}


def _phase(rounds: Rounds, training: bool) -> Phase:
    """What to feed; dropout may ask for the same number as the layers do, by an op of its own."""
    switches = {name: on is training for name, on in rounds.switches.items()}
    sources = {}
    for name, value in switches.items():
        tensor, number = solved(rounds.view, place_of(name), value)
        if rounds.view.node(tensor).op.startswith("Placeholder"):
            sources[named(tensor)] = number
    return Phase(switches, sources)


def _has_values(running: Running | None) -> bool:
    return running is not None and bool(running.batches)


def _moments(layer: Layer, inputs: Mapping[str, Any]) -> Moments:
    """Those of all calls of a layer in one run."""
    total = None
    for name in dict.fromkeys(call.input for call in layer.calls):
        call = next(each for each in layer.calls if each.input == name)
        found = moments_of(inputs[name], call.channel_axes or ())
        total = found if total is None else merged(total, found)
    assert total is not None
    return total


def _is_enough(rounds: Rounds, running: Iterable[Running]) -> bool:
    if rounds.standard_error is None:
        return False
    return all(
        each.batches >= _FEWEST and greatest_error(each) <= rounds.standard_error
        for each in running
    )


def greatest_error(running: Running) -> float:
    return max(float(np.max(each, initial=0.0)) for each in standard_errors(running))


def sample_rules(rounds: Rounds, layers: Sequence[Layer]) -> dict[str, bool]:
    """Whether each layer keeps a sample's variance: by a run in training, else by its kernel."""
    rules = {layer.name: layer.sample for layer in layers}
    fetches, calls = {}, {}
    for layer in layers:
        place = written_by(rounds.view, layer)
        names = [] if place is None else [place.call.input, *map(named, place[1:])]
        if place is not None and all(_is_open(rounds.session.graph, name) for name in names):
            fetches[layer.name], calls[layer.name] = names, place.call
    first = rounds.batches.first() if fetches else None
    if first is None:
        return rules
    phase = _phase(rounds, True)
    for name, (inputs, mean, variance) in run(
        rounds.session, fetches, first, phase, "batch 1"
    ).items():
        known = is_sample(moments_of(inputs, calls[name].channel_axes or ()), mean, variance)
        rules[name] = rules[name] if known is None else known
    return rules


def _is_open(graph: Any, name: str) -> bool:
    tensor = _tensor(graph, name)
    return tensor is not None and bool(graph.is_fetchable(tensor))
