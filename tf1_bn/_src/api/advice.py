# SPDX-License-Identifier: Apache-2.0
"""What is said of arguments that another layer has, and of numbers that TF1 takes in silence."""

from __future__ import annotations

import inspect
import sys
import warnings
from typing import Any, Callable, Iterable, TypeVar

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
# Whose frames stand between a program's call and us.
_BETWEEN = ("tf1_bn", "tensorflow", "contextlib")


def hiding_unknown(function: _Function) -> _Function:
    """Shows the signature of `function` without the `**unknown` that tells of wrong arguments."""
    shown = inspect.signature(function)
    named = [each for each in shown.parameters.values() if each.kind is not each.VAR_KEYWORD]
    vars(function)["__signature__"] = shown.replace(parameters=named)
    return function


def unknown_arguments(refusal: str, names: Iterable[str]) -> TypeError:
    """An error of `refusal`, and where the arguments with these names belong if it is known."""
    theirs = [name for name in names if name in _OF_CONTRIB]
    if not theirs:
        return TypeError(refusal)
    here = [f"`{_OF_CONTRIB[name]}`" for name in theirs if _OF_CONTRIB[name]]
    listed = ", ".join(f"`{name}`" for name in theirs)
    ours = f"; the nearest here: {', '.join(here)}" if here else ""
    return TypeError(
        f"{refusal}. tf.contrib.layers.batch_norm has {listed}: call tf1_bn.contrib.batch_norm, "
        f"which takes its arguments and has its defaults{ours}."
    )


def warn_of_numbers(spec: BatchNormSpec) -> None:
    """Warns, where the program calls, of numbers that TF1 takes and that wreck inference."""
    for name in ("momentum", "renorm_momentum") if spec.renorm else ("momentum",):
        value = getattr(spec, name)
        if is_number(value) and not 0.0 <= value <= 1.0:
            _warn(
                f"`{name}` (`{_IN_CONTRIB[name]}` in contrib and slim) should be from 0 to 1 (got "
                f"{value!r}): with others the moving averages leave what they average."
            )
    if is_number(spec.epsilon) and not spec.epsilon >= 0.0:
        _warn(
            f"`epsilon` should be 0 or more (got {spec.epsilon!r}): where the variance is smaller "
            "than it takes away, the outputs are NaN."
        )


def _warn(text: str) -> None:
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and _is_between(frame):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, UserWarning, stacklevel=level)


def _is_between(frame: Any) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] in _BETWEEN
