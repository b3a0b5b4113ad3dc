"""The main job, run once as a reader runs it: what it prints of accuracy, state and progress."""

from __future__ import annotations

import pytest

from tests.examples import bounds
from tests.examples.support import Finished, files_in, numbers_after, run_anew

SCRIPT = "train_digits.py"


@pytest.fixture(scope="module")
def main_job(tmp_path_factory) -> Finished:
    folder = tmp_path_factory.mktemp("main_job")
    finished = run_anew(folder, SCRIPT)
    assert finished.code == 0, finished.err
    assert files_in(folder) == set(), "without options nothing is left behind"
    return finished


def test_accuracies_stand_side_by_side(main_job):
    in_training, in_inference = numbers_after("held-out images (359)", main_job.out)
    assert in_training > bounds.DIGITS_HELD_OUT
    assert in_inference > bounds.DIGITS_HELD_OUT
    trained = numbers_after("training images (1438)", main_job.out)
    assert len(trained) == 2 and min(trained) > bounds.DIGITS_TRAINING


def test_restored_checkpoint_gives_the_same_results(main_job):
    _, saved = numbers_after("held-out images (359)", main_job.out)
    (restored,) = numbers_after("held-out, restored                     -", main_job.out)
    assert restored == saved
    (difference,) = numbers_after("logits differ by", main_job.out)
    assert difference < bounds.RESTORED_LOGITS


def test_moving_statistics_have_converged(main_job):
    mean_error, variance_error = numbers_after(
        "moving statistics against all training images:", main_job.out
    )
    assert mean_error < bounds.DIGITS_MEAN_ERROR
    assert variance_error < bounds.DIGITS_VARIANCE_ERROR


def test_progress_is_plain_lines_on_stderr_without_a_terminal(main_job):
    lines = [line for line in main_job.err.splitlines() if line.startswith("epoch ")]
    assert [line.split(":")[0] for line in lines] == [f"epoch {n}/20" for n in range(1, 21)]
    assert "\r" not in main_job.err and "\033" not in main_job.err
    assert "epoch" not in main_job.out
    losses = [float(line.split("loss ")[1].split(",")[0]) for line in lines]
    assert losses[-1] < 0.1 * losses[0]
    # The table repeats the last epoch.
    table = numbers_after("held-out images (359)", main_job.out)
    assert numbers_after("held-out accuracy", lines[-1]) == table
