# SPDX-License-Identifier: Apache-2.0
"""`tf.contrib.layers.batch_norm` on the same core."""
