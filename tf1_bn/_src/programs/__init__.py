# SPDX-License-Identifier: Apache-2.0
"""What makes programs run that nobody may edit: `install`, and `run` around it.

Private TensorFlow names stand here in the file that needs them, with the reason: `install` the
module TF-Slim looks into, `namespaces` the tf.layers that were lost, `watch` the one that tells
what a session ran; the room `old_names` below has those that programs look up besides.
"""
