"""The hook: what it finds in runs, by numbers that are known beforehand, and where it is silent."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import pytest

import tf1_bn
from tests.conftest import make_session
from tests.doctor.test_zoo import LAYERS
from tf1_bn._src.runtime.tensorflow_v1 import tf

DATA = np.random.RandomState(3).normal(2.0, 3.0, (8, 3)).astype(np.float32)
MOMENTUM = 0.9

pytestmark = pytest.mark.filterwarnings("ignore:.*no session run so far can move")


class Program:
    """One layer with a step that runs its updates or not, and an output that waits for them."""

    def __init__(self, wired: bool = True, layer: Any = tf1_bn.batch_normalization) -> None:
        self.x = tf.placeholder(tf.float32, [None, 3])
        self.phase = tf.placeholder_with_default(False, [])
        self.y = layer(self.x, training=self.phase, momentum=MOMENTUM, name="bn")
        loss = tf.reduce_mean(tf.square(self.y - 1.0))
        self.updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        with tf.control_dependencies(self.updates if wired else []):
            self.step = tf.train.GradientDescentOptimizer(0.01).minimize(loss)
        with tf.control_dependencies(self.updates):
            self.waiting = tf.identity(loss)

    def fed(self, phase: bool, x: Any = DATA) -> dict[Any, Any]:
        return {self.x: x, self.phase: phase}


@pytest.fixture(autouse=True)
def graph() -> Iterator[Any]:
    with tf.Graph().as_default() as graph:
        yield graph


def monitored(hook: Any) -> Any:
    return tf.train.MonitoredSession(hooks=[hook])


def heard(hook: Any, *runs: tuple[Any, Any]) -> list[list[str]]:
    """The codes and levels that are said at each run of a monitored session, and at its end."""
    said: list[list[str]] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with monitored(hook) as session:
            for fetches, fed in runs:
                session.run(fetches, fed)
                said.append(codes(caught))
        said.append(codes(caught))
    return said


def codes(caught: list[Any]) -> list[str]:
    texts = [str(each.message).partition(":")[0] for each in caught]
    caught.clear()
    return [text for text in texts if text.startswith("BN5")]


@pytest.mark.parametrize(
    "library", [pytest.param(n, marks=[] if n == "tf1_bn" else [pytest.mark.slow]) for n in LAYERS]
)
def test_statistics_that_no_step_moves(library: str) -> None:
    program = Program(wired=False, layer=LAYERS[library])
    hook = tf1_bn.StatisticsHook(every=3)
    said = heard(hook, *[(program.step, program.fed(True))] * 7)
    assert said == [[], [], ["BN501 warning"], [], [], [], [], []]
    (found,) = hook.findings
    assert found.layers == ("bn",)
    assert "bit for bit the same after 3 runs that train" in found.wrong
    assert "tf1_bn.minimize" in found.mend


@pytest.mark.parametrize(
    "library", ["tf1_bn", pytest.param("tf1_bn.contrib", marks=pytest.mark.slow)]
)
def test_a_correct_program_hears_nothing(library: str) -> None:
    program = Program(layer=LAYERS[library])
    hook = tf1_bn.StatisticsHook(every=3)
    # Ten time constants' worth of steps are over 1 from the tenth on: 10 * -log(0.9) = 1.05.
    runs = [(program.step, program.fed(True))] * 10 + [(program.y, program.fed(False))] * 2
    runs += [({"a": [program.step, program.y]}, program.fed(True)), (program.y, program.fed(False))]
    assert sum(heard(hook, *runs), []) == [] and hook.findings == ()


def test_a_phase_that_is_never_true() -> None:
    program, hook = Program(), tf1_bn.StatisticsHook(every=2, on="raise")
    with monitored(hook) as session:
        session.run(program.step, program.fed(False))
        with pytest.raises(RuntimeError, match="BN501 warning: bn: .* after 2 runs"):
            session.run(program.step, program.fed(False))
    assert "feed True" in hook.findings[0].mend


@pytest.mark.parametrize("fed, code", [(False, []), (None, []), (True, ["BN501 warning"])], ids=str)
def test_what_is_restored_may_be_held_still_by_the_phase(
    fed: bool | None, code: list[str], tmp_path: Path
) -> None:
    program = Program(wired=False)
    saver = tf.train.Saver()
    with make_session() as session:
        session.run(tf.global_variables_initializer())
        session.run(program.updates, program.fed(True))
        saver.save(session, str(tmp_path / "model"))
    hook = tf1_bn.StatisticsHook(every=2)
    feeds = {program.x: DATA} if fed is None else program.fed(fed)
    creator = tf.train.ChiefSessionCreator(checkpoint_dir=str(tmp_path))
    with warnings.catch_warnings(), tf.train.MonitoredSession(creator, hooks=[hook]) as session:
        warnings.simplefilter("ignore")
        for _ in range(4):
            session.run(program.step, feeds)
    assert [f"{each.code} {each.level}" for each in hook.findings] == code


def test_a_loop_does_not_tell_what_it_feeds() -> None:
    program, watch = Program(wired=False), tf1_bn.StatisticsHook(every=2, on="raise")
    with make_session() as session:
        session.run(tf.global_variables_initializer())
        session.run(program.updates, program.fed(True))
        watch(session)
        for _ in range(4):
            session.run(program.step, program.fed(False))
            watch(session, program.step)
    assert watch.findings == ()


def test_updates_that_another_hook_runs_are_seen_by_their_numbers() -> None:
    program = Program(wired=False)

    class Updating(tf.train.SessionRunHook):  # type: ignore[misc]
        def before_run(self, run_context: Any) -> Any:
            return tf.train.SessionRunArgs(program.updates)

    hook = tf1_bn.StatisticsHook(every=1, on="raise")
    with tf.train.MonitoredSession(hooks=[hook, Updating()]) as session:
        for _ in range(3):
            session.run(program.step, program.fed(True))
        session.run(program.y, program.fed(False))
    assert hook.findings == ()


def test_averages_that_have_arrived_stand_still_by_right() -> None:
    program = Program()
    with make_session() as session:
        session.run(tf.global_variables_initializer())
        # Each batch is the same one: in float32 the averages end at its moments.
        for _ in range(400):
            session.run(program.updates, program.fed(True))
        watch = tf1_bn.StatisticsHook(every=2, on="raise")
        watch(session)
        for _ in range(4):
            session.run(program.step, program.fed(True))
            watch(session, program.step)
    assert watch.findings == ()


@pytest.mark.parametrize("named", [True, False])
def test_in_a_loop_of_its_own(named: bool) -> None:
    program, watch = Program(wired=False), tf1_bn.StatisticsHook(every=4, on="raise")
    with make_session() as session:
        session.run(tf.global_variables_initializer())
        watch(session)
        for number in range(4):
            session.run(program.step, program.fed(True))
            if number < 3:
                watch(session, program.step if named else None)
        with pytest.raises(RuntimeError, match="BN501"):
            watch(session, program.step if named else None)


def test_not_finite_and_who_has_it() -> None:
    program, hook = Program(), tf1_bn.StatisticsHook(every=1)
    wild = np.where(np.arange(8)[:, None] == 1, np.nan, DATA)
    runs = [(program.step, program.fed(True)), (program.step, program.fed(True, wild))]
    assert heard(hook, *runs) == [[], ["BN502 warning"], []]


@pytest.mark.parametrize("phase", [True, False])
def test_an_evaluation_that_moves_the_statistics(phase: bool) -> None:
    program, hook = Program(), tf1_bn.StatisticsHook(ignore=["BN504"])
    runs = [(program.step, program.fed(True)), (program.waiting, program.fed(phase))]
    # The averages are where the batch would move them to, or nearly so, in no case.
    assert heard(hook, *runs) == [[], ["BN503 warning"] if phase else [], []]


def test_updates_in_a_run_of_their_own_are_no_evaluation() -> None:
    program, hook = Program(wired=False), tf1_bn.StatisticsHook(every=1, on="raise")
    group = tf.group(*program.updates)
    with monitored(hook) as session:
        for updates in (program.updates, group):
            session.run(program.step, program.fed(True))
            session.run(updates, program.fed(True))
    assert hook.findings == ()


@pytest.mark.parametrize(("steps", "age", "share"), [(0, "0", "100%"), (5, "0.53", "59%")])
def test_an_evaluation_too_early(steps: int, age: str, share: str) -> None:
    """5 * -log(0.9) = 0.527 time constants; exp(-0.527) = 0.9 ** 5 = 0.590."""
    program, hook = Program(), tf1_bn.StatisticsHook(on="raise")
    runs = [(program.step, program.fed(True))] * steps + [(program.y, program.fed(False))]
    assert heard(hook, *runs)[-2:] == [["BN504 note"], []]
    (found,) = hook.findings
    assert f"were {age} time constants old" in found.wrong and share in found.follows


def test_an_evaluation_is_no_update() -> None:
    """It runs the update ops with a phase that is False: the averages stay 0 updates old."""
    program, hook = Program(), tf1_bn.StatisticsHook()
    said = heard(hook, *[(program.waiting, program.fed(False))] * 2)
    assert said == [["BN504 note"], [], []]
    assert "were 0 time constants old" in hook.findings[0].wrong


def test_a_step_of_a_generator_says_nothing_of_the_discriminator() -> None:
    x, phase = tf.placeholder(tf.float32, [None, 3]), True
    y = tf1_bn.batch_normalization(x, training=phase, name="own")
    z = tf1_bn.batch_normalization(y * 2.0, training=phase, name="other")
    optimizer, loss = tf.train.GradientDescentOptimizer(0.1), tf.reduce_mean(tf.square(z - 1.0))
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS, "own")):
        step = optimizer.minimize(loss, var_list=tf.trainable_variables("own"))
    hook = tf1_bn.StatisticsHook(every=2, on="raise")
    with monitored(hook) as session:
        for _ in range(4):
            session.run(step, {x: DATA})
    assert hook.findings == ()


@pytest.mark.parametrize("wired", [True, False])
def test_steps_that_a_program_makes_itself(wired: bool) -> None:
    """It gathers gradients in one run, which moves the averages, and takes them off in another."""
    x, phase = tf.placeholder(tf.float32, [None, 3]), tf.placeholder_with_default(False, [])
    y = tf1_bn.batch_normalization(x, training=phase, momentum=MOMENTUM, name="bn")
    learned = tf.trainable_variables()
    gathered = [tf.Variable(tf.zeros(v.shape), trainable=False) for v in learned]
    gradients = tf.gradients(tf.reduce_mean(tf.square(y - 1.0)), learned)
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS) if wired else []):
        gather = [tf.assign_add(total, g) for total, g in zip(gathered, gradients)]
    step = [tf.assign_sub(v, 0.1 * g) for v, g in zip(learned, gradients)]
    hook, fed = tf1_bn.StatisticsHook(every=4), {x: DATA, phase: True}
    runs = [(gather, fed), (step, fed)] * 4
    assert sum(heard(hook, *runs), []) == ([] if wired else ["BN501 warning"])


def test_it_costs_nothing_between_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ten runs one is followed by a run of the hook's own."""
    program, watch = Program(), tf1_bn.StatisticsHook(every=10, ignore=["BN501"])
    with make_session() as session:
        session.run(tf.global_variables_initializer())
        watch(session)
        run, looks = session.run, []
        monkeypatch.setattr(session, "run", lambda *given: looks.append(given) or run(*given))
        for _ in range(30):
            watch(session, program.step)
    assert len(looks) == 3


