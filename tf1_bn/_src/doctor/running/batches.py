# SPDX-License-Identifier: Apache-2.0
"""What one batch is like where layers normalize it."""

from __future__ import annotations

import contextlib
import re
from typing import Any, Iterable, Iterator, Mapping, NamedTuple, Sequence

import numpy as np

from ...discovery.found import FoundCall
from ...runtime.graph_search import needed_ops
from ...runtime.tensorflow_v1 import Operation, op_of, tf
from .layers import Layer, Statistics, run_in

_UNFED, _MOST_WORDS = ("Placeholder", "PlaceholderV2"), 60
_WRITES = re.compile(
    "Assign|Scatter(Nd)?(Add|Div|M|Sub|U)|(Sparse)?Apply|Resource.*(Apply|Scatter)"
)


class Batches(NamedTuple):
    """Of layers by their names: mean and variance of the input, or the placeholders it lacks."""

    known: Mapping[str, Statistics]
    unfed: Mapping[str, Sequence[str]]


def batches_of(session: Any, layers: Sequence[Layer], feed_dict: Any) -> Batches:
    """Mean and variance of each layer's input in one run of the network.

    A layer is left out where its inputs need what is not fed, where computing them would write a
    variable, as updates in place do, and where the graph does not say which axes are channels.

    Raises:
      TypeError, ValueError, tf.errors.OpError: what `session.run` raises for the same `feed_dict`,
        with words on what is wrong with it.
    """
    graph = session.graph
    fed = _fed(graph, feed_dict)
    inputs = {each.name: found for each in layers for found in [_input(graph, each, fed)] if found}
    with _told_of_feeds(graph, feed_dict):
        values = run_in(session, {name: each[0] for name, each in inputs.items()}, feed_dict)
    unfed = {each.name: _unfed(graph, each, fed) for each in layers if each.name not in inputs}
    return Batches(_statistics(layers, inputs, values), unfed)


def _fed(graph: Any, feed_dict: Any) -> set[Operation]:
    """The ops whose outputs are fed."""
    if not isinstance(feed_dict, Mapping):
        given = repr(feed_dict)[:_MOST_WORDS]
        raise TypeError(f"`feed_dict` must be a dict of tensors and values (got {given}).")
    found = set()
    for key in feed_dict:
        try:
            found |= {op_of(_key(graph, part)) for part in _parts(key)}
        except (KeyError, TypeError, ValueError) as error:
            raise TypeError(
                f"`feed_dict` must have tensors of the session's graph, or their names, as keys "
                f"(got {key!r}): Cannot interpret feed_dict key as Tensor: {error.args[0]}"
            ) from None
    return found


def _key(graph: Any, given: Any) -> Any:
    return graph.as_graph_element(given, allow_operation=False)


def _parts(key: Any) -> Iterator[Any]:
    """The tensors that a key stands for."""
    if isinstance(key, tuple):
        for each in key:
            yield from _parts(each)
    elif isinstance(key, tf.SparseTensor):
        yield from (key.indices, key.values, key.dense_shape)
    elif isinstance(key, tf.IndexedSlices):
        yield from (each for each in (key.values, key.indices, key.dense_shape) if each is not None)
    else:
        yield key


@contextlib.contextmanager
def _told_of_feeds(graph: Any, feed_dict: Mapping[Any, Any]) -> Iterator[None]:
    """Lets an error of a run say first what is to be fed."""
    try:
        yield
    except (TypeError, ValueError) as error:
        got = next((words for words in _unfit(graph, feed_dict)), "")
        raise type(error)(
            f"`feed_dict` must give each tensor a value of its shape and dtype{got}: {error}"
        ) from None
    except tf.errors.FailedPreconditionError:
        raise
    except tf.errors.OpError as error:
        said = f"`feed_dict` must be what one run of the network is fed: {error.message}"
        raise type(error)(error.node_def, error.op, said) from None


def _unfit(graph: Any, feed_dict: Mapping[Any, Any]) -> Iterator[str]:
    """In words, each value that its tensor does not take."""
    for key, value in feed_dict.items():
        if len(list(_parts(key))) > 1:
            continue
        tensor = _key(graph, key)
        try:
            array = np.asarray(value, tensor.dtype.as_numpy_dtype)
        except (NotImplementedError, TypeError, ValueError):
            # The first by a tensor, which is no value.
            yield f" (got {str(value)[:_MOST_WORDS]} for {tensor.name!r}, of {tensor.dtype.name})"
            continue
        if not tensor.shape.is_compatible_with(array.shape):
            wanted = tuple(tensor.shape.as_list())
            yield f" (got the shape {array.shape} for {tensor.name!r}, of shape {wanted})"


def _statistics(
    layers: Sequence[Layer], inputs: Mapping[str, Any], values: Mapping[str, Any]
) -> Mapping[str, Statistics]:
    found = {}
    for name, (_, axes) in inputs.items():
        batch = np.asarray(values[name], np.float64)
        rest = tuple(i for i in range(batch.ndim) if i not in {axis % batch.ndim for axis in axes})
        if batch.size:
            mean, variance = batch.mean(axis=rest), batch.var(axis=rest)
            found[name] = Statistics(mean.reshape(-1), variance.reshape(-1))
    return {each.name: found[each.name] for each in layers if _fits(each, found)}


def _fits(layer: Layer, found: Mapping[str, Statistics]) -> bool:
    channels = layer.mean.shape.num_elements()
    return layer.name in found and channels in (None, found[layer.name].mean.size)


def _calls(layer: Layer) -> Sequence[FoundCall]:
    """Those whose inputs are what the averages are of."""
    return [each for each in layer.found.calls if each.phase != "inference"] or layer.found.calls


def _input(graph: Any, layer: Layer, fed: set[Operation]) -> Any:
    """The input of the first call that can be computed, and its channel axes; None for none."""
    for call in _calls(layer):
        tensor = _tensor(graph, call)
        if tensor is not None and call.channel_axes is not None and _is_free(tensor, fed):
            return tensor, call.channel_axes
    return None


def _tensor(graph: Any, call: FoundCall) -> Any:
    try:
        tensor = graph.get_tensor_by_name(call.input)
    except (KeyError, ValueError):
        return None
    return tensor if tf.Graph.is_fetchable(graph, tensor) else None


def _is_free(tensor: Any, fed: set[Operation]) -> bool:
    """Whether it can be computed with what is fed, and nothing is written."""
    ops = _needed(tensor, fed)
    return not any(op.type in _UNFED or _WRITES.match(op.type) for op in ops)


def _unfed(graph: Any, layer: Layer, fed: set[Operation]) -> list[str]:
    """The placeholders that the input of a layer's first call needs, and nobody feeds."""
    tensors = (_tensor(graph, call) for call in _calls(layer))
    first = next((each for each in tensors if each is not None), None)
    ops = () if first is None else _needed(first, fed)
    return [op.name for op in ops if op.type in _UNFED]


def _needed(tensor: Any, fed: set[Operation]) -> Iterable[Operation]:
    """The ops that run for a tensor."""
    if tensor.op in fed:
        return ()
    found: Iterable[Operation] = needed_ops([tensor], follows=lambda each: op_of(each) not in fed)
    return found
