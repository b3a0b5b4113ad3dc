# SPDX-License-Identifier: Apache-2.0
"""Names of TensorFlow's private modules that only moved, and where they went.

Private names, and why: programs, and TF-Slim 1.1.0, take functions from modules of
`tensorflow.python` that no longer hold them, such as `control_flow_ops.cond`. Each lives on in the
public API, and is put back under its old name where that is missing.
"""

from __future__ import annotations

import importlib
from typing import Any, Iterator, Mapping

from ...runtime.tensorflow_v1 import tf

# By the module below `tensorflow.python`: old name to what stands for it today.
_Names = Mapping[str, Mapping[str, Any]]

# All that TF-Slim's files, its own tests included, ask for.
SLIMS: _Names = {
    "framework.ops": {"Tensor": tf.Tensor, "IndexedSlices": tf.IndexedSlices},
    "ops.array_ops": {"stack": tf.stack, "unstack": tf.unstack},
    "ops.control_flow_ops": {
        "Assert": tf.Assert,
        "case": tf.case,
        "cond": tf.cond,
        "while_loop": tf.while_loop,
    },
    "ops.variable_scope": {
        "variable": tf.Variable,
        "disable_resource_variables": tf.disable_resource_variables,
        "enable_resource_variables": tf.enable_resource_variables,
        "resource_variables_enabled": tf.resource_variables_enabled,
    },
    "ops.variables": {"VariableV1": tf.Variable},
}
# What programs ask for besides.
PROGRAMS: _Names = {
    "framework.graph_util": {
        "convert_variables_to_constants": tf.graph_util.convert_variables_to_constants
    },
    "framework.ops": {
        "convert_to_tensor_or_indexed_slices": tf.convert_to_tensor_or_indexed_slices,
        "register_tensor_conversion_function": tf.register_tensor_conversion_function,
    },
    "ops.nn": {
        name: getattr(tf.nn, name)
        for name in ("bidirectional_dynamic_rnn", "dynamic_rnn", "raw_rnn", "static_rnn")
    },
    "ops.random_ops": {"random_crop": tf.random_crop},
    "ops.variables": {"is_variable_initialized": tf.is_variable_initialized},
    "pywrap_tensorflow": {"NewCheckpointReader": tf.train.NewCheckpointReader},
    "util.nest": {"is_sequence": tf.nest.is_nested},
}


def missing(table: _Names) -> Iterator[tuple[Any, str, Any]]:
    """The names of a table that this TensorFlow's modules do not have.

    Yields:
      A module, a name in it, and what is to stand there.

    Raises:
      ImportError: this TensorFlow lacks one of the modules.
    """
    for home, names in table.items():
        module = importlib.import_module(f"tensorflow.python.{home}")
        yield from ((module, name, names[name]) for name in names if not hasattr(module, name))
