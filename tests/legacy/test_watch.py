"""What `run` reports at the end: the layers of all graphs, and whether their updates ran."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any, Callable, Iterator

import numpy as np
import pytest

import tf1_bn
from tests.conftest import make_session, tensorflow
from tests.graph.test_variable_kinds import staging
from tf1_bn import contrib
from tf1_bn._src.doctor.programs.attending import Attending

DATA = np.arange(12.0, dtype=np.float32).reshape(4, 3)


@pytest.fixture
def watch(fresh_graph: Any) -> Iterator[Attending]:
    started = Attending()
    started.start()
    yield started
    started.stop()


def report(doctor: Attending, until: str = "") -> tuple[list[str], list[str]]:
    """The facts, and a text for each finding."""
    ended = doctor.ended(until)
    return list(ended.facts), [str(each) for each in ended.findings]


def updates() -> list[Any]:
    tf = tensorflow()
    return list(tf.get_collection(tf.GraphKeys.UPDATE_OPS))


def descend(loss: Any) -> Any:
    return tensorflow().train.GradientDescentOptimizer(0.1)


def save_and_restore(session: Any, folder: Path) -> None:
    saver = tensorflow().train.Saver()
    saver.restore(session, saver.save(session, str(folder / "c")))


RUNS: dict[str, tuple[int, Callable[[Any, Any, Any], Any]]] = {
    "the loss": (0, lambda s, x, loss: s.run(loss, {x: DATA})),
    "all updates": (2, lambda s, x, loss: s.run([loss, updates()], {x: DATA})),
    "a nested variance": (0, lambda s, x, loss: s.run({"a": {"b": updates()[1]}}, {x: DATA})),
    "one mean": (1, lambda s, x, loss: s.run(updates()[0], {x: DATA})),
    "one mean by name": (1, lambda s, x, loss: s.run(updates()[2].name, {x: DATA})),
    "tf1_bn.minimize": (
        2,
        lambda s, x, loss: s.run(tf1_bn.minimize(descend(loss), loss), {x: DATA}),
    ),
    "plain minimize": (0, lambda s, x, loss: s.run(descend(loss).minimize(loss), {x: DATA})),
    "a callable": (2, lambda s, x, loss: s.make_callable(updates(), [x])(DATA)),
    "one after the other": (
        2,
        lambda s, x, loss: [s.run(loss, {x: DATA})] + [s.run(u, {x: DATA}) for u in updates()],
    ),
}


@pytest.mark.parametrize("training", ["constant", "placeholder"])
@pytest.mark.parametrize("name", sorted(RUNS))
def test_what_ran(name: str, training: str, watch: Attending) -> None:
    tf = tensorflow()
    updated, run = RUNS[name]
    flag = True if training == "constant" else tf.placeholder_with_default(True, [])
    x = tf.placeholder(tf.float32, [None, 3])
    y = tf1_bn.batch_normalization(x, training=flag, name="a")
    # Shifted, or the second mean, of what the first layer has centered, would stay 0.
    y = tf1_bn.batch_normalization(y + 1.0, training=flag, name="b")
    if "minimize" in name:
        # The calls of a shared layer are updated by ops of their own.
        y = tf1_bn.batch_normalization(y, training=flag, name="b", reuse=True)
    loss = tf.reduce_sum(tf.square(y))
    before = [v for v in tf.global_variables() if "moving_mean" in v.name]
    with make_session() as session:
        session.run(tf.global_variables_initializer())
        run(session, x, loss)
        moved = sum(bool((value != 0).any()) for value in session.run(before))
    # What is reported is what happened to the variables.
    assert moved == updated
    assert [state for _, state, _ in watch.watch.layers()].count("moved") == updated
    facts, mistakes = report(watch)
    said = {0: "; the updates of none ran.", 1: "; the updates of 1 ran."}
    ending = said.get(updated, ", and the updates of both ran.")
    assert facts[0] == f"2 batch-norm layers were built{ending}"
    # One that no run used is no mistake, nor is one whose graph nobody trains.
    assert len(mistakes) == (name == "plain minimize")


def test_restoring_is_no_update(watch: Attending, session: Any, tmp_path: Path) -> None:
    tf = tensorflow()
    tf1_bn.batch_normalization(tf.constant(DATA), training=True)
    session.run(tf.global_variables_initializer())
    save_and_restore(session, tmp_path)
    assert "the updates of the layer" not in "".join(report(watch)[0])
    assert watch.watch.layers() == [("batch_normalization", "unused", "")]


def test_no_layer(watch: Attending, session: Any) -> None:
    session.run(tensorflow().constant(1))
    assert report(watch)[0][0].startswith("no batch-norm layer of tf1_bn was built.")


@pytest.mark.parametrize("fetched", ["nothing", "the loss"])
def test_updates_in_place(fetched: str, watch: Attending, session: Any) -> None:
    tf = tensorflow()
    with tf1_bn.updates("in_place"):
        loss = tf.reduce_sum(tf1_bn.batch_normalization(tf.constant(DATA), training=True))
        tf1_bn.batch_normalization(tf.constant(DATA), training=False)
    session.run(tf.global_variables_initializer())
    if fetched == "the loss":
        session.run(loss)
    states = [state for _, state, _ in watch.watch.layers()]
    assert states == ["moved" if fetched == "the loss" else "unused", "no updates"]


def test_kernels(watch: Attending) -> None:
    tf = tensorflow()
    image, rows = tf.zeros([2, 5, 4, 3]), tf.zeros([2, 3])
    with tf.variable_scope("net"):
        for _ in range(2):
            tf1_bn.batch_normalization(image, training=True, name="conv_bn", reuse=tf.AUTO_REUSE)
    tf1_bn.batch_normalization(rows, fused=False, name="bn")
    layer = tf1_bn.BatchNormalization(name="last")
    layer(rows)

    assert watch.watch.kernels() == [
        ("layer", "training", "inference", "why"),
        ("net/conv_bn", "fused", "fused", "rank 4 with the channel axis last"),
        ("bn", "composed", "composed", "fused=False"),
        ("last", "composed", "composed", layer.kernel and layer.kernel.reason),
    ]


def test_variables_without_a_name(watch: Attending, session: Any) -> None:
    """Each layer is counted by the variable that its updates move."""
    tf = tensorflow()
    with tf.variable_scope("s", custom_getter=staging):
        for name in ("a", "b"):
            tf1_bn.batch_normalization(tf.constant(DATA), training=True, name=name)
        tf1_bn.batch_normalization(tf.constant(DATA), name="c")
    session.run(tf.global_variables_initializer())
    session.run(updates()[0])
    assert report(watch)[0][0] == (
        "3 batch-norm layers were built; the updates of 1 ran, and 1 has none."
    )


def test_inference_alone(watch: Attending) -> None:
    tf = tensorflow()
    for _ in range(2):
        tf1_bn.batch_normalization(tf.constant(DATA))
    assert report(watch) == (
        [
            "2 batch-norm layers were built; they have no updates to run (training or trainable "
            "was False)."
        ],
        [],
    )


def test_a_failed_layer_is_not_counted(watch: Attending) -> None:
    tf = tensorflow()
    with pytest.raises(ValueError):
        tf1_bn.batch_normalization(tf.constant(DATA), axis=7)
    assert report(watch)[0][0].startswith("no batch-norm layer of tf1_bn was built.")


def test_graphs_that_are_gone_count_and_are_not_kept(watch: Attending) -> None:
    tf = tensorflow()
    gone = []
    for number in range(3):
        with tf.Graph().as_default() as graph:
            tf1_bn.batch_normalization(tf.constant(DATA), training=True)
            with make_session(graph) as session:
                session.run(tf.global_variables_initializer())
                if number:
                    session.run(updates())
        gone.append(weakref.ref(graph))
    del graph, session
    gc.collect()
    assert [ref() for ref in gone] == [None] * 3
    assert report(watch)[0][0] == "3 batch-norm layers were built; the updates of 2 ran."


def test_stopped_it_leaves_nothing(fresh_graph: Any) -> None:
    from tensorflow.python.client import session as client

    def ours() -> list[Any]:
        return [dict(vars(cls)) for cls in tf1_bn.BatchNormalization.__mro__]

    handler, before = client._FetchHandler, ours()
    theirs = dict(vars(handler))
    watch = Attending()
    watch.start()
    # It listens to our own calls, and replaces nothing of ours.
    assert ours() == before and dict(vars(handler)) != theirs
    watch.stop()
    assert client._FetchHandler is handler and dict(vars(handler)) == theirs
    tf1_bn.batch_normalization(tensorflow().constant(DATA), training=True)
    assert report(watch)[0][0].startswith("no batch-norm layer of tf1_bn was built.")


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("collection", ["update_ops", None])
def test_contrib_counts(collection: str | None, rank: int, watch: Attending, session: Any) -> None:
    """However its statistics move: by ops of a collection, or with the output."""
    tf = tensorflow()
    inputs = tf.constant(DATA if rank == 2 else DATA[:, None])
    for training in (True, False):
        outputs = contrib.batch_norm(inputs, is_training=training, updates_collections=collection)
        if training:
            loss = outputs
    session.run(tf.global_variables_initializer())
    session.run(updates() if collection else loss)
    assert report(watch) == (
        ["2 batch-norm layers were built; the updates of 1 ran, and 1 has none."],
        [],
    )
    assert len(watch.watch.kernels()) == 3


def test_a_tensorflow_that_does_not_show_what_runs(
    monkeypatch: pytest.MonkeyPatch, fresh_graph: Any
) -> None:
    from tensorflow.python.client import session as client

    tf = tensorflow()
    watch = Attending()
    with monkeypatch.context() as patched:
        patched.delattr(client, "_FetchHandler")
        watch.start()
    tf1_bn.batch_normalization(tf.constant(DATA), training=True)
    watch.stop()
    assert report(watch) == (
        ["1 batch-norm layer was built; this TensorFlow does not show what session runs execute."],
        [],
    )


# -- mistakes: the state of each layer, and words of the sentence ---------------------------------


def net(training: Any = True, layers: int = 2, **named: Any) -> Any:
    tf = tensorflow()
    y = tf.get_variable("w", [4, 3]) + DATA
    for number in range(layers):
        y = tf1_bn.batch_normalization(y + 1.0, training=training, name=f"bn{number}", **named)
    return tf.reduce_sum(y * DATA)


def train(loss: Any, first: Any = (), feeds: Any = None) -> None:
    tf = tensorflow()
    with tf.control_dependencies(list(first)):
        step = descend(loss).minimize(loss)
    with make_session() as session:
        session.run(tf.global_variables_initializer())
        session.run([step, loss], feeds or {})


def forgotten_and_read() -> None:
    training = tensorflow().placeholder(bool, [])
    train(net(training), (), {training: True})


def collected_early(loss_of: Any = net) -> None:
    first = updates()
    train(loss_of(), first)


def collected_half_way() -> None:
    tf = tensorflow()
    loss = net(layers=1)
    first = updates()
    x = tf1_bn.batch_normalization(loss + DATA, training=True, name="late")
    train(tf.reduce_sum(x * DATA), first)


def collected_with_a_scope() -> None:
    loss = net()
    train(loss, tensorflow().get_collection("update_ops", "bn1"))


def collected_and_forgotten() -> None:
    loss = net()
    assert updates()
    train(loss)


def saved_meanwhile(folder: str) -> None:
    """A Saver reads every collection for its file; that is not the program's doing."""
    train(net())
    saved(folder)


