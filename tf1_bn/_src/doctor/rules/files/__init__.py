# SPDX-License-Identifier: Apache-2.0
"""Mistakes of what is kept: exported graphs, and what is saved."""
