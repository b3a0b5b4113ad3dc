# SPDX-License-Identifier: Apache-2.0
"""Does something right before or after a module is imported, whoever imports it and whenever."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from typing import Any, Callable


def _nothing() -> None:
    """What is done where nothing is to be done."""


def after_import(name: str, then: Callable[[], None]) -> Callable[[], Any]:
    """Calls `then` once: now if the module `name` is there, else when its import has ended well.

    Returns:
      What ends the waiting.
    """
    if name in sys.modules:
        then()
        return _nothing
    return around_import(name, after=then)


def around_import(
    name: str, before: Callable[[], None] = _nothing, after: Callable[[], None] = _nothing
) -> Callable[[], Any]:
    """Calls both around the next import of the module `name` that ends well.

    Imports that fail call `before` alone. Who only asks where the module is changes nothing.

    Returns:
      What ends the waiting.
    """

    def done() -> None:
        if stop():
            after()

    def stop() -> bool:
        waiting = finder in sys.meta_path
        if waiting:
            sys.meta_path.remove(finder)
        return waiting

    finder = _Finder(name, before, done)
    sys.meta_path.insert(0, finder)
    return stop


def import_first(name: str) -> None:
    """Imports the module `name` before files of ours that need it; if it is missing, they say so.

    Whoever waits for that import by `after_import` may use those files, and must not find them
    half imported.

    Raises:
      ImportError: it is there and its import fails, of whatever. An AttributeError of NumPy, for
        example, would look like a name that our own modules lack.
    """
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
    except ImportError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())
        raise ImportError(
            f"{name} is installed, but its import failed with {type(error).__name__}: {said}"
        ) from error


class _Finder(importlib.abc.MetaPathFinder):
    """Finds what the finders behind it find, with something done around its execution."""

    def __init__(self, name: str, before: Callable[[], None], done: Callable[[], None]) -> None:
        self._name = name
        self._before = before
        self._done = done

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        finders: list[Any] = list(sys.meta_path)
        if name != self._name or self not in finders:
            return None
        found = (_spec_of(each, name, path, target) for each in finders[finders.index(self) + 1 :])
        spec = next((spec for spec in found if spec is not None), None)
        if spec is None:
            return None
        if hasattr(spec.loader, "exec_module"):
            spec.loader = _Loader(spec.loader, self._before, self._done)
        else:
            # Before Python 3.10 what loads from a zip file executes in one step with all else.
            self._before()
        return spec


def _spec_of(finder: Any, name: str, path: Any, target: Any) -> Any:
    """What `finder` finds; before Python 3.12 it may be one that only gives loaders."""
    if hasattr(finder, "find_spec"):
        return finder.find_spec(name, path, target)
    loader = finder.find_module(name, path)
    return loader and importlib.util.spec_from_loader(name, loader)


class _Loader(importlib.abc.Loader):
    """The loader it wraps, with something done before and after a module is executed."""

    def __init__(self, loader: Any, before: Callable[[], None], done: Callable[[], None]) -> None:
        self._loader = loader
        self._before = before
        self._done = done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        made: types.ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: types.ModuleType) -> None:
        # The module must look as if nobody had watched.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._before()
        self._loader.exec_module(module)
        self._done()
