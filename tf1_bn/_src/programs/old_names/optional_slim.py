# SPDX-License-Identifier: Apache-2.0
"""The way to TF-Slim, an optional dependency, with our `batch_norm` in it while contrib is."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from typing import Any, Callable, Iterator

from ...contrib.batch_norm import batch_norm
from ...runtime.after_import import after_import

PACKAGE = "tf_slim"
# Of `batch_norm_moves`, for TensorFlow 1's own.
TF1_CONTRIB = "tensorflow.contrib", "framework.python.ops.arg_scope", "layers.python.layers.layers"
_MISSING = (
    "{} needs TF-Slim, which is not installed: pip install 'tf_slim>=1.1.0', or tf1_bn with its "
    "extra [contrib]."
)


def is_slims(home: str) -> bool:
    """Whether a module is TF-Slim's.

    >>> [is_slims(home) for home in ("tf_slim", "tf_slim.layers", "tf_slimmer")]
    [True, True, False]
    """
    return home == PACKAGE or home.startswith(PACKAGE + ".")


def check_slim(name: str) -> None:
    """Raises ImportError if `name`, as programs write it, needs TF-Slim and it is missing."""
    if PACKAGE not in sys.modules and importlib.util.find_spec(PACKAGE) is None:
        raise ImportError(_MISSING.format(name))


def submodule(home: str, name: str) -> Any:
    """The module `name` inside one of TF-Slim's, or None if there is none."""
    package = importlib.import_module(home)
    full = f"{home}.{name}"
    if not hasattr(package, "__path__") or importlib.util.find_spec(full) is None:
        return None
    return importlib.import_module(full)


def scoped(original: Callable[..., Any], arguments: Callable[[], Any]) -> Callable[..., Any]:
    """Our batch_norm, which takes from `arg_scope` what is there for `original`.

    Args:
      original: the function that an `arg_scope` may name.
      arguments: returns what the scopes around a call hold: keyword arguments by function's key.
    """
    # Scopes that were opened with the original, inside TF-Slim's nets, serve ours and vice versa.
    key = getattr(original, "_key_op", str(original))

    @functools.wraps(batch_norm)
    def batch_norm_in_scope(*given: Any, **named: Any) -> Any:
        return batch_norm(*given, **{**arguments().get(key, {}), **named})

    batch_norm_in_scope._key_op = key  # type: ignore[attr-defined]
    return batch_norm_in_scope


def batch_norm_moves(package: str, scopes: str, layers: str) -> Iterator[tuple[Any, str, Any]]:
    """What puts ours where the loaded modules of a package hold its own `batch_norm`.

    Args:
      package: TF-Slim, or TensorFlow 1's contrib.
      scopes: its module of `arg_scope`.
      layers: its module of `batch_norm`.

    Yields:
      A module, a name in it, and what is to stand there.
    """
    original = importlib.import_module(f"{package}.{layers}").batch_norm
    ours = scoped(original, importlib.import_module(f"{package}.{scopes}").current_arg_scope)
    for name, module in sorted(sys.modules.items()):
        # TensorFlow 1.15 has two names for its files.
        if f"{name}.".replace("tensorflow_core", "tensorflow").startswith(f"{package}."):
            held = [each for each, value in vars(module).items() if value is original]
            yield from ((module, each, ours) for each in held)


def serve_batch_norm() -> Callable[[], None]:
    """Puts ours into TF-Slim once it is imported; returns what gives its own back."""
    placed: list[tuple[Any, str, Any, Any]] = []

    def place() -> None:
        for module, name, ours in list(batch_norm_moves(PACKAGE, "ops.arg_scope", "layers.layers")):
            placed.append((module, name, getattr(module, name), ours))
            setattr(module, name, ours)

    stop = after_import(PACKAGE, place)

    def give_back() -> None:
        stop()
        for module, name, original, ours in placed:
            # What somebody else put on top since is theirs to take away.
            if vars(module).get(name) is ours:
                setattr(module, name, original)

    return give_back
