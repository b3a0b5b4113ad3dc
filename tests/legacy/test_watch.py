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
from tf1_bn._src.programs.watch import Watch

DATA = np.arange(12.0, dtype=np.float32).reshape(4, 3)


@pytest.fixture
def watch(fresh_graph: Any) -> Iterator[Watch]:
    started = Watch()
    started.start()
    yield started
    started.stop()


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
def test_what_ran(name: str, training: str, watch: Watch) -> None:
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
    ran = (
        f"session runs executed those of {updated}"
        if updated
        else "no session run executed any of these, so the moving statistics did not move"
    )
    assert watch.report() == f"2 batch-norm layers built, 2 with update ops; {ran}"


def test_restoring_is_no_update(watch: Watch, session: Any, tmp_path: Path) -> None:
    tf = tensorflow()
    tf1_bn.batch_normalization(tf.constant(DATA), training=True)
    session.run(tf.global_variables_initializer())
    save_and_restore(session, tmp_path)
    assert "; no session run executed any" in watch.report()


def test_no_layer(watch: Watch, session: Any) -> None:
    session.run(tensorflow().constant(1))
    assert watch.report() == "no batch-norm layer was built"


@pytest.mark.parametrize("fetched", ["nothing", "the loss"])
def test_updates_in_place(fetched: str, watch: Watch, session: Any) -> None:
    tf = tensorflow()
    with tf1_bn.updates("in_place"):
        loss = tf.reduce_sum(tf1_bn.batch_normalization(tf.constant(DATA), training=True))
        tf1_bn.batch_normalization(tf.constant(DATA), training=False)
    session.run(tf.global_variables_initializer())
    if fetched == "the loss":
        session.run(loss)
    ran = "session runs executed those of 1" if fetched == "the loss" else "no session run executed"
    assert watch.report().startswith(f"2 batch-norm layers built, 1 with update ops; {ran}")


def test_kernels(watch: Watch) -> None:
    tf = tensorflow()
    image, rows = tf.zeros([2, 5, 4, 3]), tf.zeros([2, 3])
    with tf.variable_scope("net"):
        for _ in range(2):
            tf1_bn.batch_normalization(image, training=True, name="conv_bn", reuse=tf.AUTO_REUSE)
    tf1_bn.batch_normalization(rows, fused=False, name="bn")
    layer = tf1_bn.BatchNormalization(name="last")
    layer(rows)

    heading, *lines = watch.kernels()
    assert heading == "layer        training  inference  why"
    assert lines == [
        "net/conv_bn  fused     fused      rank 4 with the channel axis last",
        "bn           composed  composed   fused=False",
        f"last         composed  composed   {layer.kernel and layer.kernel.reason}",
    ]


def test_variables_without_a_name(watch: Watch, session: Any) -> None:
    """Each layer is counted by the variable that its updates move."""
    tf = tensorflow()
    with tf.variable_scope("s", custom_getter=staging):
        for name in ("a", "b"):
            tf1_bn.batch_normalization(tf.constant(DATA), training=True, name=name)
        tf1_bn.batch_normalization(tf.constant(DATA), name="c")
    session.run(tf.global_variables_initializer())
    session.run(updates()[0])
    assert watch.report() == (
        "3 batch-norm layers built, 2 with update ops; session runs executed those of 1"
    )


def test_inference_alone(watch: Watch) -> None:
    tf = tensorflow()
    for _ in range(2):
        tf1_bn.batch_normalization(tf.constant(DATA))
    assert watch.report().startswith("2 batch-norm layers built, none with update ops")


def test_a_failed_layer_is_not_counted(watch: Watch) -> None:
    tf = tensorflow()
    with pytest.raises(ValueError):
        tf1_bn.batch_normalization(tf.constant(DATA), axis=7)
    assert watch.report() == "no batch-norm layer was built"


def test_graphs_that_are_gone_count_and_are_not_kept(watch: Watch) -> None:
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
    assert watch.report() == (
        "3 batch-norm layers built, 3 with update ops; session runs executed those of 2"
    )


def test_stopped_it_leaves_nothing(fresh_graph: Any) -> None:
    from tensorflow.python.client import session as client

    def ours() -> list[Any]:
        return [dict(vars(cls)) for cls in tf1_bn.BatchNormalization.__mro__]

    handler, before = client._FetchHandler, ours()
    theirs = dict(vars(handler))
    watch = Watch()
    watch.start()
    # It listens to our own calls, and replaces nothing of ours.
    assert ours() == before and dict(vars(handler)) != theirs
    watch.stop()
    assert client._FetchHandler is handler and dict(vars(handler)) == theirs
    tf1_bn.batch_normalization(tensorflow().constant(DATA), training=True)
    assert watch.report() == "no batch-norm layer was built"


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("collection", ["update_ops", None])
def test_contrib_counts(collection: str | None, rank: int, watch: Watch, session: Any) -> None:
    """However its statistics move: by ops of a collection, or with the output."""
    tf = tensorflow()
    inputs = tf.constant(DATA if rank == 2 else DATA[:, None])
    for training in (True, False):
        outputs = contrib.batch_norm(inputs, is_training=training, updates_collections=collection)
        if training:
            loss = outputs
    session.run(tf.global_variables_initializer())
    session.run(updates() if collection else loss)
    assert watch.report() == (
        "2 batch-norm layers built, 1 with update ops; session runs executed those of 1"
    )
    assert len(watch.kernels()) == 3


def test_a_tensorflow_that_does_not_show_what_runs(
    monkeypatch: pytest.MonkeyPatch, fresh_graph: Any
) -> None:
    from tensorflow.python.client import session as client

    tf = tensorflow()
    watch = Watch()
    with monkeypatch.context() as patched:
        patched.delattr(client, "_FetchHandler")
        watch.start()
    tf1_bn.batch_normalization(tf.constant(DATA), training=True)
    watch.stop()
    assert watch.report() == (
        "1 batch-norm layer built, 1 with update ops; this TensorFlow does not show what runs"
    )
