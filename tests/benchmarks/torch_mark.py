"""`python -m tests.benchmarks.torch_mark --json FILE`: the grid's steps in PyTorch, as a mark.

Needs PyTorch and not TensorFlow. It writes seconds, to be set against those of another process on
the same machine. Renorm, ghost batches and adjustments are left out: PyTorch has none.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path
from typing import Any, Callable, Sequence

from tests.benchmarks.grid import Case, select
from tests.benchmarks.measure import compare, settle_allocator
from tests.benchmarks.results import Results, save

torch: Any = importlib.import_module("torch")
batch_norm = torch.nn.functional.batch_norm

EPSILON, MOMENTUM = 1e-3, 0.01


def tensor_of(case: Case) -> Any | None:
    """The case's data as PyTorch wants it, in the same order in memory; None if there is none."""
    first, last = case.channel_axes[0], case.channel_axes[-1]
    if last - first + 1 != len(case.channel_axes):
        return None
    random = torch.randn(case.shape, dtype=torch.float32).to(getattr(torch, case.dtype))
    if len(case.shape) in (4, 5) and case.channel_axes == (len(case.shape) - 1,):
        # A moved axis without a copy is what PyTorch calls channels_last.
        return torch.movedim(random, -1, 1)
    if len(case.channel_axes) == 1 and first == 1:
        return random
    channels = 1
    for axis in case.channel_axes:
        channels *= case.shape[axis]
    rows = 1
    for size in case.shape[:first]:
        rows *= size
    return random.reshape([rows, channels] if last == len(case.shape) - 1 else [rows, channels, -1])


def step_of(case: Case) -> Callable[[], Any] | None:
    """The same step as the grid's: output, gradients and the moving statistics."""
    x = tensor_of(case) if case.plain else None
    if x is None:
        return None
    params = torch.float64 if case.dtype == "float64" else torch.float32
    channels = x.shape[1]
    weight = torch.ones(channels, dtype=params, requires_grad=case.phase.trains)
    bias = torch.zeros(channels, dtype=params, requires_grad=case.phase.trains)
    mean, variance = torch.zeros(channels, dtype=params), torch.ones(channels, dtype=params)
    x.requires_grad_(case.phase.trains)
    upstream = torch.randn_like(x)

    def train() -> Any:
        outputs = batch_norm(x, mean, variance, weight, bias, True, MOMENTUM, EPSILON)
        return torch.autograd.grad(outputs, [x, weight, bias], grad_outputs=upstream)

    def infer() -> Any:
        with torch.no_grad():
            return batch_norm(x, mean, variance, weight, bias, False, MOMENTUM, EPSILON)

    step = train if case.phase.trains else infer
    try:
        step()
    except RuntimeError as error:
        print(f"{case.name}: {error}", file=sys.stderr)
        return None
    return step


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.torch_mark")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE")
    parser.add_argument("--only", default="", metavar="WORDS")
    options = parser.parse_args(arguments)
    settle_allocator()
    found = Results("", f"PyTorch {torch.__version__.split('+')[0]}", os.cpu_count() or 0, "", "")
    for case in select(options.only):
        step = step_of(case)
        if step is not None:
            timing = compare({"torch": step}, 0.3)
            found.seconds[case.name] = dict(timing.seconds)
            print(f"{case.name}: {1e3 * timing.seconds['torch']:.3f} ms", file=sys.stderr)
    save(found, options.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
