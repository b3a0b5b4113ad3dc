"""What `record` notes of a program, and that the program does not notice."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tf1_bn
from tests.conftest import tensorflow
from tests.testing.support import batch, new_session
from tf1_bn._src.proof.recording.sampling import choose
from tf1_bn._src.proof.structure import compare_program
from tf1_bn.testing import Call, Recording, compare_structure, load_recording, record, verify


def recorded(path: Path) -> Recording:
    return load_recording(str(path))


def train(bn: Any, steps: int = 5, shape: tuple = (6, 3), **kwargs: Any) -> Any:
    """A placeholder-phased layer, `steps` training runs and two of inference; the last output."""
    tf = tensorflow()
    x = tf.placeholder(tf.float32, [None, *shape[1:]], name="x")
    phase = tf.placeholder(tf.bool, [], name="phase")
    y = bn(x, training=phase, name="bn", **kwargs)
    loss = tf.reduce_mean(tf.square(y - 1.0))
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        step = tf.train.GradientDescentOptimizer(0.1).minimize(loss)
    with new_session() as session:
        for number in range(steps):
            session.run([loss, step], {x: batch(shape, number), phase: True})
        return [session.run(y, {x: batch(shape, n), phase: False}) for n in (7, 8)][-1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "recording.npz"


def the_call(path: Path) -> Call:
    (call,) = recorded(path).calls
    return call


def test_steps_hold_what_the_session_saw(path: Path) -> None:
    with record(str(path)):
        train(tf1_bn.batch_normalization, momentum=0.8)
    call = the_call(path)
    assert (call.name, call.kind, call.phase, call.dtype) == ("bn", "layer", "dynamic", "float32")
    assert (call.shape, call.sample, call.notes) == ([None, 3], None, [])
    assert (call.config["momentum"], call.config["axis"]) == (0.8, -1)
    assert call.wiring == {"runs": 7, "update_runs": 5}
    assert [s.training for s in call.steps] == [True, True, True, False]
    for number, step in enumerate(call.steps[:3]):
        x, before, after = step.arrays["input"], step.group("before"), step.group("after")
        np.testing.assert_array_equal(x, batch((6, 3), number))
        moved = 0.8 * before["moving_mean"] + 0.2 * x.mean(0)
        np.testing.assert_allclose(after["moving_mean"], moved, rtol=1e-5, atol=1e-6)
        hat = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3)
        expected = hat * before["gamma"] + before["beta"]
        np.testing.assert_allclose(step.arrays["output"], expected, rtol=1e-4, atol=1e-5)
    # The next run starts from where the last one, optimizer included, left the variables.
    first, second = call.steps[:2]
    np.testing.assert_array_equal(
        first.group("after")["moving_variance"], second.group("before")["moving_variance"]
    )
    assert (first.group("before")["beta"] != second.group("before")["beta"]).all()
    assert "alone/gradient of x" in first.arrays and "alone/after/moving_mean" not in first.arrays
    assert verify(str(path)).exit_code == 0


def test_the_program_computes_the_same_as_without(path: Path) -> None:
    tf = tensorflow()
    results, graphs = [], []
    for watched in (False, True):
        with tf.Graph().as_default() as graph:
            tf.set_random_seed(1)
            if watched:
                with record(str(path)):
                    results.append(train(tf1_bn.batch_normalization))
            else:
                results.append(train(tf1_bn.batch_normalization))
            graphs.append([op.name for op in graph.get_operations()])
    np.testing.assert_array_equal(*results)
    assert graphs[0] == graphs[1]


def test_every_hook_is_taken_away(path: Path) -> None:
    tf = tensorflow()
    owner = next(cls for cls in tf.Session.__mro__ if "run" in vars(cls))
    before = (owner.run, vars(tf1_bn.BatchNormalization)["__call__"])
    for error in (None, ZeroDivisionError):
        try:
            with record(str(path)):
                assert (owner.run, vars(tf1_bn.BatchNormalization)["__call__"]) != before
                if error is not None:
                    raise error
        except ZeroDivisionError:
            pass
        assert (owner.run, vars(tf1_bn.BatchNormalization)["__call__"]) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_a_block_that_fails_keeps_what_is_complete(error: Any, path: Path) -> None:
    with pytest.raises(error), record(str(path)) as recorder:
        train(tf1_bn.batch_normalization, steps=2)
        raise error
    assert recorder.written == str(path) and list(path.parent.iterdir()) == [path]
    call = the_call(path)
    assert [step.training for step in call.steps] == [True, True, False]
    assert all("alone/gradient of x" in step.arrays for step in call.steps)


def test_a_block_that_fails_without_a_step_writes_nothing(path: Path) -> None:
    with pytest.raises(ValueError), record(str(path)) as recorder:
        tf1_bn.batch_normalization(tensorflow().placeholder(tensorflow().float32, [None, 3]))
        raise ValueError
    assert recorder.recording is None and list(path.parent.iterdir()) == []


def test_an_older_recording_is_replaced_by_a_whole_one_only(path: Path) -> None:
    with record(str(path)):
        train(tf1_bn.batch_normalization)
    older, part = path.read_bytes(), Path(f"{path}.part")
    for fails in (True, False):
        graph, failure = tensorflow().Graph(), contextlib.suppress(ZeroDivisionError)
        with failure, graph.as_default(), record(str(path), steps=1):
            train(tf1_bn.batch_normalization)
            # Here a kill would leave it, too.
            assert len(the_call(part).steps) == 2 and path.read_bytes() == older
            assert not fails or 1 / 0
        assert part.exists() == fails
    with tensorflow().Graph().as_default(), record(str(path), steps=1):
        train(tf1_bn.batch_normalization)
        # As another process does that records to the same place.
        part.unlink()
    assert len(the_call(path).steps) == 2


def test_a_relative_path_is_of_the_folder_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with record("recording.npz") as recorder:
        monkeypatch.chdir(tmp_path / "elsewhere")
        train(tf1_bn.batch_normalization)
    assert len(the_call(tmp_path / "recording.npz").steps) == 4
    assert recorder.written == "recording.npz" and not list(Path().iterdir())


def test_what_is_recorded_so_far_is_on_disk(path: Path) -> None:
    """What stands there after a kill -9: the steps, though not yet the gradients."""
    tf = tensorflow()
    with record(str(path)):
        x = tf.placeholder(tf.float32, [None, 3])
        y = tf1_bn.batch_normalization(x, training=True)
        updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        with new_session() as session:
            assert not path.exists()
            session.run([y, updates], {x: batch((4, 3))})
            (step,) = the_call(path).steps
    assert "alone/gradient of x" not in step.arrays and "after/moving_mean" in step.arrays
    assert "alone/gradient of x" in the_call(path).steps[0].arrays


def test_a_recording_that_cannot_be_written_is_still_there(path: Path, capsys: Any) -> None:
    folder = path.parent / "gone"
    folder.mkdir()
    with pytest.raises(FileNotFoundError), record(str(folder / "r.npz")) as recorder:
        folder.rmdir()
        train(tf1_bn.batch_normalization)
    assert recorder.written is None and recorder.unwritten is not None
    assert recorder.recording is not None and len(recorder.recording.calls[0].steps) == 4
    assert capsys.readouterr().err.count("r.npz now, and tries again: No such file") == 1


def test_stop_when_done_ends_the_block(path: Path) -> None:
    tf = tensorflow()
    runs = []
    with record(str(path), steps=2, stop_when_done=True):
        x = tf.placeholder(tf.float32, [None, 3])
        y = tf1_bn.batch_normalization(x, training=True)
        updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        with new_session() as session:
            for number in range(100):
                session.run([y, updates], {x: batch((4, 3), number)})
                runs.append(number)
    assert runs == [0]
    assert len(the_call(path).steps) == 2


def stopped(path: Path, build: Any, runs: int = 100) -> int:
    """In how many runs `stop_when_done` stopped; `build` gives what one run fetches and feeds."""
    tf = tensorflow()
    done = []
    with record(str(path), steps=2, stop_when_done=True):
        fetches, feed = build(tf)
        with new_session() as session:
            for number in range(runs):
                done.append(number)
                session.run(fetches(number), feed)
    return len(done)


def test_stop_does_not_wait_for_inference_that_may_never_come(path: Path, capsys: Any) -> None:
    def build(tf: Any) -> Any:
        phase = tf.placeholder(tf.bool, [])
        x = tf.constant(batch((4, 3)))
        y = tf1_bn.batch_normalization(x, training=phase)
        tf1_bn.batch_normalization(y, training=False, name="evaluated")
        updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        return lambda number: [y, updates], {phase: True}

    assert stopped(path, build) == 2
    assert capsys.readouterr().err == ""


def test_stop_waits_for_inference_where_nothing_trains(path: Path) -> None:
    def build(tf: Any) -> Any:
        y = tf1_bn.batch_normalization(tf.constant(batch((4, 3))))
        return lambda number: y, {}

    assert stopped(path, build) == 1


def test_stop_says_once_what_it_waits_for(path: Path, capsys: Any) -> None:
    def build(tf: Any) -> Any:
        x = tf.constant(batch((4, 3)))
        y = tf1_bn.batch_normalization(x, training=True, name="used")
        tf1_bn.batch_normalization(x, training=True, name="unused")
        still = tf1_bn.batch_normalization(x, training=True, name="still")
        updates = [u for u in tf.get_collection(tf.GraphKeys.UPDATE_OPS) if "used" in u.name]
        return lambda number: [y, still, updates[:2]], {}

    assert stopped(path, build, 40) == 40
    told = "unused (no run has used it), still (no run has moved its averages)"
    assert capsys.readouterr().err == f"tf1_bn: not stopped yet, waiting for {told}\n"


def test_updates_that_never_run_are_told_and_replayed(path: Path) -> None:
    """The frequent mistake: the program's own statistics stand still, the layer's would not."""
    tf = tensorflow()
    with record(str(path)):
        x = tf.placeholder(tf.float32, [None, 3])
        y = tf1_bn.batch_normalization(x, training=True)
        with new_session() as session:
            for number in range(3):
                session.run(y, {x: batch((4, 3), number)})
    call = the_call(path)
    assert call.wiring == {"runs": 3, "update_runs": 0}
    (step,) = call.steps
    assert step.updates_run == 0 and "after/moving_mean" not in step.arrays
    assert (step.arrays["alone/after/moving_mean"] != step.arrays["before/moving_mean"]).all()
    assert verify(str(path)).exit_code == 0


def test_a_shared_layer_is_known_by_each_call_alone(path: Path) -> None:
    tf = tensorflow()
    with record(str(path)):
        x = tf.placeholder(tf.float32, [None, 3])
        layer = tf1_bn.BatchNormalization(name="shared")
        both = [layer(x, training=True), layer(3.0 * x, training=True), layer(x)]
        updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        with new_session() as session:
            # Here the third call reads averages that the others move meanwhile; then it does not.
            session.run([both, updates], {x: batch((4, 3), 1)})
            session.run(both[2], {x: batch((4, 3), 2)})
    calls = recorded(path).calls
    np.testing.assert_array_equal(calls[2].steps[0].arrays["input"], batch((4, 3), 2))
    assert [(c.name, c.phase) for c in calls] == [
        ("shared", "training"),
        ("shared", "training"),
        ("shared", "inference"),
    ]
    assert all("after/moving_mean" not in c.steps[0].arrays for c in calls)
    assert verify(str(path)).exit_code == 0


def test_a_call_that_always_races_is_listed(path: Path) -> None:
    tf = tensorflow()
    with record(str(path)):
        x = tf.placeholder(tf.float32, [None, 3])
        layer = tf1_bn.BatchNormalization(name="shared")
        both = [layer(x, training=True), layer(x)]
        updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        with new_session() as session:
            session.run([both, updates], {x: batch((4, 3))})
    trained, inferred = recorded(path).calls
    assert len(trained.steps) == 1 and inferred.steps == []
    assert inferred.notes[0].startswith("not recorded: every run that used it also moved")


def test_tensor_arguments_are_known_by_their_value(path: Path) -> None:
    tf = tensorflow()
    rmax = tf.placeholder_with_default(1.5, [])
    with record(str(path)):
        x = tf.placeholder(tf.float32, [None, 3])
        momentum = tf.placeholder(tf.float32, [])
        y = tf1_bn.batch_normalization(
            x, training=True, momentum=momentum, renorm=True, renorm_clipping={"rmax": rmax}
        )
        z = tf1_bn.batch_normalization(
            y, training=True, adjustment=lambda shape: (tf.random_uniform([shape[0], 1]), 0.5)
        )
        updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        with new_session() as session:
            for step in range(2):
                feed = {x: batch((4, 3), step), momentum: 0.5 + 0.25 * step, rmax: 1.0 + step}
                session.run([z, updates], feed)
    first, second = recorded(path).calls
    assert first.config["momentum"] == {"tensor": "momentum"}
    assert [s.arrays["value/momentum"].item() for s in first.steps] == [0.5, 0.75]
    assert [s.arrays["value/renorm_clipping/rmax"].item() for s in first.steps] == [1.0, 2.0]
    assert second.config["adjustment"] == {"tensor": "adjustment", "bias": 0.5}
    assert second.steps[0].arrays["value/adjustment/scale"].shape == (4, 1)
    report = verify(str(path))
    assert report.exit_code == 0, report.text()


@pytest.mark.parametrize(
    "kwargs, shape, axes",
    [
        ({}, (4, 3, 2, 40), 3),
        ({"axis": 1}, (5, 40, 3), 1),
        ({"axis": [1, 2]}, (6, 40, 3), 1),
        ({"virtual_batch_size": 2}, (6, 40), 1),
        ({"renorm": True}, (6, 40), 1),
    ],
)
def test_large_inputs_keep_some_channels(path: Path, kwargs: dict, shape: tuple, axes: int) -> None:
    with record(str(path), sample_bytes=int(np.prod(shape)) * 4 * 5 // 40):
        train(tf1_bn.batch_normalization, shape=shape, **kwargs)
    call = the_call(path)
    assert call.sample is not None
    assert (call.sample["axis"], call.sample["of"], len(call.sample["kept"])) == (axes, 40, 5)
    step = call.steps[1]
    np.testing.assert_array_equal(
        step.arrays["input"], np.take(batch(shape, 1), call.sample["kept"], axes)
    )
    assert step.arrays["before/gamma"].size < 40
    report = verify(str(path))
    assert report.exit_code == 0, report.text()


def test_sampling_never_leaves_out_rows() -> None:
    assert choose((6, 40), 4, [1], 960) is None
    sample = choose((6, 40), 4, [1], 959)
    assert sample is not None and len(sample.kept) == 39
    tiny = choose((1000, 3), 4, [1], 1)
    assert tiny is not None and tiny.kept == (0,)
    assert tiny.take(np.zeros((1000, 3)), 2).shape == (1000, 1)
    assert tiny.take(np.zeros(3), 2).shape == (1,)
    assert tiny.take(np.zeros(()), 2).shape == ()
    assert choose((1000,), 4, [], 1) is None


def test_the_total_is_bounded(path: Path) -> None:
    with record(str(path), total_bytes=600):
        train(tf1_bn.batch_normalization)
    call = the_call(path)
    assert 1 <= len(call.steps) < 4
    assert call.notes == ["some steps are left out: the recording would become too large"]


@pytest.mark.filterwarnings("ignore:The update ops of:UserWarning")
def test_calls_that_cannot_be_run_are_listed(path: Path) -> None:
    tf = tensorflow()
    with record(str(path)):
        x = tf.placeholder(tf.float32, [None, 3])
        flag = tf.placeholder(tf.bool, [])
        y = tf.cond(
            flag,
            lambda: tf1_bn.batch_normalization(x, training=True, name="inside"),
            lambda: x,
        )
        with new_session() as session:
            session.run(y, {x: batch((4, 3)), flag: True})
    call = the_call(path)
    assert call.steps == [] and call.notes[0].startswith("not recorded: it is inside a ")
    assert verify(str(path)).exit_code == 2


def test_an_input_that_is_an_array_is_listed(path: Path) -> None:
    with record(str(path)):
        y = tf1_bn.batch_normalization(batch((6, 3)), training=True, name="constant")
        with new_session() as session:
            session.run(y)
        train(tf1_bn.batch_normalization)
    constant, other = recorded(path).calls
    assert (constant.dtype, constant.shape, constant.steps) == ("float32", [6, 3], [])
    assert constant.notes == ["not recorded: its input is no tensor of the graph"]
    assert len(other.steps) == 4 and other.name == "bn"


def test_averages_that_move_with_the_output_are_listed(path: Path) -> None:
    tf = tensorflow()
    with record(str(path)):
        x = tf.placeholder(tf.float32, [None, 3])
        with tf1_bn.updates("in_place"):
            y = tf1_bn.batch_normalization(x, training=True)
        with new_session() as session:
            session.run(y, {x: batch((4, 3))})
    call = the_call(path)
    assert call.steps == []
    assert call.notes[0].startswith("not recorded: its averages move with its output")
    assert verify(str(path)).exit_code == 2


def test_monitored_sessions_and_finalized_graphs(path: Path) -> None:
    tf = tensorflow()
    with record(str(path)):
        x = tf.constant(batch((4, 3)))
        step = tf.train.get_or_create_global_step()
        y = tf1_bn.batch_normalization(x, training=True)
        loss = tf.reduce_mean(tf.square(y - 1.0))
        optimizer = tf.train.GradientDescentOptimizer(0.1)
        train_op = tf1_bn.minimize(optimizer, loss, global_step=step)
        hooks = [tf.train.StopAtStepHook(last_step=4)]
        with tf.train.MonitoredTrainingSession(hooks=hooks) as session:
            while not session.should_stop():
                session.run({"train": train_op, 3: loss})
    call = the_call(path)
    assert [s.training for s in call.steps] == [True, True, True]
    # `minimize` builds update ops of its own, so the layer's are replayed.
    assert call.wiring["runs"] == 4
    assert verify(str(path)).exit_code == 0


def test_contrib_is_recorded_by_its_final_arguments(path: Path) -> None:
    tf = tensorflow()
    with record(str(path)):
        x = tf.placeholder(tf.float32, [None, 3])
        y = tf1_bn.contrib.batch_norm(x, decay=0.9, updates_collections=None, scope="a/b")
        with new_session() as session:
            for number in range(2):
                session.run(y, {x: batch((4, 3), number)})
    call = the_call(path)
    assert (call.name, call.kind, call.config["decay"]) == ("a/b", "contrib", 0.9)
    assert [s.training for s in call.steps] == [True, True]
    assert "after/moving_mean" in call.steps[0].arrays
    assert verify(str(path)).exit_code == 0


@pytest.mark.tf_max("2.15", reason="it records the real tf.layers, lost with Keras 3")
@pytest.mark.parametrize("kwargs", [{}, {"renorm": True}, {"virtual_batch_size": 2}])
def test_the_real_layer_of_this_tensorflow(path: Path, kwargs: dict) -> None:
    with record(str(path)):
        train(tensorflow().layers.batch_normalization, **kwargs)
    call = the_call(path)
    assert call.notes == [] and len(call.steps) == 4
    report = verify(str(path))
    assert report.exit_code == 0, report.text()


@pytest.mark.tf_min("2.5", reason="rank 5 is fused from there on")
@pytest.mark.tf_max("2.15", reason="it records the real tf.layers, lost with Keras 3")
def test_a_reference_that_departs_from_1_15_is_named(path: Path) -> None:
    with record(str(path)):
        train(tensorflow().layers.batch_normalization, shape=(2, 3, 1, 2, 4))
    report = verify(str(path))
    assert report.exit_code == 1
    (cause,) = report.causes
    assert cause.startswith("the candidate computes as configured; the reference moves")
    assert "Bessel" in cause


def structure_of(path: Path, build: Any) -> Recording:
    tf = tensorflow()
    with tf.Graph().as_default(), record(str(path)):
        x = tf.placeholder(tf.float32, [None, 3])
        build(tf, x)
    return recorded(path)


@pytest.mark.parametrize(
    "change, aspects",
    [
        ({}, set()),
        ({"name": "other"}, {"call"}),
        ({"trainable": False}, {"trainable of bn/gamma", "number of update ops"}),
        ({"training": False}, {"phase", "number of update ops"}),
        ({"momentum": 0.9}, {"argument momentum"}),
        ({"axis": 1}, set()),
        ({"scale": False}, {"variable names, in order"}),
        ({"gamma_regularizer": lambda v: 0.1 * v[0]}, {"regularization losses"}),
    ],
)
def test_structures_are_compared(path: Path, change: dict, aspects: set) -> None:
    def build(**changes: Any) -> Any:
        arguments = {"training": True, "name": "bn", **changes}
        return lambda tf, x: tf1_bn.batch_normalization(x, **arguments)

    report = compare_structure(structure_of(path, build()), structure_of(path, build(**change)))
    rows = [row for section in report.sections for row in section.rows]
    found = {row.aspect for row in rows if row.verdict == "different"}
    assert report.exit_code == (1 if aspects else 0)
    assert aspects <= found


def test_a_program_that_ended_early_is_not_judged_by_what_it_lacks(path: Path) -> None:
    tf = tensorflow()

    def side(built: int, ran: bool) -> Recording:
        with tf.Graph().as_default(), record(str(path)):
            for number in range(built):
                x = tf.constant(batch((4, 3)))
                y = tf1_bn.batch_normalization(x, training=True, name=f"bn{number}")
            with new_session() as session:
                session.run([y, tf.get_collection(tf.GraphKeys.UPDATE_OPS)] if ran else y)
        return recorded(path)

    old, new = side(2, True), side(1, False)
    assert compare_structure(old, new).exit_code == 1
    ended, bn0, bn1 = compare_program(old, new, "the program ended with exit code 3")
    assert [part.verdict for part in (ended, bn0, bn1)] == ["not compared", "same", "not compared"]
    assert ended.rows[0].remark == "the program ended with exit code 3"
    assert [part.verdict for part in compare_program(old, old, "")] == ["same", "same"]
    assert len(compare_program(old, None, "the program was killed by SIGKILL")) == 3


def test_forgotten_updates_are_a_difference_with_a_cause(path: Path) -> None:
    tf = tensorflow()
    sides = []
    for consume in (True, False):
        with tf.Graph().as_default(), record(str(path)):
            x = tf.placeholder(tf.float32, [None, 3])
            y = tf1_bn.batch_normalization(x, training=True, name="bn")
            updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS) if consume else []
            with new_session() as session:
                session.run([y, updates], {x: batch((4, 3))})
        sides.append(recorded(path))
    assert compare_structure(sides[0], sides[0]).exit_code == 0
    report = compare_structure(*sides)
    assert report.exit_code == 1
    assert len(report.causes) == 1 and report.causes[0].startswith("the update ops are not run")


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ({"steps": 0}, ValueError, "`steps` must be at least 1"),
        ({"sample_bytes": 0}, ValueError, "`sample_bytes` must be positive"),
        ({"total_bytes": -1}, ValueError, "`total_bytes` must be positive"),
    ],
)
def test_limits_are_checked_first(path: Path, arguments: dict, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        record(str(path), **arguments)


def test_the_folder_must_exist_before_anything_runs(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="existing folder"):
        record(str(path / "deep" / "r.npz"))
