"""Something is done around an import, whichever finders and loaders Python has."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import zipfile
from pathlib import Path
from typing import Any, Iterator

import pytest

from tf1_bn._src.runtime.after_import import around_import

NAME = "a_module_that_is_waited_for"


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[list]:
    """What was done; meta_path and the modules are as before in the end."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    found: list = []
    stop = around_import(NAME, lambda: found.append("before"), lambda: found.append("after"))
    yield found
    stop()
    sys.modules.pop(NAME, None)
    importlib.invalidate_caches()


def test_both_are_called_around_one_import(
    said: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{NAME}.py").write_text("value = 3")
    monkeypatch.syspath_prepend(str(tmp_path))

    assert importlib.util.find_spec(NAME) is not None and said == []
    assert importlib.import_module(NAME).value == 3
    assert said == ["before", "after"]


# Python 3.12 asks no finder without `find_spec` any more.
old_finders = pytest.mark.skipif(sys.version_info >= (3, 12), reason="Python asks them no more")


class FromBefore312:
    """A finder that only gives loaders."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def find_module(self, name: str, path: Any = None) -> Any:
        return self.loader if name == NAME else None


@old_finders
@pytest.mark.filterwarnings("ignore::ImportWarning")
def test_a_missing_module_is_missing_behind_an_old_finder(said: list) -> None:
    sys.meta_path.append(FromBefore312(None))
    with pytest.raises(ModuleNotFoundError, match=NAME):
        importlib.import_module(NAME)
    assert said == []


@old_finders
@pytest.mark.filterwarnings("ignore::ImportWarning")
def test_an_old_finder_may_have_it(said: list, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.py").write_text("value = 5")
    spec = importlib.util.spec_from_file_location(NAME, str(tmp_path / f"{NAME}.py"))
    assert spec is not None
    sys.meta_path.append(FromBefore312(spec.loader))

    assert importlib.import_module(NAME).value == 5
    assert said == ["before", "after"]


def test_what_comes_first_is_done_for_a_zip_file_too(
    said: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(str(tmp_path / "archive.zip"), "w") as archive:
        archive.writestr(f"{NAME}.py", "value = 7")
    monkeypatch.syspath_prepend(str(tmp_path / "archive.zip"))

    assert importlib.import_module(NAME).value == 7
    assert said[:1] == ["before"]


def test_the_finder_can_be_asked_as_any_other(said: list) -> None:
    assert len(set(map(id, sys.meta_path))) == len(set(sys.meta_path))
    assert sys.meta_path[0].find_spec("another_module", None) is None
