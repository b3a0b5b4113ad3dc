"""Rooms: a file imports its own room and rooms below it, no two files import each other."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any, Iterator

import pytest

from tests.meta.project import PACKAGE, parse, run_python

# From the bottom up; rooms on one line do not know each other. ARCHITECTURE.md draws the same.
LEVELS = (
    ("version", "files", "plan"),
    ("runtime", "discovery.reading"),
    ("settings", "kernels", "state", "discovery"),
    ("objects", "call"),
    ("scaling",),
    ("api",),
    ("contrib", "repair", "proof.report", "proof.recording"),
    ("programs.old_names",),
    ("programs", "scan.source"),
    ("proof", "programs.watching", "scan", "rescue.surgery"),
    ("proof.record", "doctor.facts", "rescue.folding", "rescue.trial"),
    ("proof.verify", "proof.parity", "doctor.rules.files"),
    ("doctor.rules.layers", "doctor.rules.steps", "rescue.export"),
    ("doctor.report",),
    ("doctor", "doctor.running"),
    ("rescue.averages", "doctor.programs", "rescue.convert.formats"),
    ("rescue", "rescue.convert"),
    ("cli",),
)
ROOMS = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
PURE = (
    *("version", "files", "plan", "discovery", "scan", "doctor.facts", "doctor.rules"),
    *("doctor.report", "doctor.places"),
    *("proof.report", "proof.recording", "proof.causes", "rescue.averages.moments"),
    *("rescue.surgery", "rescue.folding"),
    *(f"rescue.convert.formats.{kind}_files" for kind in ("torch", "keras", "plain")),
    *(f"programs.old_names.{name}" for name in ("heirs", "neighbours", "tensorflow_names")),
)
# 22 rooms rebuild the layer and run programs; doctor, scan and rescue have rooms beside them.
MOST_FILES, MOST_ROOMS = 9, 41
SOURCE = PACKAGE / "_src"
# Packages of an extra that a file is about, and that not every environment has.
EXTRAS = {"scan.rewriting": "libcst"}
# The public names, which are made of what is behind them.
FACES = ("__init__", "__main__", "contrib", "repair", "testing")


def module_name(path: Path) -> str:
    """Return the name inside `_src`: `plan.spec`; of an `__init__` that of its folder."""
    words = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(words[:-1] if words[-1] == "__init__" else words)


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}
PURE_MODULES = [name for name in MODULES if name.startswith(PURE)]


def room_of(module: str) -> str:
    """Return the room that a module stands in: its folder, or itself right under `_src`."""
    return module if module in ROOMS else module.rpartition(".")[0]


def imported(name: str, tree: ast.AST, modules: dict[str, Path] = MODULES) -> set[str]:
    """Return the modules of `_src` that the module `name` imports anywhere."""
    found = set()
    for node in executed(tree):
        if isinstance(node, ast.Import):
            full = {alias.name for alias in node.names}
            found.update(word[len("tf1_bn._src.") :] for word in full if inside(word))
        elif isinstance(node, ast.ImportFrom):
            base = origin(name, node)
            if base is not None:
                # The module stands before the `import`, or behind: `from . import layer`.
                found.add(base)
                found.update(f"{base}.{alias.name}".strip(".") for alias in node.names)
    return {each for each in found & set(modules) if modules[each].stem != "__init__"}


def executed(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk the tree without the bodies of `if TYPE_CHECKING`, which only serve annotations."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING":
            continue
        yield child
        yield from executed(child)


def inside(module: str) -> bool:
    return module == "tf1_bn" or module.startswith("tf1_bn.")


def origin(name: str, node: ast.ImportFrom) -> str | None:
    """Return the name inside `_src` that is imported from, or None for other packages."""
    if not node.level:
        return (
            (node.module or "")[len("tf1_bn._src") :].strip(".")
            if inside(node.module or "")
            else None
        )
    # One dot is the module's own folder.
    folder = name.split(".")[: -node.level]
    return ".".join([*folder, *([node.module] if node.module else [])])


def misplaced(name: str, tree: ast.AST) -> set[str]:
    """Return the modules that `name` imports although their rooms do not lie below its own."""
    room = room_of(name)
    others = {each for each in imported(name, tree) if room_of(each) != room}
    return {each for each in others if ROOMS[room_of(each)] >= ROOMS[room]}


@pytest.mark.parametrize(
    "name", [name for name in MODULES if name and MODULES[name].stem != "__init__"]
)
def test_a_file_imports_rooms_below_its_own(name: str) -> None:
    assert misplaced(name, parse(MODULES[name])) == set()


def test_no_two_files_import_each_other() -> None:
    waiting = {name: imported(name, parse(path)) - {name} for name, path in MODULES.items()}
    while waiting:
        ready = {name for name, needs in waiting.items() if not needs & set(waiting)}
        assert ready, f"these import each other: {sorted(waiting)}"
        waiting = {name: needs for name, needs in waiting.items() if name not in ready}


def test_the_top_holds_the_public_names_alone() -> None:
    top = [path.stem for path in PACKAGE.glob("*.py")]
    assert sorted(top) == sorted(FACES)


def test_rooms_are_small_and_few() -> None:
    folders: dict[str, list[str]] = {}
    for name, path in MODULES.items():
        if path.stem != "__init__":
            folders.setdefault(name.rpartition(".")[0], []).append(path.stem)
    assert {folder: files for folder, files in folders.items() if len(files) > MOST_FILES} == {}
    assert len(set(folders) - {""}) <= MOST_ROOMS


# Each module starts as in a process of its own, which would take longer than all other tests here.
START_EACH = """
import importlib, json, sys
found = {}
for name in json.loads(sys.argv[1]):
    for loaded in [each for each in sys.modules if each.partition(".")[0] == "tf1_bn"]:
        del sys.modules[loaded]
    try:
        importlib.import_module("tf1_bn._src." + name)
        found[name] = "tensorflow" in sys.modules
    except Exception as error:
        found[name] = repr(error)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def imports_tensorflow() -> dict[str, Any]:
    """Of each pure module, whether it does; or why it does not start."""
    done = run_python("-c", START_EACH, json.dumps(PURE_MODULES))
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("name", PURE_MODULES)
def test_pure_file_starts_without_tensorflow(name: str, imports_tensorflow: dict[str, Any]) -> None:
    if name in EXTRAS:
        pytest.importorskip(EXTRAS[name])
    assert imports_tensorflow[name] is False


@pytest.mark.parametrize(
    "source",
    [
        "from ..api.layer import x",
        "from ..api import layer",
        "import tf1_bn._src.api.layer",
        "from tf1_bn._src.api.layer import x",
        "def f():\n    from tf1_bn._src.api import layer",
    ],
)
def test_the_check_sees_an_import_upwards(source: str) -> None:
    assert misplaced("call.core", ast.parse(source)) == {"api.layer"}
    assert misplaced("contrib.averages", ast.parse(source)) == set()


def test_the_check_sees_an_import_beside() -> None:
    tree = ast.parse("from ..state.variables import x\nfrom .moments import y")
    assert misplaced("kernels.affine", tree) == {"state.variables"}


def test_the_check_is_silent_on_imports_for_annotations() -> None:
    source = "if TYPE_CHECKING:\n    from ..api.layer import x"
    assert misplaced("call.core", ast.parse(source)) == set()
