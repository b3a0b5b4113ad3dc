# SPDX-License-Identifier: Apache-2.0
"""One graph of a program, judged by what its sessions really ran."""

from __future__ import annotations

from typing import Any, Callable, Mapping, NamedTuple

from ...discovery.found import FoundLayer
from ...discovery.layers import find_in, read
from ...programs.watching import layer_states as states
from ...programs.watching.graphs import Ran, Watched
from ..check import RULES, collections_of, judged
from ..facts.case import Case, Question, affine_of, case_in, is_read, name_of, statistics_of
from ..facts.finding import Finding
from ..facts.reach import is_step
from ..rules.steps.foreign_data import updates_by_foreign_data
from ..rules.steps.writers import unordered_writers
from .handmade import trained_by_hand

# What one run alone shows: of several together it is not true.
_OF_ONE_RUN = (updates_by_foreign_data, unordered_writers)
# What is known better of layers whose calls were heard, and what of others.
_OF_UPDATES = ("BN101", "BN102", "BN104", "BN110", "BN112", "BN301", "BN311")


class Other(NamedTuple):
    """A layer that is none of tf1_bn's: name, state as of those, and the library it looks like."""

    name: str
    state: str
    library: str


class Look(NamedTuple):
    """What is known of a graph at some time.

    Attributes:
      findings: without those on updates and phases of tf1_bn's own layers.
      others: the layers that are none of tf1_bn's.
      untrained: moving means of layers whose gamma and beta no step trains.
      stranded: names of layers whose updates stand where nothing can run them.
      troubles: what of it could not be judged, a line each.
    """

    findings: tuple[Finding, ...] = ()
    others: tuple[Other, ...] = ()
    untrained: frozenset[str] = frozenset()
    stranded: frozenset[str] = frozenset()
    troubles: tuple[str, ...] = ()


def look(
    graph: Any, ran: Ran, heard: Mapping[str, Watched], is_wanted: Callable[[str], bool]
) -> Look:
    """Judges a graph; whatever goes wrong with that is told in a line.

    Args:
      graph: a `tf.Graph`, which stays as it is.
      ran: what sessions ran of it.
      heard: its layers of tf1_bn, by the name of the moving mean.
      is_wanted: tells, by that name, whether a layer's averages are read or saved anywhere.
    """
    try:
        return _look(graph, ran, heard, is_wanted)
    except Exception as error:
        # Whatever it is, the program's own result stands.
        words = (str(error).splitlines() or [""])[0]
        trouble = f"a graph was not judged, by a mistake of tf1_bn: {type(error).__name__}: {words}"
        return Look(troubles=(trouble,))


def _look(
    graph: Any, ran: Ran, heard: Mapping[str, Watched], is_wanted: Callable[[str], bool]
) -> Look:
    view, unread = read(graph)
    found = find_in(view, unread)
    fetched = tuple(dict.fromkeys(name for run in (*ran.steps, *ran.moves) for name in run))
    collected, trainable = collections_of(graph)
    question = Question(
        fetched, True, outputs=ran.outputs, collected=collected, trainable=trainable
    )
    case = case_in(view, found, question)
    findings, troubles = judged(case, [rule for rule in RULES if rule not in _OF_ONE_RUN])
    for step in ran.steps:
        more, lost = judged(case_in(view, found, Question(step, True)), _OF_ONE_RUN)
        findings, troubles = [*findings, *more], [*troubles, *lost]
    known = _Known(case, ran, heard, is_wanted)
    kept = [each for finding in findings for each in known.kept(finding)]
    kept += trained_by_hand(case, ran)
    others = [known.other(layer) for layer in found.layers if not known.is_heard(layer)]
    return Look(
        tuple(dict.fromkeys(kept)),
        tuple(each for each in others if each is not None),
        frozenset(mean for mean in heard if not known.is_trained(mean)),
        frozenset(name for each in findings if each.code == "BN302" for name in each.layers),
        tuple(dict.fromkeys(troubles)),
    )


class _Known:
    """What a program's runs add to the layers that its graph has."""

    def __init__(
        self,
        case: Case,
        ran: Ran,
        heard: Mapping[str, Watched],
        is_wanted: Callable[[str], bool],
    ) -> None:
        self._case, self._ran, self._heard, self._is_wanted = case, ran, heard, is_wanted
        self._by_mean = {each.variables.moving_mean: each for each in case.found.layers}
        self._by_name = {name_of(each): each for each in case.found.layers}
        self._names = {layer.name for layer in heard.values()}

    def is_trained(self, mean: str) -> bool:
        """Whether gamma or beta of a layer are trained, as far as the graph shows it."""
        layer, step = self._by_mean.get(mean), self._case.step
        nodes = self._case.view.nodes
        if layer is None or step is None or not any(is_step(nodes[name]) for name in step.runs):
            return mean in self._heard and self._heard[mean].in_training
        return not affine_of(layer) or bool(step.trained.intersection(affine_of(layer)))

    def is_heard(self, layer: FoundLayer) -> bool:
        held = layer.variables
        known = (held.gamma, held.beta, held.moving_mean, held.moving_variance)
        scopes = {name.rpartition("/")[0] for name in known if name}
        return held.moving_mean in self._heard or not scopes.isdisjoint(self._names)

    def kept(self, finding: Finding) -> list[Finding]:
        """The finding, for the layers of which nothing else is known."""
        if finding.code not in _OF_UPDATES:
            return [finding]
        names = [name for name in finding.layers if name not in self._names]
        if finding.code in ("BN101", "BN102", "BN104"):
            names = [name for name in names if not self._is_loaded(name)]
        certain = [n for n in names if finding.code == "BN301" and self._counts(n)]
        told = [
            finding._replace(layers=tuple(name for name in names if name not in certain)),
            finding._replace(
                code="BN110",
                layers=tuple(certain),
                wrong="trained, and no session run moved the averages",
                follows="inference normalizes by them, 0 and 1",
            ),
        ]
        return [each for each in told if each.layers]

    def other(self, layer: FoundLayer) -> Other | None:
        """A layer that is none of tf1_bn's, with its state; None for one without averages."""
        averages = statistics_of(layer)
        if not averages or layer.variables.frozen:
            return None
        moved = self._case.step is not None and self._case.step.moved.issuperset(averages)
        moves = any(call.updates for call in layer.calls)
        state = states.MOVED if moved else states.NOT_RUN if moves else states.NO_UPDATES
        return Other(name_of(layer), state, layer.library)

    def _is_loaded(self, name: str) -> bool:
        layer = self._by_name.get(name)
        return layer is not None and not self._ran.loaded.isdisjoint(statistics_of(layer))

    def _counts(self, name: str) -> bool:
        layer = self._by_name.get(name)
        if layer is None or not self.is_trained(layer.variables.moving_mean or ""):
            return False
        return is_read(layer) or any(map(self._is_wanted, statistics_of(layer)))
