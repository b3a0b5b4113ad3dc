"""`install` and `uninstall` in this process: what stands where, and that originals come back."""

from __future__ import annotations

import importlib
import logging
import sys
import threading
import types
from pathlib import Path
from typing import Any, Callable, Iterator

import numpy as np
import pytest

import tf1_bn
from tests.conftest import make_session, tensorflow
from tests.tolerances import assert_close
from tf1_bn._src.programs.install import install, uninstall
from tf1_bn._src.programs.old_names import neighbours

lost = pytest.mark.tf_min("2.16", reason="tf.layers is lost from here on")
kept = pytest.mark.tf_max("2.15", reason="tf.layers still works up to here")

NORMALIZATION = "tensorflow.python.layers.normalization"
SHORT = {
    "batch_normalization": "batch_normalization",
    "batch_norm": "batch_normalization",
    "BatchNormalization": "BatchNormalization",
    "BatchNorm": "BatchNormalization",
}


@pytest.fixture(autouse=True)
def nothing_installed() -> Iterator[None]:
    uninstall()
    yield
    uninstall()


def answer(ask: Callable[[], Any]) -> Any:
    """The object asked for, or the type and text of the error."""
    try:
        return ask()
    except (AttributeError, ImportError) as error:
        return type(error).__name__, str(error)


def everything() -> dict[str, Any]:
    """What a program can see of the places that install touches, asked in every style."""
    tf = tensorflow()
    import tensorflow as full

    seen: dict[str, Any] = {"meta_path": list(sys.meta_path)}
    wanted = ("batch_normalization", "BatchNormalization", "conv2d", "InputSpec", "no_such_name")
    for name in wanted:
        seen[f"tf.layers.{name}"] = answer(lambda n=name: getattr(tf.layers, n))
        seen[f"full {name}"] = answer(lambda n=name: getattr(full.compat.v1.layers, n))
    seen["LSTMCell"] = answer(lambda: tf.nn.rnn_cell.LSTMCell)
    normalization = importlib.import_module(NORMALIZATION)
    for name in (*SHORT, "no_such_name"):
        seen[f"normalization.{name}"] = answer(lambda n=name: getattr(normalization, n))
    for module in _v1_modules():
        seen[f"layers of {id(module)}"] = vars(module).get("layers")
    ops = importlib.import_module("tensorflow.python.framework.ops")
    flow = importlib.import_module("tensorflow.python.ops.control_flow_ops")
    seen["ops.Tensor"] = answer(lambda: ops.Tensor)
    seen["control_flow_ops.cond"] = answer(lambda: flow.cond)
    seen["module"] = sys.modules.get("tensorflow.compat.v1.layers")
    return seen


def _v1_modules() -> list[Any]:
    found = {id(m): m for name, m in sys.modules.items() if name.endswith("compat.v1")}
    return list(found.values())


def train_once(normalize: Callable[..., Any]) -> np.ndarray:
    """One training step of a layer that must be ours; returns the moved mean."""
    tf = tensorflow()
    data = np.arange(24.0, dtype=np.float32).reshape(8, 3) ** 1.5
    with tf.Graph().as_default() as graph:
        normalize(tf.constant(data), momentum=0.75, training=True, name="bn")
        updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        with make_session(graph) as session:
            session.run(tf.global_variables_initializer())
            session.run(updates)
            moved = session.run("bn/moving_mean:0")
    assert_close(moved, 0.25 * data.astype(np.float64).mean(axis=0), "state", "float32")
    return moved


@lost
def test_every_style_gives_ours() -> None:
    tf = tensorflow()
    install()
    import tensorflow as full
    from tensorflow.compat.v1 import layers
    from tensorflow.compat.v1.layers import BatchNormalization, batch_normalization

    found = [
        batch_normalization,
        tf.layers.batch_normalization,
        layers.batch_normalization,
        full.compat.v1.layers.batch_normalization,
        tf.compat.v1.layers.batch_normalization,
        full.compat.v2.compat.v1.layers.batch_normalization,
        importlib.import_module("tensorflow.compat.v1.layers").batch_normalization,
    ]
    assert all(function is tf1_bn.batch_normalization for function in found)
    assert BatchNormalization is tf1_bn.BatchNormalization
    assert issubclass(type("Mine", (layers.BatchNormalization,), {}), tf1_bn.BatchNormalization)
    train_once(tf.layers.batch_normalization)


