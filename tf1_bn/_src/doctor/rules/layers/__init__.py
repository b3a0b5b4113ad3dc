# SPDX-License-Identifier: Apache-2.0
"""Mistakes of layers: what they are given, and what stands before them."""
