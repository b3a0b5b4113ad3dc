"""`python -m tf1_bn run` on programs that use TensorFlow, unedited."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import forked
from tests.legacy.process import PROGRAMS, python, under_run
from tests.legacy.test_run_as_python import write

lost = pytest.mark.tf_min("2.16", reason="tf.layers is lost from here on")
kept = pytest.mark.tf_max("2.15", reason="plain python can run it up to here")

# --force makes ours run where TensorFlow's own still works.
OURS = ("--force", "--neighbours")


def test_conv_and_lstm_train(tmp_path: Path) -> None:
    ended = forked.under_run(*OURS, str(PROGRAMS / "conv_lstm.py"), "80", cwd=tmp_path)
    assert ended.code == 0, ended.err
    first, last = map(float, re.findall(r"(?:first|last) ([0-9.]+)", ended.out))
    assert last < 0.1 * first
    # Each of its 4 channels.
    assert float(re.findall(r"moved ([0-9.]+)", ended.out)[0]) > 0.01
    assert "conv variables ['conv/kernel:0', 'conv/bias:0']" in ended.out
    said = [line for line in ended.err.splitlines() if line.startswith("tf1_bn: ")]
    assert said[0] == "tf1_bn: 1 batch-norm layer was built, and its updates ran."
    # Its convolution has a bias.
    assert said[1:] == ["tf1_bn: 1 note: BN313 (--check tells it)"]


@kept
def test_prints_what_the_original_layer_prints(tmp_path: Path) -> None:
    """With TensorFlow's own layer under plain python, and with ours under run: digit for digit.

    Its initializers have seeds: those that TensorFlow derives from op counts would differ.
    """
    program = str(PROGRAMS / "resnet.py")
    plain = forked.python(program, "--steps", "5", cwd=tmp_path)
    assert plain.code == 0, plain.err
    ours = forked.under_run("--force", program, "--steps", "5", cwd=tmp_path)
    assert ours.out == plain.out
    assert "9 batch-norm layers were built" in ours.err


@lost
def test_without_neighbours_the_error_tells_the_way_out(tmp_path: Path) -> None:
    ended = forked.under_run(str(PROGRAMS / "conv_lstm.py"), cwd=tmp_path)
    assert ended.code == 1
    # Behind it comes the report.
    error, cure = ended.err.splitlines()[-2:]
    assert error.startswith("AttributeError: `conv2d` is not available with Keras 3. tf1_bn.")
    assert "run --neighbours" in error
    assert cure.startswith("tf1_bn: add --neighbours, ")


@pytest.mark.parametrize("forget", [False, True])
def test_resnet(forget: bool, tmp_path: Path) -> None:
    arguments = ["--steps", "3"] + ["--forget-updates"] * forget
    ended = forked.under_run(*OURS, str(PROGRAMS / "resnet.py"), *arguments, cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert f"{0 if forget else 9} of 9 moving variances moved" in ended.out
    assert "resnet_model/batch_normalization_1/gamma:0" in ended.out
    report = "\n".join(ended.err.splitlines()[-4:])
    assert report.endswith(", and the updates of all 9 ran.") != forget
    if forget:
        names = "resnet_model/batch_normalization, resnet_model/batch_normalization_1, "
        assert "tf1_bn: 9 batch-norm layers were built; the updates of none ran.\n" in report
        assert re.search(f"tf1_bn: BN(110 warning|301 note): {names}", report)


@pytest.mark.parametrize("alone", [False, True])
def test_kernels_are_listed_after_the_report(alone: bool, tmp_path: Path) -> None:
    options = ["--kernels"] + ["--no-report"] * alone
    program = str(PROGRAMS / "resnet.py")
    ended = forked.under_run(*OURS, *options, program, "--steps", "1", cwd=tmp_path)
    assert ended.code == 0, ended.err
    heading, *layers = ended.err.splitlines()[-10:]
    assert ("tf1_bn: 9 batch-norm layers were built" in ended.err) != alone
    assert heading.split() == ["layer", "training", "inference", "why"]
    assert [line.split()[1:3] for line in layers] == [["fused", "fused"]] * 9
    assert layers[1].startswith("resnet_model/batch_normalization_1 ")


def test_no_layers_are_listed_by_no_line(tmp_path: Path) -> None:
    write(tmp_path, "program.py", "import tensorflow")
    ended = forked.under_run("--kernels", "program.py", cwd=tmp_path)
    last = ended.err.splitlines()[-1]
    assert last.startswith("tf1_bn: no batch-norm layer of tf1_bn was built.")
    # Where the original works, the program may have used it.
    assert last.endswith("was built.") or "--force puts tf1_bn's in its place." in last
    assert "layer  training" not in ended.err


def test_gan_written_for_tensorflow_1(tmp_path: Path) -> None:
    program = str(PROGRAMS / "gan.py")
    ended = forked.under_run(*OURS, "--tf1-alias", program, cwd=tmp_path)
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[:2] == ["discriminator: 4 update ops", "generator: 4 update ops"]
    assert lines[2:5] == [
        "generator/batch_normalization/moving_mean:0 moved True",
        "generator/batch_normalization_1/moving_mean:0 moved True",
        "discriminator/batch_normalization/moving_mean:0 moved True",
    ]
    assert lines[5] == "images (3, 8, 8, 1) True"
    assert "3 batch-norm layers were built" in ended.err


@pytest.mark.tf_min("2.0", reason="in TensorFlow 1 the alias has nothing to do")
def test_alias_without(tmp_path: Path) -> None:
    ended = forked.under_run(*OURS, str(PROGRAMS / "gan.py"), cwd=tmp_path)
    assert ended.code == 1
    assert "AttributeError: module 'tensorflow' has no attribute" in ended.err


def test_alias_in_every_import_style(tmp_path: Path) -> None:
    write(
        tmp_path,
        "program.py",
        """
        import tensorflow as tf
        import tensorflow.compat.v1 as v1
        import tensorflow
        import importlib
        from tensorflow import layers, placeholder
        from tensorflow.compat.v1 import placeholder as same
        from tensorflow.python.framework import ops
        import tensorflow.python.util.nest
        from tensorflow.core.framework import graph_pb2
        import helper
        print(v1 is tf is tf.compat.v1 and placeholder is same, tf.__version__)
        print(tensorflow is tf is importlib.import_module("tensorflow") is helper.tf)
        print(tf.executing_eagerly(), v1.layers.batch_normalization is layers.batch_normalization)
        print(layers.batch_normalization.__module__)
        try:
            import tensorflow.contrib.slim
        except ImportError as error:
            print(error)
        """,
    )
    write(tmp_path, "helper.py", "import tensorflow as tf")
    ended = forked.under_run("--tf1-alias", "--force", "program.py", cwd=tmp_path)
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    alias, version = lines.pop(0).split()
    assert lines[:3] == ["True", "False True", "tf1_bn._src.api.functional"]
    if version.startswith("1."):
        # Left as it is: there compat.v1 is one module more, and contrib can be imported.
        assert (alias, lines[3:]) == ("False", [])
    else:
        assert (alias, lines[3:]) == ("True", ["No module named 'tensorflow.contrib'"])


def test_program_sets_the_environment_before_tensorflow(tmp_path: Path) -> None:
    write(
        tmp_path,
        "program.py",
        """
        import os, sys
        print([name for name in sys.modules if name.split(".")[0] in ("numpy", "tensorflow")])
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        import tensorflow as tf
        print(tf.compat.v1.layers.batch_normalization.__module__, tf.__name__)
        """,
    )
    ended = under_run("--force", "program.py", cwd=tmp_path)
    assert ended.out.splitlines() == ["[]", "tf1_bn._src.api.functional tensorflow"]


def traceback_of(err: str) -> list[str]:
    """The last traceback in `err`: its head, and the indented lines below it."""
    lines = err.splitlines()
    start = len(lines) - lines[::-1].index("Traceback (most recent call last):")
    end = next(i for i in range(start, len(lines)) if not lines[i].startswith(" "))
    return lines[start:end]


def test_tracebacks_of_tensorflow_are_those_of_plain_python(tmp_path: Path) -> None:
    write(
        tmp_path,
        "program.py",
        """
        import sys, traceback
        import tensorflow.compat.v1 as tf
        tf.disable_v2_behavior()
        x = tf.placeholder(tf.float32, [None, 3])
        def files():
            frames = traceback.extract_tb(sys.exc_info()[2])
            return [(frame.name, frame.lineno, frame.line) for frame in frames]
        with tf.Session() as session:
            for fetch in (tf.reduce_sum(x), tf.log(-1.0) + x, None, "no_such:0"):
                try:
                    session.run(fetch)
                except (ValueError, TypeError, tf.errors.OpError):
                    print(files())
            call = session.make_callable(tf.reduce_sum(x))
            try:
                call()
            except tf.errors.OpError:
                print(files())
            session.run(x)
        """,
    )
    plain = python("program.py", cwd=tmp_path)
    ours = under_run("program.py", cwd=tmp_path)
    assert (ours.code, ours.out) == (plain.code, plain.out)
    assert plain.out.count("\n") == 5 and plain.code == 1
    assert traceback_of(ours.err) == traceback_of(plain.err)


@pytest.mark.parametrize(
    "error", ["raise ImportError('inside')", "x = = 1", "import there_is_no_such_module"]
)
def test_tensorflow_that_fails_to_import(error: str, tmp_path: Path) -> None:
    """Our hook stands below the import and must not be seen; the import can be tried again."""
    write(tmp_path, "tensorflow.py", error)
    write(
        tmp_path,
        "program.py",
        """
        try:
            import tensorflow
        except Exception as error:
            print("first", error)
        import tensorflow
        """,
    )
    plain = python("program.py", cwd=tmp_path)
    assert under_run("--no-report", "program.py", cwd=tmp_path) == plain
    assert plain.code == 1 and plain.out.startswith("first")


def test_tensorflow_that_is_repaired_and_imported_again(tmp_path: Path) -> None:
    write(tmp_path, "broken/tensorflow.py", "raise ImportError('first')")
    write(
        tmp_path,
        "program.py",
        """
        import sys
        sys.path.insert(0, "broken")
        try:
            import tensorflow
        except ImportError as error:
            print(error)
        sys.path.remove("broken")
        import tensorflow as tf
        print(tf.compat.v1.layers.batch_normalization.__module__)
        """,
    )
    ended = forked.under_run("--force", "program.py", cwd=tmp_path)
    assert ended.out.splitlines() == ["first", "tf1_bn._src.api.functional"], ended.err
