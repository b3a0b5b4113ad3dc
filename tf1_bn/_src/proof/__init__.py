# SPDX-License-Identifier: Apache-2.0
"""Proof of a migration: what was recorded, replayed and compared."""
