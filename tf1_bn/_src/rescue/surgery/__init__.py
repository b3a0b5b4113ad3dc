# SPDX-License-Identifier: Apache-2.0
"""A training graph made one of inference: phase, branches, constants; needs no TensorFlow."""
