# SPDX-License-Identifier: Apache-2.0
"""The mapping as a table, and the conventions in which the libraries differ."""

from __future__ import annotations

from typing import Iterator, Mapping, Sequence

import numpy as np

from ...files.text_table import counted, fitted, printable, wrapped
from .formats.held import CONTRIB, KERAS, TF_LAYERS, TORCH, Held, Settings, split
from .parts import Part, Row, shown

_HEAD = ("from", "to", "shape", "rule")
_LAYERS = {
    TF_LAYERS: TF_LAYERS,
    CONTRIB: "tf.contrib.layers.batch_norm",
    KERAS: "Keras",
    TORCH: "PyTorch",
}
# Of each library's function: epsilon, and what it calls the fraction that an average keeps.
_DEFAULTS = {TF_LAYERS: (1e-3, 0.99), CONTRIB: (1e-3, 0.999), KERAS: (1e-3, 0.99)}
_DEFAULTS[TORCH] = (1e-5, 0.9)
_WORDS = {CONTRIB: ("epsilon", "decay"), TORCH: ("eps", "momentum")}
_VARIANCE = {
    TF_LAYERS: "moves it towards the sample variance where the kernel is fused (rank 4), and "
    "towards the population's otherwise",
    CONTRIB: "moves it towards the sample variance on ranks 2 and 4 where the kernel is fused, and "
    "towards the population's otherwise",
    KERAS: "moves it towards the population variance",
    TORCH: "moves it towards the sample variance",
}


def table(rows: Sequence[Row], width: int | None) -> list[str]:
    """The rows as lines of at most `width` columns; None for as wide as they are."""
    cells = [(row.source, row.target or "-", _shape(row), row.rule) for row in rows]
    return fitted([_HEAD, *cells], width)


def _shape(row: Row) -> str:
    after = tuple(np.shape(row.array))
    if row.target is None or row.before == after or row.source.startswith("("):
        return shown(after)
    return f"{shown(row.before)} -> {shown(after)}"


def notes(
    rows: Sequence[Row], parts: Sequence[Part], held: Held, target: str, width: int | None
) -> list[str]:
    """What a reader must know beside the names."""
    layers: dict[str, set[str]] = {}
    for part in parts:
        if part.kind == "norm":
            scope, leaf = split(part.name)
            layers.setdefault(scope, set()).add(leaf)
    others = sum(row.target is not None and not row.is_norm for row in rows)
    left = sum(row.target is None for row in rows)
    lines = [
        f"{counted(len(layers), 'layer')} of batch normalization, "
        f"{counted(others, 'other array')}, {left} left out",
        _epsilon({scope: held.settings.get(scope) for scope in layers}, target),
        _momentum({scope: held.settings.get(scope) for scope in layers}, target),
        f"variance: as it was, so inference is the same; {_LAYERS[target]} in further training "
        f"{_VARIANCE[target]}",
        *_absent(layers, target),
        *_flattened(rows, held.kind, target),
    ]
    return [each for line in lines for each in wrapped(printable(line), width)]


def _groups(settings: Mapping[str, Settings | None], field: int) -> dict[float | None, list[str]]:
    found: dict[float | None, list[str]] = {}
    for scope, known in settings.items():
        found.setdefault(known[field] if known else None, []).append(scope)
    return found


def _epsilon(settings: Mapping[str, Settings | None], target: str) -> str:
    word = _WORDS.get(target, ("epsilon", "momentum"))[0]
    default = _DEFAULTS[target][0]
    told = [
        _told(f"{word}={value:g}", scopes, len(settings))
        for value, scopes in _groups(settings, 0).items()
        if value is not None
    ]
    unknown = _groups(settings, 0).get(None, [])
    if unknown:
        told.append(
            _told("not in the source, give the one of the old program", unknown, len(settings))
        )
    return f"epsilon: {'; '.join(told)} (the default in {_LAYERS[target]} is {default:g})"


def _momentum(settings: Mapping[str, Settings | None], target: str) -> str:
    word = _WORDS.get(target, ("epsilon", "momentum"))[1]
    default = _DEFAULTS[target][1]
    is_torch = target == TORCH
    told = [
        _told(f"{word}={1.0 - value if is_torch else value:.6g}", scopes, len(settings))
        for value, scopes in _groups(settings, 1).items()
        if value is not None
    ]
    unknown = _groups(settings, 1).get(None, [])
    if unknown:
        told.append(_told("not in the source", unknown, len(settings)))
    rule = "1 - the fraction kept" if is_torch else "the fraction kept"
    shown_default = 1.0 - default if is_torch else default
    return (
        f"momentum: {'; '.join(told)} ({word} in {_LAYERS[target]} is {rule}, by default "
        f"{shown_default:.6g})"
    )


def _told(text: str, scopes: Sequence[str], total: int) -> str:
    return text if len(scopes) == total else f"{text} in {', '.join(scopes)}"


def _absent(layers: Mapping[str, set[str]], target: str) -> Iterator[str]:
    words = {"gamma": "scale=False", "beta": "center=False"}
    for leaf, argument in words.items():
        lacking = [scope for scope, leaves in layers.items() if leaf not in leaves]
        if lacking:
            done = "filled in" if target == TORCH else f"make the layer with {argument}"
            yield f"{leaf}: {_told('none', lacking, len(layers))}; {done}"


def _flattened(rows: Sequence[Row], kind: str, target: str) -> Iterator[str]:
    """The order that a flattened image has is no property of any one array."""
    dense = any(row.rule.startswith("dense, transposed") for row in rows)
    images = any("OIHW" in row.rule for row in rows)
    if dense and images and TORCH in (kind, target):
        yield (
            "dense: the first one behind a flattened image has its inputs in the order height, "
            "width, channel in TensorFlow and channel, height, width in PyTorch; transpose the "
            "image before it is flattened"
        )
