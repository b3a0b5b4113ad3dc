"""Describe the public names of the layer class as plain data: the real one's to record.

`python tests/meta/class_surface.py tf.layers` under TF 1.15.5 prints what
`data/class_surface_1_15.json` holds; `tf1_bn` for the source prints ours.
"""

from __future__ import annotations

import inspect
import json
import sys
from typing import Any


def surface(layer: Any, tf: Any) -> dict[str, Any]:
    """Return kind and parameters by name, of the class and of its instances before and after."""
    found = {name: describe(layer, name) for name in dir(layer) if not name.startswith("_")}
    instance = layer(renorm=True)
    before = set(dir(instance))
    instance(tf.zeros([2, 3]))
    for name in sorted(before | set(dir(instance))):
        if not name.startswith("_") and name not in found:
            found[name] = {"kind": "attribute", "settable": True}
    return dict(sorted(found.items()))


def describe(layer: Any, name: str) -> dict[str, Any]:
    """Return kind, and parameters of a function or whether an attribute can be set."""
    value = inspect.getattr_static(layer, name)
    if isinstance(value, (classmethod, staticmethod)) or inspect.isfunction(value):
        function = inspect.unwrap(getattr(layer, name))
        parameters = list(inspect.signature(function).parameters.values())
        # As written, without default and annotation: `*args`.
        written = [str(p).split("=")[0].split(":")[0] for p in parameters if p.name != "self"]
        return {"kind": "method", "parameters": written}
    is_fixed = isinstance(value, property) and value.fset is None
    return {"kind": "attribute", "settable": not is_fixed}


def main(source: str) -> None:
    """Print the surface of the class in `source`: `tf.layers` or `tf1_bn`."""
    import tensorflow.compat.v1 as tf

    tf.disable_v2_behavior()
    if source == "tf.layers":
        layer = tf.layers.BatchNormalization
    else:
        import tf1_bn

        layer = tf1_bn.BatchNormalization
    with tf.Graph().as_default():
        found = surface(layer, tf)
    rows = [f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in found.items()]
    print("{\n" + ",\n".join(rows) + "\n}")


if __name__ == "__main__":
    main(sys.argv[1])
