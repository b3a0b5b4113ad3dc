# SPDX-License-Identifier: Apache-2.0
"""Names that old programs look up and new TensorFlow does not show: where each comes from.

`tensorflow_names` is the table of `tensorflow.contrib` and `tensorflow.estimator`, `heirs` what is
said of a name that is nowhere, `neighbours` the rest of tf.layers, `moved` the private names that
only moved. `modules` serves the first, `optional_slim` leads to TF-Slim; `hparams`, `rnn` and
`small_parts` hold what TensorFlow carries nowhere, written anew.
Private TensorFlow names stand in `tensorflow_names`, `neighbours` and `moved` alone.
"""
