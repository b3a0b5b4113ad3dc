"""Every style of importing contrib, each for itself: before and after TensorFlow, and undone."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.forked import Ended, python, under_run
from tests.legacy.contrib_support import needs_slim, served

pytestmark = [served]

# Each binds `found`, which must be what stands beside it.
STYLES = {
    "import tensorflow.contrib.slim as found": "tf.contrib.slim",
    "from tensorflow.contrib import slim as found": "tf.contrib.slim",
    "import tensorflow.contrib as contrib; found = contrib.layers": "tf.contrib.layers",
    "import tensorflow.contrib.layers.python.layers.utils as u; found = u.two_element_tuple": (
        "tf.contrib.layers.python.layers.utils.two_element_tuple"
    ),
    "from tensorflow.contrib.layers.python.layers import utils as found": (
        "tf.contrib.layers.python.layers.utils"
    ),
    "from tensorflow.contrib.layers.python.layers.layers import batch_norm as found": (
        "tf.contrib.slim.batch_norm"
    ),
    "from tensorflow.contrib.layers.python.layers import initializers; "
    "found = initializers.xavier_initializer": "tf.contrib.layers.xavier_initializer",
    "from tensorflow.contrib.framework import arg_scope as found": "tf.contrib.slim.arg_scope",
    "from tensorflow.contrib.framework.python.ops import arg_scope as found": (
        "tf.contrib.framework.arg_scope"
    ),
    "from tensorflow.contrib.framework.python.ops.arg_scope import add_arg_scope as found": (
        "tf.contrib.framework.add_arg_scope"
    ),
    "from tensorflow.contrib.framework.python.ops import variables; "
    "found = variables.get_variables_to_restore": "tf.contrib.slim.get_variables_to_restore",
    "from tensorflow.contrib.slim.nets import resnet_v1 as found": "tf.contrib.slim.nets.resnet_v1",
    "from tensorflow.contrib.slim.python.slim.nets.resnet_v1 import resnet_v1_50 as found": (
        "tf.contrib.slim.nets.resnet_v1.resnet_v1_50"
    ),
    "from tensorflow.contrib.slim.python.slim.data import dataset as found": (
        "tf.contrib.slim.dataset"
    ),
    "from tensorflow.contrib.slim.python.slim.learning import train_step as found": (
        "tf.contrib.slim.learning.train_step"
    ),
    "from tensorflow.contrib.training.python.training.hparam import HParams as found": (
        "tf.contrib.training.HParams"
    ),
    "from tensorflow.contrib.rnn.python.ops import core_rnn_cell; found = core_rnn_cell.RNNCell": (
        "tf.contrib.rnn.RNNCell"
    ),
    "from tensorflow.contrib.rnn import LSTMStateTuple as found": "tf.contrib.rnn.LSTMStateTuple",
    "from tensorflow.contrib.losses.python.losses import loss_ops; found = loss_ops.log_loss": (
        "tf.contrib.losses.log_loss"
    ),
    "from tensorflow.contrib.losses.python.metric_learning.metric_loss_ops import "
    "pairwise_distance as found": "tf.contrib.losses.metric_learning.pairwise_distance",
}


def said(program: str, cwd: Path, *options: str) -> str:
    """What a program prints, under `run` if there are options."""
    text = textwrap.dedent(program)
    if options:
        (cwd / "program.py").write_text(text, encoding="utf-8")
        return output(under_run("--no-report", *options, "program.py", cwd=cwd))
    return output(python("-c", text, cwd=cwd))


def output(ended: Ended) -> str:
    assert ended.code == 0, ended.err[-4000:]
    return ended.out


ALL_STYLES = """
    import sys
    FIRST
    import tf1_bn
    tf1_bn.install(contrib=True)
    THEN
    assert "tf_slim" not in sys.modules
    for style, path in STYLES.items():
        bound = {}
        exec(style, bound)
        import tensorflow.compat.v1 as tf
        value = tf
        for name in path.split(".")[1:]:
            value = getattr(value, name)
        assert bound["found"] is value, (style, bound["found"], value)
        # Anew: each style is the first to ask for its modules.
        tf1_bn.uninstall()
        assert not [name for name in sys.modules if name.startswith("tensorflow.contrib")]
        assert not hasattr(tf, "contrib") and not hasattr(sys.modules["tensorflow"], "contrib")
        try:
            exec(style, {})
            raise SystemExit("found without install: " + style)
        except ModuleNotFoundError as error:
            assert "No module named 'tensorflow.contrib" in str(error), error
        tf1_bn.install(contrib=True)
    print("all")
