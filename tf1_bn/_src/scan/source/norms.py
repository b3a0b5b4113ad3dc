# SPDX-License-Identifier: Apache-2.0
"""Which calls are batch normalization, which library's, and what they say of training."""

from __future__ import annotations

import re
from typing import NamedTuple

from .facts import Argument, Call

_LAYERS = re.compile(r"(?:layers|python\.layers\.normalization)\.(batch_normalization|batch_norm)")
_CLASS = re.compile(
    r"(?:layers|python\.layers\.normalization)\.(?:BatchNormalization|BatchNorm)(?P<rest>.*)"
)
_CONTRIB = re.compile(r"contrib\.(?:layers|slim)(?:\.\w+)*\.batch_norm")
_SLIM = re.compile(r"tf_slim(?:\.\w+)*\.batch_norm")
_OURS = re.compile(r"tf1_bn\.(?:batch_normalization|(?:Sync)?BatchNormalization)(?P<rest>.*)")
# Of TF1's two signatures.
_PLACES = {"layers": ("training", 14), "contrib": ("is_training", 9), "instance": ("training", 1)}
_UPDATES = ("updates_collections", 8)
_TRAINABLE = ("trainable", 15)


class Norm(NamedTuple):
    """A call of batch normalization.

    Attributes:
      call: as it was found.
      name: the dotted name that counts.
      library: whose arguments it takes, "layers" or "contrib".
      is_ours: it is tf1_bn's already.
      is_called: an input is normalized; not so where a layer is made or a function kept.
      training: what is given for it; None where nothing is, or nothing is known.
      is_open: more arguments may be given than are seen.
      is_collected: the update ops go to UPDATE_OPS; None where that is not known.
    """

    call: Call
    name: str
    library: str
    is_ours: bool
    is_called: bool
    training: Argument | None
    is_open: bool
    is_collected: bool | None

    def says(self, value: bool) -> bool:
        """Whether `training` is this literal; left out it is what the library takes then."""
        if not self.is_called or (self.training is None and self.is_open):
            return False
        if self.training is None:
            return value == (self.library == "contrib")
        return self.training.is_literal and bool(self.training.value) == value

    def leaves_out(self) -> bool:
        """Whether `training` is certainly not given."""
        return self.is_called and not self.is_open and self.training is None


def below(name: str) -> str | None:
    """A name as it is below `tensorflow`, whichever way leads there; None for other modules.

    >>> below("tensorflow.compat.v1.layers.dense"), below("numpy.dot")
    ('layers.dense', None)
    """
    words = name.split(".")
    if words[0] != "tensorflow":
        return None
    return ".".join(words[3:] if words[1:3] == ["compat", "v1"] else words[1:])


def norm_of(call: Call) -> Norm | None:
    """What a call is as batch normalization, or None if it is something else."""
    for name in call.names:
        found = _kind(name)
        if found is not None:
            library, rest = found
            return _norm(call, name, library, rest)
    return None


def _kind(name: str) -> tuple[str, str | None] | None:
    """Library of a name, and for a class what stands behind it."""
    ours = _OURS.fullmatch(name)
    if ours:
        return "layers", ours.group("rest") if "BatchN" in name.split("(")[0] else None
    inner = below(name) or ""
    made = _CLASS.fullmatch(inner)
    if made:
        return "layers", made.group("rest")
    if _LAYERS.fullmatch(inner):
        return "layers", None
    if _CONTRIB.fullmatch(inner) or _SLIM.fullmatch(name) or name == "tf1_bn.contrib.batch_norm":
        return "contrib", None
    return None


def _norm(call: Call, name: str, library: str, rest: str | None) -> Norm | None:
    if rest not in (None, "", "()", "().apply", "().__call__"):
        return None
    is_called = not call.is_kept and rest != ""
    place = _PLACES[library if rest is None else "instance"]
    training = call.argument(*place) if is_called else None
    trainable = call.argument(*_TRAINABLE) if library == "layers" and rest is None else None
    collected: bool | None = None if call.is_kept or rest == "" else not call.is_open
    if library == "contrib" and collected:
        where = call.argument(*_UPDATES)
        in_place = where is not None and where.is_literal and where.value is None
        collected = False if in_place else None if where is not None else True
    if trainable is not None and (not trainable.is_literal or not trainable.value):
        # Frozen, or perhaps: such a layer has no updates.
        collected = None if not trainable.is_literal else False
    is_open = call.is_open or trainable is not None
    ours = name.startswith("tf1_bn")
    return Norm(call, name, library, ours, is_called, training, is_open, collected)
