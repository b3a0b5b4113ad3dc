# SPDX-License-Identifier: Apache-2.0
"""THE table: each module of `tensorflow.contrib` that a program can import, and what is in it.

Private names, and why: what contrib re-exported from `tensorflow.python`, and what moved there when
contrib ended, is still there, unexported. A row that this TensorFlow lacks is passed over.
"""

from __future__ import annotations

from typing import Mapping, NamedTuple, Sequence

from .neighbours import RNN_CELLS

_OPS = "tensorflow.python.ops"
_FRAMEWORK = "tensorflow.python.framework"


class Row(NamedTuple):
    """Names, and where they come from.

    Attributes:
      home: a module; `tf`, `tf.nn` and so on are tensorflow.compat.v1, `.x` a file of this folder.
      names: those that are taken from it; None takes all.
    """

    home: str
    names: Sequence[str] | None = None


def _row(home: str, names: str) -> Row:
    return Row(home, names.split())


_RNN = (
    # Where the public names refuse, the private ones do not.
    *(Row(home, names) for names in RNN_CELLS.values() for home in ("tf.nn.rnn_cell", *RNN_CELLS)),
    _row("tf.nn", "static_rnn static_bidirectional_rnn static_state_saving_rnn"),
    _row(
        ".rnn",
        "InputProjectionWrapper LayerNormBasicLSTMCell OutputProjectionWrapper "
        "stack_bidirectional_dynamic_rnn",
    ),
)
_FRAMEWORK_ROWS = (
    _row(
        "tf",
        "TensorSpec argsort assert_same_float_dtype assert_scalar is_tensor py_func sort "
        "convert_to_tensor_or_sparse_tensor",
    ),
    _row("tf.train", "init_from_checkpoint list_variables load_checkpoint load_variable"),
    _row(f"{_FRAMEWORK}.smart_cond", "smart_case smart_cond smart_constant_value"),
    _row(f"{_FRAMEWORK}.tensor_spec", "BoundedTensorSpec"),
    _row(f"{_FRAMEWORK}.ops", "get_name_scope prepend_name_scope strip_name_scope"),
    _row(f"{_OPS}.data_flow_ops", "RecordInput"),
    _row(f"{_OPS}.confusion_matrix", "remove_squeezable_dimensions"),
    _row(
        f"{_OPS}.init_ops",
        "convolutional_delta_orthogonal convolutional_orthogonal_1d convolutional_orthogonal_2d "
        "convolutional_orthogonal_3d",
    ),
    _row(
        "tensorflow.python.util.deprecation",
        "deprecated deprecated_arg_values deprecated_args",
    ),
    _row("tensorflow.python.util", "nest"),
    _row(".small_parts", "get_placeholders"),
    _row("tf_slim.ops.framework_ops", "get_graph_from_inputs"),
    Row("tf_slim.ops.arg_scope"),
    Row("tf_slim.ops.variables"),
)
# TF-Slim is not imported before it is needed, so its rows stand behind those of single names.
_LAYERS = (
    _row(".small_parts", "embed_sequence"),
    _row("tf.nn", "safe_embedding_lookup_sparse"),
    Row("tf_slim.layers"),
    # Without TF-Slim this one is there all the same.
    _row("...contrib.batch_norm", "batch_norm"),
)
_SLIM = (_row(".small_parts", "embed_sequence"), Row("tf_slim"))
_TRAINING = (
    _row(".hparams", "HParams"),
    Row("tf_slim.training.training"),
    Row("tf_slim.training.evaluation"),
)
_METRICS = (
    _row("tf.math", "confusion_matrix"),
    _row(".small_parts", "set_difference set_intersection set_size set_union"),
    Row("tf_slim.metrics"),
)
_LOSSES = (Row("tf_slim.losses"),)

