"""The short examples: the numbers they print."""

from __future__ import annotations

import pytest

from tests.examples import bounds
from tests.examples.support import EXAMPLES, Finished, numbers_after, run_many, succeed

SMALL = {
    "gan_shared_discriminator.py": "--steps",
    "ghost_batches.py": "--epochs",
    "mlp_placeholder.py": "--epochs",
    "renorm_schedule.py": "--steps",
    "two_towers.py": "--epochs",
}
HELPERS = {"digits_data.py", "example_support.py", "cluster_processes.py", "cluster_task.py"}


def test_every_example_is_known_here():
    scripts = {path.name for path in EXAMPLES.glob("*.py")}
    assert scripts == {"train_digits.py", "train_digits_cluster.py", *SMALL, *HELPERS}


def wrong_lines() -> list[tuple[list[str], tuple[str, ...]]]:
    """Command lines that must be refused, and the words that the refusal must contain."""
    lines: list[tuple[list[str], tuple[str, ...]]] = []
    for script, option in sorted(SMALL.items()):
        lines.append(([script, option, "0"], (option, "'0'")))
        lines.append(([script, "--seed", "x"], ("--seed", "'x'")))
        lines.append(([script, "--bogus"], ("unrecognized arguments: --bogus",)))
    impossible = ["ghost_batches.py", "--batch-size", "64", "--virtual-batch-size", "24"]
    lines.append((impossible, ("--virtual-batch-size must divide --batch-size 64, got 24",)))
    return lines


@pytest.fixture(scope="module")
def wrong_results(tmp_path_factory) -> dict[str, Finished]:
    lines = [line for line, _ in wrong_lines()]
    results = run_many(tmp_path_factory.mktemp("wrong"), lines)
    return {" ".join(line): result for line, result in zip(lines, results)}


@pytest.mark.parametrize(
    "line, words", [pytest.param(" ".join(a), w, id=" ".join(a)) for a, w in wrong_lines()]
)
def test_wrong_arguments(wrong_results, line, words):
    result = wrong_results[line]
    assert result.code == 2 and result.out == ""
    assert all(word in result.err for word in words)


def test_mlp(tmp_path):
    out = succeed(tmp_path, "mlp_placeholder.py").out
    for phase in ("training", "inference"):
        (accuracy,) = numbers_after(f"{phase} mode: held-out accuracy", out)
        assert accuracy > bounds.MLP_HELD_OUT
    (difference,) = numbers_after(
        "inference mode: logits of one image, alone and in a batch of 359, differ by", out
    )
    assert difference < bounds.MLP_INFERENCE_DIFFERENCE
    (difference,) = numbers_after(
        "training mode: logits of one image, alone and in a batch of 359, differ by", out
    )
    assert difference > bounds.MLP_TRAINING_DIFFERENCE


def test_two_towers(tmp_path):
    out = succeed(tmp_path, "two_towers.py").out
    assert numbers_after("shared by all:", out) == [8]
    assert "update ops: 4 of tower 0 (run), 4 of tower 1 (not run)" in out
    (error,) = numbers_after("first epoch of tower 0: off by", out)
    assert error < bounds.TOWERS_MOVING_MEAN
    (accuracy,) = numbers_after("held-out accuracy", out)
    assert accuracy > bounds.TOWERS_HELD_OUT


def test_gan_runs_each_loss_with_its_own_updates(tmp_path):
    out = succeed(tmp_path, "gan_shared_discriminator.py").out
    assert numbers_after("update ops in the graph:", out) == [4]
    assert "discriminator's loss: 4, same as by scope: True" in out
    assert "generator's loss: 2, same as by scope: True" in out
    assert "all update ops in the generator's step: TensorFlow demands real points" in out
    (error,) = numbers_after("1500 steps: off by", out)
    assert error < bounds.GAN_MOVING_MEAN
    for axis in (0, 1):
        real_mean, real_stddev, mean, stddev = numbers_after(f"axis {axis}: real", out)
        assert abs(mean - real_mean) < bounds.GAN_POINTS
        assert abs(stddev - real_stddev) < bounds.GAN_POINTS


def test_renorm_helps_where_batches_are_not_mixed(tmp_path):
    out = succeed(tmp_path, "renorm_schedule.py").out
    plain_training, plain_inference = numbers_after("plain batch norm", out)
    renorm_training, renorm_inference = numbers_after("with renorm", out)
    assert plain_training < bounds.RENORM_PLAIN_TRAINING
    assert renorm_training > bounds.RENORM_TRAINING
    assert renorm_inference > bounds.RENORM_INFERENCE
    assert renorm_inference > plain_inference + bounds.RENORM_GAIN
    assert numbers_after("limits at the end:", out) == [3.0, 5.0]


def test_ghost_batches(tmp_path):
    out = succeed(tmp_path, "ghost_batches.py", "--epochs", 30).out
    assert numbers_after("shape of the moving mean:", out) == [1, 1, 3]
    assert numbers_after("output against NumPy: off by", out)[0] < bounds.GHOST_OUTPUT
    assert numbers_after("moving mean against NumPy: off by", out)[0] < bounds.GHOST_MOVING_MEAN
    (plain,) = numbers_after("batches of 256: held-out accuracy", out)
    (ghosts,) = numbers_after("batches of 256 in ghosts of 16: held-out accuracy", out)
    assert min(plain, ghosts) > bounds.GHOST_HELD_OUT
