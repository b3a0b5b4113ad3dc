"""The repair of old graphs: what it takes out, what it leaves alone, and how it writes."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from google.protobuf import text_format

from tests.conformance.oracle import GUIDE, read_meta, unpack_saved_model
from tests.conftest import tensorflow
from tf1_bn import batch_normalization
from tf1_bn._src.cli.main import main
from tf1_bn.repair import (
    repair_graph,
    repair_graph_def,
    repair_meta_graph,
    repair_meta_graph_def,
    repair_saved_model,
)

tf = tensorflow()
NAME = "fused_placeholder"
# The gradient of each branch of the phase, for the loss and for the optimizer.
STALE = 4


def _without(graph_def: Any, ops: str, attribute: str) -> Any:
    """What a repair must give, spelled out a second time."""
    expected = type(graph_def)()
    expected.CopyFrom(graph_def)
    for node in expected.node:
        if node.op.startswith(ops):
            node.attr.pop(attribute, None)
    return expected


def test_only_the_stale_shapes_go() -> None:
    graph_def = read_meta(NAME).graph_def
    expected = _without(graph_def, "FusedBatchNormGrad", "_output_shapes")
    assert expected != graph_def

    assert repair_graph_def(graph_def) == expected
    assert graph_def == read_meta(NAME).graph_def


def test_a_meta_graph_keeps_all_the_rest() -> None:
    meta_graph_def = read_meta(NAME)
    repaired = repair_meta_graph_def(meta_graph_def)
    assert repaired.graph_def == repair_graph_def(meta_graph_def.graph_def)
    repaired.graph_def.CopyFrom(meta_graph_def.graph_def)
    assert repaired == meta_graph_def == read_meta(NAME)


def test_a_graph_without_fused_gradients_stays_as_it_is() -> None:
    meta_graph_def = read_meta("rank_2")
    assert repair_meta_graph_def(meta_graph_def, old_runtime=True) == meta_graph_def


def test_the_bodies_of_functions_are_repaired_too() -> None:
    graph_def = tf.GraphDef()
    body = graph_def.library.function.add()
    body.signature.name = "body"
    nodes = [n for n in read_meta(NAME).graph_def.node if n.op.startswith("FusedBatchNormGrad")]
    body.node_def.extend(nodes)

    repaired = repair_graph_def(graph_def).library.function[0].node_def

    assert len(repaired) == STALE
    assert not [node for node in repaired if "_output_shapes" in node.attr]


def _new_graph_def(factor: float) -> Any:
    """As TF 2.2 and later write it."""
    graph_def = tf.GraphDef()
    for op in ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", "Other"):
        node = graph_def.node.add(name=f"net/{op}", op=op)
        node.attr["exponential_avg_factor"].f = factor
        node.attr["epsilon"].f = 0.25
    return graph_def


def test_the_factor_goes_for_old_runtimes_alone() -> None:
    graph_def = _new_graph_def(1.0)
    assert repair_graph_def(graph_def) == graph_def

    repaired = repair_graph_def(graph_def, old_runtime=True)

    assert repaired == _without(graph_def, "FusedBatchNorm", "exponential_avg_factor")
    assert [sorted(node.attr) for node in repaired.node] == [["epsilon"]] * 3 + [
        ["epsilon", "exponential_avg_factor"]
    ]


def test_a_factor_that_does_something_is_not_dropped() -> None:
    with pytest.raises(ValueError, match="'net/FusedBatchNorm' has exponential_avg_factor 0.5"):
        repair_graph_def(_new_graph_def(0.5), old_runtime=True)


@pytest.mark.parametrize("function, kind", [
    (repair_graph_def, "GraphDef"), (repair_meta_graph_def, "MetaGraphDef"),
])  # fmt: skip
@pytest.mark.parametrize("wrong", [None, "graph.pb", b"", 3])
def test_something_else_is_refused(function: Callable, kind: str, wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"must be a tf.{kind}"):
        function(wrong)


def test_our_graph_for_an_old_runtime_has_no_attribute_it_lacks() -> None:
    """Whatever TensorFlow runs: after the repair only what 1.15's op has is left."""
    x = tf.placeholder(tf.float32, [4, 3, 2, 5])
    y = batch_normalization(x, training=True)
    tf.gradients(y, x)
    repaired = repair_graph_def(tf.get_default_graph().as_graph_def(), old_runtime=True)

    fused = [node for node in repaired.node if node.op == "FusedBatchNormV3"]
    assert [sorted(node.attr) for node in fused] == [
        ["T", "U", "data_format", "epsilon", "is_training"]
    ]


@pytest.fixture
def meta(tmp_path: Path) -> str:
    path = tmp_path / "old.meta"
    path.write_bytes(read_meta(NAME).SerializeToString())
    return str(path)


def test_a_file_is_repaired_beside_the_original(meta: str, tmp_path: Path) -> None:
    before = Path(meta).read_bytes()
    target = tmp_path / "new.meta"

    done = repair_meta_graph(meta, str(target))

    assert len(done.stale_shapes) == STALE and done.average_factors == []
    assert all("FusedBatchNorm" in name for name in done.stale_shapes)
    found = tf.MetaGraphDef.FromString(target.read_bytes())
    assert found == repair_meta_graph_def(read_meta(NAME))
    assert Path(meta).read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.meta", "old.meta"]
    assert stat.S_IMODE(target.stat().st_mode) & stat.S_IRUSR