def saved(folder: str) -> None:
    tf = tensorflow()
    with make_session() as session:
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, f"{folder}/c")


def flag(default: bool | None = False, fed: bool | None = None) -> None:
    tf = tensorflow()
    name = "is_training"
    training = (
        tf.placeholder(tf.bool, [], name)
        if default is None
        else tf.placeholder_with_default(default, [], name)
    )
    loss = net(training)
    train(loss, updates(), {} if fed is None else {training: fed})


def flag_of_a_number(fed: int, behind: bool = False) -> None:
    tf = tensorflow()
    phase = tf.placeholder_with_default(0, [], "phase")
    flag = tf.cast(phase, tf.bool)
    train(net(flag), updates(), {flag if behind else phase: fed})


def fine_tuned(folder: str) -> None:
    tf = tensorflow()
    loss = net(False)
    step = descend(loss).minimize(loss)
    with make_session() as session:
        session.run(tf.global_variables_initializer())
        save_and_restore(session, Path(folder))
        session.run(step)


def held_still(folder: str, waits: bool) -> None:
    """The statistics of a checkpoint, and a phase that stays False."""
    tf = tensorflow()
    loss = net(tf.placeholder_with_default(False, [], "is_training"))
    with tf.control_dependencies(updates() if waits else []):
        step = descend(loss).minimize(loss)
    with make_session() as session:
        session.run(tf.global_variables_initializer())
        save_and_restore(session, Path(folder))
        session.run(step)


