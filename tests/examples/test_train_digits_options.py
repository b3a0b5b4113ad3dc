"""Each option of the main job: what it changes, mistakes, the plot, a terminal and Ctrl-C."""

from __future__ import annotations

import importlib.util
import os
import pty
import signal
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import tensorflow
from tests.examples import bounds
from tests.examples.support import (
    TIME_LIMIT,
    Finished,
    command,
    environment,
    files_in,
    numbers_after,
    run_anew,
    run_example,
    run_many,
    succeed,
)

SCRIPT = "train_digits.py"
SHORT = ("--epochs", 3, "--momentum", 0.9)
QUICK = ("--epochs", 1, "--batch-size", 256)  # five steps, where accuracy does not matter


@pytest.fixture(scope="module")
def short_run(tmp_path_factory) -> tuple[Finished, Path]:
    folder = tmp_path_factory.mktemp("short_run")
    return succeed(folder, SCRIPT, *SHORT, "--checkpoint-dir", "deep/kept"), folder


def test_forgotten_updates_spoil_inference_only(tmp_path):
    finished = succeed(tmp_path, SCRIPT, "--forget-updates", *SHORT)
    in_training, in_inference = numbers_after("held-out images (359)", finished.out)
    assert in_training > bounds.DIGITS_SHORT
    assert in_inference < bounds.DIGITS_FORGOTTEN
    assert "UPDATE_OPS was never run" in finished.out
    (anew,) = numbers_after("tf1_bn.recalibrate, from 1438 images:", finished.out)
    assert anew > bounds.DIGITS_SHORT


def test_short_run_reaches_inference_mode_too(short_run):
    finished, _ = short_run
    assert min(numbers_after("held-out images (359)", finished.out)) > bounds.DIGITS_SHORT
    assert "UPDATE_OPS was never run" not in finished.out


def test_checkpoint_is_kept_where_asked(short_run):
    finished, folder = short_run
    assert files_in(folder) == {
        "deep",
        "deep/kept",
        "deep/kept/checkpoint",
        "deep/kept/digits.ckpt.data-00000-of-00001",
        "deep/kept/digits.ckpt.index",
        "deep/kept/digits.ckpt.meta",
    }
    assert "checkpoint: deep/kept/digits.ckpt" in finished.out
    tf = tensorflow()
    reader = tf.train.load_checkpoint(str(folder / "deep" / "kept"))
    shapes = reader.get_variable_to_shape_map()
    for layer, channels in (("conv1", 32), ("conv2", 64), ("conv3", 128)):
        for name, initial in (("moving_mean", 0.0), ("moving_variance", 1.0)):
            key = f"{layer}/batch_normalization/{name}"
            assert shapes[key] == [channels]
            assert np.all(reader.get_tensor(key) != initial), f"{key} never moved"


