# SPDX-License-Identifier: Apache-2.0
"""What `python -m tf1_bn scan` finds in source files; no TensorFlow, and nothing is executed."""
