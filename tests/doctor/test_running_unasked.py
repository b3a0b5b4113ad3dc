"""The warning that nobody asked for: heard where no run moves the averages, and nowhere else."""

from __future__ import annotations

import gc
import warnings
import weakref
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import pytest

import tf1_bn
from tests.conftest import make_session
from tests.doctor import zoo
from tf1_bn._src.call.calls import listeners, on_call
from tf1_bn._src.doctor.running import unasked
from tf1_bn._src.runtime.tensorflow_v1 import tf

LAYER = tf1_bn.batch_normalization
HEARD = ("updates_forgotten", "updates_forgotten_beside_evaluation", "collected_before_all")


@pytest.fixture(autouse=True)
def graph() -> Iterator[Any]:
    with tf.Graph().as_default() as graph:
        yield graph


def feeds(graph: Any) -> dict[Any, Any]:
    """Something for each placeholder, and True for each phase."""
    random, fed = np.random.RandomState(0), {}
    for op in graph.get_operations():
        tensor = op.outputs[0] if op.type.startswith("Placeholder") else None
        # A Saver's are strings, and have what they need.
        if tensor is not None and tensor.dtype in (tf.bool, tf.float32):
            shape = [size or 4 for size in tensor.shape.as_list()]
            fed[tensor] = True if tensor.dtype == tf.bool else random.normal(size=shape)
    return fed


def warned(session: Any, *fetches: Any, feed_dict: Any = None) -> list[list[str]]:
    """What is said at each run."""
    fed = feeds(session.graph) if feed_dict is None else feed_dict
    said = []
    for each in fetches:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            session.run(each, fed)
        assert all(Path(one.filename).name == Path(__file__).name for one in caught)
        said.append([str(one.message) for one in caught])
    return said


def started() -> Any:
    session = make_session()
    session.run(tf.global_variables_initializer())
    return session


@pytest.mark.parametrize("name", HEARD)
def test_it_comes_at_the_second_run_that_trains_and_once(name: str, graph: Any) -> None:
    train_op = zoo.BROKEN[name][0](LAYER)["train_op"]
    with started() as session:
        first, second, *later = warned(session, *[train_op] * 5)
    assert (first, later) == ([], [[], [], []])
    (text,) = second
    assert text.startswith("bn1, bn2 are trained, and no session run so far can move ")
    assert not unasked.is_watched(graph)


def test_it_names_the_layer_that_was_collected_too_early() -> None:
    train_op = zoo.collected_before_the_last(LAYER)["train_op"]
    with started() as session:
        _, (text,) = warned(session, train_op, train_op)
    assert text.startswith("second is trained, ")


@pytest.mark.parametrize(
    "name",
    [
        # The classic one stands for all in the quick tests.
        pytest.param(name, marks=[] if name == "classic" else [pytest.mark.slow])
        for name in zoo.CORRECT
    ],
)
def test_no_correct_program_hears_it(name: str, graph: Any) -> None:
    program = zoo.CORRECT[name](LAYER)
    fetches = [each for key, each in program.items() if key in ("train_op", "loss", "outputs")]
    fetches += graph.get_collection(tf.GraphKeys.TRAIN_OP)
    with started() as session:
        if name in ("channels_first", "transposed"):
            # No CPU runs their gradients; this is what a session asks before it tries.
            assert all(graph.is_fetchable(op) for op in fetches * 3)
        else:
            assert sum(warned(session, *fetches * 3), []) == []


def test_a_correct_step_leaves_the_graph_as_it_was(graph: Any) -> None:
    train_op = zoo.classic(LAYER)["train_op"]
    assert unasked.is_watched(graph)
    with started() as session:
        assert warned(session, train_op) == [[]]
    assert not unasked.is_watched(graph)


def test_updates_in_a_run_of_their_own() -> None:
    train_op = zoo.updates_forgotten(LAYER)["train_op"]
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    with started() as session:
        assert sum(warned(session, *[train_op, updates] * 3), []) == []


