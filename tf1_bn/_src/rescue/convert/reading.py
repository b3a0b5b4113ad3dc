# SPDX-License-Identifier: Apache-2.0
"""Rules from the names and layouts of a source to those of `tf.layers`."""

from __future__ import annotations

import re
from typing import Any, Iterator, Mapping

import numpy as np

from .formats.held import ROLES, TORCH, Held, joined, split
from .parts import Part, Unmatched, Word

# Of TF 1.4's renorm: an average starts at 0 and is divided by the weight that it has so far.
_WEIGHTED = {"renorm_mean": "renorm_mean_weight", "renorm_stddev": "renorm_stddev_weight"}
_COUNTERS = re.compile(
    r"(global_step|save_counter|beta[12]_power(_\d+)?|(.*/)?(iterations|iter|seed_generator\S*))$"
)
_LAYERS_WORDS = ("kernel", "weights", "bias", "biases", "depthwise_kernel", "depthwise_weights")
_SHADOWS = re.compile(r"(.*/)?moving_(mean|variance)/(biased|local_step)$")


def parts_of(held: Held, word: Word, epsilon: float | None) -> tuple[list[Part], list[Unmatched]]:
    """The arrays of a source in the words of `tf.layers`, and keys that no single rule fits.

    Args:
      held: what was read.
      word: what the user said that a key is.
      epsilon: of layers with renorm of TF 1.4 whose graph is not known.

    Raises:
      ValueError: a layer with renorm of TF 1.4 needs an epsilon.
    """
    dropped = [Part(k, k, a, "dropped") for k, a in held.arrays.items() if word(k) == "drop"]
    arrays = {key: array for key, array in held.arrays.items() if word(key) != "drop"}
    unmatched: list[Unmatched] = []
    if held.kind == TORCH:
        return [*dropped, *_of_torch(arrays, word, unmatched)], unmatched
    return [*dropped, *_of_names(held._replace(arrays=arrays), word, epsilon)], unmatched


def _of_names(held: Held, word: Word, epsilon: float | None) -> Iterator[Part]:
    """Of a TF checkpoint or a Keras file, whose names are those of `tf.layers` already."""
    arrays = held.arrays
    scopes = {
        split(key)[0] for key in arrays if split(key)[1] in ("moving_mean", "moving_variance")
    }
    weighted = {
        scope for scope in scopes if any(joined(scope, w) in arrays for w in _WEIGHTED.values())
    }
    for key, array in arrays.items():
        scope, leaf = split(key)
        if scope in scopes and leaf in ROLES:
            if scope in weighted and leaf in _WEIGHTED:
                array = _divided(array, arrays.get(joined(scope, _WEIGHTED[leaf])), leaf)
                yield Part(key, key, array, "norm", "renorm of TF 1.4, divided by its weight")
            else:
                yield Part(key, key, array, "norm")
        elif scope in scopes and leaf in _WEIGHTED.values():
            yield Part(key, key, array, "weight", "it is 1 in TF 1.15")
        elif _SHADOWS.match(key) and any(key.startswith(f"{scope}/") for scope in scopes):
            yield Part(key, key, array, "shadow")
        elif _is_slot(key, arrays):
            yield Part(key, key, array, "slot")
        elif _COUNTERS.match(key):
            yield Part(key, key, array, "counter")
        else:
            yield Part(key, key, array, "other", word=word(key))
    for scope in sorted(weighted):
        yield _moving_stddev(scope, held, epsilon)


def _divided(average: Any, weight: Any, leaf: str) -> Any:
    if weight is None or not np.all(np.asarray(weight) > 0.0):
        # Nothing was averaged yet: TF 1.15 begins with these.
        return np.full_like(average, 0.0 if leaf == "renorm_mean" else 1.0)
    return (np.asarray(average, np.float64) / np.float64(weight)).astype(average.dtype)


def _moving_stddev(scope: str, held: Held, epsilon: float | None) -> Part:
    """What TF 1.15 averages in place of the variance: its square less epsilon is the variance."""
    known = held.settings[scope].epsilon if scope in held.settings else None
    known = epsilon if known is None else known
    name = joined(scope, "moving_stddev")
    if known is None:
        raise ValueError(
            f"{scope} has renorm of TF 1.4: its {name} follows from the epsilon of the layer, "
            "which no graph beside the checkpoint tells; give --epsilon (0.001 unless your call "
            "says another)"
        )
    variance = np.asarray(held.arrays[joined(scope, "moving_variance")])
    stddev = np.sqrt(variance.astype(np.float64) + known).astype(variance.dtype)
    return Part("(moving_variance)", name, stddev, "norm", f"sqrt(variance + {known:g})")


