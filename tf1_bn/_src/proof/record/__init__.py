# SPDX-License-Identifier: Apache-2.0
"""Listens to a program and writes a recording."""
