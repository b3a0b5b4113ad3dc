"""Programs of the zoo that are run: what is said at their end."""

from __future__ import annotations

import contextlib
import gc
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import pytest

import tf1_bn
from tests.doctor import zoo
from tf1_bn._src.doctor.programs import attending, looking
from tf1_bn._src.doctor.programs.attending import Attending
from tf1_bn._src.doctor.programs.telling import told
from tf1_bn._src.runtime.tensorflow_v1 import tf

# What a program of the zoo leaves to somebody else, and a program that runs does.
RUNS_UPDATES = ("hook_that_groups",)
RESTORES = ("frozen_statistics", "model_fn_in_evaluation")
# A run shows more than the graph.
CODES = {
    **{name: code for name, (_, code) in zoo.BROKEN.items()},
    "updates_forgotten_and_not_asked": "BN110",
    "collected_before_all": "BN112",
    "collected_with_a_scope": "BN110",
    "gan_that_collects_of_its_generator_alone": "BN110",
}
# Programs whose outputs nobody exports here.
NOT_RUN = (
    "exported_in_training",
    "served_from_the_training_graph",
    # It assigns nothing.
    "gradients_without_updates",
)


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
        with tf.Session(config=tf.ConfigProto(device_count={"CPU": 2})) as session:
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
@pytest.mark.parametrize("name", sorted(set(CODES).difference(NOT_RUN)))
def test_a_broken_program_hears_its_code(name: str, doctor: Attending, tmp_path: Path) -> None:
    run(zoo.BROKEN[name][0], name, tmp_path)
    found = doctor.ended().findings
    assert CODES[name] in {each.code for each in found}, str(found)
    assert {each.code for each in found.of("warning", "error")} <= {CODES[name]}, str(found)