def best_restored(folder: str, training: bool | None) -> None:
    """What is restored behind the training is what the training made."""
    tf = tensorflow()
    flag = tf.placeholder_with_default(False, [], "is_training") if training is None else training
    loss = net(flag)
    with tf.control_dependencies(updates()):
        step = descend(loss).minimize(loss)
    with make_session() as session:
        session.run(tf.global_variables_initializer())
        session.run(step)
        save_and_restore(session, Path(folder))
        session.run(loss)


def measured_behind(folder: str) -> None:
    """Trained without updates, and given the averages of all the data at the end."""
    tf = tensorflow()
    loss = net(tf.placeholder_with_default(True, []))
    step = descend(loss).minimize(loss)
    means = [v for v in tf.global_variables() if "moving_mean" in v.name]
    with make_session() as session:
        session.run(tf.global_variables_initializer())
        session.run(step)
        for variable in means:
            variable.load(np.full(variable.shape, 2.0), session)
    saved(folder)


def evaluated_beside() -> None:
    tf = tensorflow()
    with tf.variable_scope("m", reuse=tf.AUTO_REUSE):
        loss, evaluation = net(True), net(False)
    train(loss + 0.0 * evaluation, updates())


def evaluated(collection: Any, reads_updates: bool = False) -> None:
    """The script that evaluates builds what was trained, and feeds False."""
    tf = tensorflow()
    training = tf.placeholder(tf.bool, [])
    loss = contrib.batch_norm(net(training) + DATA, is_training=training)
    loss = contrib.batch_norm(loss + DATA, is_training=training, updates_collections=collection)
    with tf.control_dependencies(updates() if reads_updates else []):
        loss = tf.reduce_sum(loss)
    with make_session() as session:
        session.run(tf.global_variables_initializer())
        session.run(loss, {training: False})


