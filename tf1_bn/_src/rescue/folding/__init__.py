# SPDX-License-Identifier: Apache-2.0
"""Normalizations with constants put into the linear op beside them; needs no TensorFlow."""
