# SPDX-License-Identifier: Apache-2.0
"""Numbers as a summary for TensorBoard, without an op in any graph."""

from __future__ import annotations

from typing import Any, Mapping

import numpy as np

from ...runtime.tensorflow_v1 import tf

_BUCKETS = 30


def summary_of(scalars: Mapping[str, float | None], arrays: Mapping[str, Any]) -> Any:
    """A `tf.Summary` with the scalars that are known and finite, and a histogram of each array.

    Args:
      scalars: by tag.
      arrays: by tag; what is not finite of them is left out.
    """
    values = [
        tf.Summary.Value(tag=tag, simple_value=value)
        for tag, value in scalars.items()
        if value is not None and np.isfinite(value)
    ]
    for tag, array in arrays.items():
        finite = np.asarray(array, np.float64)[np.isfinite(array)]
        if finite.size:
            values.append(tf.Summary.Value(tag=tag, histo=_histogram(finite)))
    return tf.Summary(value=values)


def _histogram(array: Any) -> Any:
    counts, edges = np.histogram(array, bins=_BUCKETS)
    return tf.HistogramProto(
        min=array.min(),
        max=array.max(),
        num=array.size,
        sum=array.sum(),
        sum_squares=array @ array,
        bucket_limit=edges[1:],
        bucket=counts,
    )
