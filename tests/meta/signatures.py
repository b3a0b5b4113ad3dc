"""Describe the public signatures as plain data: the real TF1 layer's to record, ours to compare.

`python tests/meta/signatures.py tf.layers` prints what `data/signature_r2_3.json` holds; it needs a
TensorFlow that still has the real layer. 1.15.5 and 2.15.1 print the same file.
"""

from __future__ import annotations

import inspect
import json
import sys
from typing import Any, Callable

# The defaults that are objects: named by class, since each import makes a new instance.
INITIALIZERS = {"Zeros": "zeros_initializer", "Ones": "ones_initializer"}


def describe(function: Callable[..., Any]) -> list[dict[str, Any]]:
    """Return one dict a parameter: name, kind and default."""
    return [
        describe_parameter(parameter)
        for parameter in inspect.signature(inspect.unwrap(function)).parameters.values()
    ]


def describe_parameter(parameter: inspect.Parameter) -> dict[str, Any]:
    """Return name, kind and default of one parameter; an initializer by its public name."""
    described = {"name": parameter.name, "kind": parameter.kind.name}
    default = parameter.default
    if default is inspect.Parameter.empty:
        return described
    if default is None or isinstance(default, (bool, int, float, str)):
        return {**described, "default": default}
    return {**described, "default": f"tf.{INITIALIZERS[type(default).__name__]}()"}


def main(source: str) -> None:
    """Print the signatures found in `source`: `tf.layers` or `tf1_bn`."""
    if source == "tf.layers":
        import tensorflow.compat.v1 as tf

        module = tf.layers
    else:
        import tf1_bn as module
    found = {
        "batch_normalization": describe(module.batch_normalization),
        "BatchNormalization": describe(module.BatchNormalization.__init__),
    }
    sections = [
        "  {}: [\n{}\n  ]".format(
            json.dumps(name), ",\n".join(f"    {json.dumps(row)}" for row in rows)
        )
        for name, rows in found.items()
    ]
    print("{\n" + ",\n".join(sections) + "\n}")


if __name__ == "__main__":
    main(sys.argv[1])