def test_updates_beside_the_step_and_behind_it_in_the_list() -> None:
    train_op = zoo.updates_forgotten(LAYER)["train_op"]
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    with started() as session:
        assert sum(warned(session, *[{"a": train_op, "b": updates}] * 3), []) == []


def test_a_group_of_updates_is_there_to_be_run() -> None:
    """Behind each tenth step, say."""
    train_op = zoo.updates_forgotten(LAYER)["train_op"]
    tf.group(*tf.get_collection(tf.GraphKeys.UPDATE_OPS))
    with started() as session:
        assert sum(warned(session, *[train_op] * 3), []) == []


def test_a_step_that_was_first_run_within_a_larger_one() -> None:
    train_op = zoo.updates_forgotten(LAYER)["train_op"]
    larger = tf.group(train_op)
    with started() as session:
        assert list(map(len, warned(session, larger, train_op, larger))) == [0, 0, 1]


def test_statistics_that_are_loaded_are_as_somebody_wants_them(tmp_path: Path) -> None:
    train_op = zoo.updates_forgotten(LAYER)["train_op"]
    saver = tf.train.Saver()
    with started() as session:
        path = saver.save(session, str(tmp_path / "model"))
        saver.restore(session, path)
        assert sum(warned(session, *[train_op] * 3), []) == []


def test_statistics_that_are_fed_to_their_initializers() -> None:
    train_op = zoo.updates_forgotten(LAYER)["train_op"]
    with started() as session:
        for variable in tf.global_variables():
            if "moving" in variable.name:
                value = np.full(variable.shape, 2.0)
                session.run(variable.initializer, {variable.initializer.inputs[1]: value})
        assert sum(warned(session, *[train_op] * 3), []) == []


def test_statistics_that_begin_as_numbers_somebody_knows() -> None:
    known = tf.constant_initializer([0.5, 2.0, 1.0, -1.0])
    x, training = tf.placeholder(tf.float32, [None, 4]), zoo.phase()
    y = LAYER(x, training=training, name="bn", moving_mean_initializer=known)
    train_op = zoo.minimized(zoo.loss_of(y))
    with started() as session:
        assert sum(warned(session, *[train_op] * 3), []) == []


def test_what_was_restored_stays_known_when_more_is_built(tmp_path: Path, graph: Any) -> None:
    """A head of its own, on what another program has trained."""
    outputs = zoo.net(LAYER, zoo.phase())
    saver = tf.train.Saver()
    with started() as session:
        saver.restore(session, saver.save(session, str(tmp_path / "model")))
        assert not unasked.is_watched(graph)
        head = LAYER(zoo.dense(outputs, 4, "hidden"), training=zoo.phase(), name="bn3")
        updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)[-2:]
        train_op = [zoo.minimized(zoo.loss_of(head)), updates]
        session.run(tf.variables_initializer(tf.global_variables("hidden|bn3")))
        assert unasked.is_watched(graph)
        assert sum(warned(session, *[train_op] * 3), []) == []


def test_it_is_said_once_though_more_is_built() -> None:
    train_op = zoo.updates_forgotten(LAYER)["train_op"]
    with started() as session:
        assert list(map(len, warned(session, *[train_op] * 3))) == [0, 1, 0]
        LAYER(tf.zeros([2, 3]), training=zoo.phase(), name="later")
        assert sum(warned(session, *[train_op] * 3), []) == []


def test_what_our_own_code_asks_is_no_run() -> None:
    """Updates that a program has listed and then forgotten."""
    outputs = zoo.net(LAYER, zoo.phase())
    assert len(tf1_bn.update_ops_for(zoo.loss_of(outputs))) == 4
    train_op = zoo.minimized(zoo.loss_of(outputs))
    with started() as session:
        assert list(map(len, warned(session, *[train_op] * 3))) == [0, 1, 0]


