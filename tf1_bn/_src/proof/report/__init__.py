# SPDX-License-Identifier: Apache-2.0
"""Verdicts, tolerances and how they are shown; no TensorFlow."""
