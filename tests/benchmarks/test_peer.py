"""The layer that ours is compared with, where it is not installed."""

from __future__ import annotations

import importlib.util

import pytest

from tests.legacy.process import python
from tests.meta.project import ROOT


@pytest.mark.slow
@pytest.mark.tf_min("2.16", reason="TensorFlow has the layer itself before")
@pytest.mark.skipif(
    importlib.util.find_spec("tf_keras") is not None, reason="tf_keras has the layer"
)
def test_there_is_none_without_tf_keras() -> None:
    # By whether it is there the benchmarks choose, before they import TensorFlow. Who asks again
    # met a recursion.
    code = "from tests.benchmarks import build as b; print(b.peer_layer(), b.peer_layer())"
    done = python("-c", code, cwd=ROOT)
    assert (done.code, done.out) == (0, "None None\n"), done.err