def test_a_rule_that_fails_costs_its_findings_alone(
    doctor: Attending, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(case: Any) -> Any:
        raise IndexError("tuple index\nout of range")

    monkeypatch.setattr(looking, "RULES", (fails, *looking.RULES))
    run(zoo.saver_of_trainable, "", tmp_path)
    ended = doctor.ended()
    assert [each.code for each in ended.findings] == ["BN306"]
    assert ended.facts[1:] == ("fails failed, by a mistake of tf1_bn: IndexError: tuple index",)


@pytest.mark.parametrize("where", ["look", "ended"])
def test_a_mistake_of_ours_is_a_line(
    where: str, doctor: Attending, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*given: Any) -> Any:
        raise RecursionError("too deep\nby far")

    if where == "look":
        monkeypatch.setattr(looking, "find_in", fails)
    else:
        monkeypatch.setattr(attending, "facts_of", fails)
    run(zoo.saver_of_trainable, "", tmp_path)
    lines, code = told(doctor, None)
    assert lines[-1].endswith("by a mistake of tf1_bn: RecursionError: too deep")
    assert code == (0 if where == "look" else 2)


def test_lines_fit_the_terminal(doctor: Attending, tmp_path: Path) -> None:
    run(zoo.shared_discriminator_over_all, "", tmp_path)
    whole, fitting = (told(doctor, width, is_check=True).lines for width in (None, 60))
    assert told(doctor, 60).code == 1 and told(doctor, 60, ignored=["BN303"]).code == 0
    assert max(map(len, whole)) > 60 >= max(map(len, fitting))
    assert "".join(" ".join(fitting).split()) == "".join(" ".join(whole).split())
    # A note has one line.
    assert [line[:5] for line in whole if "BN" in line[:5]] == ["BN303", "BN304"]
    assert len(whole) == 5
    # All of them have one, where nobody asks.
    short = told(doctor, None).lines
    assert short == [*whole[:4], "1 note: BN304 (--check tells it)"]


@pytest.mark.parametrize(
    "program", [zoo.collected_with_a_scope, zoo.collected_with_a_scope_before_the_last]
)
def test_a_scope_that_was_asked_is_named(program: Any, doctor: Attending, tmp_path: Path) -> None:
    """With an update op that is outside; the layers were built before or behind."""
    run(program, "", tmp_path)
    (found,) = doctor.ended().findings
    asked = "but without them, of 'encoder' alone, and 'decoder/bn/AssignMovingAvg' is outside"
    assert found.layers == ("decoder/bn",) and found.wrong.endswith(asked)


class ByHand:
    """A program without a step in its graph, whose weights wait for what it computes."""

    def __init__(self, session: Any) -> None:
        self.gradients = zoo.fetched_gradients(tf1_bn.batch_normalization)
        self.updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        self.learned = tf.trainable_variables()
        self.values = [tf.placeholder(tf.float32, v.shape) for v in self.learned]
        self.assigns = [tf.assign(v, x) for v, x in zip(self.learned, self.values)]
        ops = session.graph.get_operations()
        self.x = next(op.outputs[0] for op in ops if op.type == "Placeholder")
        self.session = session
        session.run(tf.global_variables_initializer())

    def fetch(self, *more: Any) -> None:
        feeds = {self.x: value_of(self.x), "is_training:0": True}
        self.session.run([self.gradients, more], feeds)

    def assign(self) -> None:
        weights = self.session.run(self.learned)
        self.session.run(self.assigns, dict(zip(self.values, weights)))

    def load(self) -> None:
        for variable, value in zip(self.learned, self.session.run(self.learned)):
            variable.load(value, self.session)


@pytest.mark.parametrize(
    "does, codes",
    [
        ("fetch assign", ["BN301"]),
        ("fetch load", ["BN301"]),
        ("load fetch load", []),
        ("fetch", []),
        ("update assign", []),
        ("fetch update assign", []),
        ("fetch assign step", ["BN110"]),
    ],
)
def test_weights_that_the_program_assigns(does: str, codes: list[str], doctor: Attending) -> None:
    """A note, where gradients were fetched before, and the updates never."""
    with tf.Graph().as_default() as graph, tf.Session(graph=graph) as session:
        program = ByHand(session)
        step = zoo.minimized(program.gradients[0])
        for word in does.split():
            if word == "update":
                program.fetch(program.updates)
            elif word == "step":
                program.fetch(step)
            else:
                getattr(program, word)()
        found = doctor.ended().findings
    assert [each.code for each in found] == codes, str(found)
    assert all(each.layers == ("bn1", "bn2") for each in found)


def test_graphs_that_are_gone_are_judged(doctor: Attending, tmp_path: Path) -> None:
    """When their session is closed; and what is known by then is not asked for again."""
    for program in (zoo.saver_of_trainable, zoo.classic):
        run(program, "", tmp_path)
    gc.collect()
    assert doctor.watch.graphs() == []
    assert [each.code for each in doctor.ended().findings] == ["BN306"]


def test_what_another_graph_reads_is_wanted(doctor: Attending, tmp_path: Path) -> None:
    """Training and evaluation in a graph each, as an estimator has them."""
    run(zoo.updates_forgotten_of_one_graph_of_two, "", tmp_path)
    assert [each.code for each in doctor.ended().findings] == ["BN301"]
    with tf.Graph().as_default():
        zoo.net(tf1_bn.batch_normalization, False)
    assert [each.code for each in doctor.ended().findings] == ["BN110"]


def test_a_session_of_before_is_none_of_the_program(tmp_path: Path) -> None:
    """As where Python collects one, which closes it, while another program runs."""
    with tf.Graph().as_default():
        zoo.saver_of_trainable(tf1_bn.batch_normalization)
        session = tf.Session()
    started = Attending()
    started.start()
    session.close()
    ended = started.ended()
    started.stop()
    assert (ended.findings, ended.is_known) == ((), False)


def test_layers_of_others_are_judged(doctor: Attending, tmp_path: Path) -> None:
    """A graph that is imported has no calls to listen to."""
    with tf.Graph().as_default() as graph:
        zoo.updates_forgotten(tf1_bn.batch_normalization)
        definition = graph.as_graph_def(add_shapes=True)
    with tf.Graph().as_default():
        tf.import_graph_def(definition, name="")
        doctor.stop()
        started = Attending()
        started.start()
        with tf.Session() as session, contextlib.suppress(tf.errors.OpError):
            session.run("GradientDescent", {"is_training:0": True})
        ended = started.ended()
        started.stop()
    # What was imported is in no collection.
    assert [each.code for each in ended.findings] == ["BN311"]
    assert ended.facts == ("2 batch-norm layers of tf1_bn were built; the updates of none ran.",)