def given_values(how: str) -> None:
    """Averages that a program sets, and trains through."""
    tf = tensorflow()
    known = {"moving_mean_initializer": tf.constant_initializer([1.0, 2.0, 3.0])}
    loss = net(False, **(known if how == "initializer" else {}))
    step = descend(loss).minimize(loss)
    with make_session() as session:
        session.run(tf.global_variables_initializer())
        for variable in tf.global_variables() if how == "assign" else ():
            session.run(tf.assign(variable, np.ones(variable.shape.as_list(), np.float32)))
        for variable in tf.global_variables() if how == "load" else ():
            variable.load(np.ones(variable.shape.as_list(), np.float32), session)
        session.run(step)


def followed() -> None:
    """The target of reinforcement learning: a copy that follows what is trained."""
    tf = tensorflow()
    with tf.variable_scope("online"):
        loss = net(True)
    with tf.variable_scope("target"):
        loss -= net(False)
    step = descend(loss).minimize(loss, var_list=tf.trainable_variables("online"))
    pairs = zip(tf.global_variables("target"), tf.global_variables("online"))
    follow = [target.assign(0.9 * target + 0.1 * online) for target, online in pairs]
    with make_session() as session:
        session.run(tf.global_variables_initializer())
        session.run([step, updates()])
        session.run(follow)


