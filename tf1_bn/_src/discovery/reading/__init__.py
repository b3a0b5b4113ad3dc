# SPDX-License-Identifier: Apache-2.0
"""Graphs as values: nodes, bodies in place of their calls, and where a tensor comes from."""