# By the module below `tensorflow`, in which a name is looked for row by row.
TABLE: Mapping[str, Sequence[Row]] = {
    "estimator": (_row(".small_parts", "EstimatorSpec ModeKeys"),),
    "contrib": (),
    "contrib.cluster_resolver": (
        _row(
            "tf.distribute.cluster_resolver",
            "ClusterResolver GCEClusterResolver KubernetesClusterResolver SimpleClusterResolver "
            "SlurmClusterResolver TFConfigClusterResolver TPUClusterResolver",
        ),
    ),
    "contrib.data": (
        _row(
            "tf.data.experimental",
            "AUTOTUNE Counter CsvDataset Optional RandomDataset Reducer SqlDataset TFRecordWriter "
            "bucket_by_sequence_length choose_from_datasets copy_to_device dense_to_sparse_batch "
            "enumerate_dataset get_next_as_optional get_single_element group_by_reducer "
            "group_by_window ignore_errors make_batched_features_dataset make_csv_dataset "
            "make_saveable_from_iterator map_and_batch parallel_interleave parse_example_dataset "
            "prefetch_to_device rejection_resample sample_from_datasets scan shuffle_and_repeat "
            "unbatch unique",
        ),
        _row(".small_parts", "batch_and_drop_remainder padded_batch_and_drop_remainder"),
    ),
    "contrib.distributions": (
        _row(
            "tf.distributions",
            "Bernoulli Beta Categorical Dirichlet DirichletMultinomial Distribution Exponential "
            "FULLY_REPARAMETERIZED Gamma Laplace Multinomial NOT_REPARAMETERIZED Normal "
            "RegisterKL ReparameterizationType StudentT Uniform kl_divergence",
        ),
    ),
    "contrib.framework": _FRAMEWORK_ROWS,
    "contrib.framework.python.framework.checkpoint_utils": _FRAMEWORK_ROWS,
    # As there, `arg_scope` is the function, and `variables` the file.
    "contrib.framework.python.ops": (
        Row("tf_slim.ops.arg_scope"),
        Row("tf_slim.ops"),
        *_FRAMEWORK_ROWS,
    ),
    "contrib.layers": _LAYERS,
    "contrib.legacy_seq2seq": (_row(".small_parts", "sequence_loss sequence_loss_by_example"),),
    "contrib.losses": _LOSSES,
    "contrib.losses.python.metric_learning.metric_loss_ops": (
        Row("tf_slim.losses.metric_learning"),
    ),
    "contrib.metrics": _METRICS,
    "contrib.nccl": (_row(f"{_OPS}.nccl_ops", "all_max all_min all_prod all_sum broadcast"),),
    "contrib.rnn": _RNN,
    "contrib.rnn.python.ops.core_rnn_cell": _RNN,
    "contrib.rnn.python.ops.rnn": _RNN,
    "contrib.rnn.python.ops.rnn_cell": _RNN,
    "contrib.signal": (
        _row(
            "tf.signal",
            "frame hamming_window hann_window inverse_stft inverse_stft_window_fn "
            "linear_to_mel_weight_matrix mfccs_from_log_mel_spectrograms overlap_and_add stft",
        ),
    ),
    "contrib.slim": _SLIM,
    "contrib.staging": (_row(f"{_OPS}.data_flow_ops", "StagingArea"),),
    "contrib.summary": (
        _row(
            f"{_OPS}.summary_ops_v2",
            "SummaryWriter all_v2_summary_ops always_record_summaries audio create_file_writer "
            "create_summary_file_writer eval_dir flush generic graph histogram image import_event "
            "initialize never_record_summaries record_summaries_every_n_global_steps scalar "
            "should_record_summaries summary_writer_initializer_op",
        ),
    ),
    "contrib.tensorboard": (_row("tensorboard", "plugins"),),
    "contrib.tensorboard.plugins": (_row("tensorboard.plugins", "projector"),),
    "contrib.tpu": (
        _row(
            "tf.tpu",
            "CrossShardOptimizer batch_parallel bfloat16_scope core cross_replica_sum "
            "initialize_system outside_compilation replicate rewrite shard shutdown_system",
        ),
    ),
    "contrib.training": _TRAINING,
    "contrib.training.python.training.hparam": (_row(".hparams", "HParams"),),
    "contrib.util": (
        _row("tf", "make_ndarray make_tensor_proto"),
        _row(".small_parts", "constant_value"),
    ),
}


def rows_of(module: str) -> Sequence[Row] | None:
    """The rows of a module below `tensorflow`, or None if it is not in the table.

    A folder such as `contrib.layers.python.layers` shows what `contrib.layers` does.

    >>> rows_of("contrib.losses.python.losses")
    (Row(home='tf_slim.losses', names=None),)
    >>> rows_of("contrib.losses.python.losses.nothing") is None
    True
    """
    words = module.split(".")
    if module in TABLE or words[2:3] != ["python"] or len(words) > 4:
        return TABLE.get(module)
    return TABLE.get(".".join(words[:2])) if len(words) > 3 else ()
