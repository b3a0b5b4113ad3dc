# SPDX-License-Identifier: Apache-2.0
"""`check_parity`: two ways to build a batch norm, compared point by point in one TensorFlow.

The points are those by which a careful engineer would sign off a migration; each is a section of
the report. Inputs have distinct statistics in each channel and every variable its own value,
because zeros, ones and constants hide swapped variables and missing terms.
"""

from __future__ import annotations

import functools
from typing import Any, Callable, Mapping, Sequence

from ...runtime.tensorflow_v1 import raise_if_eager, tf
from ..report.report import PROVEN, Report, Section
from ..report.rows import exact_row
from .points import POINTS, Point
from .setting import Setting, built_once

_MOST_EXPLAINED = 3


def check_parity(
    reference: Callable[..., Any],
    candidate: Callable[..., Any],
    shape: Sequence[int] = (5, 7),
    *,
    dtype: str = "float32",
    names: Mapping[str, str] | None = None,
    structure: bool = True,
    dynamic: bool = True,
    config: Mapping[str, Any] | None = None,
    steps: int = 20,
    metric: Callable[[Callable[..., Any]], Any] | None = None,
    points: Sequence[str] | None = None,
) -> Report:
    """Reports whether `candidate` does what `reference` does; `exit_code` is 0 if so.

        report = check_parity(
            lambda x, training: tf.layers.batch_normalization(x, training=training, name="bn"),
            lambda x, training: tf1_bn.batch_normalization(x, training=training, name="bn"),
        )

    Compared are: structure; inference from distinct random state; the training forward pass with a
    mean far from 0; gradients; the state after one step; a trajectory where the reference's state
    is copied into the candidate before each step; the flag in every form; wiring (every statistic
    moves in a training run, none in an inference run); independence of the batch in inference; a
    checkpoint each way; batches of 0, 1 and 2; and the metric, if there is one.

    Args:
      reference: a function of an input tensor and `training` that builds a batch norm and returns
        its output, or a pair of the output and a list of update ops that are in no collection.
      candidate: likewise.
      shape: of the input, best small and with no two sizes alike; with few values a channel
        Bessel's factor shows. A ghost size must divide its first number.
      dtype: of the input.
      names: the candidate's name of each of the reference's variables where they differ.
      structure: whether variables must also have the same names, and collections the same
        contents. False compares a Keras layer or a hand-written norm, whose variables are matched
        by the last part of their names, or by `names`.
      dynamic: whether `training` may also be a placeholder.
      config: arguments of `tf1_bn.batch_normalization` that both stand for, by which causes are
        named; TF1's defaults if None.
      steps: of the trajectory.
      metric: a function of a build function to a number or an array; called with both.
      points: names of the sections to compare, such as "4 gradients"; all if None.

    Returns:
      A report with a section for each point, in the order of the standard.

    Raises:
      ValueError: `shape` has fewer than two axes; `points` has a name that is no point's.
    """
    if len(shape) < 2:
        raise ValueError(f"`shape` must have a batch and a channel axis (got {tuple(shape)!r}).")
    unknown = [name for name in points or () if name not in POINTS]
    if unknown:
        raise ValueError(f"`points` must be among {list(POINTS)} (got {unknown!r}).")
    setting = Setting(
        reference=reference,
        candidate=candidate,
        shape=tuple(int(size) for size in shape),
        dtype=dtype,
        names=dict(names or {}),
        structure=structure,
        dynamic=dynamic,
        config=dict(config or {}),
        steps=steps,
        outcomes=lambda training: (),
    )
    wanted = POINTS if points is None else points
    with built_once(setting) as shared:
        chosen = [(name, point) for name, point in POINTS.items() if name in wanted]
        sections = [_section(name, point, shared) for name, point in chosen]
    if metric is not None:
        sections.append(_metric_section(metric, setting))
    facts = {"TensorFlow": str(tf.__version__), "shape": str(list(shape)), "dtype": dtype}
    return Report("tf1_bn parity", facts, sections)


@functools.wraps(check_parity, assigned=())
def assert_parity(*builds: Any, **arguments: Any) -> Report:
    """As `check_parity`, whose arguments it takes, but raises unless the two do the same.

    Returns:
      The report, for its numbers and `write_html`.

    Raises:
      AssertionError: something differs or could not be compared; the message is the report.
      ValueError: as `check_parity`.
    """
    report = check_parity(*builds, **arguments)
    if report.exit_code != PROVEN:
        raise AssertionError(report.text())
    return report


def _section(name: str, point: Point, setting: Setting) -> Section:
    rows, whys = point(setting)
    # Mistakes are tried out one by one, and a step that shows one shows it as well as the next.
    causes = [why() for why in whys[:_MOST_EXPLAINED]]
    return Section(name, rows, [cause for cause in dict.fromkeys(causes) if cause], [])


def _metric_section(metric: Callable[..., Any], setting: Setting) -> Section:
    values = []
    for build in (setting.reference, setting.candidate):
        with tf.Graph().as_default():
            raise_if_eager("a metric of assert_parity")
            values.append(metric(build))
    shown = [f"{value!r}" for value in values]
    return Section("end metric", [exact_row("metric", shown[0], shown[1])], [], [])
