# SPDX-License-Identifier: Apache-2.0
"""The first point of the parity standard: what a call adds to a graph, before anything runs."""

from __future__ import annotations

from typing import Any, Callable

from ...runtime.tensorflow_v1 import op_of, tf
from ..graph_facts import describe_variable, static_shape, written_by
from ..report.rows import Row, exact_row
from .setting import Setting, Why


def structure(setting: Setting) -> tuple[list[Row], list[Why]]:
    """Variables, update ops, outputs and losses of one call, and of a second one that shares."""
    rows: list[Row] = []
    for label, calls in (("one call", 1), ("two calls, AUTO_REUSE", 2)):
        sides = [_described(build, rename, setting, calls) for build, rename in setting.sides()]
        for key in dict.fromkeys([*sides[0], *sides[1]]):
            rows.append(exact_row(key, sides[0].get(key), sides[1].get(key), label))
    return rows, []


def _described(
    build: Callable[..., Any], rename: Callable[[str], str], setting: Setting, calls: int
) -> dict[str, Any]:
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(setting.dtype, [None, *setting.shape[1:]], name="parity_inputs")
        phase = tf.placeholder(tf.bool, [], name="parity_training") if setting.dynamic else True
        outputs: list[Any] = []
        try:
            for _ in range(calls):
                with tf.variable_scope("outer", reuse=tf.AUTO_REUSE if calls > 1 else None):
                    built = build(x, phase)
                outputs.append(built[0] if isinstance(built, tuple) else built)
        except Exception as error:
            return {"error": type(error).__name__}
        variables = tf.global_variables()
        updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        facts: dict[str, Any] = {}

        def renamed(name: str) -> str:
            return rename(name[len("outer/") :] if name.startswith("outer/") else name)

        for variable in variables:
            plain = describe_variable(variable, graph)
            name = renamed(plain.pop("name"))
            if not setting.structure:
                del plain["collections"]
            facts[f"variable {name}"] = plain
        for number, output in enumerate(outputs):
            facts[f"output {number + 1}"] = [output.dtype.base_dtype.name, static_shape(output)]
        if setting.structure:
            facts["variables, in order"] = [renamed(v.op.name) for v in variables]
            facts["number of update ops"] = len(updates)
            writes = [written_by(op_of(update), variables, x.op) for update in updates]
            facts["update ops write"] = [[renamed(name) for name in group] for group in writes]
            losses = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
            facts["regularization losses"] = len(losses)
        return facts
