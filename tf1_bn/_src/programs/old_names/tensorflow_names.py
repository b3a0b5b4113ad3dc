# SPDX-License-Identifier: Apache-2.0
"""THE table: each module of `tensorflow.contrib` that a program can import, and what is in it.

Private names, and why: what contrib re-exported from `tensorflow.python`, and what moved there when
contrib ended, is still there, unexported. A home that this TensorFlow lacks is passed over.
"""

from __future__ import annotations

from typing import Mapping

from .neighbours import RNN_CELLS, names

_OPS = "tensorflow.python.ops"
_FRAMEWORK = "tensorflow.python.framework"
# By their home, which is the module that has them: names with spaces between, or ALL. `tf`, `tf.nn`
# and so on are tensorflow.compat.v1, and `.x` is a file of this folder.
Homes = Mapping[str, str]
ALL = "*"

_RNN: Homes = {
    # Where the public names refuse, the private ones do not.
    **dict.fromkeys(["tf.nn.rnn_cell", *RNN_CELLS], " ".join(sorted(names(RNN_CELLS)))),
    "tf.nn": "static_rnn static_bidirectional_rnn static_state_saving_rnn",
    ".rnn": (
        "InputProjectionWrapper LayerNormBasicLSTMCell OutputProjectionWrapper "
        "stack_bidirectional_dynamic_rnn stack_bidirectional_rnn transpose_batch_time"
    ),
}
# Many cells that programs write themselves are made of `_linear`.
_RNN_CELLS: Homes = {**_RNN, ".rnn": f"{_RNN['.rnn']} _linear"}
_FRAMEWORK_HOMES: Homes = {
    "tf": (
        "TensorSpec argsort assert_same_float_dtype assert_scalar is_tensor py_func sort "
        "convert_to_tensor_or_sparse_tensor"
    ),
    "tf.train": "init_from_checkpoint list_variables load_checkpoint load_variable",
    f"{_FRAMEWORK}.smart_cond": "smart_case smart_cond smart_constant_value",
    f"{_FRAMEWORK}.tensor_spec": "BoundedTensorSpec",
    f"{_FRAMEWORK}.ops": "get_name_scope prepend_name_scope strip_name_scope",
    f"{_OPS}.data_flow_ops": "RecordInput",
    f"{_OPS}.confusion_matrix": "remove_squeezable_dimensions",
    f"{_OPS}.init_ops": (
        "convolutional_delta_orthogonal convolutional_orthogonal_1d convolutional_orthogonal_2d "
        "convolutional_orthogonal_3d"
    ),
    "tensorflow.python.util.deprecation": "deprecated deprecated_arg_values deprecated_args",
    "tensorflow.python.util": "nest",
    ".small_parts": "get_placeholders",
    "tf_slim.ops.framework_ops": "get_graph_from_inputs",
    "tf_slim.ops.arg_scope": ALL,
    "tf_slim.ops.variables": ALL,
}
# TF-Slim is not imported before it is needed, so it stands behind the homes of single names.
_LAYERS: Homes = {
    ".small_parts": "embed_sequence",
    "tf.nn": "safe_embedding_lookup_sparse",
    "tf_slim.layers": ALL,
    # Without TF-Slim this one is there all the same.
    "...contrib.batch_norm": "batch_norm",
}
_SLIM: Homes = {".small_parts": "embed_sequence", "tf_slim": ALL}
_TRAINING: Homes = {
    ".hparams": "HParams",
    "tf_slim.training.training": ALL,
    "tf_slim.training.evaluation": ALL,
}
_METRICS: Homes = {
    "tf.math": "confusion_matrix",
    ".small_parts": "set_difference set_intersection set_size set_union",
    "tf_slim.metrics": ALL,
}
_LOSSES: Homes = {"tf_slim.losses": ALL}

