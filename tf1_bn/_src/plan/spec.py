# SPDX-License-Identifier: Apache-2.0
"""What the caller asked for, validated: no TensorFlow, no graph."""

from __future__ import annotations

import dataclasses
import numbers
from typing import Any, Callable, Mapping, TypeVar

import numpy as np

_Error = TypeVar("_Error", bound=Exception)

CLIPPING_KEYS = ("rmax", "rmin", "dmax")


@dataclasses.dataclass(frozen=True)
class BatchNormSpec:
    """The arguments of one batch-norm layer; creating it checks every argument on its own.

    Checks that need the input's rank and sizes are made by `geometry`.

    Raises:
      TypeError: an argument has a type TF1 refuses.
      ValueError: an argument has a value TF1 refuses.
    """

    axis: Any = -1
    momentum: Any = 0.99
    epsilon: Any = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: Any = "zeros"
    gamma_initializer: Any = "ones"
    moving_mean_initializer: Any = "zeros"
    moving_variance_initializer: Any = "ones"
    beta_regularizer: Callable[..., Any] | None = None
    gamma_regularizer: Callable[..., Any] | None = None
    beta_constraint: Callable[..., Any] | None = None
    gamma_constraint: Callable[..., Any] | None = None
    renorm: bool = False
    renorm_clipping: Mapping[str, Any] | None = None
    renorm_momentum: Any = 0.99
    fused: Any = None
    trainable: bool = True
    virtual_batch_size: int | None = None
    adjustment: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        _check_axis(self.axis)
        _check_number("momentum", self.momentum)
        _check_number("epsilon", self.epsilon)
        for name in ("center", "scale", "renorm", "trainable"):
            _check_flag(name, getattr(self, name))
        for kind in ("regularizer", "constraint"):
            for name in (f"beta_{kind}", f"gamma_{kind}"):
                _check_callable_or_none(name, getattr(self, name))
        _check_callable_or_none("adjustment", self.adjustment, error=TypeError)
        if self.renorm:
            _check_number("renorm_momentum", self.renorm_momentum)
            _check_clipping(self.renorm_clipping)
        if self.virtual_batch_size is not None:
            _check_virtual_batch_size(self.virtual_batch_size)
            if self.adjustment is not None:
                raise in_both_words(
                    ValueError,
                    "`adjustment` must be None where `virtual_batch_size` is not (got "
                    f"{self.adjustment!r} and {self.virtual_batch_size!r}).",
                    "When using virtual_batch_size, adjustment cannot be specified",
                )

    @property
    def axes(self) -> tuple[int, ...]:
        """`axis` as a tuple of ints, negative ones unresolved.

        >>> BatchNormSpec(axis=[1, -1]).axes
        (1, -1)
        """
        listed = self.axis if isinstance(self.axis, (list, tuple)) else (self.axis,)
        return tuple(int(axis) for axis in listed)

    @property
    def is_usual(self) -> bool:
        """Whether momenta and epsilon, as far as they are numbers, can work, and `axis` is no bool.

        >>> BatchNormSpec(momentum=1).is_usual, BatchNormSpec(epsilon=-1e-3).is_usual
        (True, False)
        """
        if isinstance(self.axis, bool):
            return False
        momenta = (self.momentum, self.renorm_momentum) if self.renorm else (self.momentum,)
        return all(not is_number(value) or 0.0 <= value <= 1.0 for value in momenta) and (
            not is_number(self.epsilon) or bool(self.epsilon >= 0.0)
        )

    @property
    def clipping(self) -> dict[str, Any]:
        """The renorm clipping in force: empty without renorm."""
        return dict(self.renorm_clipping or {}) if self.renorm else {}


def in_both_words(kind: type[_Error], rule: str, phrase: str) -> _Error:
    """An error whose text is our rule, then what programs look for in that of TF1.

    >>> in_both_words(TypeError, "`axis` must be an int (got 0.5).", "axis must be int or list")
    TypeError('`axis` must be an int (got 0.5). In the words of TF1: axis must be int or list')
    """
    return kind(f"{rule} In the words of TF1: {phrase}")


SPEC_FIELDS = tuple(field.name for field in dataclasses.fields(BatchNormSpec))


def is_scope(name: Any) -> bool:
    """Whether `name` is a VariableScope, told by its shape so that no TensorFlow is imported."""
    return hasattr(name, "original_name_scope") and hasattr(name, "reuse_variables")


def check_name(name: Any) -> None:
    """Raises TypeError unless `name` is None, a string or a VariableScope."""
    if name is not None and not isinstance(name, str) and not is_scope(name):
        raise in_both_words(
            TypeError,
            f"`name` must be None, a string or a VariableScope (got {name!r}).",
            "VariableScope: name_or_scope must be a string or VariableScope.",
        )


