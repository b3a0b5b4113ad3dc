# SPDX-License-Identifier: Apache-2.0
"""Batch normalization as functions from tensors to tensors; no variables."""
