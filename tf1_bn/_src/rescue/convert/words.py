# SPDX-License-Identifier: Apache-2.0
"""What a user of the command may say."""

from __future__ import annotations

from .formats.held import CONTRIB, KERAS, TF_LAYERS, TORCH

NAMES = (TF_LAYERS, CONTRIB, KERAS, TORCH)
# What an array is, of which no name or shape tells.
WORDS = ("conv", "depthwise", "dense", "keep", "drop")
