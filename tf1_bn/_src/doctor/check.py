# SPDX-License-Identifier: Apache-2.0
"""The doctor of a graph that is being built: what is wrong with its batch normalization."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Iterable, Iterator

from ..runtime.tensorflow_v1 import op_of, tf
from .facts.case import Case, Question, calls_of, case_of
from .facts.finding import Finding, Findings, codes_of, ordered
from .facts.reach import is_write
from .rules.files.outputs import outputs_by_batch
from .rules.files.savers import statistics_not_saved
from .rules.layers.bias import bias_before
from .rules.layers.channels import wrong_axis
from .rules.layers.momentum import momentum_of_pytorch
from .rules.layers.one_value import one_value_a_channel
from .rules.layers.twins import twins
from .rules.layers.untrainable import untrainable_in_training
from .rules.steps.foreign_data import updates_by_foreign_data
from .rules.steps.phases import forgotten_training
from .rules.steps.updates import unreached_updates
from .rules.steps.writers import unordered_writers

Rule = Callable[[Case], Iterator[Finding]]

RULES: tuple[Rule, ...] = (
    forgotten_training,
    unreached_updates,
    updates_by_foreign_data,
    unordered_writers,
    outputs_by_batch,
    statistics_not_saved,
    wrong_axis,
    one_value_a_channel,
    momentum_of_pytorch,
    untrainable_in_training,
    twins,
    bias_before,
)
# What a graph may not show to be wrong, and a step that is said to be complete does.
_UNWIRED = ("BN301",)


def check(
    train_op: Any = None,
    loss: Any = None,
    outputs: Any = None,
    saver: Any = None,
    graph: Any = None,
    ignore: Iterable[str] = (),
) -> Findings:
    """What is wrong with the batch normalization of a graph, by whatever library it is.

    Looks at the graph and changes nothing. What is given is one op or tensor, its name, or any
    nesting of lists, tuples and dicts of these.

    Args:
      train_op: all that one step of training fetches. None for what optimizers put into
        `tf.GraphKeys.TRAIN_OP`; a step may fetch more than that, so less is certain then.
      loss: what is trained; it only adds to what the gradients of `train_op` show.
      outputs: what is served, exported or evaluated.
      saver: the `tf.train.Saver` that writes the checkpoints; None for all of the graph.
      graph: a `tf.Graph`, GraphDef or MetaGraphDef; None for that of the first op given, or the
        default one.
      ignore: codes that are not to be told, such as "BN304".

    Returns:
      A tuple of findings, warnings first, whose text is readable: `print(tf1_bn.check(train_op))`.

    Raises:
      TypeError: an argument is none of these.
      ValueError: an op or name is not of the graph; a code of `ignore` does not exist.
    """
    return _checked(train_op, loss, outputs, saver, graph, ignore)[1]


def judged(case: Case, rules: Iterable[Rule] = RULES) -> tuple[list[Finding], list[str]]:
    """What rules find, and a line for each that fails: that costs its findings and no others."""
    findings, troubles = [], []
    for rule in rules:
        try:
            findings += list(rule(case))
        except Exception as error:
            words = (str(error).splitlines() or [""])[0]
            what = f"{type(error).__name__}: {words}"
            troubles.append(f"{rule.__name__} failed, by a mistake of tf1_bn: {what}")
    return findings, troubles


def assert_wired(train_op: Any, *args: Any, **kwargs: Any) -> None:
    """Raises unless a step of training moves the statistics of the layers it trains.

    For test suites: `check` with the same arguments, which must find no warning. `train_op` counts
    as all that a step fetches, so updates that it does not run count as wrong in any case.

    Raises:
      AssertionError: with the findings as its text.
      TypeError: as `check`; `train_op` is None or empty.
      ValueError: as `check`; `train_op` trains nothing, as a loss by mistake.
    """
    if not list(_flat(train_op)):
        raise TypeError(f"`train_op` must be what one step of training fetches (got {train_op!r}).")
    case, found = _checked(train_op, *args, **kwargs)
    if not _trains(case):
        raise ValueError(
            f"`train_op` must train: it changes no variable but averages (got {train_op!r})."
        )
    wrong = Findings(each for each in found if each.level != "note" or each.code in _UNWIRED)
    if wrong:
        raise AssertionError(f"The batch normalization is not wired:\n{wrong}")


def _checked(
    train_op: Any = None,
    loss: Any = None,
    outputs: Any = None,
    saver: Any = None,
    graph: Any = None,
    ignore: Iterable[str] = (),
) -> tuple[Case, Findings]:
    """What `check` looks at, and what it finds."""
    hidden = codes_of(ignore)
    graph = _graph(graph, (train_op, loss, outputs))
    train = _names(graph, "train_op", train_op)
    given = bool(train)
    if train_op is None and hasattr(graph, "get_collection"):
        collected = graph.get_collection(tf.GraphKeys.TRAIN_OP)
        train = tuple(op_of(each).name for each in collected if hasattr(each, "graph"))
    question = Question(
        train,
        given,
        _names(graph, "loss", loss),
        _names(graph, "outputs", outputs),
        _save(graph, saver),
        *collections_of(graph),
    )
    case = case_of(graph, question)
    found = ordered(each for rule in RULES for each in rule(case) if each.code not in hidden)
    return case, found


def _trains(case: Case) -> bool:
    """Whether a step writes anything but averages, or fetches gradients for whoever does."""
    if case.step is not None and case.step.trained:
        return True
    updates = {update.op for _, call in calls_of(case.found) for update in call.updates}
    others = case.step.runs - updates if case.step is not None else ()
    return any(is_write(case.view.nodes[name]) for name in others)


def collections_of(graph: Any) -> tuple[frozenset[str] | None, frozenset[str] | None]:
    """The names of ops in all collections of a `tf.Graph`, and of its trainable variables."""
    if not hasattr(graph, "get_all_collection_keys"):
        return None, None
    keys = graph.get_all_collection_keys()
    held = (each for key in keys for each in graph.get_collection(key))
    trainable = graph.get_collection(tf.GraphKeys.TRAINABLE_VARIABLES)
    return _held(held), _held(trainable)


def _held(items: Iterable[Any]) -> frozenset[str]:
    found = set()
    for each in items:
        # Programs keep whatever they like in collections.
        with contextlib.suppress(Exception):
            found.add(str(each.name).partition(":")[0])
    return frozenset(found)


def _graph(graph: Any, given: Any) -> Any:
    if graph is None:
        first = next((each for each in _flat(given) if hasattr(each, "graph")), None)
        return tf.get_default_graph() if first is None else first.graph
    if hasattr(graph, "as_graph_def") or hasattr(graph, "node") or hasattr(graph, "graph_def"):
        return graph
    raise TypeError(f"`graph` must be a tf.Graph, GraphDef or MetaGraphDef (got {graph!r}).")


def _flat(given: Any) -> Iterator[Any]:
    if isinstance(given, dict):
        given = list(given.values())
    if isinstance(given, (list, tuple, set, frozenset)):
        for each in given:
            yield from _flat(each)
    elif given is not None:
        yield given


def _names(graph: Any, argument: str, given: Any) -> tuple[str, ...]:
    """The names of ops that are given, each known to be of the graph."""
    return tuple(_name(graph, argument, each) for each in _flat(given))


def _name(graph: Any, argument: str, given: Any) -> str:
    if isinstance(given, tf.IndexedSlices):
        given = given.values
    if isinstance(given, str):
        name = given.partition(":")[0].lstrip("^")
    else:
        try:
            op = op_of(given)
            name, home = op.name, op.graph
        except (AttributeError, TypeError, ValueError):
            raise TypeError(
                f"`{argument}` must be an op or tensor of a graph, a name, or a list of these "
                f"(got {given!r})."
            ) from None
        if hasattr(graph, "as_graph_def") and home is not graph:
            raise ValueError(f"`{argument}` must be of the graph {graph!r} (got {given!r}).")
    if not _has(graph, name):
        raise ValueError(f"`{argument}` must be of the graph that is checked (got {given!r}).")
    return name


def _has(graph: Any, name: str) -> bool:
    if hasattr(graph, "as_graph_def"):
        try:
            graph.get_operation_by_name(name)
        except (KeyError, ValueError):
            return False
        return True
    return any(node.name == name for node in getattr(graph, "graph_def", graph).node)


def _save(graph: Any, saver: Any) -> str | None:
    """The name of the op that a Saver saves by."""
    if saver is None:
        return None
    if not hasattr(saver, "saver_def"):
        raise TypeError(f"`saver` must be a tf.compat.v1.train.Saver (got {saver!r}).")
    if saver.saver_def is None:
        raise ValueError("`saver` was made with defer_build=True: call saver.build() first.")
    return _name(graph, "saver", str(saver.saver_def.save_tensor_name))
