"""The warning that nobody asked for: heard where averages that no run moved are used."""

from __future__ import annotations

import gc
import warnings
import weakref
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import pytest

import tf1_bn
from tests.conftest import V2_MODE, make_session
from tests.doctor import zoo
from tf1_bn._src.call.calls import listeners, on_call
from tf1_bn._src.doctor.running import layers, unasked
from tf1_bn._src.runtime.tensorflow_v1 import tf

LAYER = tf1_bn.batch_normalization
ENOUGH = 10


@pytest.fixture(autouse=True)
def graph() -> Iterator[Any]:
    with tf.Graph().as_default() as graph:
        yield graph


def feeds(graph: Any, training: bool = True) -> dict[Any, Any]:
    """Something for each placeholder, and the phase."""
    random, fed = np.random.RandomState(0), {}
    for op in graph.get_operations():
        tensor = op.outputs[0] if op.type.startswith("Placeholder") else None
        # A Saver's are strings, and have what they need.
        if tensor is not None and tensor.dtype in (tf.bool, tf.float32):
            shape = [size or 4 for size in tensor.shape.as_list()]
            fed[tensor] = training if tensor.dtype == tf.bool else random.normal(size=shape)
    return fed


def said(session: Any, fetches: Any, feed_dict: Any = None, times: int = 1) -> list[str]:
    """What is said at so many runs, in training if nothing else is given."""
    fed = feeds(session.graph) if feed_dict is None else feed_dict
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(times):
            session.run(fetches, fed)
    assert all(Path(one.filename).name == Path(__file__).name for one in caught)
    return [str(one.message) for one in caught]


def said_in_inference(session: Any, fetches: Any) -> list[str]:
    return said(session, fetches, feeds(session.graph, training=False))


def averages() -> list[Any]:
    return [each for each in tf.global_variables() if "moving" in each.name]


def started() -> Any:
    session = make_session()
    session.run(tf.global_variables_initializer())
    return session


def forgetful(training: Any = None) -> tuple[Any, Any]:
    """A train op that waits for no updates, and the outputs."""
    outputs = zoo.net(LAYER, zoo.phase() if training is None else training)
    return zoo.minimized(zoo.loss_of(outputs)), outputs


def test_it_comes_where_the_averages_are_used_and_once(graph: Any) -> None:
    train_op, outputs = forgetful()
    with started() as session:
        assert said_in_inference(session, outputs) == []
        assert said(session, train_op, times=ENOUGH) == []
        (text,) = said_in_inference(session, outputs)
        assert text.startswith("bn1, bn2 are trained, and no session run so far has moved the mov")
        assert not unasked.is_watched(graph)
        assert said(session, train_op, times=ENOUGH) + said_in_inference(session, outputs) == []


def test_young_averages_are_nothing_to_warn_of() -> None:
    train_op, outputs = forgetful()
    with started() as session:
        for _ in range(ENOUGH - 1):
            assert said(session, train_op) + said_in_inference(session, outputs) == []


@pytest.mark.parametrize("others", [90, 100])
def test_so_many_fetches_are_looked_through_and_no_more(others: int) -> None:
    train_op, outputs = forgetful()
    constants = [tf.constant(1) for _ in range(others)]
    with started() as session:
        assert said(session, train_op, times=ENOUGH + 1) + said(session, constants) == []
        assert len(said_in_inference(session, outputs)) == (1 if others < 100 else 0)


def test_a_phase_of_its_own_for_each_copy() -> None:
    train_op, _ = forgetful(True)
    with tf.variable_scope(tf.get_variable_scope(), reuse=True):
        outputs = zoo.net(LAYER, False, reuse=True)
    with started() as session:
        assert said(session, train_op, times=ENOUGH) == []
        assert len(said(session, [outputs])) == 1


def test_it_names_the_layer_that_was_collected_too_early() -> None:
    program = zoo.collected_before_the_last(LAYER)
    (output,) = [each.outputs for each in layers.calls_of(tf.get_default_graph())][1:]
    with started() as session:
        assert said(session, program["train_op"], times=ENOUGH) == []
        (text,) = said_in_inference(session, output)
    assert text.startswith("second is trained, ")


@pytest.mark.parametrize("given", [{}, {"is_training:0": False}, {"is_training:0": np.array(0)}])
def test_the_phase_by_whatever_it_is_given(given: dict[str, Any], graph: Any) -> None:
    train_op, outputs = forgetful()
    with started() as session:
        fed = {key: value for key, value in feeds(graph).items() if value is not True}
        assert said(session, train_op, {**fed, "is_training:0": np.int32(1)}, ENOUGH) == []
        assert len(said(session, outputs, {**fed, **given})) == 1