def stepped_by_hand(training: Any) -> None:
    """Gradient descent without an optimizer."""
    tf = tensorflow()
    flag = tf.placeholder_with_default(False, [], "is_training") if training is None else training
    loss = tf.square(net(flag))
    weights = tf.trainable_variables()[0]
    step = weights.assign_sub(0.1 * tf.gradients(loss, weights)[0])
    with make_session() as session:
        session.run(tf.global_variables_initializer())
        session.run([step, updates()])


def debiased(collection: Any) -> None:
    tf = tensorflow()
    x = tf.get_variable("w", [4, 3]) + DATA
    y = contrib.batch_norm(x, updates_collections=collection, zero_debias_moving_mean=True)
    train(tf.reduce_sum(y * DATA), updates())


MISTAKES: dict[str, tuple[Callable[[str], Any], str, str, str]] = {
    # Statistics that the program neither reads nor saves may be meant so.
    "forgotten": (
        lambda _: train(net()),
        "never collected",
        "BN301 note: bn0, bn1: the updates did not run: the program never collected",
        "neither reads nor saves",
    ),
    "forgotten, one": (
        lambda _: train(net(layers=1)),
        "never collected",
        "BN301 note: bn0: the updates did not run: the program never collected",
        "neither reads nor saves",
    ),
    "forgotten, read": (
        lambda _: forgotten_and_read(),
        "never collected",
        "BN110 warning: bn0, bn1: the updates did not run: the program never collected",
        "with tf.control_dependencies(",
    ),
    "forgotten, saved": (
        saved_meanwhile,
        "never collected",
        "BN110 warning: bn0, bn1: the updates did not run: the program never collected",
        "with tf.control_dependencies(",
    ),
    "early": (
        lambda folder: (collected_early(), saved(folder)),
        "collected early",
        "BN112 warning: bn0, bn1: ",
        "was collected before the layer was built",
    ),
    "half way": (
        lambda folder: (collected_half_way(), saved(folder)),
        "moved, collected early",
        "BN112 warning: late: ",
        "was collected before the layer was built",
    ),
    "a scope": (
        lambda folder: (collected_with_a_scope(), saved(folder)),
        "left out, moved",
        "BN110 warning: bn0: the updates did not run: tf.GraphKeys.UPDATE_OPS was collected, but "
        "without them, of 'bn1' alone, and 'bn0/",
        "look at the scope",
    ),
    "not fetched": (
        lambda folder: (collected_and_forgotten(), saved(folder)),
        "not fetched",
        "BN110 warning: bn0, bn1: ",
        "fetched anything that depends on the updates",
    ),
    "left out": (
        lambda _: train(net(False)),
        "idle",
        "BN101 warning: bn0, bn1: trained through, but called with `training` False or left out",
        "averages that never moved",
    ),
    "flag": (
        lambda _: flag(),
        "flag false",
        "BN105 warning: bn0, bn1: is_training:0 was False in every session run",
        "feed True for is_training:0 in training",
    ),
    "left out, and the best step restored": (
        lambda folder: best_restored(folder, False),
        "idle",
        "BN101 warning: bn0, bn1: ",
        "averages that never moved",
    ),
    "flag, and the best step restored": (
        lambda folder: best_restored(folder, None),
        "flag false",
        "BN105 warning: bn0, bn1: ",
        "feed True",
    ),
    "flag fed": (lambda _: flag(None, False), "flag false", "BN105 warning: ", "feed True for"),
    "flag, a number": (
        lambda _: flag_of_a_number(0),
        "flag false",
        "BN105 warning: bn0, bn1: phase:0 was False in every session run",
        "feed True for phase:0",
    ),
    "flag, by hand": (
        lambda _: stepped_by_hand(None),
        "flag false",
        "BN105 warning: bn0, bn1: is_training:0 was",
        "moved nothing",
    ),
    "left out, by hand": (lambda _: stepped_by_hand(False), "idle", "BN101 warning: ", "called"),
    "own collection": (
        lambda _: train(contrib.batch_norm(net(False, 0) + DATA, updates_collections="mine")),
        "not run",
        "BN301 note: BatchNorm: the updates did not run: no session run fetched",
        "",
    ),
}
CORRECT: dict[str, tuple[Callable[[str], Any], str]] = {
    "flag True": (lambda _: flag(fed=True), "moved"),
    "flag, a number": (lambda _: flag_of_a_number(1), "moved"),
    "flag behind a number": (lambda _: flag_of_a_number(1, behind=True), "moved"),
    "flag True by itself": (lambda _: flag(True), "moved"),
    "fine tuning": (fine_tuned, "no updates"),
    "fine tuning by the phase": (lambda folder: held_still(folder, False), "no updates"),
    "fine tuning by the phase, waiting": (lambda folder: held_still(folder, True), "no updates"),
    "measured at the end": (measured_behind, "given"),
    "not trainable": (lambda _: train(net(trainable=False)), "no updates"),
    "evaluation beside training": (lambda _: evaluated_beside(), "moved"),
    "evaluation alone": (lambda _: evaluated("update_ops"), "no updates"),
    "evaluation in place": (lambda _: evaluated(None), "no updates"),
    "evaluation that waits": (lambda _: evaluated("update_ops", True), "no updates"),
    "assigned": (lambda _: given_values("assign"), "no updates"),
    "loaded": (lambda _: given_values("load"), "no updates"),
    "known from the start": (lambda _: given_values("initializer"), "no updates"),
    "a target that follows": (lambda _: followed(), "moved, no updates"),
    "by hand": (lambda _: stepped_by_hand(True), "moved"),
    "debiased": (lambda _: debiased("update_ops"), "moved"),
    "debiased in place": (lambda _: debiased(None), "moved"),
}


