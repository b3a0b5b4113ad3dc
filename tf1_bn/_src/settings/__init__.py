# SPDX-License-Identifier: Apache-2.0
"""Initializers, regularizers and constraints, given as functions, names or configs."""
