# SPDX-License-Identifier: Apache-2.0
"""The batch normalizations of any graph, by whatever library; needs no TensorFlow."""
