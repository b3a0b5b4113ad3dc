# SPDX-License-Identifier: Apache-2.0
"""What rules look at: a graph, what a step of it runs, what is saved; no TensorFlow."""
