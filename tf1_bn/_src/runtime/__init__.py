# SPDX-License-Identifier: Apache-2.0
"""Questions to TensorFlow: which graph, which place in it, which machine."""