def _is_slot(key: str, arrays: Mapping[str, Any]) -> bool:
    """Whether it belongs to a variable of the checkpoint, whose name its own begins with."""
    if "/.OPTIMIZER_SLOT/" in key or re.match("_?(optimizer|metrics)/", key):
        return True
    words = key.split("/")
    owners = [
        name for n in range(1, len(words)) for name in ["/".join(words[:n])] if name in arrays
    ]
    if words[-1] in _LAYERS_WORDS:
        # A variable that is called as its layer's scope is: the kernel "conv" beside "conv/bias".
        return any(np.shape(arrays[name]) == np.shape(arrays[key]) for name in owners)
    return bool(owners)


def _of_torch(arrays: Mapping[str, Any], word: Word, unmatched: list[Unmatched]) -> Iterator[Part]:
    def has(scope: str, leaf: str) -> bool:
        return (f"{scope}.{leaf}" if scope else leaf) in arrays

    roles = {
        "weight": "gamma",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    }
    for key, array in arrays.items():
        scope, _, leaf = key.rpartition(".")
        path, said = scope.replace(".", "/"), word(key)
        is_norm = has(scope, "running_mean") or has(scope, "running_var")
        if said == "keep":
            yield Part(key, joined(path, leaf), array, "other", "kept", said)
        elif is_norm and leaf in roles:
            yield Part(key, joined(path, roles[leaf]), array, "norm")
        elif leaf == "num_batches_tracked":
            yield Part(key, key, array, "counter")
        elif leaf == "weight":
            bias = arrays.get(f"{scope}.bias" if scope else "bias")
            why = _why_not(array, bias) if said is None else _unlike(array, said)
            if why:
                unmatched.append(Unmatched(key, why))
                continue
            leaf, array, rule = _kernel(array, said)
            yield Part(key, joined(path, leaf), array, "other", rule, said)
        elif leaf == "bias" and has(scope, "weight") and np.ndim(array) == 1:
            yield Part(key, joined(path, "bias"), array, "other", "bias")
        else:
            unmatched.append(Unmatched(key, f"{np.shape(array)}, neither weight nor bias"))


def _why_not(array: Any, bias: Any) -> str:
    """Why a weight may be more than one thing; "" if it is a dense or convolution kernel."""
    shape = np.shape(array)
    if len(shape) == 2:
        return "" if bias is not None else f"{shape}: dense or an embedding?"
    if len(shape) not in (3, 4, 5):
        return f"{shape} without running statistics: another normalization?"
    if shape[1] == 1 and shape[0] > 1:
        return f"{shape}: a depthwise convolution, or one of a single channel?"
    return ""


def _unlike(array: Any, said: str) -> str:
    shape, (word, multiplier) = np.shape(array), _split_word(said)
    ranks = {"dense": (2,), "conv": (3, 4, 5), "depthwise": (4,)}[word]
    fits = len(shape) in ranks
    if fits and word == "depthwise":
        fits = shape[1] == 1 and shape[0] % multiplier == 0
    return "" if fits else f"{shape} cannot be {said}"


def _split_word(said: str) -> tuple[str, int]:
    word, _, multiplier = said.partition(":")
    return word, int(multiplier or 1)


def _kernel(array: Any, said: str | None) -> tuple[str, Any, str]:
    """The word of `tf.layers`, the array in its layout, and the rule."""
    if np.ndim(array) == 2:
        return "kernel", np.transpose(array), "dense, transposed"
    word, multiplier = _split_word(said or "")
    if word == "depthwise":
        # [channels * multiplier, 1, h, w]: the outputs of a channel stand together.
        apart = np.reshape(array, [-1, multiplier, *np.shape(array)[2:]])
        return "depthwise_kernel", np.transpose(apart, [2, 3, 0, 1]), "depthwise OIHW -> HWIO"
    axes = [*range(2, np.ndim(array)), 1, 0]
    return "kernel", np.transpose(array, axes), "convolution OIHW -> HWIO"
