"""Prints what a stranger meets in the package, in numbers: `python -m tests.meta.house`."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any, Callable, Iterator

from tests.meta.project import PACKAGE, parse
from tests.meta.test_rooms import MODULES, SOURCE, imported, misplaced

LONG_FUNCTION, LONG_FILE = 40, 250
# Programs look these up: the names of TF1 that only a class can carry.
TF1_CLASSES = (
    *("BatchNormalization", "InputSpec", "HParams", "ModeKeys", "EstimatorSpec"),
    *("LayerNormBasicLSTMCell", "InputProjectionWrapper", "OutputProjectionWrapper"),
)
# What stands beside the rebuilt layer and looks at graphs and programs whoever made them.
BESIDE = ("discovery", "doctor", "scan", "rescue")
_BESIDE = ", ".join(BESIDE)


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def folders() -> Counter[str]:
    """Return how many files each room holds, without its `__init__`."""
    paths = [path for path in SOURCE.rglob("*.py") if path.stem != "__init__"]
    rooms = Counter(path.parent.relative_to(SOURCE).as_posix() for path in paths)
    del rooms["."]
    return rooms


def waves() -> list[list[str]]:
    """Return the modules by levels of imports; the last one may be a circle."""
    waiting = {name: imported(name, parse(path)) - {name} for name, path in MODULES.items()}
    found: list[list[str]] = []
    while waiting:
        ready = [name for name, needs in waiting.items() if not needs & set(waiting)]
        if not ready:
            return [*found, sorted(waiting)]
        found.append(ready)
        waiting = {name: needs for name, needs in waiting.items() if name not in ready}
    return found


def in_circles() -> list[str]:
    """Return the modules that import each other, and those that need one of these."""
    last = waves()[-1]
    return [name for name in last if imported(name, parse(MODULES[name])) - {name} & set(last)]


def nodes(kind: Any) -> Iterator[tuple[Path, Any]]:
    for path in files():
        yield from ((path, node) for node in ast.walk(parse(path)) if isinstance(node, kind))


def long_functions() -> list[str]:
    """Return the functions of too many lines, arguments and docstring not counted."""
    found = []
    for path, node in nodes((ast.FunctionDef, ast.AsyncFunctionDef)):
        body = node.body[1:] if ast.get_docstring(node) is not None else node.body
        if body and body[-1].end_lineno - body[0].lineno + 1 > LONG_FUNCTION:
            found.append(f"{path.relative_to(SOURCE)}:{node.name}")
    return found


def is_beside(path: Path) -> bool:
    return not {*BESIDE}.isdisjoint(path.relative_to(PACKAGE).parts)


def classes() -> str:
    """Return how many classes there are, and how many the rebuilt layer has for itself."""
    found = list(nodes(ast.ClassDef))
    beside = sum(is_beside(path) for path, _ in found)
    tf1 = sum(node.name in TF1_CLASSES for _, node in found)
    others = f"{tf1} carry a name of TF1's own and {beside} are of {_BESIDE}"
    return f"{len(found)}, of which {others}: {len(found) - tf1 - beside}"


def passed_by(call: Callable[[], Any]) -> list[str]:
    """Return the files of the package in which a function runs while `call` does."""
    seen: set[str] = set()

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            seen.add(frame.f_code.co_filename)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(before)
    paths = (Path(name) for name in seen)
    return sorted(path.relative_to(SOURCE).as_posix() for path in paths if SOURCE in path.parents)


def plain_call() -> list[str]:
    """Return the files that a rank-2 call of `batch_normalization(x, training=True)` passes."""
    import tensorflow.compat.v1 as tf

    import tf1_bn

    with tf.Graph().as_default():
        inputs = tf.zeros([8, 3])
        # The first call may import, and asks the machine what it can do.
        tf1_bn.batch_normalization(inputs, training=True)
        return passed_by(lambda: tf1_bn.batch_normalization(inputs, training=True))


def table() -> dict[str, Any]:
    sizes = {path: len(path.read_text().splitlines()) for path in files()}
    long_files = [path for path, size in sizes.items() if size > LONG_FILE]
    passed = plain_call()
    beside = sum(size for path, size in sizes.items() if is_beside(path))
    room, most = folders().most_common(1)[0]
    own = [name for name, path in MODULES.items() if path.stem != "__init__"]
    up = [other for name in own for other in misplaced(name, parse(MODULES[name]))]
    return {
        "rooms": len(folders()),
        "levels of imports": len(waves()),
        "imports that go up": len(up),
        "files in circles": len(in_circles()),
        f"files in the largest room ({room})": most,
        "names at the package's top": len(list(PACKAGE.glob("*.py"))) + 1,
        "classes": classes(),
        "files a plain call passes": len(passed),
        "lines of these files": sum(sizes[SOURCE / name] for name in passed),
        "lines of the package": f"{sum(sizes.values())}, of which {beside} are of {_BESIDE}",
        f"functions over {LONG_FUNCTION} lines": ", ".join(long_functions()) or 0,
        f"files over {LONG_FILE} lines": ", ".join(
            f"{path.relative_to(SOURCE)} {sizes[path]}" for path in long_files
        )
        or 0,
        "passed": ", ".join(passed),
    }


if __name__ == "__main__":
    for what, value in table().items():
        print(f"{what:<40} {value}")