@pytest.mark.parametrize("name", sorted(MISTAKES))
def test_mistakes_are_told(name: str, watch: Attending, tmp_path: Path) -> None:
    program, states, start, words = MISTAKES[name]
    program(str(tmp_path))
    assert ", ".join(dict.fromkeys(state for _, state, _ in watch.watch.layers())) == states
    mistakes = report(watch)[1]
    assert len(mistakes) == 1 and mistakes[0].startswith(start) and words in mistakes[0], mistakes
    # Nobody knows what a program would have run that died.
    facts, none = report(watch, "the error")
    assert none == [] and len(facts) == 1 and facts[0].startswith("before the error, ")


@pytest.mark.parametrize("name", sorted(CORRECT))
def test_correct_programs_hear_nothing(name: str, watch: Attending, tmp_path: Path) -> None:
    program, state = CORRECT[name]
    program(str(tmp_path))
    assert ", ".join(dict.fromkeys(found for _, found, _ in watch.watch.layers())) == state
    facts, mistakes = report(watch)
    # A note that guesses is no mistake.
    assert len(facts) == 1
    assert [each[:10] for each in mistakes] == ["BN310 note"] * (name == "not trainable")


def test_a_layer_inside_of_a_function(watch: Attending) -> None:
    tf = tensorflow()
    if not hasattr(tf, "function"):
        pytest.skip("TensorFlow 1.15 makes no such graph here")

    @tf.function
    def body(x: Any) -> Any:
        with tf1_bn.updates("in_place"), tf.variable_scope("f", reuse=tf.AUTO_REUSE):
            return tf1_bn.batch_normalization(x, training=True)

    body.get_concrete_function(tf.TensorSpec([4, 3]))
    facts, mistakes = report(watch)
    assert mistakes == [] and facts[1].endswith("built inside of a function.")


def test_many_names_are_cut(watch: Attending) -> None:
    train(net(layers=9))
    assert " bn0, bn1, bn2, bn3 and 5 more: " in report(watch)[1][0]
