# SPDX-License-Identifier: Apache-2.0
"""One call of a layer: its phase, its outputs, its update ops."""
