# SPDX-License-Identifier: Apache-2.0
"""Notices which ops a program freezes or exports a graph for.

Private names, and why: the function that freezes is public, and copies of it stand in modules that
programs import it from; each of them is replaced.
"""

from __future__ import annotations

import functools
import sys
from typing import Any, Callable, Iterator

from ...runtime.tensorflow_v1 import tf
from ..places import Move, attribute

_FREEZE = "convert_variables_to_constants"
Told = Callable[[Any, "list[str]"], None]


def export_hooks(told: Told) -> list[Move]:
    """What to place so that `told` gets the graph and the names of its outputs."""
    moves = []
    freeze = getattr(tf.graph_util, _FREEZE, None)
    if freeze is not None:
        noting = _freezing(freeze, told)
        moves += [attribute(module, _FREEZE, noting) for module in _homes(freeze)]
    builder = tf.saved_model.builder.SavedModelBuilder
    owner = next((e for e in builder.__mro__ if "add_meta_graph_and_variables" in vars(e)), None)
    if owner is not None:
        name = "add_meta_graph_and_variables"
        moves.append(attribute(owner, name, _exporting(getattr(owner, name), told)))
    return moves


def _homes(function: Any) -> Iterator[Any]:
    for name, module in list(sys.modules.items()):
        known = getattr(module, "__dict__", {}) if name.startswith("tensorflow") else {}
        if known.get(_FREEZE) is function:
            yield module


def _freezing(freeze: Any, told: Told) -> Any:
    @functools.wraps(freeze)
    def freezing(
        sess: Any, input_graph_def: Any, output_node_names: Any, *more: Any, **named: Any
    ) -> Any:
        frozen = freeze(sess, input_graph_def, output_node_names, *more, **named)
        told(sess.graph, [str(name) for name in output_node_names])
        return frozen

    return freezing


def _exporting(add: Any, told: Told) -> Any:
    @functools.wraps(add)
    def adding(builder: Any, sess: Any, *given: Any, **named: Any) -> Any:
        done = add(builder, sess, *given, **named)
        signatures = named.get("signature_def_map", given[1] if len(given) > 1 else None) or {}
        infos = (info for each in signatures.values() for info in each.outputs.values())
        told(sess.graph, [info.name.partition(":")[0] for info in infos])
        return done

    return adding
