# SPDX-License-Identifier: Apache-2.0
"""Imports every file that registers a gradient, for graphs that were built in another process."""

from __future__ import annotations

from ..call import in_place
from ..kernels import gradients
from . import replica_merge, tower_tapes

__all__ = ["gradients", "in_place", "replica_merge", "tower_tapes"]
