"""Programs of the zoo that are run: what is said at their end."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import pytest

import tf1_bn
from tests.doctor import zoo
from tf1_bn._src.doctor.programs.attending import Attending
from tf1_bn._src.runtime.tensorflow_v1 import tf

# What a program of the zoo leaves to somebody else, and a program that runs does.
RUNS_UPDATES = ("hook_that_groups",)
RESTORES = ("frozen_statistics", "teacher", "model_fn_in_evaluation")
# A run shows more than the graph.
CODES = {
    "training_forgotten": "BN101",
    "training_forgotten_once": "BN102",
    "updates_forgotten": "BN110",
    "updates_forgotten_beside_evaluation": "BN110",
    "updates_forgotten_of_one_graph_of_two": "BN301",
    "updates_forgotten_and_not_asked": "BN110",
    "collected_before_all": "BN112",
    "collected_before_the_last": "BN112",
    "inside_a_conditional": "BN302",
    "saver_of_trainable": "BN306",
    "last_axis_behind_channels_first": "BN307",
    "first_axis_behind_channels_last": "BN307",
    "shared_discriminator_over_all": "BN303",
    "validation_moves_the_statistics": "BN303",
    "frozen_in_training": "BN305",
    "one_example": "BN308",
    "momentum_the_other_way_round": "BN309",
}


@pytest.fixture
def doctor() -> Iterator[Attending]:
    started = Attending()
    started.start()
    yield started
    started.stop()


def value_of(placeholder: Any) -> Any:
    if placeholder.dtype == tf.bool:
        return True
    shape = [6 if size is None else size for size in placeholder.shape.as_list()]
    return np.asarray(np.random.RandomState(1).normal(2.0, 3.0, shape), np.float32)


def run(program: Any, name: str, folder: Path) -> None:
    """Build a program and do with it what its author would."""
    with tf.Graph().as_default() as graph:
        given = program(tf1_bn.batch_normalization)
        train_op = given.get("train_op", tf.get_collection(tf.GraphKeys.TRAIN_OP))
        ops = [op for op in graph.get_operations() if op.type.startswith("Placeholder")]
        # A Saver has one for the name of its file.
        fed = [op.outputs[0] for op in ops if op.outputs[0].dtype != tf.string]
        feeds = {each: value_of(each) for each in fed}
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            if name in RESTORES:
                saver = tf.train.Saver()
                saver.restore(session, saver.save(session, str(folder / "step")))
            # A CPU has no convolutions with the channels first; what is fetched is seen before.
            with contextlib.suppress(tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
                session.run(train_op, feeds)
                if name in RUNS_UPDATES:
                    session.run("run_update_ops", feeds)
                session.run(given.get("outputs", []), feeds)


@pytest.mark.parametrize("name", zoo.CORRECT)
def test_a_correct_program_hears_no_warning(name: str, doctor: Attending, tmp_path: Path) -> None:
    run(zoo.CORRECT[name], name, tmp_path)
    ended = doctor.ended()
    assert ended.findings.of("warning", "error") == (), str(ended.findings)
    assert ended.is_known and "\n".join(ended.facts).count(" by mistake ") == 0


@pytest.mark.filterwarnings("ignore:The update ops of 'bn' stand inside")
@pytest.mark.parametrize("name", CODES)
def test_a_broken_program_hears_its_code(name: str, doctor: Attending, tmp_path: Path) -> None:
    run(zoo.BROKEN[name][0], name, tmp_path)
    found = doctor.ended().findings
    assert CODES[name] in {each.code for each in found}, str(found)
    assert {each.code for each in found.of("warning", "error")} <= {CODES[name]}, str(found)
