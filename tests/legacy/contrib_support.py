"""Contrib in this process, for tests: TF 1.15's own, or what `install(contrib=True)` serves."""

from __future__ import annotations

import importlib.util

import pytest

HAS_SLIM = importlib.util.find_spec("tf_slim") is not None

needs_slim = pytest.mark.skipif(
    not HAS_SLIM, reason="tf_slim is not installed: `nox -s tests-slim` installs it"
)
served = pytest.mark.tf_min("2.0", reason="TensorFlow 1 has a contrib of its own")
own = pytest.mark.tf_max("1.15", reason="TensorFlow 2 has no contrib of its own")
