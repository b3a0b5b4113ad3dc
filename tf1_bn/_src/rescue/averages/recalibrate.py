# SPDX-License-Identifier: Apache-2.0
"""Moving statistics measured anew over many batches, for the layers of any library."""

from __future__ import annotations

from typing import Any, Iterable, Mapping, Sequence

import numpy as np

from ...discovery.layers import find_in, read
from ...runtime.tensorflow_v1 import op_of, raise_if_eager, tf
from .batches import batches_of
from .held import held_in, unchanged_by_failure, write
from .layers import Layer, layers_of, levels_of, moved_by
from .moments import standard_errors
from .result import RecalibratedLayer, Recalibration, Statistics
from .rounds import Result, Rounds, check_inputs, measured, sample_rules, switches_of

METHODS = ("layer_by_layer", "one_pass")


def recalibrate(
    session: Any,
    batches: Any,
    outputs: Any = None,
    layers: Iterable[str] | None = None,
    method: str = "layer_by_layer",
    standard_error: float | None = None,
    progress: bool = True,
) -> Recalibration:
    """Sets the moving statistics of a session to those of all the batches together.

    That is precise batch normalization (arXiv 2105.07576), for the layers of any library. Means and
    variances are those of all values as of one set, in float64, whatever the order of the examples.
    Each layer keeps its convention: the variance of a sample or of the population, and what renorm
    keeps beside the two. Nothing is added to the graph, and weights are not touched.

    Args:
      session: a `tf.Session` with restored or trained variables.
      batches: a list of feed dicts, without the phase; or something else that can be gone through
        more than once, such as a function that returns a generator; or, for input pipelines, the
        number of runs.
      outputs: what inference computes, as ops, tensors or names; only the layers that these need
        are set. None for all layers that training moves, or all where none is moved.
      layers: names of layers, the scopes of their variables; None for all.
      method: "layer_by_layer" measures each layer's input in inference, with the new statistics of
        the layers before it, which is what inference will see; it takes a round of the batches for
        each depth of layers. "one_pass" takes one round in training, where each layer normalizes by
        the batch at hand; with small batches deep layers then get the statistics of something that
        inference does not see. It holds the inputs of all layers at once.
      standard_error: go on to the next round once no mean is further off than so many standard
        deviations of its channel, and no variance further than that part of it; None for all
        batches.
      progress: whether a terminal shows how far it is.

    Returns:
      What each layer had and has, and how far that may be off; `print` shows a table.

    Raises:
      TypeError: an argument is of another type.
      ValueError: the graph has no such layers, one cannot be measured, there are no batches, a
        batch does not fit or has values that are not finite. As after any other exception and
        Ctrl-C, the session's variables are then what they were.
    """
    raise_if_eager("tf1_bn.recalibrate")
    _check(session, method, standard_error)
    view, unread = read(session.graph)
    found = find_in(view, unread)
    chosen, left = layers_of(view, found, _op_names(session.graph, outputs), _layer_names(layers))
    levels = levels_of(view, chosen) if method == METHODS[0] else [_in_training(chosen)]
    rounds = Rounds(
        session,
        view,
        batches_of(batches, len(levels)),
        switches_of(session.graph, found),
        method == METHODS[1],
        standard_error,
        progress,
    )
    check_inputs(session.graph, chosen)
    names = [name for layer in chosen for name in layer.written]
    held = held_in(session.graph, [*names, *moved_by(view, chosen)])
    results: dict[str, Result] = {}
    with unchanged_by_failure(session, held) as before:
        for number, level in enumerate(levels, 1):
            told = f"depth {number} of {len(levels)}: measured" if len(levels) > 1 else "measured"
            rules = sample_rules(rounds, level)
            # Outputs may wait for updates, so that a run in training moves averages.
            write(session, held, {**before, **_new_values(chosen, results)})
            results.update(measured(rounds, level, rules, told))
            write(session, held, {**before, **_new_values(chosen, results)})
    return _summary(chosen, left, method, before, results)


def _check(session: Any, method: Any, standard_error: Any) -> None:
    if not hasattr(session, "run") or not hasattr(session, "graph"):
        raise TypeError(f"`session` must be a tf.Session (got {type(session).__name__}).")
    if method not in METHODS:
        raise ValueError(f"`method` must be one of {list(METHODS)} (got {method!r}).")
    if standard_error is not None and not float(standard_error) > 0:
        raise ValueError(f"`standard_error` must be above 0 (got {standard_error!r}).")


def _op_names(graph: Any, outputs: Any) -> list[str]:
    """The names of the ops that are given in whatever nesting."""
    names = []
    for each in tf.nest.flatten(outputs) if outputs is not None else ():
        try:
            found = graph.as_graph_element(each, allow_tensor=True, allow_operation=True)
        except (KeyError, TypeError, ValueError):
            raise ValueError(
                f"`outputs` must be ops or tensors of the session's graph, or their names "
                f"(got {each!r})."
            ) from None
        names.append(op_of(found).name)
    return names


def _layer_names(layers: Any) -> list[str] | None:
    return [layers] if isinstance(layers, str) else None if layers is None else list(layers)


def _in_training(layers: list[Layer]) -> list[Layer]:
    """The layers, if each normalizes by its batch in training."""
    never = [layer.name for layer in layers if layer.phase == "inference"]
    if never:
        raise ValueError(
            f"{', '.join(never)}: always in inference, so method={METHODS[1]!r} cannot measure it"
        )
    return layers


def _new_values(layers: Sequence[Layer], results: Mapping[str, Result]) -> dict[str, Any]:
    """What becomes of the averages of the layers that have been measured, by variable."""
    values = {}
    for layer in layers:
        if layer.name in results:
            result = results[layer.name]
            total = result.running.total
            variance = total.variance(result.sample)
            kinds = {
                "mean": total.mean,
                "deviation": np.sqrt(variance + layer.epsilon),
                "weight": np.ones_like(total.mean),
            }
            values.update({name: kinds[kind] for name, kind in layer.renorm})
            values.update({layer.mean: total.mean, layer.variance: variance})
    return values


def _summary(
    layers: Sequence[Layer],
    left: Sequence[str],
    method: str,
    before: Mapping[str, Any],
    results: Mapping[str, Result],
) -> Recalibration:
    after = _new_values(layers, results)
    rows = []
    for layer in layers:
        running, sample = results[layer.name]
        errors = [float(np.max(each, initial=0.0)) for each in standard_errors(running)]
        old = Statistics(before[layer.mean], before[layer.variance])
        rows.append(
            RecalibratedLayer(
                layer.name,
                layer.phase,
                old,
                Statistics(
                    *(
                        np.reshape(after[name], array.shape).astype(array.dtype)
                        for name, array in zip((layer.mean, layer.variance), old)
                    )
                ),
                "sample" if sample else "population",
                running.total.number,
                running.batches,
                errors[0],
                errors[1],
            )
        )
    by_batch = tuple(layer.name for layer in layers if layer.phase == "training")
    return Recalibration(tuple(rows), tuple(left), method, by_batch)
