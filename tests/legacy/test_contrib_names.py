"""Each name of TF 1.15.5's contrib resolves or tells its heir, and each that resolves is right."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import types
from typing import Any, Iterator

import numpy as np
import pytest

import tf1_bn
from tests.conftest import tensorflow, tf_version
from tests.legacy import contrib_cases, contrib_names
from tests.legacy.contrib_support import needs_slim, own, served
from tf1_bn._src.programs.install import install, uninstall
from tf1_bn._src.programs.old_names import heirs, moved, optional_slim
from tf1_bn._src.programs.old_names.tensorflow_names import ALL, TABLE

NAMES = json.loads(contrib_names.RECORD.read_text(encoding="utf-8"))
RECORDS = json.loads(contrib_cases.RECORD.read_text(encoding="utf-8"))
SERVED = sorted(name for name in NAMES if f"contrib.{name}" in TABLE)
# How many of the names that TF 1.15.5 showed are found; the others tell their heir.
FOUND = {
    "cluster_resolver": 8,
    "data": 33,
    "distributions": 18,
    "framework": 60,
    "layers": 69,
    "legacy_seq2seq": 2,
    "losses": 15,
    "metrics": 57,
    "rnn": 19,
    "signal": 9,
    "slim": 127,
    "staging": 1,
    "summary": 0,
    "tensorboard": 1,
    "tpu": 11,
    "training": 14,
    "util": 3,
}
# The names that most programs use: tf.contrib.<name>.
WANTED = """
    slim.arg_scope slim.conv2d slim.batch_norm slim.max_pool2d slim.l2_regularizer slim.flatten
    slim.fully_connected slim.dropout slim.model_analyzer.analyze_vars slim.avg_pool2d slim.repeat
    slim.separable_conv2d slim.utils.convert_collection_to_dict slim.variance_scaling_initializer
    slim.add_arg_scope slim.softmax slim.get_variables_to_restore slim.conv2d_transpose
    slim.learning.create_train_op slim.learning.train slim.tfexample_decoder.TFExampleDecoder
    slim.get_model_variables slim.utils.collect_named_outputs slim.utils.last_dimension
    slim.initializers.xavier_initializer slim.assign_from_checkpoint_fn slim.convolution2d
    slim.nets.resnet_v1.resnet_v1_50 slim.nets.resnet_utils.conv2d_same slim.dataset.Dataset
    slim.separable_convolution2d slim.get_or_create_global_step slim.create_global_step
    slim.dataset_data_provider.DatasetDataProvider slim.variable slim.model_variable
    slim.metrics.aggregate_metric_map slim.evaluation.evaluate_once slim.one_hot_encoding
    slim.prefetch_queue.prefetch_queue slim.nets.vgg.vgg_16 slim.nets.inception.inception_v3
    layers.l2_regularizer layers.xavier_initializer layers.batch_norm layers.flatten
    layers.variance_scaling_initializer layers.fully_connected layers.layer_norm layers.conv2d
    layers.instance_norm layers.softmax layers.separable_conv2d layers.apply_regularization
    layers.python.layers.utils.collect_named_outputs layers.embed_sequence layers.optimize_loss
    framework.arg_scope framework.add_arg_scope framework.get_or_create_global_step
    framework.get_variables framework.assign_from_checkpoint_fn framework.list_variables
    framework.python.ops.arg_scope framework.python.ops.add_arg_scope framework.nest.flatten
    training.HParams training.python.training.hparam.HParams training.create_train_op
    rnn.MultiRNNCell rnn.BasicLSTMCell rnn.DropoutWrapper rnn.GRUCell rnn.static_rnn
    rnn.LSTMStateTuple rnn.ResidualWrapper rnn.LayerNormBasicLSTMCell rnn.RNNCell
    rnn.python.ops.core_rnn_cell.LSTMStateTuple rnn.python.ops.rnn_cell.GRUCell
    data.map_and_batch data.prefetch_to_device data.shuffle_and_repeat
    metrics.streaming_mean_iou losses.metric_learning.triplet_semihard_loss
    legacy_seq2seq.sequence_loss_by_example cluster_resolver.TPUClusterResolver
    tpu.initialize_system summary.create_file_writer summary.all_summary_ops util.make_tensor_proto
