# SPDX-License-Identifier: Apache-2.0
"""Attributes of the layer that stand in its spec or among its variables."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..state.variables import BatchNormVariables


class SpecAttribute:
    """A constructor argument as an attribute; setting it replaces the spec, and is validated."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, layer: Any, owner: type | None = None) -> Any:
        return self if layer is None else getattr(layer._spec, self._name)

    def __set__(self, layer: Any, value: Any) -> None:
        layer._spec = dataclasses.replace(layer._spec, **{self._name: value})


class VariableAttribute:
    """A variable of the layer, None before it is built; a `build` of a subclass may set it."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, layer: Any, owner: type | None = None) -> Any:
        if layer is None:
            return self
        return None if layer._variables is None else getattr(layer._variables, self._name)

    def __set__(self, layer: Any, value: Any) -> None:
        made = layer._variables or BatchNormVariables(None, None, None, None)
        if getattr(made, self._name) is None:
            layer._track(self._name, value)
        object.__setattr__(layer, "_variables", made._replace(**{self._name: value}))