def test_a_phase_that_is_turned_round() -> None:
    testing = tf.placeholder(tf.bool, [], "is_test")
    train_op, outputs = forgetful(tf.logical_not(testing))
    with started() as session:
        fed = feeds(session.graph)
        assert said(session, train_op, {**fed, testing: False}, ENOUGH) == []
        assert said(session, outputs, {**fed, testing: False}) == []
        assert len(said(session, outputs, {**fed, testing: True})) == 1


def test_a_phase_that_nobody_can_tell() -> None:
    mode = tf.placeholder_with_default("train", [], "mode")
    train_op, outputs = forgetful(tf.equal(mode, "train"))
    with started() as session:
        assert said(session, train_op, times=ENOUGH) == []
        assert said(session, outputs, {**feeds(session.graph), mode: "test"}) == []


def test_outputs_in_training_are_normalized_by_the_batch() -> None:
    train_op, outputs = forgetful()
    with started() as session:
        assert said(session, [train_op, outputs], times=ENOUGH) == []
        assert said(session, outputs, times=3) == []


def test_a_training_that_was_forgotten() -> None:
    train_op, _ = forgetful(False)
    with started() as session:
        assert said(session, train_op, times=ENOUGH) == []
        (text,) = said(session, train_op)
        assert text.startswith("bn1, bn2 are trained in inference, as `training` is False in each")
        assert said(session, train_op, times=ENOUGH) == []


@pytest.mark.parametrize(
    "name",
    [
        # The classic one stands for all in the quick tests.
        pytest.param(name, marks=[] if name == "classic" else [pytest.mark.slow])
        for name in zoo.CORRECT
    ],
)
def test_no_correct_program_hears_it(name: str, graph: Any, tmp_path: Path) -> None:
    program = zoo.CORRECT[name](LAYER)
    fetches = [each for key, each in program.items() if key in ("train_op", "loss", "outputs")]
    fetches += graph.get_collection(tf.GraphKeys.TRAIN_OP)
    # What its hook runs.
    fetches += [op for op in graph.get_operations() if op.name == "run_update_ops"]
    with started() as session:
        if name in ("channels_first", "transposed"):
            # No CPU runs their gradients; this is what a session asks before it tries.
            assert all(graph.is_fetchable(op) for op in fetches * ENOUGH)
            return
        if name == "frozen_statistics":
            saver = tf.train.Saver()
            saver.restore(session, saver.save(session, str(tmp_path / "model")))
        for _ in range(ENOUGH + 1):
            assert sum((said(session, each) for each in fetches), []) == []
        assert sum((said_in_inference(session, each) for each in fetches), []) == []


def test_a_correct_step_leaves_the_graph_as_it_was(graph: Any) -> None:
    train_op = zoo.classic(LAYER)["train_op"]
    assert unasked.is_watched(graph)
    with started() as session:
        assert said(session, train_op) == []
    assert not unasked.is_watched(graph)


@pytest.mark.parametrize("every", [1, 4])
def test_updates_in_a_run_of_their_own(every: int) -> None:
    train_op, outputs = forgetful()
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    with started() as session:
        for step in range(ENOUGH + 2):
            assert said(session, train_op) + said_in_inference(session, outputs) == []
            if step % every == every - 1:
                assert said(session, updates) == []


@pytest.mark.parametrize("behind", [False, True])
def test_updates_beside_the_outputs(behind: bool) -> None:
    train_op, outputs = forgetful()
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    with started() as session:
        assert said(session, train_op, times=ENOUGH) == []
        fetches = {"a": outputs, "b": updates} if behind else {"a": updates, "b": outputs}
        assert said_in_inference(session, fetches) == []
        assert said_in_inference(session, outputs) == []


def test_averages_that_are_measured_at_the_end() -> None:
    train_op, outputs = forgetful()
    with started() as session:
        assert said(session, train_op, times=ENOUGH + 5) == []
        fed = {key: value for key, value in feeds(session.graph).items() if value is not True}
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            tf1_bn.recalibrate(session, [fed, fed], progress=False)
        assert said_in_inference(session, outputs) == []


def test_a_run_in_parts() -> None:
    train_op, outputs = forgetful()
    with tf.control_dependencies([train_op]):
        trained = tf.constant(1)
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        moved = tf.constant(2)
    with started() as session, warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fed = feeds(session.graph, training=False)
        for _ in range(ENOUGH + 1):
            handle = session.partial_run_setup([outputs, trained, moved], list(fed))
            session.partial_run(handle, trained, fed)
            session.partial_run(handle, outputs)
            session.partial_run(handle, moved)


