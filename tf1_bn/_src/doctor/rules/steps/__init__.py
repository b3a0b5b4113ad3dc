# SPDX-License-Identifier: Apache-2.0
"""Mistakes of a step: what it runs, and what it leaves out."""