@pytest.mark.parametrize("fetches", ["step", "nested", "nothing"])
def test_fetches_are_taken_as_a_session_takes_them(fetches: str) -> None:
    program, watch = Program(wired=False), tf1_bn.StatisticsHook(every=2, on="raise")
    given: Any = {
        "step": program.step.name,
        "nested": {"a": [(program.step, program.y.name)], "b": program.x},
        "nothing": [object(), []],
    }[fetches]
    with make_session() as session:
        session.run(tf.global_variables_initializer())
        watch(session)
        watch(session, given)
        if fetches == "nothing":
            watch(session, given)
        else:
            with pytest.raises(RuntimeError, match="BN501"):
                watch(session, given)
    with pytest.raises(TypeError, match="`session` must be"):
        watch(program.step)


def test_a_graph_without_layers_is_told_of() -> None:
    tf.constant(1.0)
    with make_session() as session, pytest.warns(UserWarning, match="finds no batch norm"):
        tf1_bn.StatisticsHook()(session)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"every": 0}, "`every` must be a whole number from 1 on"),
        ({"every": 2.5}, "`every` must be a whole number from 1 on"),
        ({"every": True}, "`every` must be a whole number from 1 on"),
        ({"every": "2"}, "`every` must be a whole number from 1 on"),
        ({"on": "print"}, "`on` must be one of"),
        ({"on": np.array(["warn", "raise"])}, "`on` must be one of"),
        ({"ignore": ["BN999"]}, "`ignore` must hold codes"),
        ({"ignore": "bn501"}, "got 'bn501', did you mean 'BN501'"),
        ({"ignore": [["BN501"]]}, "`ignore` must hold codes"),
        ({"ignore": [5]}, "`ignore` must hold codes"),
    ],
)
def test_wrong_arguments(arguments: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        tf1_bn.StatisticsHook(**arguments)


def test_whole_numbers_and_codes_are_taken_as_programs_have_them() -> None:
    tf1_bn.StatisticsHook(every=np.int64(3), ignore=iter(["BN501", "BN504"]))
    for ignore in (5, None):
        with pytest.raises(TypeError, match="`ignore` must be codes, in a list"):
            tf1_bn.StatisticsHook(ignore=ignore)


def test_a_loop_that_hands_over_something_else() -> None:
    """Each error leaves the hook as it was."""
    program, watch = Program(wired=False), tf1_bn.StatisticsHook(every=1, on="raise")
    with tf.Graph().as_default() as graph:
        stranger = tf.constant(1.0)
    with make_session(graph) as other, make_session(program.step.graph) as session:
        with pytest.raises(tf.errors.FailedPreconditionError, match="must have its variables"):
            watch(session)
        session.run(tf.global_variables_initializer())
        watch(session)
        for given in ([other], [other, stranger], [session, stranger], [session, "none:0"]):
            with pytest.raises(ValueError, match="must be .*of the"):
                watch(*given)
        for given in (5, True, np.ones(2)):
            with pytest.raises(TypeError, match="`fetches` must be ops or tensors that were run"):
                watch(session, given)
        watch(session, program.step)
        with pytest.raises(RuntimeError, match="after 2 runs that train"):
            watch(session, program.step)
    with pytest.raises(RuntimeError, match="`session` must be open"):
        watch(session, program.step)


def test_a_monitored_session_refuses_fetches_in_its_own_words() -> None:
    Program()
    hook = tf1_bn.StatisticsHook()
    with monitored(hook) as session, pytest.raises(
        ValueError, match="cannot be interpreted as a T"
    ):
        session.run("none:0")
