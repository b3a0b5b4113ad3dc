# SPDX-License-Identifier: Apache-2.0
"""The package behind its public names; ARCHITECTURE.md has the rooms and what may import what."""
