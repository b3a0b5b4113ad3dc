# SPDX-License-Identifier: Apache-2.0
"""Serves the table as modules below `tensorflow`, to every style of import, while it is asked to.

Nothing is taken from its home before a program asks for that name.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import sys
import types
from typing import Any, Iterator, Sequence

from ...runtime.tensorflow_v1 import tf
from .heirs import sentence
from .optional_slim import check_slim, is_slims, serve_batch_norm, submodule
from .tensorflow_names import ALL, TABLE, homes_of

ROOTS = ("tensorflow.contrib", "tensorflow.estimator")
_BELOW = "tensorflow."


class OldModule(types.ModuleType):
    """A module of the table; a name is looked up when it is asked for."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "Made by tf1_bn; tf1_bn.uninstall() takes it away.")
        self.__path__: list[str] = []
        # Programs ask `importlib.util.find_spec` whether there is a contrib.
        self.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            return self.__dir__()
        # The import system probes for such names; whoever asks wants a plain no.
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return find(self.__name__[len(_BELOW) :], name)

    def __setattr__(self, name: str, value: Any) -> None:
        # The import system gives each submodule to its parent, where one may hide a function of
        # its own name, as `arg_scope` is.
        if sys.modules.get(f"{self.__name__}.{name}") is not value:
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        module = self.__name__[len(_BELOW) :]
        found = {name for name in vars(self) if not name.startswith("_")}
        for home, names in (homes_of(module) or {}).items():
            with contextlib.suppress(ImportError, AttributeError):
                found.update(_public(_home(home, module)) if names == ALL else names.split())
        below = [each for each in TABLE if each.startswith(module + ".")]
        return sorted(found | {each[len(module) + 1 :].split(".")[0] for each in below})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds and makes the modules below those of ROOTS that are served."""

    def find_spec(
        self, name: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of a module below one of the roots; None for every other.

        Raises:
          ImportError: it is not in the table, with a sentence that names an heir, or needs TF-Slim
            and that is missing.
        """
        if not any(name.startswith(root + ".") and _is_served(root) for root in ROOTS):
            return None
        module = name[len(_BELOW) :]
        homes = homes_of(module)
        if homes is None and _real(module) is None:
            # With `name` in the error, `from tensorflow.contrib import x` would drop the sentence.
            raise ModuleNotFoundError(sentence(module))
        if homes and all(map(is_slims, homes)):
            # It would be empty.
            check_slim(f"tf.{module}")
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return OldModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Leaves a module of the table empty, and puts TF-Slim's own file in place of another."""
        below = module.__name__[len(_BELOW) :]
        if homes_of(below) is None:
            sys.modules[module.__name__] = _real(below)


_finder = _Finder()
_stop = contextlib.ExitStack()


def moves(hosts: Sequence[Any]) -> Iterator[tuple[Any, str, Any]]:
    """What makes those of ROOTS be found that this TensorFlow lacks; then `settle` is due.

    Args:
      hosts: every module object that is TensorFlow for somebody.

    Yields:
      `sys.modules` or a host, a name in it, and what is to stand there.
    """
    for root in ROOTS:
        short = root[len(_BELOW) :]
        if _is_served(root):
            served = sys.modules[root]
        # By name: asking TensorFlow 1 for its contrib would load all of it.
        elif any(short in dir(host) for host in hosts):
            continue
        else:
            served = OldModule(root)
        yield sys.modules, root, served
        yield from ((host, short, served) for host in hosts)


def settle() -> None:
    """Serves what is below the roots that stand in `sys.modules`, and takes the rest away."""
    served = [root for root in ROOTS if _is_served(root)]
    below = tuple(f"{root}." for root in ROOTS if root not in served and root not in sys.modules)
    for name in [each for each in sys.modules if each.startswith(below)] if below else []:
        del sys.modules[name]
    if served and _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
        _stop.callback(sys.meta_path.remove, _finder)
        _stop.callback(serve_batch_norm())
    elif not served:
        _stop.close()


def _is_served(root: str) -> bool:
    return isinstance(sys.modules.get(root), OldModule)


def find(module: str, name: str) -> Any:
    """What a program gets that asks a module of the table for a name.

    Raises:
      AttributeError: it is nowhere, with a sentence that names an heir.
      ImportError: TF-Slim has it, and is missing.
    """
    missing = None
    for home, names in (homes_of(module) or {}).items():
        if names == ALL or name in names.split():
            try:
                value = getattr(_home(home, f"{module}.{name}"), name)
                if names != ALL or not _is_foreign(value):
                    return value
            except AttributeError:
                continue
            except ImportError as error:
                # Another home may have it; what TensorFlow itself dropped nobody can install.
                if is_slims(home) or not (error.name or "").startswith("tensorflow"):
                    missing = missing or error
    below = f"{module}.{name}"
    if homes_of(below) is not None or (missing is None and _real(below) is not None):
        return importlib.import_module(_BELOW + below)
    if missing is not None:
        raise missing
    raise AttributeError(sentence(below))


def _home(home: str, asked: str) -> Any:
    """The module that a home names; `asked` is what needs it."""
    if is_slims(home):
        check_slim(f"tf.{asked}")
    if home == "tf" or home.startswith("tf."):
        value = tf
        for word in home.split(".")[1:]:
            value = getattr(value, word)
        return value
    return importlib.import_module(home, __package__)


def _real(module: str) -> Any:
    """TF-Slim's module behind one that is not in the table, whose parent is; None if none is."""
    parent, _, name = module.rpartition(".")
    loaded = sys.modules.get(_BELOW + parent)
    homes = homes_of(parent)
    if homes is None and loaded is not None and is_slims(loaded.__name__):
        homes = {loaded.__name__: ALL}
    slims = [home for home in homes or {} if is_slims(home)]
    if slims:
        check_slim(f"tf.{module}")
    found = (submodule(home, name) for home in slims)
    return next((each for each in found if each is not None), None)


def _public(home: Any) -> Iterator[str]:
    for name in getattr(home, "__all__", dir(home)):
        if not name.startswith("_") and not _is_foreign(getattr(home, name)):
            yield name


def _is_foreign(value: Any) -> bool:
    """Whether it is a module that a file of TF-Slim only imports."""
    return isinstance(value, types.ModuleType) and not is_slims(value.__name__)