def check_reuse(reuse: Any) -> None:
    """Raises ValueError unless `reuse` is True, False, None or tf.AUTO_REUSE."""
    is_flag = isinstance(reuse, (int, np.bool_)) and reuse in (0, 1)
    if reuse is None or is_flag or getattr(reuse, "name", None) == "AUTO_REUSE":
        return
    raise in_both_words(
        ValueError,
        f"`reuse` must be True, False, None or tf.AUTO_REUSE (got {reuse!r}).",
        "The reuse parameter must be True or False or None.",
    )


def is_tensor_like(value: Any) -> bool:
    """Whether `value` carries a dtype and a shape and is no NumPy value: a tensor or variable."""
    is_numpy = isinstance(value, (np.ndarray, np.generic))
    return hasattr(value, "dtype") and hasattr(value, "shape") and not is_numpy


def is_function(value: Any) -> bool:
    """Whether `value` can be called, and is no class that is still to be made an object of.

    >>> is_function(len), is_function(int), is_function("zeros")
    (True, False, False)
    """
    return callable(value) and not isinstance(value, type)


def is_number(value: Any) -> bool:
    """Whether `value` is a real Python or NumPy number (0-d arrays included).

    >>> is_number(np.float32(0.5)), is_number("0.5")
    (True, False)
    """
    if isinstance(value, np.ndarray):
        return value.ndim == 0 and value.dtype.kind in "fiu"
    return isinstance(value, (numbers.Real, np.floating))


def _check_axis(axis: Any) -> None:
    listed = axis if isinstance(axis, (list, tuple)) else (axis,)
    if not all(isinstance(entry, numbers.Integral) for entry in listed):
        raise in_both_words(
            TypeError,
            f"`axis` must be an int or a list of ints (got {axis!r}).{_hint_of_phase(axis)}",
            f"axis must be int or list, type given: {type(axis)}",
        )
    if not listed:
        raise ValueError(f"`axis` must name at least one axis (got {axis!r}).")


def _hint_of_phase(axis: Any) -> str:
    is_flag = getattr(getattr(axis, "dtype", None), "name", "") in ("bool", "bool_ref")
    return " A flag is for `training`, which is to be named." if is_flag else ""


def _check_number(name: str, value: Any) -> None:
    if is_number(value) or (is_tensor_like(value) and _holds_numbers(value)):
        return
    # TF1 reports None with a ValueError for epsilon and with a TypeError for the momenta.
    error = ValueError if name == "epsilon" and value is None else TypeError
    raise error(f"`{name}` must be a number or a scalar tensor (got {value!r}).")


def _holds_numbers(tensor: Any) -> bool:
    dtype = str(getattr(tensor.dtype, "name", tensor.dtype))
    return "float" in dtype or "int" in dtype


def _check_flag(name: str, value: Any) -> None:
    if is_tensor_like(value) or isinstance(value, (str, list, tuple, dict)):
        raise TypeError(f"`{name}` must be True or False (got {value!r}).")


def _check_callable_or_none(name: str, value: Any, error: type[Exception] = ValueError) -> None:
    if value is not None and not callable(value):
        raise error(f"`{name}` must be None or a callable (got {value!r}).")


def _check_clipping(clipping: Any) -> None:
    if clipping is None:
        return
    if not isinstance(clipping, Mapping):
        raise TypeError(
            "`renorm_clipping` must be None or a dict with keys among "
            f"{list(CLIPPING_KEYS)} (got {clipping!r})."
        )
    unknown = sorted(str(key) for key in set(clipping) - set(CLIPPING_KEYS))
    if unknown:
        raise in_both_words(
            ValueError,
            f"`renorm_clipping` must have keys among {list(CLIPPING_KEYS)} (got {unknown}).",
            f"renorm_clipping {dict(clipping)} contains keys not in ['rmax', 'rmin', 'dmax']",
        )
    for key, value in clipping.items():
        if value is not None:
            _check_number(f"renorm_clipping['{key}']", value)


def _check_virtual_batch_size(size: Any) -> None:
    if not isinstance(size, numbers.Integral):
        raise TypeError(f"`virtual_batch_size` must be None or a positive integer (got {size!r}).")
    if size <= 0:
        raise in_both_words(
            ValueError,
            f"`virtual_batch_size` must be None or a positive integer (got {size!r}).",
            "virtual_batch_size must be a positive integer that divides the true batch size "
            "of the input Tensor",
        )
