# SPDX-License-Identifier: Apache-2.0
"""Keras files: `.keras`, `.weights.h5` and the older `.h5`, read without Keras."""

from __future__ import annotations

import io
import json
import re
import zipfile
from typing import Any, BinaryIO, Iterator, Mapping

import numpy as np

from .hdf5 import h5py_module
from .held import ROLES, Settings, count_of, joined, split

# Of a compiled model, beside its layers.
_OF_TRAINING = ("optimizer", "_optimizer", "metrics", "_metrics")
_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_MOST_CONFIG = 2**26
# How much more than the file its arrays may take, where they are compressed.
_MOST_TIMES = 64


def read_keras(opened: BinaryIO) -> tuple[dict[str, Any], dict[str, Settings]]:
    """The variables of a model by layer and variable, and what its configuration tells of layers.

    Raises:
      ValueError: it is no Keras file, is damaged, or does not tell which variable is which.
      ImportError: h5py is missing.
    """
    content, configuration = opened.read(), b""
    if content[:2] == b"PK":
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                content, configuration = _members(archive, len(content))
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
            raise ValueError(f"it is damaged ({error})") from None
    try:
        with h5py_module().File(io.BytesIO(content), "r") as file:
            arrays, own = _arrays(file, len(content))
            layers = _normalizations(configuration or own)
            if _is_old(file):
                named = _old_names(file, arrays)
                told = {split(name)[0] for name in named}
            else:
                named, told = _new_names(file, arrays, layers)
            known = {scope: layers.get(split(scope)[1]) for scope in told}
            return named, {scope: _settings(each) for scope, each in known.items() if each}
    except (OSError, KeyError, RuntimeError, AttributeError, TypeError) as error:
        raise ValueError(f"it is damaged ({error})") from None


def _members(archive: zipfile.ZipFile, size: int) -> tuple[bytes, bytes]:
    sizes = {member.filename: member.file_size for member in archive.infolist()}
    if _CONFIG not in sizes or _WEIGHTS not in sizes:
        raise ValueError(f"it holds no {_CONFIG} with {_WEIGHTS}")
    if sizes[_CONFIG] > _MOST_CONFIG or sizes[_WEIGHTS] > _MOST_TIMES * size:
        raise ValueError("it would unpack to far more than a model")
    return archive.read(_WEIGHTS), archive.read(_CONFIG)


def _arrays(file: Any, size: int) -> tuple[dict[str, Any], bytes]:
    """All that the file itself holds, by path: no link is followed, and no other file read."""
    h5py, found = h5py_module(), {}

    def visit(path: str, each: Any) -> None:
        if isinstance(each, h5py.Dataset):
            found[path] = each

    file.visititems(visit)
    total = 0
    for path, dataset in found.items():
        if dataset.external or dataset.is_virtual:
            raise ValueError(f"{path} in it lies in another file")
        total += dataset.dtype.itemsize * count_of(dataset.shape or ())
    if total > _MOST_TIMES * size:
        raise ValueError("it would unpack to far more than its size")
    told = file.attrs.get("model_config", b"")
    told = told.encode("utf-8") if isinstance(told, str) else bytes(told)
    return {path: np.asarray(dataset) for path, dataset in found.items()}, told


def _normalizations(configuration: bytes) -> dict[str, Mapping[str, Any]]:
    """The configuration of each layer of batch normalization, by its name."""
    try:
        waiting = [json.loads(configuration.decode("utf-8"))] if configuration else []
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise ValueError("its configuration is no JSON") from None
    found: dict[str, Mapping[str, Any]] = {}
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            config = each.get("config")
            if each.get("class_name") == "BatchNormalization" and isinstance(config, dict):
                found[str(config.get("name"))] = config
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
    return found


def _settings(config: Mapping[str, Any]) -> Settings:
    def number(key: str) -> float | None:
        value = config.get(key)
        return float(value) if isinstance(value, (int, float)) else None

    return Settings(number("epsilon"), number("momentum"))


def _is_old(file: Any) -> bool:
    group = file.get("model_weights", file)
    return any(key.startswith("layer_names") for key in group.attrs)