"""
# Functions of contrib.layers that have no case of their own.
WITHOUT = """
    GDN OPTIMIZER_CLS_NAMES OPTIMIZER_SUMMARIES RevBlock SPARSE_FEATURE_CROSS_DEFAULT_HASH_KEY
    bow_encoder check_feature_columns convolution convolution1d convolution2d_in_plane
    convolution2d_transpose convolution3d convolution3d_transpose embedding_lookup_unique gdn
    infer_real_valued_columns joint_weighted_sum_from_feature_columns legacy_linear legacy_relu
    make_place_holder_tensors_for_base_features multi_class_target
    parse_feature_columns_from_sequence_examples recompute_grad regression_target
    safe_embedding_lookup_sparse scattered_embedding_column separable_convolution2d
    sequence_input_from_feature_columns summaries transform_features
"""
# Parts of contrib that programs import and that are other projects' ground.
ABROAD = """
    seq2seq opt image learn quantize distribute tensorrt cudnn_rnn eager crf estimator lookup
    mixed_precision compiler tfprof memory_stats factorization tensor_forest graph_editor
"""


# What TensorFlow says of its own old layers.
pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning:tensorflow", r"ignore:`tf\.nn\.rnn_cell\.\w+` is deprecated:UserWarning"
)


@pytest.fixture(autouse=True)
def contrib() -> Iterator[Any]:
    """`tf.contrib`: ours from TF 2 on, and TF 1.15's own before."""
    uninstall()
    tf = tensorflow()
    with install(contrib=True):
        yield tf.contrib if tf_version()[0] > 1 else sys.modules["tensorflow"].contrib
    uninstall()


def reached(start: Any, path: str) -> Any:
    for name in path.split("."):
        start = getattr(start, name)
    return start


def missing_slim(monkeypatch: pytest.MonkeyPatch) -> None:
    """TF-Slim, if it is here, cannot be found from now on."""
    for name in [each for each in sys.modules if each.split(".")[0] == "tf_slim"]:
        monkeypatch.delitem(sys.modules, name)
    found = importlib.util.find_spec
    hidden = types.SimpleNamespace(
        find_spec=lambda name: None if name == "tf_slim" else found(name)
    )
    stub = types.SimpleNamespace(import_module=importlib.import_module, util=hidden)
    monkeypatch.setattr(optional_slim, "importlib", stub)


# -- names ---------------------------------------------------------------------------------------


@served
@needs_slim
@pytest.mark.parametrize("part", SERVED)
def test_each_name_of_tf1_resolves_or_tells_its_heir(part: str, contrib: Any) -> None:
    found = []
    for name in NAMES[part]:
        try:
            value = getattr(getattr(contrib, part), name)
        except AttributeError as error:
            told = f"tf1_bn does not bring back tf.contrib.{part}.{name}: "
            assert str(error).startswith(told)
        except ModuleNotFoundError as error:
            # TensorBoard, which TensorFlow need not have.
            assert part == "tensorboard" and error.name == "tensorboard"
            found.append(name)
        else:
            assert value is not None
            found.append(name)
    assert len(found) == FOUND[part], sorted(set(NAMES[part]) - set(found))


@needs_slim
@pytest.mark.parametrize("path", WANTED.split())
@served
def test_what_programs_use_resolves(path: str, contrib: Any) -> None:
    assert callable(reached(contrib, path))


def test_every_home_of_the_table_has_what_tf1_had() -> None:
    """So no name has a slip of the pen; `nccl` and the estimator were elsewhere."""
    unknown = set()
    for module, homes in TABLE.items():
        part = module.split(".")[1] if module.startswith("contrib.") else ""
        if part in NAMES and part not in ("summary", "tensorboard"):
            named = {name for names in homes.values() if names != ALL for name in names.split()}
            unknown |= {f"{part}.{name}" for name in named - set(NAMES[part])}
    # The record leaves out modules that contrib re-exports, and what begins with an underscore.
    assert unknown == {"framework.nest", "rnn._linear"}


@served
@pytest.mark.parametrize("part", ABROAD.split())
def test_what_is_nowhere_names_its_heir(part: str, contrib: Any) -> None:
    sentence = f"tf1_bn does not bring back tf.contrib.{part}: {heirs.HEIRS[f'contrib.{part}']}."
    with pytest.raises(AttributeError) as asked:
        getattr(contrib, part)
    with pytest.raises(ImportError) as imported:
        importlib.import_module(f"tensorflow.contrib.{part}")
    with pytest.raises(ImportError) as taken:
        exec(f"from tensorflow.contrib import {part}", {})
    with pytest.raises(ImportError) as inside:
        exec(f"from tensorflow.contrib.{part}.python.ops import anything", {})
    assert str(asked.value) == str(imported.value) == str(taken.value) == sentence
    assert sentence in str(inside.value)


