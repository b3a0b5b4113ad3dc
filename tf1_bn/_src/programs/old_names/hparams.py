# SPDX-License-Identifier: Apache-2.0
"""`tf.contrib.training.HParams`: named settings of one type each; no TensorFlow in here."""

from __future__ import annotations

import contextlib
import json
import numbers
import re
from typing import Any, Mapping

# One `name=value` of a text. A list stands in brackets, and an index may follow the name.
_ASSIGNED = re.compile(
    r"(?P<name>[a-zA-Z][\w.]*)(?P<index>\[\s*\d+\s*\])?\s*=\s*"
    r"(?:\[(?P<items>[^\]]*)\]|(?P<value>[^,\[]*))(?:$|,\s*)"
)
_BOOLS = {"true": True, "True": True, "false": False, "False": False}


class HParams:
    """Settings by name, each of the type that its first value had, and attributes of this object.

    >>> hparams = HParams(rate=0.1, sizes=[64, 32])
    >>> hparams.parse("rate=1,sizes=[8]").values()
    {'rate': 1.0, 'sizes': [8]}
    """

    def __init__(self, hparam_def: Any = None, model_structure: Any = None, **settings: Any):
        """Makes each of `settings` known by `add_hparam`.

        Raises:
          ValueError: `hparam_def` is given, a protocol buffer that went with contrib; or a name
            belongs to a method.
        """
        if hparam_def is not None:
            raise ValueError("HParams of a protocol buffer went with contrib: give keyword values.")
        # By name: the type of the value, or of each item of a list, and whether it is a list.
        self._hparam_types: dict[str, tuple[Any, bool]] = {}
        self._model_structure = model_structure
        for name, value in settings.items():
            self.add_hparam(name, value)

    def add_hparam(self, name: str, value: Any) -> None:
        """Makes a setting known; a list or tuple sets the type by its first item.

        Raises:
          ValueError: the name is taken, or the list is empty.
        """
        if getattr(self, name, None) is not None:
            raise ValueError(f"Hyperparameter name is reserved: {name}")
        is_list = isinstance(value, (list, tuple))
        if is_list and not value:
            raise ValueError(f"Multi-valued hyperparameters cannot be empty: {name}")
        self._hparam_types[name] = type(value[0] if is_list else value), is_list
        setattr(self, name, value)

    def set_hparam(self, name: str, value: Any) -> None:
        """Sets a known setting.

        Raises:
          KeyError: it is not known.
          ValueError: the value is of another type, or a list where none is due or the reverse.
        """
        kind, is_list = self._hparam_types[name]
        if isinstance(value, list) != is_list:
            due, which = ("Must pass", "multi") if is_list else ("Must not pass", "single")
            raise ValueError(f"{due} a list for {which}-valued parameter: {name}")
        cast = [_cast(name, kind, each) for each in (value if is_list else [value])]
        setattr(self, name, cast if is_list else cast[0])

    def del_hparam(self, name: str) -> None:
        """Forgets a setting; does nothing if it is not known."""
        if hasattr(self, name):
            delattr(self, name)
            self._hparam_types.pop(name, None)

    def parse(self, values: str) -> HParams:
        """Sets what a text such as `rate=0.1,sizes=[64,32],name=x` says, and returns this object.

        Raises:
          ValueError: the text is malformed, a name stands twice or is not known, or a value does
            not fit its type.
        """
        return self.override_from_dict(_parsed(values, self._hparam_types))

    def parse_json(self, values_json: str) -> HParams:
        """Sets what a JSON object holds, and returns this object."""
        return self.override_from_dict(json.loads(values_json))

    def override_from_dict(self, values_dict: Mapping[str, Any]) -> HParams:
        """Sets what a dict holds, and returns this object."""
        for name, value in values_dict.items():
            self.set_hparam(name, value)
        return self

    def set_from_map(self, values_map: Mapping[str, Any]) -> HParams:
        """The old name of `override_from_dict`."""
        return self.override_from_dict(values_map)

    def values(self) -> dict[str, Any]:
        """The settings by name, in the order in which they were added."""
        return {name: getattr(self, name) for name in self._hparam_types}

    def to_json(self, indent: Any = None, separators: Any = None, sort_keys: bool = False) -> str:
        """The settings as a JSON object."""
        return json.dumps(self.values(), indent=indent, separators=separators, sort_keys=sort_keys)

    def get(self, key: str, default: Any = None) -> Any:
        """A setting, or `default` if it is not known.

        Raises:
          ValueError: `default` is not of the setting's type.
        """
        if key not in self._hparam_types:
            return default
        kind, is_list = self._hparam_types[key]
        if default is not None and kind is not type(None):
            if isinstance(default, list) != is_list:
                raise ValueError(f"Hparam '{key}' is a list or default={default} is, not both")
            for each in default if is_list else [default]:
                _cast(key, kind, each)
        return getattr(self, key)

    def set_model_structure(self, model_structure: Any) -> None:
        """Keeps any object; contrib did no more with it."""
        self._model_structure = model_structure

    def get_model_structure(self) -> Any:
        """What `set_model_structure` was given."""
        return self._model_structure

    def __contains__(self, key: str) -> bool:
        return key in self._hparam_types

    def __str__(self) -> str:
        return ",".join(f"{name}={value}" for name, value in self.values().items())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({sorted(self.values().items())})"


def _cast(name: str, kind: Any, value: Any) -> Any:
    """`value` as the type of the setting `name`, where no information is lost."""
    fits = isinstance(value, bool) == (kind is bool) and isinstance(value, str) == (kind is str)
    if kind is int:
        fits = fits and isinstance(value, numbers.Integral)
    if kind is type(None) or (fits and isinstance(value, kind)):
        return value
    with contextlib.suppress(TypeError, ValueError):
        if fits:
            return kind(value)
    raise ValueError(f"Could not cast hparam '{name}' of type '{kind}' from value {value!r}")


def _parsed(text: str, kinds: Mapping[str, tuple[Any, bool]]) -> dict[str, Any]:
    """The values of a text by name."""
    found: dict[str, Any] = {}
    at = 0
    while at < len(text):
        match = _ASSIGNED.match(text, at)
        if match is None:
            raise ValueError(f"Malformed hyperparameter value: {text[at:]}")
        at = match.end()
        name, items = match.group("name"), match.group("items")
        if name not in kinds:
            raise ValueError(f"Unknown hyperparameter type for {name}")
        if name in found:
            raise ValueError(f"Multiple assignments to variable '{name}' in {text}")
        if match.group("index"):
            raise ValueError(f"Cannot set one item of '{name}' alone: give the whole list")
        texts = [match.group("value")] if items is None else re.split(r"[ ,]+", items.strip(" ,"))
        kind, _ = kinds[name]
        values = [_from_text(name, kind, each, text) for each in texts if each or items is None]
        found[name] = values[0] if items is None else values
    return found


def _from_text(name: str, kind: Any, value: str, text: str) -> Any:
    try:
        if kind is bool:
            return _BOOLS[value] if value in _BOOLS else bool(int(value))
        return value if kind is str else kind(value)
    except (TypeError, ValueError):
        raise ValueError(
            f"Could not parse hparam '{name}' of type '{kind.__name__}' with value '{value}' in "
            f"{text}"
        ) from None
