# SPDX-License-Identifier: Apache-2.0
"""Errors and warnings: arguments that another layer has, and values that TF1 takes in silence."""

from __future__ import annotations

import inspect
import sys
import warnings
from typing import Any, Callable, Iterable, Mapping, TypeVar

from ..plan.spec import BatchNormSpec, is_number

_Function = TypeVar("_Function", bound=Callable[..., Any])

# Those of `tf.contrib.layers.batch_norm` alone, with what they are called here if they exist.
_OF_CONTRIB = {
    "is_training": "training",
    "decay": "momentum",
    "renorm_decay": "renorm_momentum",
    "scope": "name",
    "data_format": "axis",
    **dict.fromkeys(
        (
            *("activation_fn", "batch_weights", "zero_debias_moving_mean"),
            *("param_initializers", "param_regularizers"),
            *("updates_collections", "variables_collections", "outputs_collections"),
        ),
        "",
    ),
}
_IN_CONTRIB = {ours: theirs for theirs, ours in _OF_CONTRIB.items() if ours}
# Those of the layer alone, with where they are in contrib, if anywhere.
_OF_LAYER = {
    **_IN_CONTRIB,
    **{
        f"{variable}_{kind}": f"param_{kind}s"
        for variable in ("beta", "gamma", "moving_mean", "moving_variance")
        for kind in ("initializer", "regularizer")
    },
    **dict.fromkeys(("beta_constraint", "gamma_constraint", "virtual_batch_size"), ""),
}


def hiding_unknown(function: _Function) -> _Function:
    """Shows the signature of `function` without the `**unknown` that tells of wrong arguments."""
    shown = inspect.signature(function)
    named = [each for each in shown.parameters.values() if each.kind is not each.VAR_KEYWORD]
    vars(function)["__signature__"] = shown.replace(parameters=named)
    return function


def unknown_arguments(refusal: str, names: Iterable[str]) -> TypeError:
    """A TypeError that says `refusal`, and what to call where contrib has the unknown arguments.

    >>> str(unknown_arguments("unknown: depth", ["depth"]))
    'unknown: depth'
    """
    return TypeError(
        _led(
            refusal,
            _nearest(names, _OF_CONTRIB),
            "tf.contrib.layers.batch_norm has {}: call tf1_bn.contrib.batch_norm, which takes its "
            "arguments and has its defaults",
        )
    )


def refuse_unknown_of_contrib(names: Iterable[str]) -> None:
    """Raises TypeError if there are any: the same of arguments that contrib's function lacks."""
    for first in names:
        raise TypeError(
            _led(
                f"batch_norm() got an unexpected keyword argument {first!r}",
                _nearest(names, _OF_LAYER),
                "tf.layers.batch_normalization has {}: call tf1_bn.batch_normalization, which "
                "takes its arguments and has its defaults",
            )
        )


def _nearest(names: Iterable[str], table: Mapping[str, str]) -> dict[str, str]:
    return {name: table[name] for name in names if name in table}


def _led(refusal: str, known: Mapping[str, str], way: str) -> str:
    if not known:
        return refusal
    here = dict.fromkeys(f"`{name}`" for name in known.values() if name)
    nearest = f"; the nearest here: {', '.join(here)}" if here else ""
    return f"{refusal}. {way.format(', '.join(f'`{name}`' for name in known))}{nearest}."


def warn_of_numbers(spec: BatchNormSpec) -> None:
    """Warns, where the program calls, of values that TF1 takes and that nobody can mean."""
    if isinstance(spec.axis, bool):
        warn(
            f"`axis` should be an int (got {spec.axis!r}, which counts as {int(spec.axis)}): to "
            "say that the layer trains, name the argument: `training=True`."
        )
    for name in ("momentum", "renorm_momentum") if spec.renorm else ("momentum",):
        value = getattr(spec, name)
        if is_number(value) and not 0.0 <= value <= 1.0:
            warn(
                f"`{name}` (`{_IN_CONTRIB[name]}` in contrib and slim) should be from 0 to 1 (got "
                f"{value!r}): with others the moving averages leave what they average."
            )
    if is_number(spec.epsilon) and not spec.epsilon >= 0.0:
        warn(
            f"`epsilon` should be 0 or more (got {spec.epsilon!r}): where the variance is smaller "
            "than it takes away, the outputs are NaN."
        )


def warn(text: str) -> None:
    """A UserWarning at the innermost line that is the program's own."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and _is_between(frame):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, UserWarning, stacklevel=level)


def _is_between(frame: Any) -> bool:
    """Whether it belongs to what stands between a program and us."""
    package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    # TensorFlow 1.15 and its Estimators have packages beside the one of their name.
    return package in ("tf1_bn", "contextlib") or package.startswith("tensorflow")
