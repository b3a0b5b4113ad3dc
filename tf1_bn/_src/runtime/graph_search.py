# SPDX-License-Identifier: Apache-2.0
"""The one walk over a graph: from what is wanted back to what it is computed from."""

from __future__ import annotations

from typing import Any, Callable, Iterable, Iterator

from .tensorflow_v1 import Operation, op_of


def needed_ops(
    targets: Iterable[Any], follows: Callable[[Any], bool] | None = None
) -> Iterator[Operation]:
    """Yields the ops that running `targets` runs, each once, those of the targets first.

    Args:
      targets: ops or tensors of a graph, or variables.
      follows: a function of the tensor of a data edge, or of the op of a control edge, to whether
        the walk passes it; None follows every edge. The targets themselves are not asked about.
    """
    pending = [op_of(target) for target in targets]
    seen = set(pending)
    yield from seen
    while pending:
        op = pending.pop()
        for source in [*op.inputs, *op.control_inputs]:
            if follows is not None and not follows(source):
                continue
            needed = op_of(source)
            if needed not in seen:
                seen.add(needed)
                pending.append(needed)
                yield needed
