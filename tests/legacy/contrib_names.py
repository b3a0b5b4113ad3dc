"""The names that TF 1.15.5's contrib shows, and what programs on new TensorFlow find of them.

`python -m tests.legacy.contrib_names` records them with TF 1.15, and refuses any other TensorFlow.
"""

from __future__ import annotations

import importlib
import json
import types
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_name("data") / "contrib_names_tf115.json"
# TensorFlow 1 has names there that its own files left behind.
_LEFT_BEHIND = ("absolute_import", "division", "print_function")


def shown(module: Any) -> list[str]:
    """Public names, without modules that the file itself imported."""
    found = []
    for name in dir(module):
        value = getattr(module, name, None)
        is_foreign = isinstance(value, types.ModuleType) and "contrib" not in value.__name__
        if name[0] != "_" and name not in _LEFT_BEHIND and not is_foreign:
            found.append(name)
    return found


def main() -> None:
    import tensorflow as tf

    assert tf.__version__.startswith("1.15."), "the records are TF 1.15's own"
    modules = {}
    for name in sorted(each for each in dir(tf.contrib) if each[0] != "_"):
        if isinstance(getattr(tf.contrib, name), types.ModuleType):
            modules[name] = shown(importlib.import_module(f"tensorflow.contrib.{name}"))
    texts = {name: json.dumps(names, separators=(",", ":")) for name, names in modules.items()}
    lines = [f"{json.dumps(name)}:{text}" for name, text in texts.items()]
    RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
