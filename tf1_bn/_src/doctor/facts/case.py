# SPDX-License-Identifier: Apache-2.0
"""All that is known of a graph when its rules are asked: plain values, made once."""

from __future__ import annotations

from typing import Any, Iterable, NamedTuple, Sequence

from ...discovery.found import Found, FoundCall, FoundLayer
from ...discovery.layers import find_in, read
from ...discovery.reading.nodes import Tensor, View
from ...discovery.reading.tracing import back
from .gradients import Fetched, gradients_in
from .reach import is_step, is_write, needed, written


class Step(NamedTuple):
    """What one run of a train op does.

    Attributes:
      runs: the names of all ops that run.
      moved: the variables that are written, by whatever op.
      trained: those that an optimizer writes; without one, those that no update of a layer does,
        and of a step that writes none those whose gradients it fetches.
      path: the names of the ops that gradients, or the loss, are computed from.
      given: whether the caller said that this is all that a step runs.
    """

    runs: frozenset[str]
    moved: frozenset[str]
    trained: frozenset[str]
    path: frozenset[str]
    given: bool


class Case(NamedTuple):
    """A graph and what is asked about it.

    Attributes:
      view: the nodes.
      found: the layers.
      step: None without a train op.
      outputs: the names of the ops that the outputs need; None where no outputs were named.
      saved: the variables that Savers save; None where there is none.
      restored_apart: those that are restored by a Saver that leaves something trained out.
      collected: the names of what stands in collections; None where they are not known.
      trainable: the trainable variables; None where they are not known.
    """

    view: View
    found: Found
    step: Step | None
    outputs: frozenset[str] | None
    saved: frozenset[str] | None
    restored_apart: frozenset[str]
    collected: frozenset[str] | None
    trainable: frozenset[str] | None


class Question(NamedTuple):
    """Names of ops: what a step runs and whether that is all, losses, outputs, a Saver's save.

    `collected` and `trainable` are as in `Case`.
    """

    train: tuple[str, ...] = ()
    given: bool = False
    loss: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    save: str | None = None
    collected: frozenset[str] | None = None
    trainable: frozenset[str] | None = None


def case_of(graph: Any, question: Question) -> Case:
    """The facts of a `tf.Graph`, GraphDef or MetaGraphDef.

    Args:
      graph: as `discovery.layers.find` takes it.
      question: names that the graph has.
    """
    view, unread = read(graph)
    return case_in(view, find_in(view, unread), question)


def case_in(view: View, found: Found, question: Question) -> Case:
    """The same of a graph that is read, for several questions about it."""
    step = _step(view, found, question) if question.train else None
    outputs = needed(view, question.outputs) if question.outputs else None
    restored = _restored_apart(view, step.trained if step else frozenset())
    saved = _saved(view, question.save)
    known = question.collected, question.trainable
    return Case(view, found, step, outputs, saved, restored, *known)


def _step(view: View, found: Found, question: Question) -> Step:
    runs = needed(view, question.train)
    updates = {update.op for _, call in calls_of(found) for update in call.updates}
    writes = [view.nodes[name] for name in runs if is_write(view.nodes[name])]
    moved = {node.name: written(view, node) for node in writes}
    others = [node.name for node in writes if node.name not in updates]
    # A step that writes nothing hands its gradients to the program, which assigns the weights.
    by_hand = Fetched((), frozenset()) if others else gradients_in(view, found, question.train)
    path = needed(view, [*others, *by_hand.gradients, *question.loss], controls=False)
    # Some optimizers assign by themselves.
    steps = [name for name in others if is_step(view.nodes[name])] or others
    return Step(
        runs,
        frozenset(filter(None, moved.values())),
        frozenset(filter(None, (moved[step] for step in steps))) | by_hand.variables,
        path,
        question.given,
    )


def _saved(view: View, save: str | None) -> frozenset[str] | None:
    names: Iterable[str] = view.nodes if save is None else needed(view, [save])
    saves = [view.nodes[name] for name in names if view.nodes[name].op.startswith("Save")]
    if not saves:
        return None
    return frozenset(back(view, tensor)[0] for node in saves for tensor in node.inputs[1:])


def _restored_apart(view: View, trained: frozenset[str]) -> frozenset[str]:
    """What is restored in a group that does not restore all that is trained.

    That is how a program starts from another one's checkpoint.
    """
    groups: dict[str, set[str]] = {}
    for node in view.nodes.values():
        if not is_write(node) or len(node.inputs) < 2:
            continue
        origin = view.node(back(view, node.inputs[1]))
        if origin.op.startswith("Restore"):
            name = written(view, node)
            if name is not None:
                groups.setdefault(_file(view, origin.inputs[0]), set()).add(name)
    return frozenset(name for group in groups.values() if trained - group for name in group)


def _file(view: View, tensor: Any) -> str:
    return back(view, tensor)[0]


def calls_of(found: Found) -> list[tuple[FoundLayer, FoundCall]]:
    return [(layer, call) for layer in found.layers for call in layer.calls]


def name_of(layer: FoundLayer) -> str:
    """The scope of its variables, or of its first output where it has none."""
    known = [layer.variables.moving_mean, layer.variables.gamma, layer.variables.beta]
    held = next((name for name in known if name), layer.calls[0].output)
    scope = held.rpartition("/")[0]
    return (scope[: -len("/mean")] if held.endswith("/mean/EMA") else scope) or held


def statistics_of(layer: FoundLayer) -> list[str]:
    held = (layer.variables.moving_mean, layer.variables.moving_variance)
    return [name for name in held if name is not None]


def affine_of(layer: FoundLayer) -> list[str]:
    return [name for name in (layer.variables.gamma, layer.variables.beta) if name is not None]


def op_of(tensor: str) -> str:
    return tensor.rpartition(":")[0]


def tensor_of(name: str) -> Tensor:
    """A tensor as views have it, of its name `name:0`."""
    op, _, number = name.rpartition(":")
    return op, int(number)


def is_read(layer: FoundLayer) -> bool:
    """Whether something in the graph normalizes by the moving statistics."""
    return any(call.phase in ("inference", "switched") for call in layer.calls)


def in_path(step: Step, call: FoundCall) -> bool:
    """Whether the step trains through a call."""
    return op_of(call.output) in step.path or op_of(call.input) in step.path


def names_of(layers: Sequence[FoundLayer]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(name_of, layers)))
