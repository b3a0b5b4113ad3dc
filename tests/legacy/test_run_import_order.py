"""`python -m tf1_bn run` on programs that ask for TensorFlow, or for tf1_bn, in unusual orders."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest

from tests import forked
from tests.legacy.process import under_run
from tests.legacy.test_run_as_python import write
from tests.testing.support import SMALL_NET
from tf1_bn._src.programs import frames, install, preparation

# Every program ends so; both lines hold whatever came first.
ASK = """
import tensorflow.compat.v1 as tf
import tf1_bn
print(tf.layers.batch_normalization is tf1_bn.batch_normalization)
print(tf.layers.conv2d.__name__)
"""
FIRST = {
    "asks where it is": "import importlib.util; assert importlib.util.find_spec('tensorflow')",
    "asks twice": (
        "import importlib.machinery, importlib.util\n"
        "assert importlib.util.find_spec('tensorflow') and importlib.util.find_spec('tensorflow')\n"
        "assert importlib.machinery.PathFinder.find_spec('tensorflow')"
    ),
    "asks for its loader": (
        "import pkgutil\nassert getattr(pkgutil, 'find_loader', pkgutil.iter_modules)('tensorflow')"
    ),
    "ours: install": "import tf1_bn; tf1_bn.install(neighbours=True)",
    "ours: a name": "from tf1_bn import batch_normalization",
    "ours: contrib": "import tf1_bn.contrib",
    "ours: repair": "from tf1_bn.repair import repair_graph",
    "ours: testing": "from tf1_bn.testing import verify",
    "theirs: a submodule": "from tensorflow.python.framework import ops",
    "threads": (
        "import importlib, threading\n"
        "names = ['tensorflow', 'tf1_bn.contrib', 'tensorflow', 'tf1_bn.repair']\n"
        "threads = [threading.Thread(target=importlib.import_module, args=[n]) for n in names]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()"
    ),
}


# What comes during the import of TensorFlow, which a fork has behind it.
IN_A_NEW_PROCESS = ("theirs: a submodule", "threads")


@pytest.mark.parametrize("first", sorted(FIRST))
def test_installed_whatever_comes_first(first: str, tmp_path: Path) -> None:
    write(tmp_path, "program.py", FIRST[first] + ASK)
    run = under_run if first in IN_A_NEW_PROCESS else forked.under_run
    ended = run("--force", "--neighbours", "program.py", cwd=tmp_path)
    assert (ended.code, ended.out.splitlines()) == (0, ["True", "conv2d"]), ended.err
    assert "Exception in thread" not in ended.err
    assert ended.err.splitlines()[-1] == "tf1_bn: no batch-norm layer of tf1_bn was built."


def test_our_own_command_as_the_program(tmp_path: Path) -> None:
    plain = forked.python("-m", "tf1_bn", "verify", str(SMALL_NET), cwd=tmp_path)
    ours = forked.under_run("-m", "tf1_bn", "verify", str(SMALL_NET), cwd=tmp_path)
    # The head tells when and how each was called.
    told = [ended.out.partition("\n\n")[2] for ended in (ours, plain)]
    assert told[0] == told[1] and (ours.code, plain.code) == (0, 0)
    assert "proven: 7 same" in told[1]


def test_who_only_asks_imports_nothing(tmp_path: Path) -> None:
    write(tmp_path, "program.py", FIRST["asks twice"])
    ended = under_run("program.py", cwd=tmp_path)
    assert ended == (0, "", "tf1_bn: TensorFlow was not imported.\n")


@pytest.mark.parametrize("folder", ["tensorflow", "tensorflow/compat"])
def test_a_broken_tensorflow_tells_its_own_cause(folder: str, tmp_path: Path) -> None:
    """Only one that is missing, or from before 1.15, is to be installed."""
    write(tmp_path, "tensorflow/__init__.py", "")
    write(tmp_path, f"{folder}/__init__.py", "import no_such_library")
    write(tmp_path, "program.py", "import tf1_bn\ntf1_bn.batch_normalization")
    ended = under_run("program.py", cwd=tmp_path)
    assert ended.code == 1
    assert "No module named 'no_such_library'" in ended.err.splitlines()[-2]
    assert "install it" not in ended.err


ALIASED = {
    "a name from layers": (
        "from tensorflow.layers import batch_normalization",
        "batch_normalization",
    ),
    "layers by a name": ("import tensorflow.layers as L", "L.batch_normalization"),
    "layers as an attribute": (
        "import tensorflow.layers, tensorflow",
        "tf.layers.batch_normalization",
    ),
}


@pytest.mark.parametrize("style", sorted(ALIASED))
def test_alias_of_the_layers(style: str, tmp_path: Path) -> None:
    """As TF 1.15 has it; the original error of `tf.layers` must not come back."""
    statement, function = ALIASED[style]
    write(
        tmp_path,
        "program.py",
        f"""
        {statement}
        import tensorflow as tf, tensorflow.train
        from tensorflow.nn.rnn_cell import LSTMCell
        from tensorflow.nn import rnn_cell
        import tf1_bn
        print({function} is tf1_bn.batch_normalization)
        print(tf.layers.batch_normalization is tf1_bn.batch_normalization)
        print(tf.layers.dense.__name__, LSTMCell is rnn_cell.LSTMCell is tf.nn.rnn_cell.LSTMCell)
        print(tf.train.Saver is tensorflow.train.Saver is tf.compat.v1.train.Saver)
        """,
    )
    ended = forked.under_run("--tf1-alias", "--force", "--neighbours", "program.py", cwd=tmp_path)
    assert (ended.code, ended.out.splitlines()) == (0, ["True", "True", "dense True", "True"]), (
        ended.err
    )


def test_ctrl_c_in_what_the_import_makes_us_do_shows_the_import_alone() -> None:
    """An error there is shown whole: nobody else can tell what it was."""
    inner = "def patch(): raise error"
    shown = {}
    for error in (KeyboardInterrupt(), ImportError()):
        ours: dict[str, Any] = {"error": error}
        exec(compile(inner, install.__file__, "exec"), ours)
        exec(compile("def prepare(): patch()", preparation.__file__, "exec"), ours)
        with pytest.raises(type(error)):
            ours["prepare"]()
        frames._trim_all(error, by_runpy=False)
        shown[type(error)] = [each.filename for each in traceback.extract_tb(error.__traceback__)]
    assert shown == {
        KeyboardInterrupt: [__file__],
        ImportError: [__file__, install.__file__],
    }