def test_checkpoint_directory_may_exist_and_keep_other_files(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    succeed(tmp_path, SCRIPT, *QUICK, "--checkpoint-dir", tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert "digits.ckpt.index" in files_in(tmp_path)
    assert not [name for name in files_in(tmp_path) if "partial" in name]


def test_same_seed_same_images_other_seed_other_start(tmp_path):
    runs = run_many(tmp_path, [[SCRIPT, *QUICK, "--seed", seed] for seed in (0, 0, 1)])
    first, again, other = (run.err.split("loss ")[1].split(",")[0] for run in runs)
    assert first == again != other


def test_last_fifth_is_another_split(tmp_path, short_run):
    other = succeed(tmp_path, SCRIPT, *SHORT, "--held-out", "last-fifth")
    label = "held-out images (359)"
    assert numbers_after(label, other.out) != numbers_after(label, short_run[0].out)
    assert min(numbers_after(label, other.out)) > bounds.DIGITS_SHORT_LAST_FIFTH


# --- mistakes -------------------------------------------------------------------------------------

BAD_LINES = [
    (["--epochs", "0"], "argument --epochs: expected a whole number from 1 to 10000, got '0'"),
    (["--epochs", "ten"], "argument --epochs: expected a whole number from 1 to 10000, got 'ten'"),
    (["--epochs", "1.5"], "got '1.5'"),
    (["--batch-size", "1"], "argument --batch-size: expected a whole number from 2 to 1438"),
    (["--batch-size", "1439"], "got '1439'"),
    (["--seed", "-1"], "argument --seed: expected a whole number from 0 to 2147483647, got '-1'"),
    (["--momentum", "1"], "argument --momentum: expected a number from 0 to below 1, got '1'"),
    (["--momentum", "nan"], "got 'nan'"),
    (["--held-out", "random"], "invalid choice: 'random'"),
    (["--checkpoint-dir", "/dev/null/x"], "cannot create the directory /dev/null/x"),
    (["--checkpoint-dir", "/dev/null"], "cannot create the directory /dev/null"),
    (["--no-such-option"], "unrecognized arguments: --no-such-option"),
    (["digits"], "unrecognized arguments: digits"),
]


@pytest.fixture(scope="module")
def bad_results(tmp_path_factory) -> dict[str, Finished]:
    folder = tmp_path_factory.mktemp("bad")
    results = run_many(folder, [[SCRIPT, *line] for line, _ in BAD_LINES])
    assert files_in(folder) == set()
    return {" ".join(line): result for (line, _), result in zip(BAD_LINES, results)}


@pytest.mark.parametrize(
    "line, message", [(" ".join(line), message) for line, message in BAD_LINES]
)
def test_wrong_argument_is_named(bad_results, line, message):
    result = bad_results[line]
    assert result.code == 2
    assert message in result.err
    assert result.out == "" and "Traceback" not in result.err and "epoch 1" not in result.err


def test_exit_code_of_a_wrong_argument(tmp_path):
    finished = run_example(tmp_path, SCRIPT, "--epochs", "0")
    assert finished.code == 2 and finished.out == ""


def stand_in(folder: Path, name: str, text: str) -> Path:
    """Makes a package `name` with this text, to be put before the real one."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(text)
    return folder


def test_plot_without_matplotlib_says_what_to_install(tmp_path):
    fake = stand_in(tmp_path / "fake", "matplotlib", "raise ImportError('not here')")
    work = tmp_path / "work"
    work.mkdir()
    finished = run_anew(work, SCRIPT, "--plot", "out.png", first_on_path=[fake])
    assert finished.code == 2
    assert "--plot needs matplotlib: pip install -e '.[plot]'" in finished.err
    assert "epoch 1" not in finished.err and "Traceback" not in finished.err
    assert files_in(work) == set()


def test_missing_tensorflow_is_one_clear_sentence(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as util\n"
        "real = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'tensorflow' else real(name, *rest)\n"
    )
    finished = run_anew(tmp_path, SCRIPT, first_on_path=[tmp_path])
    assert finished.code == 1
    assert finished.err.strip() == "The examples need TensorFlow: pip install -e '.[tensorflow]'"


# --- the plot -------------------------------------------------------------------------------------

needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib is an optional extra"
)


@needs_matplotlib
def test_plot_is_a_picture(tmp_path):
    finished = succeed(tmp_path, SCRIPT, *QUICK, "--plot", "out.png")
    assert files_in(tmp_path) == {"out.png"}
    assert "plot: out.png" in finished.out
    data = (tmp_path / "out.png").read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n") and data.endswith(b"IEND\xaeB`\x82")
    assert struct.unpack(">II", data[16:24]) == (1200, 360)


@needs_matplotlib
def test_plot_that_cannot_be_written_is_refused_first(tmp_path):
    expected = {
        "out.xyz": "the name must end in one of",
        "out": "the name must end in one of",
        "missing/out.png": "not a file in an existing directory",
    }
    results = run_many(tmp_path, [[SCRIPT, "--plot", name] for name in expected])
    for (name, message), result in zip(expected.items(), results):
        assert result.code == 2 and message in result.err and name in result.err
        assert "epoch 1" not in result.err
    assert files_in(tmp_path) == set()


# --- terminal and Ctrl-C --------------------------------------------------------------------------


def test_progress_bar_on_a_terminal(tmp_path):
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        command(SCRIPT, *QUICK),
        cwd=str(tmp_path),
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=follower,
    )
    os.close(follower)
    received = b""
    while True:
        try:
            chunk = os.read(leader, 4096)
        except OSError:  # Linux reports the closed end of a terminal as an error
            break
        if not chunk:
            break
        received += chunk
    os.close(leader)
    assert process.wait(timeout=TIME_LIMIT) == 0
    drawn = [part for part in received.decode().split("\r\033[K") if part.startswith("[")]
    assert drawn[0].split("  ")[0].endswith("/5")
    assert drawn[-1].startswith("[" + 30 * "#" + "] 5/5")


def interruptible(arguments: list[str], folder: Path, *fakes: Path) -> subprocess.Popen:
    return subprocess.Popen(
        arguments,
        cwd=str(folder),
        env=environment(*fakes),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        # A test run in the background has Ctrl-C switched off, which children would inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_ctrl_c_while_training_leaves_nothing(tmp_path):
    process = interruptible(
        command(SCRIPT, "--epochs", 10000, "--checkpoint-dir", "new/folder"), tmp_path
    )
    line = ""
    while not line.startswith("epoch 1/"):
        line = process.stderr.readline()
        assert line, "the process ended before its first epoch"
    assert files_in(tmp_path) == {"new", "new/folder"}
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=TIME_LIMIT)
    assert process.returncode == 130
    assert out == "" and err.endswith("interrupted\n") and "Traceback" not in err
    assert files_in(tmp_path) == set()


def test_ctrl_c_while_tensorflow_is_imported(tmp_path):
    slow = "import time\nprint('importing', flush=True)\ntime.sleep(60)\n"
    fake = stand_in(tmp_path / "fake", "tensorflow", slow)
    process = interruptible(command(SCRIPT), tmp_path, fake)
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=TIME_LIMIT)
    assert process.returncode == 130 and out == "" and err == ""