@lost
def test_other_names_keep_their_error_and_tell_the_way_out() -> None:
    tf = tensorflow()
    lost_names = ("conv2d", "no_such")
    before = {name: answer(lambda n=name: getattr(tf.layers, n))[1] for name in lost_names}
    before["LSTMCell"] = answer(lambda: tf.nn.rnn_cell.LSTMCell)[1]
    install()
    assert before["conv2d"] == "`conv2d` is not available with Keras 3."
    for name, ask in (
        ("conv2d", lambda: tf.layers.conv2d),
        ("LSTMCell", lambda: tf.nn.rnn_cell.LSTMCell),
    ):
        kind, text = answer(ask)
        assert (kind, text) == (
            "AttributeError",
            f"{before[name]} tf1_bn.install(neighbours=True), or `python -m tf1_bn run "
            f"--neighbours`, brings `{name}` back.",
        )
    assert answer(lambda: tf.layers.no_such)[1].startswith(before["no_such"] + " tf1_bn cannot")
    with pytest.raises(ImportError, match="cannot import name 'conv2d'"):
        from tensorflow.compat.v1.layers import conv2d  # noqa: F401


@lost
def test_what_stands_in_can_be_listed() -> None:
    tf = tensorflow()
    install(neighbours=True)
    assert {"batch_normalization", "conv2d", "InputSpec"} <= set(dir(tf.layers))
    assert {"LSTMCell", "MultiRNNCell"} <= set(dir(tf.nn.rnn_cell))
    assert not hasattr(tf.layers, "__path__")


@lost
def test_uninstall_gives_the_error_back_letter_for_letter() -> None:
    tf = tensorflow()
    before = everything()
    assert before["tf.layers.batch_normalization"] == (
        "AttributeError",
        "`batch_normalization` is not available with Keras 3.",
    )
    loader = tf.layers
    install(neighbours=True)
    assert tf.layers is not loader
    assert everything()["tf.layers.batch_normalization"] is tf1_bn.batch_normalization
    uninstall()
    assert everything() == before
    assert tf.layers is loader


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("neighbour", [False, True])
def test_uninstall_gives_everything_back(force: bool, neighbour: bool) -> None:
    before = everything()
    install(force=force, neighbours=neighbour)
    install(force=force)
    install()
    during = everything()
    uninstall()
    assert everything() == before
    assert during != before
    uninstall()
    assert everything() == before


@kept
def test_an_original_that_works_is_kept() -> None:
    tf = tensorflow()
    before = everything()
    install(neighbours=True)
    after = everything()
    same = [name for name in before if not name.startswith(("normalization.", "meta_path"))]
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert tf.layers.batch_normalization is not tf1_bn.batch_normalization


@kept
def test_force_replaces_an_original_that_works() -> None:
    tf = tensorflow()
    from tensorflow.compat.v1 import layers

    original = layers.batch_normalization
    with install(force=True):
        from tensorflow.compat.v1.layers import batch_normalization

        assert batch_normalization is tf1_bn.batch_normalization
        assert layers.batch_normalization is tf1_bn.batch_normalization
        assert tf.layers.BatchNormalization is tf1_bn.BatchNormalization
        train_once(tf.layers.batch_normalization)
    assert layers.batch_normalization is original
    assert tf.layers.batch_normalization is original


@pytest.mark.tf_max("1.15", reason="TensorFlow 1 alone has tf.layers outside compat.v1")
def test_force_replaces_the_plain_names_of_tensorflow_1() -> None:
    import tensorflow as tf

    original = tf.layers.batch_normalization
    with install(force=True):
        assert tf.layers.batch_normalization is tf1_bn.batch_normalization
        net = tf.contrib.layers.batch_norm(tf.zeros([5, 4, 3, 2]), is_training=True)
        assert net.shape.as_list() == [5, 4, 3, 2]
    assert tf.layers.batch_normalization is original


def test_the_place_where_slim_looks() -> None:
    install(force=True)
    normalization = importlib.import_module(NORMALIZATION)
    for name, public in SHORT.items():
        assert getattr(normalization, name) is getattr(tf1_bn, public)


@lost
@pytest.mark.parametrize("homes", [neighbours.LAYERS, neighbours.RNN_CELLS], ids=["layer", "cell"])
def test_neighbours_are_the_private_copies(homes: dict[str, tuple[str, ...]]) -> None:
    tf = tensorflow()
    install(neighbours=True)
    shown = tf.layers if homes is neighbours.LAYERS else tf.nn.rnn_cell
    for home, names in homes.items():
        module = importlib.import_module(home)
        for name in names:
            assert getattr(shown, name) is getattr(module, name)


@lost
def test_neighbours_can_come_later_and_go_first() -> None:
    tf = tensorflow()
    install()
    with install(neighbours=True):
        assert callable(tf.layers.conv2d) and tf.nn.rnn_cell.LSTMCell
    assert answer(lambda: tf.layers.conv2d)[0] == "AttributeError"
    assert tf.layers.batch_normalization is tf1_bn.batch_normalization


