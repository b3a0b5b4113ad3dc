"""Tasks of a real cluster are killed with SIGKILL and started again; training goes on."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np

from tests.conftest import tensorflow
from tests.distribute.cluster_support import STATISTICS, Cluster, Task, cluster, until


def last_checkpoint(folder: Path, copy: Path) -> dict[str, Any]:
    """What the last checkpoint holds, from a copy: the chief soon writes it anew."""
    copy.mkdir()
    name = Path((folder / "checkpoint").read_text().split('"')[1]).name
    for file in folder.glob(f"{name}.*"):
        shutil.copy(str(file), str(copy))
    reader = tensorflow().train.load_checkpoint(str(copy / name))
    return {
        "global_step": int(reader.get_tensor("global_step")),
        "updates": reader.get_tensor("updates_by_worker").tolist(),
        "statistics": {name: reader.get_tensor(name).tolist() for name in STATISTICS},
    }


def wait_for_checkpoint(folder: Path) -> None:
    """Until one is there that holds steps: the first is written before any."""
    until(
        lambda: any(not path.match("model.ckpt-0.*") for path in folder.glob("model.ckpt-*.index")),
        "no checkpoint",
    )


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
        waiting = "still waiting for response from worker: /job:worker/replica:0/task:1"
        until(lambda: waiting in running.log(), "TensorFlow does not say that it waits")
        assert chief.progress()["sessions"] == []
        running.start("worker", 1)
        assert chief.answer()["global_step"] == 0


# --- synchronous training -------------------------------------------------------------------------


def start_synchronous(running: Cluster) -> tuple[Task, Task, Task]:
    """All three, when both workers have made steps and a checkpoint holds some."""
    ps, chief, worker = start_all(running)
    chief.tell("run")
    worker.tell("run")
    both_train(chief, worker, 30)
    wait_for_checkpoint(running.folder)
    return ps, chief, worker


def assert_trains_on(folder: Path, chief: Task, worker: Task, saved: int) -> None:
    both_train(chief, worker, 30)
    chief.kill()
    found = last_checkpoint(folder, folder / "later")
    assert_sound(found)
    assert found["global_step"] >= saved + 20
    assert found["updates"][1] == 0


def test_in_synchronous_training_a_worker_is_killed_and_started_again(tmp_path):
    with cluster(tmp_path, sync=True) as running:
        _, chief, worker = start_synchronous(running)
        worker.kill()
        worker = running.start("worker", 1)
        # Two gradients make a step, and each worker has made 30.
        assert worker.ask("open")["global_step"] >= 30
        assert len(chief.progress()["sessions"]) == 1, "the chief had to begin anew"
        worker.tell("run")
        assert_trains_on(tmp_path, chief, worker, saved=20)


def test_in_synchronous_training_the_chief_is_killed_and_restores_its_checkpoint(tmp_path):
    with cluster(tmp_path, sync=True) as running:
        _, chief, worker = start_synchronous(running)
        chief.kill()
        # The worker alone makes no step, so the ps stands still.
        saved = last_checkpoint(tmp_path, tmp_path / "copy")
        assert saved["global_step"] >= 20
        chief = running.start("worker", 0)
        assert chief.ask("open") == saved
        chief.tell("run")
        assert_trains_on(tmp_path, chief, worker, saved["global_step"])


def test_in_synchronous_training_the_ps_is_killed_and_restored(tmp_path):
    with cluster(tmp_path, sync=True) as running:
        ps, chief, worker = start_synchronous(running)
        # A chief at work might write a checkpoint after the last one has been read here.
        chief.tell("stop")
        chief.answer()
        ps.kill()
        saved = last_checkpoint(tmp_path, tmp_path / "copy")
        assert saved["global_step"] >= 20
        running.start("ps")
        chief.tell("run")
        until(lambda: len(chief.progress()["sessions"]) == 2, "the chief makes no new session")
        assert chief.progress()["sessions"][1] == saved
        assert_trains_on(tmp_path, chief, worker, saved["global_step"])


def test_a_chief_that_comes_back_frees_who_waits_for_a_token(tmp_path):
    """The dead one may have taken the gradients of a step and given nobody its token."""
    with cluster(tmp_path, sync=True) as running:
        _, chief, worker = start_synchronous(running)
        chief.tell("stop")
        chief.answer()
        # Without the chief the worker's gradient lies on the ps, and the worker waits.
        before = worker.steps()
        chief.kill()
        chief = running.start("worker", 0)
        chief.ask("open")
        # The step under way when the chief was asked to stop may be one of these.
        until(lambda: worker.steps() >= before + 3, "nobody gives the worker a token")
        chief.tell("run")
        both_train(chief, worker, 10)
