# SPDX-License-Identifier: Apache-2.0
"""Does something right after a module has been imported, whoever imports it and whenever."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import types
from typing import Any, Callable


def after_import(name: str, then: Callable[[], None]) -> None:
    """Calls `then` once: now if the module `name` is there, else when its import has ended well.

    Who only asks where the module is changes nothing.
    """
    if name in sys.modules:
        then()
    else:
        sys.meta_path.insert(0, _Finder(name, then))


def import_first(name: str) -> None:
    """Imports the module `name` before files of ours that need it; if it is missing, they say so.

    Whoever waits for that import by `after_import` may use those files, and must not find them
    half imported.
    """
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise


class _Finder(importlib.abc.MetaPathFinder):
    """Finds what the others find, with a loader that tells when it is done."""

    def __init__(self, name: str, then: Callable[[], None]) -> None:
        self._name = name
        self._then = then

    def find_spec(
        self, name: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self._name:
            return None
        spec = self._found_by_others(path, target)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _Loader(spec.loader, self._done)
        return spec

    def _found_by_others(self, path: Any, target: Any) -> importlib.machinery.ModuleSpec | None:
        finders = list(sys.meta_path)
        for finder in finders[finders.index(self) + 1 :]:
            spec = finder.find_spec(self._name, path, target)
            if spec is not None:
                return spec
        return None

    def _done(self) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)
            self._then()


class _Loader(importlib.abc.Loader):
    """The loader it wraps, which then has `done` called."""

    def __init__(self, loader: Any, done: Callable[[], None]) -> None:
        self._loader = loader
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
        self._loader.exec_module(module)
        self._done()
