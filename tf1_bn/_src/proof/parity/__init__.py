# SPDX-License-Identifier: Apache-2.0
"""Compares two builds of a layer in one process."""