def _old_names(file: Any, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Of the older file: each layer lists the names of its variables."""
    group = file.get("model_weights", file)
    root = "model_weights/" if "model_weights" in file else ""
    named = {}
    for layer in _listed(group.attrs, "layer_names"):
        for weight in _listed(group[layer].attrs, "weight_names"):
            name = re.sub(r":\d+$", "", weight)
            # Keras 3 has the model's name before it, and old ones none at all.
            name = joined(layer, f"/{name}".rpartition(f"/{layer}/")[2].lstrip("/"))
            named[_told_apart(name, layer)] = arrays[f"{root}{layer}/{weight}"]
    return named


def _listed(attributes: Any, key: str) -> Iterator[str]:
    """A list of names, which long ones have in pieces."""
    pieces = [key] if key in attributes else []
    while f"{key}{len(pieces)}" in attributes:
        pieces.append(f"{key}{len(pieces)}")
    for piece in pieces:
        for name in attributes[piece]:
            yield name.decode("utf-8") if isinstance(name, bytes) else str(name)


def _new_names(
    file: Any, arrays: Mapping[str, Any], layers: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Any], set[str]]:
    """Of `.weights.h5`: groups by class and place, their variables by number.

    Also those whose layers' names the file tells: a name that only tells a place may be another
    layer's in the configuration.
    """
    groups: dict[str, dict[int, Any]] = {}
    for path, array in arrays.items():
        group, _, number = path.rpartition("/vars/")
        if group and number.isdigit():
            groups.setdefault(group, {})[int(number)] = array
        elif not path.startswith("vars/"):
            raise ValueError(f"{path} in it is no variable of a layer")
    named: dict[str, Any] = {}
    told: set[str] = set()
    for group, variables in groups.items():
        held = [variables[place] for place in sorted(variables)]
        name, kind = _name(file, group), group.rpartition("/")[2]
        if "name" in file[f"{group}/vars"].attrs:
            told.add(name)
        words = _words(kind, split(name)[1], held, layers if name in told else {})
        for place, array in enumerate(held):
            word = words[place] if place < len(words) else f"vars/{place}"
            named[joined(name, word)] = array
    return named, told


def _name(file: Any, group: str) -> str:
    """The names of the layers that a group lies in, and of a subclass those of its attributes."""
    words, names = group.split("/"), []
    if words[0] in _OF_TRAINING:
        return group
    for place, word in enumerate(words):
        path = "/".join(words[: place + 1])
        told = file[f"{path}/vars"].attrs.get("name") if f"{path}/vars" in file else None
        # Elsewhere a layer's name is one that Keras counted, and may be another each time.
        if told is not None and "layers" in words[:place][-1:]:
            names.append(str(told))
        elif word != "layers":
            names.append(word)
    return "/".join(names)


def _words(
    kind: str, name: str, held: list[Any], layers: Mapping[str, Mapping[str, Any]]
) -> tuple[str, ...]:
    """What the variables of a layer are, in the order in which Keras keeps them."""
    config = layers.get(name)
    rest = ROLES[2 : 4 if len(held) < 5 else 7]
    if config is not None:
        affine = [r for r, key in zip(ROLES, ("scale", "center")) if config.get(key, True)]
        expected = (*affine, *(ROLES[2:] if config.get("renorm") else ROLES[2:4]))
        if len(expected) != len(held):
            raise ValueError(f"{name} has {len(held)} variables, and its configuration other ones")
        return expected
    shapes = {np.shape(array) for array in held}
    is_alike = len(shapes) == 1 and len(next(iter(shapes))) == 1
    if kind.startswith("batch_normalization") or (is_alike and len(held) in (4, 7)):
        if len(held) in (3, 6):
            raise ValueError(
                f"{name} has no gamma or no beta, and a .weights.h5 file does not tell which; "
                "give the .keras file"
            )
        return (*ROLES[: len(held) - len(rest)], *rest)
    if held and np.ndim(held[0]) >= 2 and len(held) <= 2:
        kernel = "depthwise_kernel" if kind.startswith("depthwise") else "kernel"
        return (kernel, "bias") if len(held) == 1 or np.ndim(held[1]) == 1 else ()
    return ()


def _told_apart(name: str, layer: str) -> str:
    """Keras 3 calls both kernels so; the layer's name tells, unless somebody chose another."""
    scope, leaf = split(name)
    is_depthwise = leaf == "kernel" and layer.startswith("depthwise_conv")
    return joined(scope, "depthwise_kernel") if is_depthwise else name
