# SPDX-License-Identifier: Apache-2.0
"""Which layers of a graph are measured, where, and in which order; needs no TensorFlow."""

from __future__ import annotations

from typing import Iterable, NamedTuple, Sequence

from ...discovery.found import Found, FoundCall, FoundLayer
from ...discovery.reading.nodes import View
from ...doctor.facts.case import name_of, op_of
from ...doctor.facts.reach import is_write, needed, written

# What renorm keeps beside the two averages, by the last word of its name: TF 1.15, and TF 1.4.
_DEVIATIONS = ("moving_stddev", "renorm_stddev")
_MEANS = ("renorm_mean",)
_WEIGHTS = ("renorm_mean_weight", "renorm_stddev_weight")


class Layer(NamedTuple):
    """A layer that is measured.

    Attributes:
      name: the scope of its variables.
      calls: those whose inputs count.
      mean, variance: the names of its averages.
      renorm: those that renorm keeps beside them, by what becomes of them: "mean", "deviation" or
        "weight".
      written: all variables that a run in training may move.
      sample: whether `moving_variance` is that of a sample, as far as the kernel shows it.
    """

    name: str
    calls: tuple[FoundCall, ...]
    mean: str
    variance: str
    renorm: tuple[tuple[str, str], ...]
    written: tuple[str, ...]
    sample: bool

    @property
    def phase(self) -> str:
        phases = {call.phase for call in self.calls}
        return phases.pop() if len(phases) == 1 else "switched"

    @property
    def epsilon(self) -> float:
        return next((call.epsilon for call in self.calls if call.epsilon is not None), 0.0)


def layers_of(
    view: View, found: Found, outputs: Sequence[str], names: Sequence[str] | None
) -> tuple[list[Layer], list[str]]:
    """The layers to measure, and a line for each that has no averages to set.

    Of the calls of a layer those count that move its averages; where none does, all. With `outputs`
    only the calls count that these ops need; with `names` only those layers.

    Raises:
      ValueError: no such layer, or there is none at all.
    """
    computed = needed(view, outputs, controls=False) if outputs else None
    chosen, left = [], []
    known = distinct_names(found.layers)
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise ValueError(f"`layers` must be names of {known} (got {unknown}).")
    for layer, name in zip(found.layers, known):
        calls = [c for c in layer.calls if computed is None or op_of(c.output) in computed]
        if not calls or (names is not None and name not in names):
            continue
        if computed is None:
            calls = [call for call in calls if call.updates] or calls
        reason = _obstacle(layer)
        if reason:
            left.append(f"{name}: {reason}")
        else:
            chosen.append(_layer(layer, name, calls))
    if not chosen:
        told = f": {'; '.join(left)}" if left else " among what the outputs need" * bool(outputs)
        raise ValueError(f"the graph has no batch normalization with moving statistics{told}")
    return chosen, left


def distinct_names(layers: Sequence[FoundLayer]) -> list[str]:
    """The scopes of the layers' variables; of layers in one scope the names of their means.

    Variables by hand may all stand in the scope of the model.
    """
    scopes = [name_of(layer) for layer in layers]
    return [
        scope if scopes.count(scope) == 1 else layer.variables.moving_mean or layer.calls[0].output
        for scope, layer in zip(scopes, layers)
    ]


def _obstacle(layer: FoundLayer) -> str:
    variables = layer.variables
    if any(call.phase == "folded" for call in layer.calls):
        return "it is folded into the layer before"
    if variables.frozen:
        return "its parameters are constants"
    if variables.moving_mean is None or variables.moving_variance is None:
        return "the graph has no moving statistics for it"
    return ""


def _layer(layer: FoundLayer, name: str, calls: Sequence[FoundCall]) -> Layer:
    variables = layer.variables
    renorm = tuple((each, _becomes(each)) for each in variables.renorm if _becomes(each))
    own = [variables.moving_mean or "", variables.moving_variance or ""]
    written = [update.variable for call in layer.calls for update in call.updates]
    # The fused op gives a sample's variance; tf1_bn undoes that where TF1 had taken another kernel.
    fused = calls[0].kernel != "composed" and not renorm
    undone = layer.library == "tf1_bn" and len(calls[0].shape or ()) != 4
    return Layer(
        name,
        tuple(calls),
        own[0],
        own[1],
        renorm,
        tuple(dict.fromkeys([*own, *(each for each, _ in renorm), *written])),
        fused and not undone,
    )


def _becomes(variable: str) -> str:
    """What an average of renorm is set to; nothing for one that is unknown."""
    last = variable.rpartition("/")[2]
    kinds = ((_DEVIATIONS, "deviation"), (_MEANS, "mean"), (_WEIGHTS, "weight"))
    return next((kind for names, kind in kinds if last in names), "")


def moved_by(view: View, layers: Iterable[Layer]) -> list[str]:
    """The variables that are written whenever the layers' inputs or outputs are computed.

    A layer that moves its averages in place does that, and counters beside them too.
    """
    calls = [call for layer in layers for call in layer.calls]
    ops = [op_of(name) for call in calls for name in (call.input, call.output)]
    writes = (view.nodes[name] for name in needed(view, ops) if is_write(view.nodes[name]))
    return sorted({name for name in (written(view, node) for node in writes) if name is not None})


def levels_of(view: View, layers: Sequence[Layer]) -> list[list[Layer]]:
    """The layers in groups, such that no input depends on the averages of a later group.

    Raises:
      ValueError: a layer's input depends on the layer itself.
    """
    before = {layer.name: _before(view, layer, layers) for layer in layers}
    circle = [name for name, others in before.items() if name in others]
    if circle:
        raise ValueError(
            f"the input of {', '.join(circle)} depends on an earlier call of the same layer, so "
            'there is no order of layers: method="one_pass" measures all at once'
        )
    levels: list[list[Layer]] = []
    waiting = list(layers)
    while waiting:
        names = {layer.name for layer in waiting}
        # What depends on itself by way of others is caught above: `before` goes all the way back.
        ready = [layer for layer in waiting if not before[layer.name] & names]
        levels.append(ready)
        waiting = [layer for layer in waiting if layer not in ready]
    return levels


def _before(view: View, layer: Layer, layers: Iterable[Layer]) -> frozenset[str]:
    """The names of the layers whose averages reach the layer's input in inference."""
    inputs = needed(view, [op_of(call.input) for call in layer.calls], controls=False)
    return frozenset(other.name for other in layers if other.variance in inputs and _reads(other))


def _reads(layer: Layer) -> bool:
    return any(call.phase != "training" for call in layer.calls)