# By the module below `tensorflow`, the homes in which a name is looked for, one after the other.
TABLE: Mapping[str, Homes] = {
    "estimator": {".small_parts": "EstimatorSpec ModeKeys"},
    "contrib": {},
    "contrib.cluster_resolver": {
        "tf.distribute.cluster_resolver": (
            "ClusterResolver GCEClusterResolver KubernetesClusterResolver SimpleClusterResolver "
            "SlurmClusterResolver TFConfigClusterResolver TPUClusterResolver"
        ),
    },
    "contrib.data": {
        "tf.data.experimental": (
            "AUTOTUNE Counter CsvDataset Optional RandomDataset Reducer SqlDataset TFRecordWriter "
            "bucket_by_sequence_length choose_from_datasets copy_to_device dense_to_sparse_batch "
            "enumerate_dataset get_next_as_optional get_single_element group_by_reducer "
            "group_by_window ignore_errors make_batched_features_dataset make_csv_dataset "
            "make_saveable_from_iterator map_and_batch parallel_interleave parse_example_dataset "
            "prefetch_to_device rejection_resample sample_from_datasets scan shuffle_and_repeat "
            "unbatch unique"
        ),
        ".small_parts": "batch_and_drop_remainder padded_batch_and_drop_remainder",
    },
    "contrib.distributions": {
        "tf.distributions": (
            "Bernoulli Beta Categorical Dirichlet DirichletMultinomial Distribution Exponential "
            "FULLY_REPARAMETERIZED Gamma Laplace Multinomial NOT_REPARAMETERIZED Normal "
            "RegisterKL ReparameterizationType StudentT Uniform kl_divergence"
        ),
    },
    "contrib.framework": _FRAMEWORK_HOMES,
    "contrib.framework.python.framework.checkpoint_utils": _FRAMEWORK_HOMES,
    # As there, `arg_scope` is the function, and `variables` the file.
    "contrib.framework.python.ops": {
        "tf_slim.ops.arg_scope": ALL,
        "tf_slim.ops": ALL,
        **_FRAMEWORK_HOMES,
    },
    "contrib.layers": _LAYERS,
    "contrib.legacy_seq2seq": {".small_parts": "sequence_loss sequence_loss_by_example"},
    "contrib.losses": _LOSSES,
    "contrib.losses.python.metric_learning.metric_loss_ops": {
        "tf_slim.losses.metric_learning": ALL,
    },
    "contrib.metrics": _METRICS,
    "contrib.nccl": {f"{_OPS}.nccl_ops": "all_max all_min all_prod all_sum broadcast"},
    "contrib.rnn": _RNN,
    "contrib.rnn.python.ops.core_rnn_cell": _RNN_CELLS,
    "contrib.rnn.python.ops.rnn": _RNN,
    "contrib.rnn.python.ops.rnn_cell": _RNN_CELLS,
    "contrib.signal": {
        "tf.signal": (
            "frame hamming_window hann_window inverse_stft inverse_stft_window_fn "
            "linear_to_mel_weight_matrix mfccs_from_log_mel_spectrograms overlap_and_add stft"
        ),
    },
    "contrib.slim": _SLIM,
    "contrib.staging": {f"{_OPS}.data_flow_ops": "StagingArea"},
    "contrib.summary": {
        f"{_OPS}.summary_ops_v2": (
            "SummaryWriter all_v2_summary_ops always_record_summaries audio create_file_writer "
            "create_summary_file_writer eval_dir flush generic graph histogram image import_event "
            "initialize never_record_summaries record_summaries_every_n_global_steps scalar "
            "should_record_summaries summary_writer_initializer_op"
        ),
        ".small_parts": "all_summary_ops",
    },
    "contrib.tensorboard": {"tensorboard": "plugins"},
    "contrib.tensorboard.plugins": {"tensorboard.plugins": "projector"},
    "contrib.tpu": {
        "tf.tpu": (
            "CrossShardOptimizer batch_parallel bfloat16_scope core cross_replica_sum "
            "initialize_system outside_compilation replicate rewrite shard shutdown_system"
        ),
    },
    "contrib.training": _TRAINING,
    "contrib.training.python.training.hparam": {".hparams": "HParams"},
    "contrib.util": {
        "tf": "make_ndarray make_tensor_proto",
        ".small_parts": "constant_value",
    },
}


def homes_of(module: str) -> Homes | None:
    """The homes of the names in a module below `tensorflow`; None if it is not in the table.

    A folder such as `contrib.layers.python.layers` shows what `contrib.layers` does.

    >>> homes_of("contrib.losses.python.losses")
    {'tf_slim.losses': '*'}
    >>> homes_of("contrib.losses.python.losses.nothing") is None
    True
    """
    words = module.split(".")
    if module in TABLE or words[2:3] != ["python"] or len(words) > 4:
        return TABLE.get(module)
    return TABLE.get(".".join(words[:2])) if len(words) > 3 else {}
