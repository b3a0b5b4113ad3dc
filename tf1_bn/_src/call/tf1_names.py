# SPDX-License-Identifier: Apache-2.0
"""The names that TF1 gave its ops: programs fetch by them, and so do exported graphs."""

from __future__ import annotations

import contextlib
from typing import Any, Callable

from ..plan.geometry import Geometry
from ..plan.spec import BatchNormSpec
from ..runtime.tensorflow_v1 import Operation, Tensor, tf


def next_number(name: str) -> int:
    """How many ops and scopes of this name there have been where the code builds."""
    last = tf.get_default_graph().unique_name(name, mark_as_used=False).rpartition("/")[2]
    return int(last[len(name) + 1 :] or 0)


def composed_output(outputs: Tensor, reshapes: int | None) -> Tensor:
    """The output of elementary ops under the name it has in TF1, whatever made it.

    Args:
      outputs: of any shape.
      reshapes: of ghost batches, the number of the call's first reshape; None without them.
    """
    if reshapes is None:
        with tf.name_scope("batchnorm"):
            return tf.identity(outputs, name="add_1")
    # TF1 reshapes to ghosts first and back last; the output is the second of the pair.
    if outputs.op.name.endswith(f"/Reshape_{reshapes + 1}"):
        return outputs
    tf.get_default_graph().unique_name("Reshape")
    return tf.identity(outputs, name="Reshape")


def cast_output(outputs: Tensor, dtype: Any, scope: str) -> Tensor:
    """The output of a conditional cast to `dtype`, under its own last name in `scope`."""
    with tf.name_scope(f"{scope}/"):
        return tf.cast(outputs, dtype, name=last_of(outputs))


def last_of(tensor: Tensor) -> str:
    """The last part of the name of a tensor's op."""
    return str(tensor.op.name).rpartition("/")[2]


def conditionals(count: int) -> list[str]:
    """Takes the names of so many conditionals, so that later ones get the numbers of TF1."""
    return [tf.get_default_graph().unique_name("cond") for _ in range(count)]


def conditionals_of(fused: bool, adjusted: bool, renorm: bool) -> int:
    """How many conditionals TF1 spent on a call whose phase is a tensor, besides the one of ours.

    Fused, one for the momentum; otherwise one for each of mean, variance and the two updates but
    ours, two for an adjustment, and four for the corrections and averages of renorm.

    >>> conditionals_of(fused=False, adjusted=True, renorm=False)
    5
    """
    return 1 if fused else 3 + 2 * adjusted + 4 * renorm


def updates_in(scopes: list[str], merge: str, renorm: bool) -> list[str]:
    """The full names of the updates, in the last of these conditionals, renorm's own first.

    >>> updates_in(["bn/cond_1", "bn/cond_2", "bn/cond_3"], "Merge", renorm=False)
    ['bn/cond_2/Merge', 'bn/cond_3/Merge']
    """
    return [f"{scope}/{merge}" for scope in scopes[-4 if renorm else -2 :]]


def scope_of(name: str | None) -> Any:
    """The scope that an op of this full name is in; None changes nothing."""
    if name is None:
        return contextlib.nullcontext()
    return tf.name_scope(f"{name.rpartition('/')[0]}/")


def named_update(name: str, update: Callable[[], Operation], value: Tensor) -> Operation:
    """An op of exactly this full name that runs `update`."""
    with scope_of(name), tf.control_dependencies([update()]):
        return tf.identity(value, name=name.rpartition("/")[2]).op


def take_contrib_names(spec: BatchNormSpec, geometry: Geometry, training: Any, fused: bool) -> None:
    """Counts on where TF1's layer made more ops of a name than ours, so that the next is numbered.

    The activation is the output, which programs fetch by its name, `bn/Relu_1` after renorm's own
    `bn/Relu`. To be called inside of the layer's op scope, which is each call's own in contrib.

    Args:
      spec: of the layer.
      geometry: of its input.
      training: True, False, or None if a tensor decides.
      fused: whether the fused kernel normalizes.
    """
    graph = tf.get_default_graph()
    for name, count in _names_in_contrib(spec, geometry, training, fused).items():
        # The first has no number, the second is `name_1`.
        last = name if count == 1 else f"{name}_{count - 1}"
        for _ in range(count):
            if _is_free(last):
                graph.unique_name(name)


def _is_free(name: str) -> bool:
    asked = tf.get_default_graph().unique_name(name, mark_as_used=False)
    return bool(asked.rpartition("/")[2] == name)


def _names_in_contrib(
    spec: BatchNormSpec, geometry: Geometry, training: Any, fused: bool
) -> dict[str, int]:
    names: dict[str, int] = {}
    renorm = spec.renorm and training is not False
    scale, center, adjusted = (int(bool(x)) for x in (spec.scale, spec.center, spec.adjustment))
    adjusted *= training is not False
    # What depends on the phase alone stood inside of TF1's conditionals.
    always = int(training is True)
    if geometry.channel_axes != (geometry.rank - 1,) and not fused:
        names["Reshape"] = 2 + scale + center + 2 * renorm
    if adjusted or renorm:
        names["add"] = renorm * (1 + always) + (adjusted + renorm - 1) + center
        names["mul"] = renorm * always + 2 * scale + 2 * adjusted * renorm
    if renorm:
        clipping = {key for key, value in spec.clipping.items() if value is not None}
        names.update(
            Identity=6,
            Maximum=1 + len(clipping & {"rmin", "dmax"}),
            Minimum=len(clipping & {"rmax", "dmax"}),
            Relu=always,
            Sqrt=2 + always,
            sub=1 + always,
            truediv=2,
        )
    return {name: count for name, count in names.items() if count}
