# SPDX-License-Identifier: Apache-2.0
"""The version, which setup.cfg reads as well."""

from __future__ import annotations

__version__ = "0.1.0"
