"""What a program hears at its end, under `run`, `record` and `verify`, and their exit codes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import forked
from tests.forked import Ended
from tests.meta.project import ROOT

CLASSIC = Path(__file__).with_name("classic")
# Each script with the code that it hears.
CODES = {
    "training_forgotten": "BN101",
    "updates_forgotten": "BN110",
    "collected_too_early": "BN112",
    "saver_of_trainable": "BN306",
    "last_axis_behind_channels_first": "BN307",
    "gan_over_the_whole_collection": "BN303",
    "frozen_in_training": "BN305",
}


# Those of several losses and calls, each with what makes it short.
EXAMPLES = {"gan_shared_discriminator": ["--steps", "2"], "two_towers": ["--epochs", "1"]}
CORRECT = """\
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()


def biased(x):
    return tf.matmul(x, tf.get_variable("kernel", [4, 3])) + tf.get_variable("bias", [3])


x = tf.placeholder(tf.float32, [None, 4])
y = tf.layers.batch_normalization(x, training=True, name="bn")
with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
    train_op = tf.train.GradientDescentOptimizer(0.1).minimize(tf.reduce_mean(y**2))
with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    session.run(train_op, {x: np.random.normal(size=[8, 4])})
"""
# Its graph is gone when it ends.
FORGOTTEN = """\
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()


def train():
    with tf.Graph().as_default():
        x = tf.placeholder(tf.float32, [None, 4])
        training = tf.placeholder(tf.bool, [])
        y = tf.layers.batch_normalization(x, training=training, name="bn")
        train_op = tf.train.GradientDescentOptimizer(0.1).minimize(tf.reduce_mean(y**2))
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            session.run(train_op, {x: np.random.normal(size=[8, 4]), training: True})


train()
tf.reset_default_graph()
END
"""


def written(folder: Path, text: str, name: str = "train.py") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def heard(folder: Path, *command: str) -> Ended:
    """How a command ends in an empty folder of its own."""
    folder.mkdir()
    return forked.python("-m", "tf1_bn", *command, cwd=folder)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """Commands by words that say what they are; each with our layer in TensorFlow's place."""
    folder, files = tmp_path_factory.mktemp("heard"), tmp_path_factory.mktemp("files")
    recording = str(files / "r.npz")
    right = written(files, CORRECT, "right.py")
    wrong = written(files, FORGOTTEN.replace("END", ""), "wrong.py")
    failing = written(files, FORGOTTEN.replace("END", "1 / 0"), "failing.py")
    noted = written(files, CORRECT.replace("ization(x", "ization(biased(x)"), "noted.py")
    alone = written(files, "import tensorflow.compat.v1 as tf\n", "alone.py")
    run = ["run", "--force"]
    record = ["record", "--force", "-o", recording]
    commands = {
        **{name: [*run, "--check", str(CLASSIC / f"{name}.py")] for name in CODES},
        **{
            name: ["run", "--check", str(ROOT / "examples" / f"{name}.py"), *options]
            for name, options in EXAMPLES.items()
        },
        "right": [*run, "--check", right],
        "wrong": [*run, wrong],
        "wrong, checked": [*run, "--check", wrong],
        "wrong, in silence": [*run, "--no-report", wrong],
        "wrong, checked in silence": [*run, "--no-report", "--check", wrong],
        "failing": [*run, "--check", failing],
        "no layer": [*run, "--check", alone],
        "wrong, ignored": [*run, "--check", "--ignore", "BN304,BN110", wrong],
        "wrong, ignored in a recording": [*record, "--check", "--ignore", "BN110", wrong],
        "noted": [*run, noted],
        "noted, checked": [*run, "--check", noted],
        "noted, ignored": [*run, "--ignore=BN313", noted],
        "wrong, recorded and checked": [*record, "--check", wrong],
        "wrong, verified and checked": ["verify", "--check", recording, wrong],
        "wrong, ignored by verify": ["verify", "--check", "--ignore=BN110", recording, wrong],
        "verified without a script": ["verify", "--check", recording],
        "failing, recorded": [*record, "--check", failing],
    }
    return {name: heard(folder / f"{n}", *commands[name]) for n, name in enumerate(commands)}


def codes(said: str) -> list[str]:
    """The codes of the warnings that are told."""
    return re.findall(r"^tf1_bn: (BN\d+) (?:warning|error)", said, re.M)


def test_there_is_no_other_classic_mistake() -> None:
    assert {path.stem for path in CLASSIC.glob("*.py")} == set(CODES)


@pytest.mark.parametrize("name", CODES)
def test_a_classic_mistake_is_heard(name: str, ended: dict[str, Ended]) -> None:
    code, _, err = ended[name]
    assert (code, codes(err)) == (1, [CODES[name]])
    assert "Traceback" not in err
    assert len([line for line in err.splitlines() if line.startswith("tf1_bn: ")]) <= 6


@pytest.mark.parametrize("name", ["right", *EXAMPLES])
def test_what_is_correct_hears_one_line(name: str, ended: dict[str, Ended]) -> None:
    code, _, err = ended[name]
    said = [line for line in err.splitlines() if line.startswith("tf1_bn: ")]
    assert (code, len(said)) == (0, 1), err
    assert re.search(r"layers? \w+ built, and .* ran\.$", said[0])


@pytest.mark.parametrize(
    "name, code",
    [
        ("wrong", 0),
        ("wrong, checked", 1),
        ("wrong, recorded and checked", 1),
        ("wrong, verified and checked", 1),
    ],
)
def test_it_is_told_by_each_command(name: str, code: int, ended: dict[str, Ended]) -> None:
    assert ended[name].code == code, ended[name].err
    assert codes(ended[name].err) == ["BN110"]


@pytest.mark.parametrize(
    "name, code, said",
    [
        ("wrong, ignored", 0, []),
        ("wrong, ignored in a recording", 0, []),
        ("wrong, ignored by verify", 0, []),
    ],
)
def test_codes_that_are_ignored(
    name: str, code: int, said: list[str], ended: dict[str, Ended]
) -> None:
    assert (ended[name].code, codes(ended[name].err)) == (code, said), ended[name].err


def test_notes_take_a_line_until_they_are_asked_for(ended: dict[str, Ended]) -> None:
    for name, last in [
        ("noted", "tf1_bn: 1 note: BN313 (--check tells it)"),
        ("noted, checked", "tf1_bn: BN313 note: bn: a bias is added before, "),
        ("noted, ignored", "tf1_bn: 1 batch-norm layer was built, and its updates ran."),
    ]:
        lines = [line for line in ended[name].err.splitlines() if line.startswith("tf1_bn: ")]
        assert ended[name].code == 0 and lines[-1].startswith(last), lines
        assert len(lines) == (1 if "ignored" in name else 2)


def test_no_report_is_none(ended: dict[str, Ended]) -> None:
    assert (ended["wrong, in silence"].code, ended["wrong, checked in silence"].code) == (0, 1)
    said = ended["wrong, in silence"].err + ended["wrong, checked in silence"].err
    assert "tf1_bn: " not in said


def test_a_program_that_fails_is_not_judged(ended: dict[str, Ended]) -> None:
    """Nobody knows what it would have run."""
    for name in ("failing", "failing, recorded"):
        code, _, err = ended[name]
        assert code == 1 and "ZeroDivisionError" in err and codes(err) == []
    assert "before the error, 1 batch-norm layer was built" in ended["failing"].err


def test_where_there_is_nothing_to_check(ended: dict[str, Ended]) -> None:
    assert ended["no layer"].code == 2
    code, out, err = ended["verified without a script"]
    assert (code, out) == (2, "") and "--check needs a SCRIPT" in err
