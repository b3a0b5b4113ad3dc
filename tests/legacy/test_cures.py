"""The last line of a command names the option that would have spared the program its error."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.forked import python, under_run
from tests.legacy.test_run_as_python import write
from tests.legacy.test_run_tensorflow import traceback_of
from tests.testing.support import DENSE_NET

pytestmark = [pytest.mark.tf_min("2.16", reason="older ones have these names"), pytest.mark.slow]

V1 = "import tensorflow.compat.v1 as tf\n"
PLAIN = "import tensorflow as tf\n"
ERRORS = {
    "--tf1-alias": [
        PLAIN + "tf.placeholder",
        PLAIN + "tf.Session",
        PLAIN + "tf.layers",
        PLAIN + "tf.train.AdamOptimizer",
        PLAIN + "tf.nn.rnn_cell",
        PLAIN + "tf.losses.softmax_cross_entropy",
        PLAIN + "tf.nn.dropout(tf.zeros([3]), keep_prob=0.5)",
        PLAIN + "tf.squeeze(tf.zeros([3, 1]), squeeze_dims=[1])",
        PLAIN + "tf.zeros([3]).shape[0].value",
        PLAIN + "size = tf.zeros([3]).shape\n[dim.value for dim in size]",
        PLAIN + "tf.zeros([3]).eval()",
        PLAIN + "tf.data.Dataset.range(3).make_one_shot_iterator()",
        PLAIN + "tf.summary.merge_all",
        PLAIN + "tf.compat.v1.placeholder(tf.float32, [])",
        "from tensorflow import placeholder",
        "import tensorflow.layers as layers",
        "import tf1_bn, numpy\ntf1_bn.batch_normalization(numpy.zeros([4, 3], 'float32'))",
    ],
    "--contrib": [
        PLAIN + "tf.contrib.slim",
        "import tensorflow.contrib.slim as slim",
        "from tensorflow.contrib import layers",
        V1 + "tf.estimator.ModeKeys",
        "from tensorflow.python.ops import control_flow_ops\ncontrol_flow_ops.cond",
        "try: import tensorflow.contrib\nexcept ImportError as e: raise OSError('x') from e",
    ],
    "--neighbours": [
        V1 + "tf.layers.conv2d",
        "from tensorflow.compat.v1.layers import dense",
    ],
    "": [
        PLAIN + "tf.plaecholder",
        PLAIN + "tf.nn.no_such_thing",
        V1 + "tf.no_such_thing",
        V1 + "tf.layers.no_such_layer",
        PLAIN + "raise ValueError('of its own')",
        PLAIN + "raise RuntimeError('no eager execution of plans')",
        PLAIN + "kind = 3\nkind.value",
        PLAIN + "tf.zeros([3]).value",
        PLAIN + "def softmax(rows): pass\nsoftmax(1, dim=3)",
        PLAIN + "tf.compat.v1.disable_v2_behavior()\nnumber = 3\nshape = number.value",
        "import no_such_module",
    ],
}

ASK = """
import argparse
import linecache
import tensorflow
import tf1_bn
from tf1_bn._src.programs.cures import cure

names = ("neighbours", "contrib", "tf1_alias", "compat")
tf1_bn.install()
for number, program in enumerate(programs):
    name = f"program{number}.py"
    linecache.cache[name] = (len(program), None, program.splitlines(True), name)
    try:
        exec(compile(program, name, "exec"), {"__name__": "__main__"})
    except Exception as error:
        plain = argparse.Namespace(**dict.fromkeys(names, False))
        compat = argparse.Namespace(**dict.fromkeys(names, True))
        print([cure(error, plain), cure(error, compat)])
"""


@pytest.mark.parametrize("option", sorted(ERRORS))
def test_errors_and_their_cures(option: str, tmp_path: Path) -> None:
    """All in one process, one after the other."""
    write(tmp_path, "ask.py", f"programs = {ERRORS[option]!r}\n{ASK}")
    ended = python("ask.py", cwd=tmp_path)
    said = f"add {option}, or --compat for all that an old program needs." if option else ""
    assert ended.out.splitlines() == [str([said, ""])] * len(ERRORS[option]), ended.err


COMMANDS = (
    ("run",),
    ("run", "--no-report"),
    ("record", "-o", "r.npz"),
    ("verify", str(DENSE_NET)),
)


def test_it_is_the_last_line_of_each_command(tmp_path: Path) -> None:
    """Below a traceback in which only the program stands."""
    write(tmp_path, "program.py", PLAIN + "def f():\n    tf.placeholder\nf()")
    plain = python("program.py", cwd=tmp_path)
    for command in COMMANDS:
        ended = python("-m", "tf1_bn", *command, "program.py", cwd=tmp_path)
        assert ended.code != 0, command
        assert ended.err.splitlines()[-1].startswith("tf1_bn: add --tf1-alias, or --compat")
        assert traceback_of(ended.err) == traceback_of(plain.err), command
    given = under_run("--tf1-alias", "program.py", cwd=tmp_path)
    assert (given.code, "add --" in given.err) == (0, False)


def test_slim_is_to_be_installed(tmp_path: Path) -> None:
    write(tmp_path, "program.py", "raise ModuleNotFoundError(\"No module named 'tf_slim'\")")
    ended = under_run("--compat", "program.py", cwd=tmp_path)
    assert ended.err.splitlines()[-1].startswith("tf1_bn: install TF-Slim: pip install")
