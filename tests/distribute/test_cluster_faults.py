"""Tasks of a real cluster are killed with SIGKILL and started again; training goes on."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import tensorflow
from tests.distribute.cluster_support import STATISTICS, Cluster, Task, cluster, until


def last_checkpoint(folder: Path, copy: Path) -> dict[str, Any]:
    """What the last checkpoint holds, from a copy: the chief soon writes it anew."""
    shutil.copytree(str(folder), str(copy))
    tf = tensorflow()
    state = (copy / "checkpoint").read_text().split('"')[1]
    reader = tf.train.load_checkpoint(str(copy / Path(state).name))
    return {
        "global_step": int(reader.get_tensor("global_step")),
        "updates": reader.get_tensor("updates_by_worker").tolist(),
        "statistics": {name: reader.get_tensor(name).tolist() for name in STATISTICS},
    }


def start_all(running: Cluster) -> tuple[Task, Task, Task]:
    ps, chief, worker = running.start("ps"), running.start("worker", 0), running.start("worker", 1)
    chief.ask("open")
    worker.ask("open")
    return ps, chief, worker


def both_train(chief: Task, worker: Task, steps: int) -> None:
    for task in (chief, worker):
        before = task.steps()
        until(lambda task=task, before=before: task.steps() >= before + steps, "no progress")


def stop(*tasks: Task) -> list[dict[str, Any]]:
    for task in tasks:
        task.tell("stop")
    return [task.answer() for task in tasks]


def assert_sound(values: dict[str, Any]) -> None:
    for name, value in values["statistics"].items():
        assert np.all(np.isfinite(value)), name
        if name.endswith("variance"):
            assert np.all(np.asarray(value) > 0.0), name


def test_a_worker_is_killed_and_started_again(tmp_path):
    with cluster(tmp_path) as running:
        _, chief, worker = start_all(running)
        chief.tell("run")
        worker.tell("run")
        both_train(chief, worker, 30)
        seen = worker.steps()
        worker.kill()
        # The other one goes on while the worker is gone.
        before = chief.steps()
        until(lambda: chief.steps() >= before + 30, "the chief waits for a dead worker")
        worker = running.start("worker", 1)
        joined = worker.ask("open")
        worker.tell("run")
        both_train(chief, worker, 30)
        by_chief, by_worker = (result["steps"] for result in stop(chief, worker))
        values = chief.ask("read")
        assert_sound(values)
        assert joined["global_step"] >= before
        assert len(chief.progress()["sessions"]) == 1, "the chief had to begin anew"
        # Not one step of either is lost, but for the one that was under way.
        assert values["updates"][0] == by_chief
        assert values["updates"][1] >= seen + by_worker
        assert 0 <= sum(values["updates"]) - values["global_step"] <= 1


def test_the_chief_is_killed_and_restores_its_checkpoint(tmp_path):
    with cluster(tmp_path) as running:
        _, chief, worker = start_all(running)
        chief.tell("run")
        worker.tell("run")
        both_train(chief, worker, 50)
        # While the other one sleeps nobody writes between the restoring and the reading.
        worker.signal(signal.SIGSTOP)
        chief.kill()
        saved = last_checkpoint(tmp_path, tmp_path / "copy")
        assert saved["global_step"] >= 20
        chief = running.start("worker", 0)
        assert chief.ask("open") == saved
        worker.signal(signal.SIGCONT)
        chief.tell("run")
        both_train(chief, worker, 30)
        stop(chief, worker)
        values = chief.ask("read")
        assert_sound(values)
        assert values["global_step"] >= saved["global_step"] + 60


def test_the_ps_is_killed_and_the_chief_restores_its_checkpoint(tmp_path):
    with cluster(tmp_path) as running:
        ps, chief, worker = start_all(running)
        worker.tell("run")
        chief.ask("run", steps=50)
        both_train(worker, worker, 10)
        ps.kill()
        saved = last_checkpoint(tmp_path, tmp_path / "copy")
        assert saved["global_step"] >= 20
        # Nobody but the chief may write before it has looked.
        worker.signal(signal.SIGSTOP)
        running.start("ps")
        chief.ask("run", steps=1)
        first, second = chief.progress()["sessions"]
        assert first["global_step"] == 0
        assert second == saved
        worker.signal(signal.SIGCONT)
        chief.tell("run")
        both_train(chief, worker, 30)
        stop(chief, worker)
        assert len(worker.progress()["sessions"]) == 2
        values = chief.ask("read")
        assert_sound(values)
        assert values["global_step"] >= saved["global_step"] + 60


def test_without_device_filters_a_session_waits_for_every_worker(tmp_path):
    with cluster(tmp_path, filters=False) as running:
        running.start("ps")
        chief = running.start("worker", 0)
        chief.tell("open")
        assert has_no_session_for(3.0, chief)
        running.start("worker", 1)
        assert chief.answer()["global_step"] == 0


def has_no_session_for(seconds: float, task: Task) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if task.progress()["sessions"]:
            return False
        time.sleep(0.1)
    return True



@pytest.mark.parametrize("victim", ["worker", "chief", "ps"])
def test_in_synchronous_training_a_task_is_killed_and_started_again(victim, tmp_path):
    with cluster(tmp_path, sync=True) as running:
        tasks = dict(zip(("ps", "chief", "worker"), start_all(running)))
        for name in ("chief", "worker"):
            tasks[name].tell("run")
        both_train(tasks["chief"], tasks["worker"], 30)
        tasks[victim].kill()
        # The chief alone writes checkpoints, and a living one may be about to.
        saved = 10
        if victim != "worker":
            saved = last_checkpoint(tmp_path, tmp_path / "copy")["global_step"]
        job, number = {"ps": ("ps", 0), "chief": ("worker", 0), "worker": ("worker", 1)}[victim]
        tasks[victim] = running.start(job, number)
        if victim != "ps":
            assert tasks[victim].ask("open")["global_step"] >= saved >= 10
            tasks[victim].tell("run")
        # Whether the others wait or go on meanwhile, they train when it is back.
        both_train(tasks["chief"], tasks["worker"], 20)
        tasks["chief"].kill()
        found = last_checkpoint(tmp_path, tmp_path / "later")
        assert_sound(found)
        assert found["global_step"] >= saved
