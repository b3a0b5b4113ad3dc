"""A file of the package imports only files above it in one list: the order to read them in."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Iterator

import pytest

from tests.meta.project import PACKAGE, package_files, parse, run_python

# From the bottom of the package to its top; `__init__` only names what is public, lazily.
ORDER = (
    "after_import",
    "spec",
    "geometry",
    "folding_plan",
    "kernel_choice",
    "_compat",
    "graph_place",
    "open_scopes",
    "update_mode",
    "initializers",
    "by_name",
    "regularizers",
    "constraints",
    "input_spec",
    "session_values",
    "dependents",
    "tracked_module",
    "unconnected",
    "constant_folding",
    "training_flag",
    "graph_collections",
    "stranded_updates",
    "variable_kinds",
    "same",
    "leftovers",
    "undoing",
    "variables",
    "moments",
    "renorm",
    "affine",
    "folding",
    "columns",
    "gradient",
    "old_gradients",
    "kernels",
    "folded_kernels",
    "column_kernel",
    "moving_average",
    "either",
    "plan",
    "phases",
    "core",
    "batch_statistics",
    "replica_merge",
    "tower_tapes",
    "gradients_by_name",
    "merging",
    "call_checks",
    "layer_scope",
    "layer_weights",
    "layer_attributes",
    "graph_layer",
    "layer",
    "sync_layer",
    "stepped_thread",
    "towers",
    "functional",
    "train_op",
    "contrib_variables",
    "contrib_averages",
    "contrib_names",
    "contrib",
    "testing.tolerances",
    "testing.differences",
    "testing.streams",
    "testing.whole_files",
    "testing.files",
    "testing.model",
    "testing.causes",
    "testing.sampling",
    "testing.schema",
    "testing.consistency",
    "testing.recording",
    "testing.html_page",
    "testing.report",
    "testing.structure",
    "testing.progress",
    "testing.program",
    "testing.graph_facts",
    "testing.replay",
    "testing.originals",
    "testing.seen",
    "testing.calls",
    "testing.sessions",
    "testing.recorder",
    "testing.configured",
    "testing.verifier",
    "testing.parity_side",
    "testing.parity_setting",
    "testing.parity_points",
    "testing.parity",
    "testing.cli_commands",
    "repair",
    "legacy.places",
    "legacy.neighbours",
    "legacy.slim",
    "legacy.install",
    "legacy.watch",
    "legacy.run",
    "cli",
    "__main__",
)
# What must start without TensorFlow: argument, shape and kernel decisions.
PURE = (
    "spec",
    "geometry",
    "folding_plan",
    "kernel_choice",
    "testing.tolerances",
    "testing.differences",
    "testing.streams",
    "testing.whole_files",
    "testing.files",
    "testing.model",
    "testing.causes",
    "testing.sampling",
    "testing.schema",
    "testing.consistency",
    "testing.recording",
    "testing.html_page",
    "testing.report",
    "testing.structure",
    "testing.progress",
    "testing.program",
)


def module_name(path: Path) -> str:
    """Return the name inside the package: `layer`, `legacy.install`; an `__init__`'s folder."""
    words = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(words[:-1] if words[-1] == "__init__" else words)


MODULES = {module_name(path): path for path in package_files()}


def imported(name: str, tree: ast.AST) -> set[str]:
    """Return the package's own modules that the module `name` imports anywhere."""
    found = set()
    for node in executed(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name[len("tf1_bn.") :] for alias in node.names if inside(alias.name))
        elif isinstance(node, ast.ImportFrom):
            base = origin(name, node)
            if base is not None:
                # The module stands before the `import`, or behind: `from . import layer`.
                found.add(base)
                found.update(f"{base}.{alias.name}".strip(".") for alias in node.names)
    return found & set(ORDER)


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
    """Return the inner name of the module that is imported from, or None for other packages."""
    if not node.level:
        return node.module[len("tf1_bn") :].strip(".") if inside(node.module or "") else None
    # One dot is the module's own folder.
    folder = name.split(".")[: -node.level]
    return ".".join([*folder, *([node.module] if node.module else [])])


def misplaced(name: str, tree: ast.AST) -> set[str]:
    """Return the modules that `name` imports although they do not stand above it."""
    return imported(name, tree) - set(ORDER[: ORDER.index(name)])


def test_every_file_has_its_place() -> None:
    folders = {module_name(path) for path in package_files() if path.name == "__init__.py"}
    assert set(MODULES) - folders - set(ORDER) == set()


@pytest.mark.parametrize("name", [name for name in ORDER if name in MODULES])
def test_imports_only_what_stands_above(name: str) -> None:
    assert misplaced(name, parse(MODULES[name])) == set()


@pytest.mark.parametrize("name", PURE)
def test_pure_file_starts_without_tensorflow(name: str) -> None:
    code = f"import sys, tf1_bn.{name}; print('tensorflow' in sys.modules)"
    done = run_python("-c", code)
    assert (done.stdout.strip(), done.returncode) == ("False", 0), done.stderr


@pytest.mark.parametrize(
    "source",
    [
        "from .layer import x",
        "from . import layer",
        "import tf1_bn.layer",
        "from tf1_bn.layer import x",
        "def f():\n    from tf1_bn import layer",
    ],
)
def test_the_check_sees_an_import_upwards(source: str) -> None:
    assert misplaced("core", ast.parse(source)) == {"layer"}
    assert misplaced("functional", ast.parse(source)) == set()


def test_the_check_is_silent_on_imports_for_annotations() -> None:
    assert misplaced("core", ast.parse("if TYPE_CHECKING:\n    from .layer import x")) == set()


def test_the_check_sees_an_import_across_folders() -> None:
    tree = ast.parse("from ..layer import x\nfrom .run import y\nfrom . import slim")
    assert misplaced("legacy.install", tree) == {"legacy.run"}
