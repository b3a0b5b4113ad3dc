# SPDX-License-Identifier: Apache-2.0
"""A checkpoint's moving statistics measured anew, into a new checkpoint."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np

from ..doctor.facts.case import calls_of
from ..doctor.targets import targets_of
from ..files.whole_files import open_regular
from .averages.held import held_in, values_in
from .averages.layers import distinct_names, layers_of
from .averages.recalibrate import recalibrate
from .averages.result import Recalibration
from .checkpoints import check_new, write_checkpoint
from .feeds import arrays_in, feeds_of
from .models import Model, begin_averages, opened, reader_of, values_at

_MOST_BYTES = 2**31 - 1


class How(NamedTuple):
    """The options of a recalibration, as `recalibrate` and `feeds_of` have them."""

    outputs: tuple[str, ...] = ()
    batch_size: int | None = None
    method: str = "layer_by_layer"
    standard_error: float | None = None


def recalibrate_checkpoint(source: str, data: str, target: str, how: How) -> Recalibration:
    """Restores a checkpoint, measures its statistics over `data`, and writes a new checkpoint.

    Args:
      source: a checkpoint with its `.meta` file, by any of its names.
      data: an `.npz` file with an array for each placeholder that the layers need, by its name.
      target: the new checkpoint's name. It gets all that the old one has.
      how: the options.

    Raises:
      OSError: a file cannot be read or written.
      ValueError: `source` or `data` is damaged or does not fit, `target` exists, as `recalibrate`.
    """
    (first, *_) = targets_of(source)
    # A SavedModel has none, and what is written is to be restored by the old program.
    if first.graph is None or first.values is None or not os.path.isfile(f"{first.values}.meta"):
        raise ValueError(f"{source}: a checkpoint with values and a .meta file is needed")
    check_new(target, first.values)
    arrays = arrays_in(data)
    with opened(source) as model:
        begin_averages(model)
        done = recalibrated(model, arrays, how)
        values = new_values(model, done)
    meta = f"{first.values}.meta"
    with open_regular(meta, _MOST_BYTES) as file:
        write_checkpoint(target, values, file.read())
    return done


def recalibrated(model: Model, arrays: dict[str, Any], how: How) -> Recalibration:
    """The model's statistics, measured over arrays by placeholder."""
    outputs = [name.rpartition(":")[0] or name for name in how.outputs]
    unknown = [name for name in outputs if name not in model.view.nodes]
    if unknown:
        raise ValueError(f"`outputs` must be ops of the graph (got {unknown[0]!r}).")
    layers, _ = layers_of(model.view, model.found, outputs, None)
    inputs = [call.input for layer in layers for call in layer.calls]
    switches = [call.switch for _, call in calls_of(model.found) if call.switch is not None]
    feeds = feeds_of(model.view, inputs, switches, arrays, how.batch_size)
    return recalibrate(
        model.session,
        feeds,
        list(how.outputs) or None,
        method=how.method,
        standard_error=how.standard_error,
    )


def new_values(model: Model, done: Recalibration) -> dict[str, Any]:
    """All of the old checkpoint by key, with what the layers have now."""
    assert model.prefix is not None
    reader = reader_of(model.prefix)
    keys = reader.get_variable_to_shape_map()
    values = {key: values_at(reader, key, model.prefix) for key in keys}
    ours = {layer.name for layer in done.layers}
    for layer, name in zip(model.found.layers, distinct_names(model.found.layers)):
        if name in ours:
            kept = layer.variables
            names = filter(None, [kept.moving_mean, kept.moving_variance, *kept.renorm])
            held = held_in(model.session.graph, names)
            found = values_in(model.session, held.values())
            values.update((model.keys[name], np.asarray(value)) for name, value in found.items())
    return values