def test_the_whole_is_told_of_a_step_that_was_first_run_within_a_larger_one() -> None:
    train_op, outputs = forgetful()
    larger = tf.group(train_op)
    with started() as session:
        assert said(session, larger, times=ENOUGH) + said(session, train_op) == []
        assert len(said_in_inference(session, outputs)) == 1


def test_statistics_that_are_loaded_are_as_somebody_wants_them(tmp_path: Path) -> None:
    train_op, outputs = forgetful()
    saver = tf.train.Saver()
    with started() as session:
        path = saver.save(session, str(tmp_path / "model"))
        saver.restore(session, path)
        assert said(session, train_op, times=ENOUGH) + said_in_inference(session, outputs) == []


def test_statistics_that_are_fed_to_their_initializers() -> None:
    train_op, outputs = forgetful()
    with started() as session:
        for variable in tf.global_variables():
            if "moving" in variable.name:
                value = np.full(variable.shape, 2.0)
                session.run(variable.initializer, {variable.initializer.inputs[1]: value})
        assert said(session, train_op, times=ENOUGH) + said_in_inference(session, outputs) == []


def test_statistics_that_begin_as_numbers_somebody_knows() -> None:
    known = tf.constant_initializer([0.5, 2.0, 1.0, -1.0])
    x, training = tf.placeholder(tf.float32, [None, 4]), zoo.phase()
    y = LAYER(x, training=training, name="bn", moving_mean_initializer=known)
    train_op = zoo.minimized(zoo.loss_of(y))
    with started() as session:
        assert said(session, train_op, times=ENOUGH) + said_in_inference(session, y) == []


def test_statistics_that_begin_as_what_a_function_computes() -> None:
    def known(shape: Any, dtype: Any, partition_info: Any = None) -> Any:
        return tf.cast(tf.constant([0.5, 2.0, 1.0, -1.0], tf.float64), dtype)

    x = tf.placeholder(tf.float32, [None, 4])
    train_op = zoo.minimized(zoo.loss_of(LAYER(x, name="bn", moving_mean_initializer=known)))
    with started() as session:
        assert said(session, train_op, times=ENOUGH + 1) == []


def test_statistics_that_are_fed_to_all_initializers_at_once() -> None:
    train_op, _ = forgetful(False)
    with started() as session:
        given = {each.initializer.inputs[1]: np.full(each.shape, 2.0) for each in averages()}
        session.run(tf.global_variables_initializer(), given)
        assert said(session, train_op, times=ENOUGH + 1) == []


@pytest.mark.parametrize("by", ["scatter", "slice", "optimizer"])
def test_statistics_that_are_written_in_parts_or_by_an_optimizer(by: str) -> None:
    train_op, _ = forgetful(False)
    means = [each for each in averages() if "mean" in each.name]
    if by == "scatter":
        writes = [tf.scatter_update(each, [0, 1], [1.0, 2.0]) for each in means]
    elif by == "slice":
        writes = [each[:2].assign([1.0, 2.0]) for each in means]
    else:
        pairs = [(each - 1.0, each) for each in means]
        writes = [tf.train.GradientDescentOptimizer(0.1).apply_gradients(pairs)]
    with started() as session:
        session.run(writes)
        assert said(session, train_op, times=ENOUGH + 1) == []


def test_statistics_that_a_run_is_given() -> None:
    if V2_MODE:
        pytest.skip("what feeds a resource variable reaches no other read of it")
    train_op, outputs = forgetful()
    with started() as session:
        said(session, train_op, times=ENOUGH)
        fed = feeds(session.graph, training=False)
        given = {each: np.full(each.shape, 2.0) for each in averages()}
        assert said(session, outputs, {**fed, **given}) == []


@pytest.mark.parametrize("training", [True, False])
def test_feeds_in_a_tuple(training: bool, graph: Any) -> None:
    train_op, outputs = forgetful()
    with started() as session:
        said(session, train_op, times=ENOUGH)
        keys = tuple(feeds(graph))
        fed = {keys: tuple(feeds(graph, training).values())}
        assert len(said(session, outputs, fed)) == (not training)


