"""Ends of programs that other tests do not reach: threads, forks, signals, streams, two reports."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import tensorflow
from tests.testing.test_commands import command
from tf1_bn._src.cli import rebuilding
from tf1_bn._src.cli.listening import _wait_for_threads
from tf1_bn._src.files import streams
from tf1_bn._src.files.whole_files import check_report
from tf1_bn.testing import load_recording

IN_A_THREAD = """
import threading, time
import tensorflow.compat.v1 as tf
import tf1_bn
def train():
    time.sleep(1)
    with tf.Graph().as_default(), tf.Session() as session:
        y = tf1_bn.batch_normalization(tf.ones([4, 3]), training=True)
        session.run(tf.global_variables_initializer())
        session.run([y, tf.get_collection(tf.GraphKeys.UPDATE_OPS)])
threading.Thread(target=train).start()
"""


def test_what_a_thread_trains_behind_the_last_line_is_kept(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(IN_A_THREAD)
    done = command("record", "program.py", "-o", "r.npz", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(load_recording(str(tmp_path / "r.npz")).calls[0].steps) == 1


BEHIND_ITS_ERROR = (
    IN_A_THREAD.replace("threading.Thread(target=train).start()", "")
    + """
import atexit, sys
def hook(*given):
    raise OSError("the hook itself")
sys.excepthook = hook
atexit.register(print, "the first handler is the last", flush=True)
atexit.register(lambda: 1 // 0)
atexit.register(train)
with tf.Graph().as_default(), tf.Session() as session:
    try:
        session.run(tf1_bn.batch_normalization(tf.ones([4, 3])))
    except tf.errors.FailedPreconditionError as error:
        sys.stderr.write(str(error))
raise KeyError("the program")
"""
)


def test_what_an_exit_handler_trains_is_kept_and_a_failing_hook_hides_nothing(
    tmp_path: Path,
) -> None:
    (tmp_path / "program.py").write_text(BEHIND_ITS_ERROR)
    done = command("record", "program.py", "-o", "r.npz", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "the first handler is the last\n"), done.stderr
    assert [len(call.steps) for call in load_recording(str(tmp_path / "r.npz")).calls] == [0, 1]
    told = done.stderr.splitlines()
    last = "the program raised KeyError; 2 batch-norm calls and 1 step recorded in r.npz"
    assert told[-1] == f"tf1_bn: {last}"
    wanted = ["Error in sys.excepthook:", "OSError: the hook itself", "Original exception was:"]
    wanted += ["KeyError: 'the program'", "ZeroDivisionError"]
    places = [next(i for i, line in enumerate(told) if words in line) for words in wanted]
    assert places == sorted(places)
    # TensorFlow 1 tells in its own words where an op was made.
    assert "_src" not in done.stderr or tensorflow().__version__[0] == "1"


def test_the_threads_of_a_pool_are_not_waited_for() -> None:
    from concurrent.futures import ThreadPoolExecutor

    ended, pool = threading.Event(), ThreadPoolExecutor(1)
    pool.submit(int).result()
    threading.Timer(0.05, ended.set).start()
    _wait_for_threads()
    assert ended.is_set()
    pool.shutdown()


@pytest.mark.parametrize(
    "code, words",
    [
        (-9, "the program was killed by SIGKILL"),
        # Without a name of its own.
        (-40, "the program was killed by signal 40"),
        (3, "the program ended its process with exit code 3"),
    ],
)
def test_every_signal_that_kills_is_told(code: int, words: str) -> None:
    assert rebuilding._killed(code) == words


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_forked_child_leaves_the_verdict_to_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own end would say that the program failed."""
    rebuilding._write(str(tmp_path / "request.json"), {})
    started = os.getpid()

    def listened(*_: Any, **__: Any) -> Any:
        monkeypatch.setattr(os, "getpid", lambda: started + 1)
        return None, rebuilding.ProgramFailed("the program ended with exit code 3", 3), None

    monkeypatch.setattr(rebuilding, "listened", listened)
    assert rebuilding._rebuild(str(tmp_path)) == 3
    assert [each.name for each in tmp_path.iterdir()] == ["request.json"]


class Log:
    def write(self, text: str) -> None:
        raise AssertionError("it takes nothing")


class Failing(Log):
    def flush(self) -> None:
        raise AssertionError("nor this")


def test_streams_that_a_program_left(monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    """What is no stream gives way to Python's own; what raises costs the words alone."""
    monkeypatch.setattr(sys, "__stderr__", sys.stderr)
    monkeypatch.setattr(sys, "__stdout__", sys.stdout)
    monkeypatch.setattr(sys, "stderr", Log())
    monkeypatch.setattr(sys, "stdout", Log())
    streams.say("told")
    assert streams.put("a report\n", 0) == 0
    assert capfd.readouterr() == ("a report\n", "tf1_bn: told\n")
    monkeypatch.setattr(sys, "stdout", Failing())
    assert streams.put("a report", 0) == 2
    assert capfd.readouterr().err == "tf1_bn: cannot write to standard output: it takes nothing\n"


def test_a_stream_that_the_program_closed_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull, "w") as closed:
        pass
    monkeypatch.setattr(sys, "stdout", closed)
    assert streams.put("", 0) == 0


def test_a_file_that_the_program_closed_below_its_stream_costs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It costs what is written there: here what the program has not flushed."""
    for left, code in (("", 0), ("words", 2)):
        reading, writing = os.pipe()
        stream = os.fdopen(writing, "w", closefd=False)
        monkeypatch.setattr(sys, "stdout", stream)
        print(left, end="")
        os.close(writing)
        assert streams.put("", 0) == code
        os.close(reading)
        # What it still holds would be told of when it is collected.
        with contextlib.suppress(OSError):
            stream.close()


def test_two_reports_do_not_go_to_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kind = ((b"{",), (), ["a.html", "report"], "verified", "--format json is")
    check_report("a.json", *kind)
    with pytest.raises(OSError, match="the other report goes there"):
        check_report("./report", *kind)
    with pytest.raises(OSError, match="--format json is for standard output"):
        check_report("-", *kind)