def test_a_text_file_stays_text(tmp_path: Path) -> None:
    source, target = tmp_path / "old.pbtxt", tmp_path / "new.pbtxt"
    source.write_text(str(read_meta(NAME).graph_def))

    done = repair_graph(str(source), str(target))

    assert len(done.stale_shapes) == STALE
    # Texts list map entries in any order.
    found, expected = (
        text_format.Parse(text, tf.GraphDef())
        for text in (target.read_text(), str(repair_graph_def(read_meta(NAME).graph_def)))
    )
    assert found == expected


@pytest.mark.parametrize("way", ["same", "dotted", "link", "hard link"])
def test_the_input_is_never_overwritten(way: str, meta: str, tmp_path: Path) -> None:
    before, target = Path(meta).read_bytes(), str(tmp_path / "alias.meta")
    if way == "same":
        target = meta
    elif way == "dotted":
        target = os.path.join(str(tmp_path), ".", "old.meta")
    elif way == "link":
        os.symlink(meta, target)
    else:
        os.link(meta, target)
    with pytest.raises(ValueError, match="never overwritten"):
        repair_meta_graph(meta, target)
    assert Path(meta).read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xfe\x00", bytes(500)])
def test_a_damaged_or_foreign_file_is_refused(content: bytes, tmp_path: Path) -> None:
    source = tmp_path / "foreign.meta"
    source.write_bytes(content)
    with pytest.raises(ValueError, match="foreign.meta .* MetaGraphDef"):
        repair_meta_graph(str(source), str(tmp_path / "new.meta"))
    assert [path.name for path in tmp_path.iterdir()] == ["foreign.meta"]


def test_a_truncated_file_is_refused(meta: str, tmp_path: Path) -> None:
    whole = Path(meta).read_bytes()
    Path(meta).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="damaged"):
        repair_meta_graph(meta, str(tmp_path / "new.meta"))


def test_an_interrupt_leaves_nothing(meta: str, tmp_path: Path, monkeypatch: Any) -> None:
    def interrupted(*paths: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    assert main(["repair", meta, str(tmp_path / "new.meta")]) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["old.meta"]


def test_a_saved_model_is_copied_whole(tmp_path: Path) -> None:
    source, target = unpack_saved_model(tmp_path), tmp_path / "new"
    content = _content(source)

    done = repair_saved_model(str(source), str(target))

    assert len(done.stale_shapes) > 0
    assert _content(source) == content and set(_content(target)) == set(content)
    changed = [name for name, found in _content(target).items() if found != content[name]]
    assert changed == ["saved_model.pb"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "saved_model"]


def _content(folder: Path) -> dict:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("target", ["saved_model", "saved_model/inner", "taken"])
def test_a_saved_model_goes_to_a_new_folder_elsewhere(target: str, tmp_path: Path) -> None:
    source = unpack_saved_model(tmp_path)
    (tmp_path / "taken").mkdir()
    before = _content(tmp_path)
    with pytest.raises(ValueError, match="never overwritten|exists"):
        repair_saved_model(str(source), str(tmp_path / target))
    assert _content(tmp_path) == before


def test_a_folder_that_is_no_saved_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no SavedModel"):
        repair_saved_model(str(tmp_path), str(tmp_path / "new"))


def test_a_failed_saved_model_leaves_nothing(tmp_path: Path) -> None:
    source = unpack_saved_model(tmp_path)
    (source / "saved_model.pb").write_bytes(b"\xff")
    with pytest.raises(ValueError, match="damaged or no SavedModel"):
        repair_saved_model(str(source), str(tmp_path / "new"))
    assert [path.name for path in tmp_path.iterdir()] == ["saved_model"]


@pytest.mark.parametrize("kind", ["meta", "graph", "saved model"])
def test_the_command_line_knows_what_it_is_given(
    kind: str, meta: str, tmp_path: Path, capsys: Any
) -> None:
    source, target = meta, str(tmp_path / "out")
    if kind == "graph":
        source = str(tmp_path / "old.pb")
        Path(source).write_bytes(read_meta(NAME).graph_def.SerializeToString())
    if kind == "saved model":
        source = str(unpack_saved_model(tmp_path))

    assert main(["repair", source, target]) == 0

    said = capsys.readouterr().out
    count = 2 if kind == "saved model" else STALE
    assert said == f"{target}: {count} stale _output_shapes and 0 exponential_avg_factor dropped\n"
    assert os.path.exists(target)


@pytest.mark.parametrize("source", ["missing.meta", "saved_model/saved_model.pb"])
def test_the_command_line_says_what_is_wrong(source: str, tmp_path: Path, capsys: Any) -> None:
    unpack_saved_model(tmp_path)
    assert main(["repair", str(tmp_path / source), str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("tf1_bn: ")
    assert not (tmp_path / "out").exists()


def test_the_guides_model_needs_the_repair_and_says_the_same(tmp_path: Path, session: Any) -> None:
    """The model of the guide's page: its stale nodes, and that it tells stripes apart."""
    from tests.conformance.oracle import stripes_of

    target = str(tmp_path / "new.meta")
    assert len(repair_meta_graph(str(GUIDE) + ".meta", target).stale_shapes) == 2
    tf.train.import_meta_graph(target).restore(session, str(GUIDE))
    images, labels = stripes_of(np.random.RandomState(11), 200)

    logits = session.run("logits:0", {"images:0": images})

    assert (logits.argmax(1) == labels).mean() > 0.95
