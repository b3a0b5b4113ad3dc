# SPDX-License-Identifier: Apache-2.0
"""What is wrong with the batch normalization of a graph, said aloud."""
