"""How launcher and tasks agree that the training has ended, when a process dies at that moment.

`python -m tests.examples.test_cluster_protocol SCENARIO FOLDER` carries a scenario out, which
starts each task as a fork; the tests let a fork do that (`tests.forked`).
"""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from tests import forked
from tests.examples.forked_tasks import fork_tasks
from tests.examples.support import EXAMPLES, TIME_LIMIT

STEPS = 40

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only there a port is held for its server"
)


class Watched:
    """A cluster, and every line that it has printed so far."""

    def __init__(self, cluster: Any) -> None:
        self.cluster = cluster
        self.lines: list[Any] = []

    def read(self) -> None:
        line = self.cluster.next_line()
        if line is not None:
            self.lines.append(line)
            line.process.note(line)

    def of(self, process: Any, words: str) -> list[str]:
        return [line.text for line in self.lines if line.process is process and words in line.text]

    def until(self, condition: Callable[[], Any], meanwhile: Callable[[], Any] = list) -> None:
        end = time.monotonic() + TIME_LIMIT
        while not condition():
            shown = "\n".join(f"{line.process.name}: {line.text}" for line in self.lines)
            assert time.monotonic() < end, shown
            self.read()
            meanwhile()

    def lead(self) -> None:
        """What the launcher does between two lines."""
        if self.cluster.gate_reached() is not None:
            self.cluster.open_gate()
        self.cluster.look_after()


@contextlib.contextmanager
def watched(folder: Path, *options: str) -> Iterator[Watched]:
    processes = importlib.import_module("cluster_processes")
    arguments = ["--checkpoint-dir", str(folder), "--steps", str(STEPS), "--save-steps", "15"]
    with processes.free_ports(3) as ports:
        cluster = processes.Cluster(2, ports, [*arguments, *options])
        try:
            cluster.start()
            yield Watched(cluster)
        finally:
            cluster.end()


def last_saved(folder: Path) -> int:
    """The global step in the name of the last checkpoint."""
    (number,) = re.findall(r'^model_checkpoint_path: ".*-(\d+)"$', state(folder), re.M)
    return int(number)


def state(folder: Path) -> str:
    return (folder / "checkpoint").read_text()


def the_ps_dies_while_all_wait_for_the_end(folder: Path, *kind: str) -> None:
    with watched(folder, *kind) as watch:
        cluster = watch.cluster
        # All are done, and nobody has been told to finish.
        watch.until(cluster.gate_reached)
        cluster.open_gate()
        watch.until(lambda: all(worker.done for worker in cluster.workers))
        cluster.ps.kill()
        restored = last_saved(folder)
        assert restored > 0
        watch.until(lambda: cluster.chief.finished, watch.lead)
        assert cluster.ps.starts == 2 and cluster.chief.starts == 1
        _, second = watch.of(cluster.chief, "session at global step")
        assert int(second.split()[-1]) >= restored
        assert last_saved(folder) >= STEPS


def a_worker_that_is_done_goes_on_when_the_chief_restores(folder: Path) -> None:
    with watched(folder) as watch:
        cluster = watch.cluster
        worker = cluster.workers[1]
        watch.until(cluster.gate_reached)
        cluster.chief.kill()
        worker.say("start")
        watch.until(lambda: watch.of(worker, "done"))
        # The chief restores the checkpoint from before the first step, and waits after its own.
        assert cluster.look_after() == [cluster.chief]
        watch.until(lambda: len(watch.of(worker, "done")) == 2)
        assert worker.starts == 1 and sum(worker.steps) > STEPS
        watch.until(lambda: cluster.chief.finished, watch.lead)
        assert cluster.chief.starts == 2 and worker.finished
        assert last_saved(folder) >= STEPS


def a_worker_that_ended_is_started_again_when_the_chief_dies(folder: Path) -> None:
    with watched(folder) as watch:
        cluster = watch.cluster
        worker = cluster.workers[1]
        watch.until(lambda: worker.told_to_finish, watch.lead)
        watch.until(lambda: worker.exit_code() == 0)
        cluster.chief.kill()
        assert cluster.look_after() == [cluster.chief, worker]
        watch.until(lambda: cluster.chief.finished, watch.lead)
        assert worker.starts == 2 and worker.finished
        assert last_saved(folder) >= STEPS


def carried_out(scenario: Callable[..., None], folder: Path, *kind: str) -> None:
    module = "tests.examples.test_cluster_protocol"
    ended = forked.python("-m", module, scenario.__name__, str(folder), *kind, cwd=folder)
    assert ended.code == 0, ended.err


@pytest.mark.parametrize("kind", [(), ("--sync",)], ids=["asynchronous", "synchronous"])
def test_the_ps_dies_while_all_wait_for_the_end(tmp_path, kind):
    carried_out(the_ps_dies_while_all_wait_for_the_end, tmp_path, *kind)


def test_a_worker_that_is_done_goes_on_when_the_chief_restores(tmp_path):
    carried_out(a_worker_that_is_done_goes_on_when_the_chief_restores, tmp_path)


def test_a_worker_that_ended_is_started_again_when_the_chief_dies(tmp_path):
    carried_out(a_worker_that_ended_is_started_again_when_the_chief_dies, tmp_path)


def test_a_line_of_a_dead_process_counts_as_its_own(monkeypatch):
    """A launcher that comes late reads it when the next process has already been started."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    processes = importlib.import_module("cluster_processes")
    process = processes.Process("worker 0", [], None)
    process.steps = [40, 3]
    process.note(processes.Line(process, 0, "global step 90 of 90, 47 steps here, done"))
    assert process.steps == [47, 3] and not process.done
    process.note(processes.Line(process, 1, "global step 50 of 90, 4 steps here, waiting for half"))
    assert process.steps == [47, 4] and process.waits_for == "half"
    process.note(processes.Line(process, 1, "global step 90 of 90, 44 steps here, done"))
    assert process.steps == [47, 44] and process.done and process.waits_for is None


if __name__ == "__main__":
    fork_tasks()
    sys.path.insert(0, str(EXAMPLES))
    globals()[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
