# SPDX-License-Identifier: Apache-2.0
"""What a call is, which shapes it has and which kernel serves it; no TensorFlow."""
