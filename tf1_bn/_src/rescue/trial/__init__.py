# SPDX-License-Identifier: Apache-2.0
"""A model that was written, tried in a new process before it gets its name."""
