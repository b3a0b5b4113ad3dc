# SPDX-License-Identifier: Apache-2.0
"""A layer's variables as dependencies: what `tf.Module` and object-based checkpoints see of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Callable, Sequence

from ..runtime.tensorflow_v1 import Variable, is_variable, tf


class _Shelf:
    """Stands behind `tf.Module`, whose `__setattr__` notes a dependency and ends here to store."""

    def __setattr__(self, name: str, value: Any) -> None:
        if value is not self.__dict__.get("_only_tracked"):
            super().__setattr__(name, value)


class TrackedModule(tf.Module, _Shelf):  # type: ignore[misc]
    """A `tf.Module` that tracks its weights by their names, as the layers of TF1 do.

    An attribute is tracked besides only if it is, or holds in lists and dicts, a variable or a
    module that is no weight. All others stay what they were set to: TensorFlow would put a wrapper
    around each list and dict, with a key of its own in checkpoints.
    """

    def _own_weights(self) -> Sequence[Variable]:
        """The weights that are tracked by name, and need no second key."""
        return ()

    def _track(self, name: str, weight: Any) -> None:
        """Tracks `weight` by `name`, whatever the attribute of that name is."""
        self.__dict__["_only_tracked"] = weight
        try:
            tf.Module.__setattr__(self, name, weight)
        finally:
            del self.__dict__["_only_tracked"]

    def __setattr__(self, name: str, value: Any) -> None:
        # Told apart first because building sets many.
        is_plain = value is None or isinstance(value, (bool, int, str))
        is_argument = is_plain or hasattr(getattr(type(self), name, None), "__set__")
        if is_argument or not _holds_state(value, self._own_weights):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if self._own_weights():
            raise TypeError(
                f"The layer {self.name!r} has variables, which belong to their graph, and cannot "
                "be deep-copied. Copy it before it is built, make another with "
                f"`{type(self).__name__}.from_config(layer.get_config())`, or share its variables "
                "by its scope's name: `_scope=layer.scope_name, _reuse=True`."
            )
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        for name, value in self.__dict__.items():
            # A spec is frozen, and may hold tensors, which cannot be copied.
            shared = name == "_spec"
            object.__setattr__(copied, name, value if shared else copy.deepcopy(value, memo))
        return copied


def _holds_state(value: Any, known: Callable[[], Sequence[Variable]]) -> bool:
    if isinstance(value, Mapping):
        return any(_holds_state(item, known) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(_holds_state(item, known) for item in value)
    is_state = isinstance(value, tf.Module) or is_variable(value)
    return is_state and not any(value is weight for weight in known())