def test_a_copy_that_follows_by_subtraction_is_no_step() -> None:
    """A target network in training, whose gamma and beta follow those of another one."""
    x, training = zoo.images(), zoo.phase()
    with tf.variable_scope("main"):
        value = zoo.net(LAYER, training, x)
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    with tf.variable_scope("target"):
        target = tf.stop_gradient(zoo.net(LAYER, training, x))
    main, late = tf.trainable_variables("main"), tf.trainable_variables("target")
    with tf.control_dependencies(updates):
        step = zoo.minimized(tf.reduce_mean(tf.square(value - target)), main)
    with tf.control_dependencies([step]):
        follows = [tf.assign_sub(old, 0.1 * (old - new)) for old, new in zip(late, main)]
    with started() as session:
        assert sum(warned(session, *[follows] * 3), []) == []


def test_a_step_that_a_program_makes_itself(graph: Any) -> None:
    loss, learned = zoo.loss_of(zoo.net(LAYER, zoo.phase())), tf.trainable_variables()
    pairs = zip(learned, tf.gradients(loss, learned))
    steps = [tf.assign_sub(variable, 0.1 * gradient) for variable, gradient in pairs]
    with started() as session:
        assert len(sum(warned(session, *[steps] * 3), [])) == 1


def test_a_mistake_of_ours_stops_no_run(graph: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(graph: Any) -> Any:
        raise KeyError("no such op")

    train_op = zoo.updates_forgotten(LAYER)["train_op"]
    monkeypatch.setattr(unasked, "_layers", fails)
    with started() as session:
        assert sum(warned(session, *[train_op] * 3), []) == []
    assert not unasked.is_watched(graph)


def test_a_step_of_others_through_a_layer() -> None:
    """The generator is pretrained; the discriminator's step will move its own statistics."""
    parts = zoo._gan(LAYER, zoo.phase())
    step = zoo.with_updates(parts["g_loss"], parts["g"], "generator")
    other = zoo.minimized(parts["d_loss"], parts["d"])
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS, ".*discriminator")
    with started() as session:
        assert sum(warned(session, step, step, step, [other, updates]), []) == []


def test_statistics_on_a_parameter_server_may_be_moved_by_others() -> None:
    with tf.device("/job:ps"):
        train_op = zoo.updates_forgotten(LAYER)["train_op"]
    fetched = unasked._Fetches(tf.get_default_graph())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(fetched(train_op) for _ in range(3))


def test_a_filter_can_make_it_an_error_before_anything_runs() -> None:
    train_op = zoo.updates_forgotten(LAYER)["train_op"]
    kernel = tf.trainable_variables()[0]
    with started() as session:
        session.run(train_op, feeds(session.graph))
        before = session.run(kernel)
        with pytest.raises(UserWarning, match="TF1_BN_WARN_UNREACHED=0"):
            session.run(train_op, feeds(session.graph))
        np.testing.assert_array_equal(session.run(kernel), before)


def test_it_keeps_no_graph_alive() -> None:
    with tf.Graph().as_default() as graph:
        train_op = zoo.updates_forgotten(LAYER)["train_op"]
        with started() as session:
            assert warned(session, train_op) == [[]] and unasked.is_watched(graph)
    gone = weakref.ref(graph)
    del graph, train_op, session
    gc.collect()
    assert gone() is None


def test_it_is_left_to_those_who_report(graph: Any) -> None:
    with on_call(lambda *_: lambda *_: None):
        zoo.updates_forgotten(LAYER)
    assert not unasked.is_watched(graph)


def test_the_environment_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unasked, "listeners", [])
    monkeypatch.setenv("TF1_BN_WARN_UNREACHED", "0")
    unasked.begin()
    assert unasked.listeners == []
    monkeypatch.setenv("TF1_BN_WARN_UNREACHED", "1")
    unasked.begin()
    unasked.begin()
    assert unasked.listeners == [unasked._heard]
    # Who uses the layer has it on.
    assert unasked._heard in listeners
