# SPDX-License-Identifier: Apache-2.0
"""Objects made of a name or of a config, as the arguments of TF1 layers take them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable


def resolve_named(
    argument: str, kind: str, given: Any, factories: Mapping[str, Callable[..., Any]]
) -> Any:
    """Turns a name or a dict of `class_name` and `config` into an object, and leaves callables.

    Args:
      argument: the name of the argument, for errors.
      kind: what it should be, for errors: "regularizer".
      given: a name, a dict, a callable or None.
      factories: by name, what makes the object of the config.

    Returns:
      A callable, or None for None.

    Raises:
      ValueError: an unknown name, or nothing the object can be made of.
      TypeError: the config does not fit.
    """
    if given is None or callable(given):
        return given
    allowed = (
        f"`{argument}` must be None, a callable, a name among {sorted(factories)} or a dict of "
        f"`class_name` and `config` (got {given!r})."
    )
    if isinstance(given, Mapping):
        if not {"class_name", "config"} <= set(given):
            raise ValueError(f"Improper config format: {allowed}")
        name, config = given["class_name"], given["config"]
    elif isinstance(given, str):
        name, config = given, {}
    else:
        raise ValueError(f"Could not interpret {kind} identifier: {given!r}: {allowed}")
    if name not in factories:
        raise ValueError(f"Unknown {kind}: {name}: {allowed}")
    try:
        return factories[name](**config)
    except TypeError as error:
        raise TypeError(f"{error}: {allowed}") from error
