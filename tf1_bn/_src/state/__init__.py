# SPDX-License-Identifier: Apache-2.0
"""What a layer leaves in a graph: variables, their moves, and what a failed call left."""