def test_a_phase_that_comes_with_the_data() -> None:
    """Two outputs of one op, of which one is fed."""
    data = tf.data.Dataset.from_tensors((np.ones([4, 8, 6, 3], np.float32), True)).repeat()
    x, training = tf.data.make_one_shot_iterator(data).get_next()
    outputs = zoo.net(LAYER, training, x)
    train_op = zoo.minimized(zoo.loss_of(outputs))
    with started() as session:
        assert said(session, train_op, {}, ENOUGH) == []
        assert said(session, outputs, {x: np.zeros([4, 8, 6, 3])}) == []


def test_a_constant_that_was_looked_at_can_be_fed() -> None:
    testing = tf.constant(False)
    train_op, outputs = forgetful(tf.logical_not(tf.placeholder_with_default(testing, [])))
    with started() as session:
        fed = {key: value for key, value in feeds(session.graph).items() if value is not True}
        assert said(session, train_op, fed, ENOUGH + 2) == []
        assert len(said(session, outputs, {**fed, testing: True})) == 1


def test_a_layer_that_is_cut_off_by_a_feed() -> None:
    """What is drawn from a decoder; the encoder is not run."""
    x, training = tf.placeholder(tf.float32, [None, 4]), zoo.phase()
    code = LAYER(x, training=training, name="encoder") * 2.0
    outputs = LAYER(code, training=training, name="decoder")
    train_op = zoo.with_updates(zoo.loss_of(outputs), scope="decoder")
    with started() as session:
        assert said(session, train_op, times=ENOUGH) == []
        assert said(session, [code, outputs], {code: np.ones([4, 4]), training: False}) == []
        (text,) = said(session, outputs, {x: np.ones([4, 4])})
        assert text.startswith("encoder is trained, ")


def test_a_value_that_runs_the_session_when_it_is_asked_for() -> None:
    train_op, outputs = forgetful()
    true = tf.constant(True)
    with started() as session:

        class Lazy:
            def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
                return np.asarray(session.run(true), dtype)

        said(session, train_op, times=ENOUGH)
        lazy = {key: Lazy() if value is True else value for key, value in feeds(true.graph).items()}
        assert said(session, outputs, lazy) == []


def test_the_run_of_a_program_that_gives_the_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    train_op, outputs = forgetful()
    run = tf.Session.run

    def runs(self: Any, fetches: Any, feed_dict: Any = None) -> Any:
        return run(self, fetches, {**feeds(self.graph), **(feed_dict or {})})

    with started() as session:
        monkeypatch.setattr(tf.Session, "run", runs)
        assert said(session, train_op, {}, ENOUGH) + said(session, outputs, {}) == []
        assert len(said_in_inference(session, outputs)) == 1


def test_a_callable_is_not_judged_by_a_run_further_out() -> None:
    train_op, outputs = forgetful()
    with started() as session:

        class Calls:
            def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
                session.make_callable(outputs)
                return np.asarray(1.0, dtype)

        said(session, train_op, times=ENOUGH)
        other = tf.placeholder(tf.float32, [])
        given = {**feeds(session.graph, training=False), other: Calls()}
        assert said(session, other + 1.0, given) == []


