"""`import tf1_bn` is free, brings no Keras, says what is missing, and keeps no graph alive."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import tf1_bn
from tests import forked
from tests.legacy.process import python as new_python
from tests.meta.project import ROOT, run_python

USE = """
import json, sys
import tensorflow.compat.v1 as tf
with tf.Graph().as_default():
    tf.get_variable("v", [2])
before = set(sys.modules)

import tf1_bn
with tf.Graph().as_default():
    x = tf.placeholder(tf.float32, [None, 3])
    tf1_bn.batch_normalization(x, training=True)
    layer = tf1_bn.BatchNormalization(renorm=True)
    layer(tf.placeholder(tf.float32, [None, 4, 5, 6]), training=True)
print(json.dumps(sorted(set(sys.modules) - before)))
"""
IMPORT = """
import json, sys
import tf1_bn
dir(tf1_bn)
print(json.dumps(sorted(sys.modules)))
"""


def modules_printed_by(code: str) -> list[str]:
    # What TensorFlow imports, which this asks about too, is loaded in a fork.
    run = forked.python if "import tensorflow" in code else new_python
    done = run("-c", code, cwd=ROOT)
    assert done.code == 0, done.err
    names: list[str] = json.loads(done.out.splitlines()[-1])
    return names


def without_tensorflow(code: str, tmp_path: Path) -> tuple[int, str]:
    """Run `code` as if TensorFlow were not installed; return exit code and last line of stderr."""
    hide = (
        "import sys\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'tensorflow':\n"
        "            raise ModuleNotFoundError('No module named tensorflow', name='tensorflow')\n"
        "sys.meta_path.insert(0, Hide())\n"
    )
    done = run_python("-c", hide + code, cwd=tmp_path)
    return done.returncode, (done.stderr.strip().splitlines() or [""])[-1]


def test_import_alone_loads_neither_tensorflow_nor_numpy() -> None:
    loaded = {name.split(".")[0] for name in modules_printed_by(IMPORT)}
    assert "tf1_bn" in loaded
    assert loaded.isdisjoint({"tensorflow", "keras", "tf_keras", "numpy"})


def test_use_brings_no_keras_that_tensorflow_did_not() -> None:
    brought = modules_printed_by(USE)
    assert "tf1_bn._src.call.core" in brought
    assert [name for name in brought if "keras" in name] == []


def test_dir_lists_the_public_names_and_those_every_module_has() -> None:
    assert set(tf1_bn.__all__) <= set(dir(tf1_bn))
    assert {"__version__", "__doc__"} <= set(dir(tf1_bn))
    assert [name for name in dir(tf1_bn) if name[:1] == "_" and name[:2] != "__"] == []


def test_import_works_without_tensorflow(tmp_path: Path) -> None:
    assert without_tensorflow("import tf1_bn; print(tf1_bn.__version__)", tmp_path) == (0, "")


def test_use_without_tensorflow_says_one_sentence(tmp_path: Path) -> None:
    code, message = without_tensorflow("import tf1_bn; tf1_bn.batch_normalization", tmp_path)
    assert code == 1
    assert message.startswith("ImportError: ")
    assert (
        "tf1_bn needs TensorFlow 1.15 or later" in message and "pip install tensorflow" in message
    )
    assert "pip install tf1_bn" not in message and "tf1_bn[" not in message


BROKEN = {
    "a missing library": ("raise ImportError('libcudart.so.12: cannot open')", "libcudart.so.12"),
    "a NumPy clash": ("import numpy; numpy.no_such_name", "AttributeError: module 'numpy' has no"),
    "a protobuf clash": (
        "raise TypeError('Descriptors cannot be created directly')",
        "Descriptors",
    ),
    "a part missing": ("import google_of_theirs", "No module named 'google_of_theirs'"),
    "another module": ("", "stands in its place"),
}


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize(
    "use",
    [
        "tf1_bn.batch_normalization",
        "from tf1_bn import batch_normalization",
        "import tf1_bn.contrib",
        "tf1_bn.testing.verify",
    ],
)
def test_a_broken_tensorflow_tells_its_own_cause(use: str, fault: str, tmp_path: Path) -> None:
    """In an ImportError: a module must not seem to lack the name when NumPy lacks another."""
    code, cause = BROKEN[fault]
    (tmp_path / "tensorflow.py").write_text(code)
    done = run_python(
        "-c", f"import sys; sys.path.insert(0, '.'); import tf1_bn; {use}", cwd=tmp_path
    )
    message = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert re.match("(ImportError|ModuleNotFoundError): ", message) and cause in message
    assert "cannot import name" not in message and "there is none" not in message


def test_unknown_name_is_an_attribute_error(tmp_path: Path) -> None:
    code, message = without_tensorflow("import tf1_bn; tf1_bn.batch_norm", tmp_path)
    assert code == 1
    assert message.startswith("AttributeError: ") and "batch_norm" in message


def test_200_dropped_graphs_are_collected() -> None:
    script = Path(__file__).with_name("drop_graphs.py")
    done = forked.python(str(script), "200", cwd=ROOT)
    assert done.code == 0, done.err
    built, alive, control = (int(word) for word in done.out.split())
    assert (built, alive) == (200, 0)
    # One graph kept on purpose is counted: the measure can see a leak.
    assert control == 1