@served
def test_a_name_that_is_nowhere_says_so_in_every_style(contrib: Any) -> None:
    said = "tf1_bn does not bring back tf.contrib.rnn.NASCell: "
    with pytest.raises(AttributeError, match=said):
        contrib.rnn.NASCell  # noqa: B018
    with pytest.raises(ImportError, match=said):
        exec("from tensorflow.contrib.rnn import NASCell", {})
    assert not hasattr(contrib.rnn, "NASCell")
    assert not hasattr(contrib, "no_such_part")


@served
@needs_slim
def test_dir_lists_what_is_there(contrib: Any) -> None:
    assert {"layers", "slim", "rnn"} <= set(dir(contrib))
    assert {"batch_norm", "conv2d", "embed_sequence"} <= set(dir(contrib.layers))
    for name in dir(contrib.rnn):
        assert getattr(contrib.rnn, name) is not None
    taken: dict[str, Any] = {}
    exec("from tensorflow.contrib.layers import *", taken)
    assert taken["fully_connected"] is contrib.layers.fully_connected


# -- what they compute ---------------------------------------------------------------------------


def is_slims(name: str) -> bool:
    return name not in contrib_cases.CELLS and not name.startswith(("embed", "sequence_loss"))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[needs_slim] if is_slims(name) and tf_version()[0] > 1 else [])
        for name in contrib_cases.CASES
    ],
)
def test_variables_and_numbers_are_those_of_tf1(name: str, contrib: Any) -> None:
    """On TF 1.15 itself: that the record is still what that TensorFlow gives."""
    full = sys.modules["tensorflow"] if tf_version()[0] == 1 else tensorflow()
    outcome = contrib_cases.outcome(full, contrib, contrib_cases.CASES[name])
    record = RECORDS[name]
    for key in ("variables", "updates", "losses"):
        assert outcome[key] == record[key], key
    for key in ("outputs", "after"):
        assert [shape for shape, _ in outcome[key]] == [shape for shape, _ in record[key]]
        for (_, numbers), (_, expected) in zip(outcome[key], record[key]):
            np.testing.assert_allclose(numbers, expected, rtol=2e-5, atol=2e-6)


def test_each_function_of_layers_has_a_case() -> None:
    """Names that only repeat another, or make summaries, classes and constants aside."""
    cases = {name.split()[0] for name in contrib_cases.LAYERS}
    found = set(NAMES["layers"]) - {
        name for name in NAMES["layers"] if f"contrib.layers.{name}" in heirs.HEIRS
    }
    without = {name for name in found - cases if not name.startswith("summarize_")}
    assert without == set(WITHOUT.split())


@served
@needs_slim
def test_batch_norm_is_ours_everywhere(contrib: Any) -> None:
    import tf_slim

    tf = tensorflow()
    ours = contrib.layers.batch_norm
    assert ours is contrib.slim.batch_norm is tf_slim.batch_norm
    assert ours is sys.modules["tf_slim.layers.layers"].batch_norm
    assert ours.__wrapped__ is tf1_bn.contrib.batch_norm
    assert contrib.framework.has_arg_scope(ours)
    scopes = {"is_training": False, "scale": True, "scope": "mine"}
    with contrib.framework.arg_scope([ours], **scopes):
        ours(tf.zeros([2, 3]))
        ours(tf.zeros([2, 3]), scale=False, scope="other")
    names = [variable.op.name for variable in tf.global_variables()]
    assert names[:4] == [f"mine/{n}" for n in ("beta", "gamma", "moving_mean", "moving_variance")]
    assert names[4:] == [f"other/{n}" for n in ("beta", "moving_mean", "moving_variance")]
    uninstall()
    assert tf_slim.batch_norm is not ours
    assert not hasattr(tf_slim.batch_norm, "__wrapped__") or (
        tf_slim.batch_norm.__wrapped__ is not tf1_bn.contrib.batch_norm
    )


