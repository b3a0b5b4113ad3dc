"""What TF-Slim's files ask TensorFlow's modules for and do not get: before, with, after `install`.

`python -m tests.legacy.slim_names` prints one line for each of the three.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
from pathlib import Path
from typing import Any, Iterator


def slim_files() -> list[Path]:
    spec = importlib.util.find_spec("tf_slim")
    assert spec is not None and spec.origin is not None
    return sorted(Path(spec.origin).parent.rglob("*.py"))


def asked_for(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Module and name of each `module.name` whose module comes from TensorFlow."""
    modules = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tensorflow.")
        for alias in node.names
    }
    for node in ast.walk(tree):
        owner = getattr(node, "value", None)
        if isinstance(node, ast.Attribute) and isinstance(owner, ast.Name) and owner.id in modules:
            yield modules[owner.id], node.attr


def is_there(module: str, name: str) -> bool:
    try:
        found: Any = importlib.import_module(module)
    except ImportError:
        return True  # a class or function, of which only slim's own code knows the attributes
    try:
        return hasattr(found, name)
    except ImportError:
        return False


def missing() -> str:
    pairs = {pair for path in slim_files() for pair in asked_for(ast.parse(path.read_text()))}
    return "missing: " + ", ".join(sorted(".".join(pair) for pair in pairs if not is_there(*pair)))


def main() -> None:
    import tensorflow.compat.v1  # noqa: F401

    import tf1_bn

    print(missing().strip())
    tf1_bn.install()
    import tf_slim  # noqa: F401

    print(missing().strip())
    tf1_bn.uninstall()
    print(missing().strip())


if __name__ == "__main__":
    main()