@lost
@pytest.mark.parametrize("home", sorted({**neighbours.LAYERS, **neighbours.RNN_CELLS}))
def test_a_tensorflow_without_the_neighbours(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = everything()
    monkeypatch.setitem(sys.modules, home, None)
    with pytest.raises(ImportError) as caught:
        install(neighbours=True)
    said = str(caught.value)
    assert f"rests on `{home}." in said and "no longer has" in said and "without neighbours" in said
    monkeypatch.undo()
    assert everything() == before


def test_a_tensorflow_without_the_place_where_slim_looks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tf = tensorflow()
    monkeypatch.setitem(sys.modules, NORMALIZATION, None)
    with caplog.at_level(logging.INFO, logger="tf1_bn"):
        install(force=True)
    assert f"this TensorFlow has no {NORMALIZATION}" in caplog.text
    assert tf.layers.batch_normalization is tf1_bn.batch_normalization


def test_context_managers_overlap() -> None:
    tf = tensorflow()
    before = everything()
    first, second = install(force=True), install(force=True)
    with second:
        with first:
            pass
        assert tf.layers.batch_normalization is tf1_bn.batch_normalization
    assert everything() == before


def test_context_manager_lets_errors_through_and_cleans_up() -> None:
    before = everything()
    with pytest.raises(ZeroDivisionError), install(force=True):
        raise ZeroDivisionError
    assert everything() == before


def test_leaves_alone_what_others_put_on_top() -> None:
    tf = tensorflow()
    install(force=True)

    def theirs() -> None:
        return None

    normalization = importlib.import_module(NORMALIZATION)
    normalization.batch_norm = theirs
    try:
        uninstall()
        assert normalization.batch_norm is theirs
        assert vars(normalization).get("BatchNorm") is not tf1_bn.BatchNormalization
    finally:
        del normalization.batch_norm
        if tf.__version__.startswith("1."):
            normalization.batch_norm = normalization.batch_normalization


def test_threads() -> None:
    tf = tensorflow()
    before = everything()
    wrong: list[Any] = []
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        for _ in range(25):
            with install(force=True, neighbours=number % 2 == 0):
                if tf.layers.batch_normalization is not tf1_bn.batch_normalization:
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert everything() == before


def test_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="tf1_bn"):
        install(force=True)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("tf1_bn", "INFO")
    text = record.getMessage()
    assert "put into tensorflow.compat.v1.layers" in text and f"put into {NORMALIZATION}" in text


@pytest.mark.parametrize("name", ["force", "neighbours"])
@pytest.mark.parametrize("value", [1, "yes", None])
def test_flags_are_bools(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"`{name}` must be a bool"):
        install(**{name: value})


@pytest.fixture
def fake_slim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "tf_slim").mkdir()
    (tmp_path / "tf_slim" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    mine = {name for name in sys.modules if name.split(".")[0] == "tf_slim"}
    for name in mine:
        monkeypatch.delitem(sys.modules, name)
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "tf_slim"]:
        del sys.modules[name]


@pytest.mark.usefixtures("fake_slim")
@pytest.mark.parametrize("order", ["install first", "slim first"])
def test_aliases_come_with_slim_and_go(order: str) -> None:
    tf = tensorflow()
    ops = importlib.import_module("tensorflow.python.framework.ops")
    flow = importlib.import_module("tensorflow.python.ops.control_flow_ops")
    before = everything()
    if order == "slim first":
        importlib.import_module("tf_slim")
    install()
    if order == "install first":
        assert vars(ops).get("Tensor") is before["ops.Tensor"] or not hasattr(ops, "Tensor")
        importlib.import_module("tf_slim")
    # TensorFlow 1.15 has both, and keeps its own.
    assert ops.Tensor is tf.Tensor
    chosen = flow.cond(tf.constant(True), lambda: tf.constant(3), lambda: tf.constant(4))
    with tf.Session() as session:
        assert session.run(chosen) == 3
    uninstall()
    assert everything() == before


@pytest.mark.usefixtures("fake_slim")
def test_a_tensorflow_without_what_slim_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    install()
    monkeypatch.setitem(sys.modules, "tensorflow.python.framework.ops", None)
    with pytest.raises(ImportError, match="TF-Slim needs `tensorflow.python.framework.ops`"):
        importlib.import_module("tf_slim")


def test_a_kept_function_is_the_original() -> None:
    """The order rule of the guide: what was kept as a value before stays what it was."""
    keeper = types.ModuleType("keeper")
    tf = tensorflow()
    keeper.normalize = answer(lambda: tf.layers.batch_normalization)  # type: ignore[attr-defined]
    with install(force=True):
        assert keeper.normalize is not tf1_bn.batch_normalization  # type: ignore[attr-defined]