@served
def test_without_slim_a_sentence_says_what_to_install(
    contrib: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing_slim(monkeypatch)
    told = r"needs TF-Slim, which is not installed: pip install 'tf_slim>=1.1.0'"
    with pytest.raises(ImportError, match=f"^tf.contrib.layers.conv2d {told}"):
        contrib.layers.conv2d  # noqa: B018
    with pytest.raises(ImportError, match=f"^tf.contrib.losses {told}"):
        exec("import tensorflow.contrib.losses as losses", {})
    with pytest.raises(ImportError, match=f"^tf.contrib.layers.python.layers.utils {told}"):
        exec("from tensorflow.contrib.layers.python.layers import utils", {})
    # What is not TF-Slim's is there all the same.
    assert contrib.layers.batch_norm is tf1_bn.contrib.batch_norm
    assert contrib.training.HParams(a=1).a == 1
    assert issubclass(contrib.rnn.LSTMCell, contrib.rnn.RNNCell)


# -- other old names -----------------------------------------------------------------------------


@pytest.mark.parametrize("home", [*moved.SLIMS, *moved.PROGRAMS])
def test_private_names_that_moved_are_found_again(home: str) -> None:
    module = importlib.import_module(f"tensorflow.python.{home}")
    for names in (moved.SLIMS.get(home, {}), moved.PROGRAMS.get(home, {})):
        for name in names:
            assert callable(getattr(module, name)), name


def test_they_go_again() -> None:
    def missing() -> list[str]:
        tables = (moved.SLIMS, moved.PROGRAMS)
        return [f"{m.__name__}.{name}" for t in tables for m, name, _ in moved.missing(t)]

    assert missing() == []
    uninstall()
    before = missing()
    install(contrib=True)
    uninstall()
    assert missing() == before
    if tf_version() >= (2, 16):
        assert {"tensorflow.python.util.nest.is_sequence"} < set(before)


@pytest.mark.tf_min("2.16", reason="until 2.15 TensorFlow has its estimators")
def test_the_estimators_two_names_that_programs_use_alone() -> None:
    tf = tensorflow()
    keys = tf.estimator.ModeKeys
    assert (keys.TRAIN, keys.EVAL, keys.PREDICT) == ("train", "eval", "infer")
    loss, train = tf.constant([2.0]), tf.no_op()
    spec = tf.estimator.EstimatorSpec(keys.TRAIN, loss=loss, train_op=train)
    assert (spec.mode, spec.train_op, spec.predictions, spec.training_hooks) == (
        "train",
        train,
        {},
        (),
    )
    assert spec.loss.shape.as_list() == [] and isinstance(spec.scaffold, tf.train.Scaffold)
    hooked = tf.estimator.EstimatorSpec("eval", loss=loss, evaluation_hooks=[None])
    assert hooked.evaluation_hooks == (None,)
    for arguments, error in (
        ({"mode": "train", "loss": loss}, "Missing train_op"),
        ({"mode": "train", "train_op": train}, "Missing loss"),
        ({"mode": "eval"}, "Missing loss"),
        ({"mode": "infer"}, "Missing predictions"),
        ({"mode": "eval", "loss": tf.zeros([2])}, "Loss must be scalar"),
    ):
        with pytest.raises(ValueError, match=error):
            tf.estimator.EstimatorSpec(**arguments)
    with pytest.raises(TypeError, match="loss must be Tensor"):
        tf.estimator.EstimatorSpec("eval", loss=1.0)
    with pytest.raises(AttributeError, match="tf.train.MonitoredTrainingSession"):
        tf.estimator.Estimator  # noqa: B018


@own
def test_on_tf1_force_alone_changes_batch_norm() -> None:
    full = sys.modules["tensorflow"]
    layers, slim = full.contrib.layers, full.contrib.slim
    original = layers.batch_norm
    assert original is not tf1_bn.contrib.batch_norm
    with install(contrib=True, force=True):
        assert layers.batch_norm is slim.batch_norm
        assert layers.batch_norm.__wrapped__ is tf1_bn.contrib.batch_norm
        with full.contrib.framework.arg_scope([layers.batch_norm], scope="mine"):
            slim.conv2d(full.zeros([2, 4, 4, 3]), 2, 3, normalizer_fn=slim.batch_norm)
        assert "Conv/mine/beta:0" in [variable.name for variable in full.global_variables()]
    assert layers.batch_norm is slim.batch_norm is original
