# SPDX-License-Identifier: Apache-2.0
"""What is said of a name of contrib that is nowhere: who does its work today."""

from __future__ import annotations

from typing import Mapping

_ADDONS = "TensorFlow Addons has it, for TensorFlow 2.15 and older"
_IO = "TensorFlow I/O, the package tensorflow-io, has it"
_COLUMNS = "tf.feature_column has today's columns"
_COLUMN_NAMES = (
    "bucketized_column create_feature_spec_for_parsing crossed_column embedding_column "
    "feature_column input_from_feature_columns one_hot_column parse_feature_columns_from_examples "
    "real_valued_column shared_embedding_columns sparse_column_with_hash_bucket "
    "sparse_column_with_integerized_feature sparse_column_with_keys "
    "sparse_column_with_vocabulary_file weighted_sparse_column weighted_sum_from_feature_columns"
)
_SAME_CELL = "computes the same, and names its variables otherwise"
_ESTIMATOR = (
    "estimators have gone from TensorFlow too: write the loop around the model_fn with "
    "tf.train.MonitoredTrainingSession, as migration_guide/run_unmodified.md shows"
)

# By the module or name below `tensorflow`; the longest that fits is taken.
HEIRS: Mapping[str, str] = {
    "estimator": _ESTIMATOR,
    "contrib.all_reduce": "tf.distribute has it",
    "contrib.autograph": "tf.autograph has it",
    "contrib.batching": "tf.nondifferentiable_batch_function has it",
    "contrib.bayesflow": "TensorFlow Probability has it",
    "contrib.boosted_trees": "TensorFlow Decision Forests has it",
    "contrib.checkpoint": "tf.train.Checkpoint and tf.train.CheckpointManager do it",
    "contrib.cloud": _IO,
    "contrib.cluster_resolver": "tf.distribute.cluster_resolver has what is left of it",
    "contrib.coder": "TensorFlow Compression has it",
    "contrib.compiler": "tf.xla.experimental has jit_scope and compile",
    "contrib.constrained_optimization": "the package tensorflow_constrained_optimization has it",
    "contrib.crf": _ADDONS + ", as tensorflow_addons.text.crf_log_likelihood and others",
    "contrib.cudnn_rnn": "tf.nn.rnn_cell.LSTMCell and GRUCell in tf.nn.dynamic_rnn do it",
    "contrib.copy_graph": "tf.import_graph_def copies graphs",
    "contrib.data": "tf.data and tf.data.experimental have what is left of it",
    "contrib.decision_trees": "TensorFlow Decision Forests has it",
    "contrib.deprecated": "tf.summary has it",
    "contrib.distribute": "tf.distribute has it",
    "contrib.distributions": "TensorFlow Probability has it",
    "contrib.eager": "TensorFlow itself has it: tf.GradientTape, tf.Variable, tf.py_func",
    "contrib.estimator": _ESTIMATOR,
    "contrib.factorization": "scikit-learn has k-means and Gaussian mixtures",
    "contrib.feature_column": _COLUMNS,
    "contrib.ffmpeg": _IO,
    "contrib.gan": "TF-GAN, the package tensorflow-gan, has it",
    "contrib.graph_editor": "tf.import_graph_def with an input_map copies and rewires graphs",
    "contrib.hadoop": _IO,
    "contrib.hooks": "tf.train.ProfilerHook is one of them",
    "contrib.ignite": _IO,
    "contrib.image": _ADDONS + ", in tensorflow_addons.image; tf.image has the rest",
    "contrib.integrate": "TensorFlow Probability has it, in tfp.math.ode",
    "contrib.kafka": _IO,
    "contrib.keras": "tf.keras, which is Keras 3 today",
    "contrib.kfac": "the package kfac has it",
    "contrib.kinesis": _IO,
    **{f"contrib.layers.{name}": _COLUMNS for name in _COLUMN_NAMES.split()},
    "contrib.learn": f"{_ESTIMATOR}; its data sets are in tf.keras.datasets",
    "contrib.lookup": "tf.lookup has it",
    "contrib.memory_stats": "tf.config.experimental.get_memory_info tells it",
    "contrib.mixed_precision": "tf.train.experimental.enable_mixed_precision_graph_rewrite does it",
    "contrib.model_pruning": "the package tensorflow_model_optimization has it",
    "contrib.nn": "tf.nn has what is left of it",
    "contrib.opt": _ADDONS + ", in tensorflow_addons.optimizers; tf.train has TF1's own optimizers",
    "contrib.optimizer_v2": "tf.train has TF1's own optimizers",
    "contrib.predictor": "tf.saved_model.load does it",
    "contrib.proto": "tf.io.decode_proto and encode_proto do it",
    "contrib.quantize": "tf.quantization.fake_quant_with_min_max_vars is left, put in by hand",
    "contrib.resampler": _ADDONS + ", in tensorflow_addons.image",
    "contrib.rnn": "tf.nn.rnn_cell and tf.nn have what is left of it",
    "contrib.rnn.GRUBlockCell": f"tf.contrib.rnn.GRUCell {_SAME_CELL}",
    "contrib.rnn.GRUBlockCellV2": f"tf.contrib.rnn.GRUCell {_SAME_CELL}",
    "contrib.rnn.LSTMBlockCell": f"tf.contrib.rnn.BasicLSTMCell {_SAME_CELL}",
    "contrib.rnn.LSTMBlockFusedCell": (
        f"tf.contrib.rnn.BasicLSTMCell in tf.nn.dynamic_rnn {_SAME_CELL}"
    ),
    "contrib.saved_model": "tf.saved_model has it",
    "contrib.seq2seq": _ADDONS + ", in tensorflow_addons.seq2seq",
    "contrib.sparsemax": _ADDONS + ", as tensorflow_addons.activations.sparsemax",
    "contrib.stateless": "tf.random.stateless_uniform, stateless_normal and others do it",
    "contrib.summary": "tf.summary has it",
    "contrib.tensor_forest": "TensorFlow Decision Forests has it",
    "contrib.tensorrt": "tf.experimental.tensorrt.Converter of TensorFlow 2 does it",
    "contrib.testing": "tf.test has what is left of it",
    "contrib.text": "TensorFlow Text has it",
    "contrib.tfprof": "tf.profiler has it",
    "contrib.timeseries": "TensorFlow Probability has it, in tfp.sts",
    "contrib.tpu": "tf.tpu has what is left of it, and tf.distribute.TPUStrategy trains on TPUs",
    "contrib.training": "tf.data and tf.train have what is left of it",
}
_HEIRLESS = "migration_guide/run_unmodified.md lists what is brought back"


def sentence(name: str) -> str:
    """What is said of a module or name below `tensorflow` that nothing brings back.

    >>> sentence("contrib.signal.nothing")[:52]
    'tf1_bn does not bring back tf.contrib.signal.nothing'
    """
    words = name.split(".")
    asked = [".".join(words[:count]) for count in range(len(words), 0, -1)]
    heir = next((HEIRS[each] for each in asked if each in HEIRS), _HEIRLESS)
    return f"tf1_bn does not bring back tf.{name}: {heir}."