def test_one_affine_for_statistics_of_two_domains() -> None:
    """Those of the second one are measured late; it was looked at before."""

    def shared(getter: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        last = name.split("/")[-1]
        return getter(last if last in ("gamma", "beta") else name, *args, **kwargs)

    x = tf.placeholder(tf.float32, [None, 4])
    with tf.variable_scope("", reuse=tf.AUTO_REUSE, custom_getter=shared):
        first = LAYER(x, training=True, name="first")
        second = LAYER(x, training=False, name="second")
    train_op = zoo.with_updates(zoo.loss_of(first))
    with started() as session:
        assert said(session, second) + said(session, train_op, times=ENOUGH + 1) == []


def test_a_method_of_its_own_stays() -> None:
    graph = tf.get_default_graph()
    graph.is_fetchable = own = lambda element: True
    forgetful()
    assert graph.is_fetchable is own


def test_layers_that_were_built_unwatched_are_left_alone(tmp_path: Path) -> None:
    with on_call(lambda *_: lambda *_: None):
        outputs = zoo.net(LAYER, False)
    saver = tf.train.Saver()
    with started() as session:
        saver.restore(session, saver.save(session, str(tmp_path / "model")))
        head = LAYER(outputs, training=zoo.phase(), name="head")
        train_op = zoo.with_updates(zoo.loss_of(head))
        session.run(tf.variables_initializer(tf.global_variables("head")))
        assert said(session, train_op, times=ENOUGH + 1) + said_in_inference(session, head) == []


@pytest.mark.parametrize("assign", [tf.assign, tf.assign_sub])
def test_initializers_by_themselves_load_nothing(assign: Any) -> None:
    """And steps that a program makes itself are steps."""
    outputs, learned = zoo.net(LAYER, zoo.phase()), tf.trainable_variables()
    pairs = zip(learned, tf.gradients(zoo.loss_of(outputs), learned))
    less = [(each, 0.1 * gradient) for each, gradient in pairs]
    steps = [assign(v, s if assign is tf.assign_sub else v - s) for v, s in less]
    with make_session() as session:
        for variable in tf.global_variables():
            session.run(variable.initializer)
        assert said(session, steps, times=ENOUGH) == []
        assert len(said_in_inference(session, outputs)) == 1


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
        assert said(session, train_op, times=ENOUGH) + said_in_inference(session, head) == []


def test_it_is_said_once_though_more_is_built() -> None:
    train_op, outputs = forgetful()
    with started() as session:
        said(session, train_op, times=ENOUGH)
        assert len(said_in_inference(session, outputs)) == 1
        LAYER(tf.zeros([2, 3]), training=zoo.phase(), name="later")
        assert said(session, train_op, times=ENOUGH) + said_in_inference(session, outputs) == []


def test_what_our_own_code_asks_is_no_run() -> None:
    """Updates that a program has listed and then forgotten."""
    train_op, outputs = forgetful()
    assert len(tf1_bn.update_ops_for(outputs)) == 4
    with started() as session:
        said(session, train_op, times=ENOUGH)
        assert len(said_in_inference(session, outputs)) == 1


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
        assert said(session, follows, times=ENOUGH) + said_in_inference(session, target) == []


def test_a_mistake_of_ours_stops_no_run(graph: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(graph: Any) -> Any:
        raise KeyError("no such op")

    train_op, outputs = forgetful()
    monkeypatch.setattr(unasked, "left_layers", fails)
    with started() as session:
        assert said(session, train_op, times=ENOUGH) + said_in_inference(session, outputs) == []
    assert not unasked.is_watched(graph)


def test_a_step_of_others_through_a_layer() -> None:
    """The generator is pretrained; the discriminator's step will move its own statistics."""
    training = zoo.phase()
    parts = zoo._gan(LAYER, training)
    step = zoo.with_updates(parts["g_loss"], parts["g"], "generator")
    with started() as session:
        assert said(session, step, times=ENOUGH) == []
        assert said_in_inference(session, parts["d_loss"]) == []


def test_statistics_on_a_parameter_server_may_be_moved_by_others() -> None:
    with tf.device("/job:ps"):
        forgetful()
    assert layers.left_layers(tf.get_default_graph()) == []


def test_a_filter_can_make_it_an_error_before_anything_runs() -> None:
    train_op, outputs = forgetful()
    counter = tf.get_variable("evaluations", [], initializer=tf.zeros_initializer())
    counts = tf.assign_add(counter, 1.0)
    with started() as session:
        said(session, train_op, times=ENOUGH)
        with pytest.raises(UserWarning, match="TF1_BN_WARN_UNREACHED=0"):
            session.run([counts, outputs], feeds(session.graph, training=False))
        assert session.run(counter) == 0.0


@pytest.mark.parametrize("name", ["updates_forgotten", "collected_before_all"])
def test_early_it_comes_at_the_second_run_that_trains(
    name: str, graph: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF1_BN_WARN_UNREACHED", "early")
    train_op = zoo.BROKEN[name][0](LAYER)["train_op"]
    with started() as session:
        assert said(session, train_op) == []
        (text,) = said(session, train_op)
        assert text.startswith("bn1, bn2 are trained, and no session run so far has moved ")
        assert said(session, train_op, times=3) == []
    assert not unasked.is_watched(graph)


@pytest.mark.parametrize("name", ["maml", "updates_forgotten_of_one_graph_of_two"])
def test_early_it_is_silent_where_nothing_reads_the_averages(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF1_BN_WARN_UNREACHED", "early")
    program = {
        **zoo.CORRECT,
        "updates_forgotten_of_one_graph_of_two": zoo.updates_forgotten_of_one_graph_of_two,
    }
    train_op = program[name](LAYER)["train_op"]
    with started() as session:
        assert said(session, train_op, times=3) == []


def test_it_keeps_no_graph_alive() -> None:
    with tf.Graph().as_default() as graph:
        train_op, outputs = forgetful()
        with started() as session:
            assert said(session, train_op, times=ENOUGH + 1) == [] and unasked.is_watched(graph)
    gone = weakref.ref(graph)
    del graph, train_op, outputs, session
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
