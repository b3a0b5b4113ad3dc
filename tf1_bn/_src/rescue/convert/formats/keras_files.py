# SPDX-License-Identifier: Apache-2.0
"""Keras files: `.keras`, `.weights.h5` and the older `.h5` are read, the older `.h5` is written.

`.weights.h5` and `.keras` name a layer by its class and its place in the model, which no
checkpoint tells; the older one by its name.
"""

from __future__ import annotations

import importlib
import io
import json
import re
import zipfile
from typing import Any, BinaryIO, Iterator, Mapping

import numpy as np

from .held import ROLES, Settings, count_of, joined, split

_OPTIMIZERS = ("optimizer", "_optimizer")
_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_MOST_CONFIG = 2**26
# How much more than the file its arrays may take, where they are compressed.
_MOST_TIMES = 64
_MOST_ATTRIBUTE = 60_000
_ORDER = (*ROLES, "depthwise_kernel", "pointwise_kernel", "kernel", "recurrent_kernel", "bias")


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
        with _h5py().File(io.BytesIO(content), "r") as file:
            arrays, told = _arrays(file, len(content))
            layers = _normalizations(configuration or told)
            named = _old_names(file, arrays) if _is_old(file) else _new_names(file, arrays, layers)
            scopes = dict.fromkeys(split(name)[0] for name in named)
            known = {scope: layers.get(split(scope)[1]) for scope in scopes}
            return named, {scope: _settings(each) for scope, each in known.items() if each}
    except (OSError, KeyError, RuntimeError, AttributeError, TypeError) as error:
        raise ValueError(f"it is damaged ({error})") from None


def _h5py() -> Any:
    try:
        return importlib.import_module("h5py")
    except ImportError:
        raise ImportError("Keras files need h5py, which TensorFlow brings with it") from None


def _members(archive: zipfile.ZipFile, size: int) -> tuple[bytes, bytes]:
    sizes = {member.filename: member.file_size for member in archive.infolist()}
    if _CONFIG not in sizes or _WEIGHTS not in sizes:
        raise ValueError(f"it holds no {_CONFIG} with {_WEIGHTS}")
    if sizes[_CONFIG] > _MOST_CONFIG or sizes[_WEIGHTS] > _MOST_TIMES * size:
        raise ValueError("it would unpack to far more than a model")
    return archive.read(_WEIGHTS), archive.read(_CONFIG)


def _arrays(file: Any, size: int) -> tuple[dict[str, Any], bytes]:
    """All that the file itself holds, by path: no link is followed, and no other file read."""
    h5py, found = _h5py(), {}

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
) -> dict[str, Any]:
    """Of `.weights.h5`: groups by class and place, their variables by number."""
    groups: dict[str, dict[int, Any]] = {}
    for path, array in arrays.items():
        group, _, number = path.rpartition("/vars/")
        if group and number.isdigit():
            groups.setdefault(group, {})[int(number)] = array
        elif not path.startswith("vars/"):
            raise ValueError(f"{path} in it is no variable of a layer")
    named = {}
    for group, variables in groups.items():
        held = [variables[place] for place in sorted(variables)]
        name, kind = _name(file, group), group.rpartition("/")[2]
        words = _words(kind, split(name)[1], held, layers)
        for place, array in enumerate(held):
            word = words[place] if place < len(words) else f"vars/{place}"
            named[joined(name, word)] = array
    return named


def _name(file: Any, group: str) -> str:
    """The names of the layers that a group lies in, and of a subclass those of its attributes."""
    words, names = group.split("/"), []
    if words[0] in _OPTIMIZERS:
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
        return (*affine, *(ROLES[2:] if config.get("renorm") else ROLES[2:4]))
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


def keras_file(arrays: Mapping[str, Any]) -> bytes:
    """A file that `model.load_weights(path, by_name=True)` reads: `layer/variable` each."""
    layers: dict[str, list[str]] = {}
    for name in arrays:
        layers.setdefault(split(name)[0], []).append(name)
    content = io.BytesIO()
    with _h5py().File(content, "w") as file:
        # Of a version that needs no conversion.
        file.attrs["keras_version"], file.attrs["backend"] = b"2.0.0", b"tensorflow"
        _put_names(file, "layer_names", list(layers))
        for layer, names in layers.items():
            group = file.create_group(layer)
            names = sorted(names, key=_place)
            _put_names(group, "weight_names", names)
            for name in names:
                group.create_dataset(name, data=np.asarray(arrays[name]))
    return content.getvalue()


def _place(name: str) -> tuple[int, str]:
    leaf = split(name)[1]
    return (_ORDER.index(leaf) if leaf in _ORDER else len(_ORDER), leaf)


def _put_names(group: Any, key: str, names: list[str]) -> None:
    encoded = np.array([name.encode("utf-8") for name in names] or [b""])
    if encoded.nbytes <= _MOST_ATTRIBUTE:
        group.attrs[key] = encoded
        return
    pieces = np.array_split(encoded, encoded.nbytes // _MOST_ATTRIBUTE + 1)
    for place, piece in enumerate(pieces):
        group.attrs[f"{key}{place}"] = piece
