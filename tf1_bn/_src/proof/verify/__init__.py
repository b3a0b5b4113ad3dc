# SPDX-License-Identifier: Apache-2.0
"""Replays a recording on this TensorFlow and compares."""