"""


@needs_slim
@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("", ""),
        ("import tensorflow", ""),
        ("", "import tensorflow as tf; assert tf.contrib"),
        ("import tensorflow.compat.v1 as tf", "assert tf.contrib"),
    ],
    ids=["before", "after", "between", "after v1"],
)
def test_all_styles(first: str, then: str, tmp_path: Path) -> None:
    program = ALL_STYLES.replace("STYLES", repr(STYLES)).replace("FIRST", first)
    assert said(program.replace("THEN", then), tmp_path) == "all\n"


@needs_slim
@pytest.mark.parametrize(
    "style",
    ["import tensorflow.contrib.slim as found", "from tensorflow.contrib import slim as found"],
)
@pytest.mark.parametrize("option", ["--contrib", "--compat"])
def test_as_a_programs_first_line(style: str, option: str, tmp_path: Path) -> None:
    program = f"{style}\nimport tensorflow as tf\nprint(found is {STYLES[style]})\n"
    assert said(program, tmp_path, option) == "True\n"


def test_importing_contrib_leaves_slim_alone(tmp_path: Path) -> None:
    program = """
        import sys
        import tensorflow as tf
        import tensorflow.contrib.layers as layers
        from tensorflow.contrib.training import HParams
        from tensorflow.contrib import rnn, framework
        rnn.GRUCell(3)
        print(HParams(a=1).values(), "tf_slim" in sys.modules)
    """
    assert said(program, tmp_path, "--compat") == "{'a': 1} False\n"


def test_a_traceback_shows_the_programs_line_last(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import tensorflow as tf\n\n\ndef build():\n    return tf.contrib.seq2seq.BasicDecoder\n"
        "\n\nbuild()\n",
        encoding="utf-8",
    )
    ended = under_run("--no-report", "--compat", "program.py", cwd=tmp_path)
    lines = ended.err.strip().splitlines()
    assert ended.code == 1
    assert lines[-1].startswith(
        "AttributeError: tf1_bn does not bring back tf.contrib.seq2seq: TensorFlow Addons"
    )
    assert "return tf.contrib.seq2seq.BasicDecoder" in "\n".join(lines[-4:])
    assert "old_names" not in ended.err


def test_contrib_alone_leaves_tensorflow_2_as_it_is(tmp_path: Path) -> None:
    program = """
        import tensorflow as tf
        print(tf.executing_eagerly(), hasattr(tf, "placeholder"), tf.contrib.util.constant_value(3))
    """
    assert said(program, tmp_path, "--contrib") == "True False 3\n"


def test_who_asks_first_whether_there_is_contrib(tmp_path: Path) -> None:
    program = """
        import importlib.util
        import tensorflow as tf
        for name in ("tensorflow.contrib", "tensorflow.contrib.rnn", "tensorflow.contrib.training"):
            print(importlib.util.find_spec(name) is not None, end=" ")
        try:
            import tensorflow.contrib.tensorrt as trt
        except ModuleNotFoundError:
            print("none", end=" ")
        print(hasattr(tf, "contrib"), hasattr(tf.contrib, "tensorrt"))
    """
    assert said(program, tmp_path, "--compat") == "True True True none True False\n"


def test_two_installations_end_one_by_one(tmp_path: Path) -> None:
    program = """
        import sys
        import tensorflow.compat.v1 as tf
        import tf1_bn
        before = list(sys.meta_path)
        tf1_bn.install()
        with tf1_bn.install(contrib=True):
            with tf1_bn.install(contrib=True):
                pass
            import tensorflow.compat.v1 as tf
            import tensorflow.contrib.training
            print(tf.contrib.training.HParams, tf.layers.batch_normalization.__name__)
        print(hasattr(tf, "contrib"), "tensorflow.contrib.training" in sys.modules)
        print(tf.layers.batch_normalization.__name__)
        tf1_bn.uninstall()
        print([each for each in sys.meta_path if each not in before])
    """
    ours = "tf1_bn._src.programs.old_names.hparams.HParams"
    assert said(program, tmp_path).splitlines() == [
        f"<class '{ours}'> batch_normalization",
        "False False",
        "batch_normalization",
        "[]",
    ]
