# SPDX-License-Identifier: Apache-2.0
"""The rules: each takes what is known of a graph and gives findings; no TensorFlow."""
