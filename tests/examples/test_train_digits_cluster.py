"""The cluster in one command: what it prints, what it survives, and that it leaves nothing.

The main job, and whatever looks for processes, runs as a reader runs it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, NamedTuple

import pytest

from tests import forked
from tests.distribute.cluster_support import held_port
from tests.examples import bounds
from tests.examples.support import (
    EXAMPLES,
    TIME_LIMIT,
    Finished,
    command,
    environment,
    files_in,
    numbers_after,
    run_anew,
    run_many,
)

SCRIPT = "train_digits_cluster.py"
SHORT = ("--epochs", 6, "--momentum", 0.9, "--save-steps", 50)
SHORT_STEPS = 6 * 44
# Six epochs with momentum 0.9, some of them lost: measured 97.8 to 99.7 %.
SHORT_HELD_OUT = bounds.DIGITS_SHORT

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/cmdline").exists(), reason="the processes left are looked up in /proc"
)


def succeed(folder: Path, script: str, *arguments: object) -> Finished:
    """Run it with tasks that are forks of the launcher, which has TensorFlow loaded."""
    line = command(script, *arguments)[1:]
    finished = forked.python("-m", "tests.examples.forked_tasks", *line, cwd=folder)
    assert finished.code == 0, finished.err
    return finished


class Row(NamedTuple):
    """One line of the table at the end."""

    starts: int
    reported: int
    kept: int


def rows(out: str) -> dict[str, Row]:
    found = re.findall(r"^(worker \d|together)(?: \(chief\))? +(\d*) +(\d+) +(\d+)$", out, re.M)
    return {name: Row(int(starts or 0), int(a), int(b)) for name, starts, a, b in found}


def starts_of_ps(out: str) -> int:
    return int(re.findall(r"^ps +(\d+) +- +-$", out, re.M)[0])


def processes_of(folder: Path) -> list[int]:
    """The tasks that write their checkpoints below `folder`, of those that run."""
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
            except OSError:
                continue
            if "cluster_task.py" in line and str(folder) in line:
                pids.append(int(entry.name))
    return pids


def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + TIME_LIMIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def main_job(tmp_path_factory) -> Finished:
    folder = tmp_path_factory.mktemp("main_job")
    finished = run_anew(folder, SCRIPT)
    assert finished.code == 0, finished.err
    assert files_in(folder) == set(), "without options nothing is left behind"
    return finished


def test_accuracy_of_one_machine_is_reached(main_job):
    assert "asynchronous training, 1 ps and 2 workers" in main_job.out
    (accuracy,) = numbers_after("held-out accuracy in inference mode, restored:", main_job.out)
    assert accuracy > bounds.DIGITS_HELD_OUT


def test_every_step_is_counted_once(main_job):
    table = rows(main_job.out)
    assert set(table) == {"worker 0", "worker 1", "together"}
    for row in table.values():
        assert row.reported == row.kept
    assert all(table[name].starts == 1 and table[name].kept > 0 for name in table if " " in name)
    (global_step,) = numbers_after("global step of the last checkpoint:", main_job.out)
    assert table["together"].kept == global_step == sum(table[f"worker {n}"].kept for n in (0, 1))
    # Each worker stops at its first step that finds 880 or more.
    assert 880 <= global_step <= 881


def test_all_processes_report_on_stderr(main_job):
    for name in ("ps", "worker 0", "worker 1"):
        assert f"[{name}] serving" in main_job.err
    for name in ("worker 0", "worker 1"):
        # How the steps are shared is a matter of chance.
        reports = re.findall(
            rf"^\[{name}\] global step \d+ of 880, \d+0 steps here, loss", main_job.err, re.M
        )
        assert len(reports) == rows(main_job.out)[name].reported // 40
    assert "Traceback" not in main_job.err and "serving" not in main_job.out


def test_synchronous_training(tmp_path):
    finished = succeed(tmp_path, SCRIPT, "--sync", *SHORT)
    table = rows(finished.out)
    assert "synchronous training, 1 ps and 2 workers" in finished.out
    # Only the chief updates the moving statistics.
    assert table["worker 0"].kept == table["worker 0"].reported > 0
    assert table["worker 1"].kept == 0 < table["worker 1"].reported
    # Two batches make a step, and no batch comes too late.
    assert numbers_after("global step of the last checkpoint:", finished.out) == [SHORT_STEPS / 2]
    assert table["together"].reported == SHORT_STEPS
    (accuracy,) = numbers_after("held-out accuracy in inference mode, restored:", finished.out)
    assert accuracy > SHORT_HELD_OUT
    assert "Traceback" not in finished.err and files_in(tmp_path) == set()


VICTIMS = pytest.mark.parametrize(
    "role, victim", [("worker", "worker 1"), ("chief", "worker 0"), ("ps", "ps")]
)


@VICTIMS
def test_synchronous_training_goes_on_after_a_kill(tmp_path, role, victim):
    finished = succeed(tmp_path, SCRIPT, "--sync", *SHORT, "--kill", role)
    assert_went_on(finished, role, victim)
    table = rows(finished.out)
    assert numbers_after("global step of the last checkpoint:", finished.out) == [SHORT_STEPS / 2]
    assert table["worker 1"].kept == 0 < table["worker 0"].kept <= table["worker 0"].reported


@VICTIMS
def test_training_goes_on_after_a_kill(tmp_path, role, victim):
    finished = succeed(tmp_path, SCRIPT, *SHORT, "--kill", role)
    assert_went_on(finished, role, victim)
    (global_step,) = numbers_after("global step of the last checkpoint:", finished.out)
    assert global_step >= SHORT_STEPS
    # A checkpoint is no snapshot: steps under way while it is written are in one count only.
    table = rows(finished.out)
    assert abs(table["together"].kept - global_step) <= 20
    if role == "worker":
        # It died between two steps.
        assert all(row.reported == row.kept for row in table.values())
        assert table["together"].kept == global_step


def assert_went_on(finished: Finished, role: str, victim: str) -> None:
    """The victim was started again, and the model learned on from where it was."""
    err = finished.err.splitlines()
    killed = err.index(f"[launcher] killing {victim}")
    assert f"[launcher] starting {victim} again" in err[killed:]
    table = rows(finished.out)
    starts = {**{name: row.starts for name, row in table.items()}, "ps": starts_of_ps(finished.out)}
    assert starts[victim] == 2
    # Whoever has to begin anew does so from the model that was there, not from nothing.
    reader = "worker 1" if role == "worker" else "worker 0"
    again = [line for line in err[killed:] if f"[{reader}] session at global step" in line]
    assert int(again[-1].split()[-1]) > 0
    (accuracy,) = numbers_after("held-out accuracy in inference mode, restored:", finished.out)
    assert accuracy > SHORT_HELD_OUT


def test_a_second_run_goes_on_from_the_checkpoint(tmp_path):
    theirs, leftovers = plant_files(tmp_path / "deep" / "kept")
    few = ("--batch-size", 128, "--save-steps", 5, "--checkpoint-dir", "deep/kept")
    first = succeed(tmp_path, SCRIPT, "--epochs", 1, *few)
    (before,) = numbers_after("global step of the last checkpoint:", first.out)
    assert before >= 11 and "checkpoints: deep/kept" in first.out
    second = succeed(tmp_path, SCRIPT, "--epochs", 2, *few)
    # A worker that comes late finds the other's steps; the first step follows an untouched session.
    stands = re.findall(r"^\[worker \d\] session at global step (\d+)$", second.err, re.M)
    assert min(int(stand) for stand in stands) == before
    (after,) = numbers_after("global step of the last checkpoint:", second.out)
    assert after >= 22 and rows(second.out)["together"].kept == after
    left = files_in(tmp_path / "deep" / "kept")
    assert theirs <= left and left & leftovers == set()
    assert [name for name in left - theirs if "_temp/" in name or ".tempstate" in name] == []


def plant_files(folder: Path) -> tuple[set[str], set[str]]:
    """Files that are not the program's to delete, and what TensorFlow leaves when it is killed."""
    theirs = {
        "site_templates/page.html",
        "room_temperatures.csv",
        "notes.tempstate1",
        "model.ckpt-3_template/page.html",
        "my_model.ckpt-3_temp/part",
        "checkpoint.tmp",
    }
    leftovers = {
        "model.ckpt-3_temp/part-00000-of-00001.index",
        "model.ckpt-4_temp_0c5f4bd4c9a94f4b9d4f1a1b2c3d4e5f/part-00000-of-00001.index",
        "model.ckpt-3.data-00000-of-00001.tempstate123456789",
        "model.ckpt-3.index.tempstate123456789",
        "model.ckpt-3.meta.tmp0c5f4bd4c9a94f4b9d4f1a1b2c3d4e5f",
        "checkpoint.tmp0c5f4bd4c9a94f4b9d4f1a1b2c3d4e5f",
    }
    for name in theirs | leftovers:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    return theirs, leftovers


# --- the end --------------------------------------------------------------------------------------


def launched(folder: Path, *arguments: object) -> subprocess.Popen:
    return subprocess.Popen(
        command(SCRIPT, "--epochs", 10000, "--checkpoint-dir", folder / "kept", *arguments),
        cwd=str(folder),
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        # A test run in the background has Ctrl-C switched off, which children would inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for_training(process: subprocess.Popen) -> None:
    line = ""
    while "steps here" not in line:
        line = process.stderr.readline()
        assert line, "the program ended before its first steps"


@pytest.mark.parametrize("again", [False, True], ids=["once", "again and again"])
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_no_process(tmp_path, number, code, again):
    process = launched(tmp_path)
    wait_for_training(process)
    assert len(processes_of(tmp_path)) == 3
    process.send_signal(number)
    while again and process.poll() is None:
        process.send_signal(number)
        time.sleep(0.001)
    out, err = process.communicate(timeout=TIME_LIMIT)
    assert process.returncode == code
    assert out == "" and "Traceback" not in err
    assert processes_of(tmp_path) == []
    assert [name for name in files_in(tmp_path) if "temp" in name] == []


def test_a_killed_launcher_leaves_no_process(tmp_path):
    process = launched(tmp_path)
    wait_for_training(process)
    assert len(processes_of(tmp_path)) == 3
    process.kill()
    process.communicate(timeout=TIME_LIMIT)
    until(lambda: processes_of(tmp_path) == [])


def test_a_process_that_always_dies_is_given_up(tmp_path):
    fake = tmp_path / "fake"
    (fake / "tensorflow").mkdir(parents=True)
    (fake / "tensorflow" / "__init__.py").write_text("raise ImportError('not here')")
    work = tmp_path / "work"
    work.mkdir()
    finished = run_anew(work, SCRIPT, first_on_path=[fake])
    assert finished.code == 1 and finished.out == ""
    assert re.search(r"error: (ps|worker \d) died 4 times", finished.err)
    assert "ImportError: not here" in finished.err
    assert files_in(work) == set() and processes_of(tmp_path) == []


def test_tasks_can_be_started_by_hand(tmp_path):
    """As on several machines: no launcher, one command line for each process."""
    held = [held_port() for _ in range(2)]
    ps_address, worker_address = (f"localhost:{port.getsockname()[1]}" for port in held)
    common = ["--ps", ps_address, "--workers", worker_address]
    common += ["--checkpoint-dir", str(tmp_path / "kept")]
    line = command("cluster_task.py", *common, "--job")
    ps = subprocess.Popen(
        [*line, "ps", "--task", "0"],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        worker = subprocess.run(
            [*line, "worker", "--task", "0", "--steps", "50"],
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT,
        )
    finally:
        ps.kill()
        ps.wait()
        for port in held:
            port.close()
    assert worker.returncode == 0, worker.stderr
    assert "waiting" not in worker.stdout
    assert "global step 50 of 50, 50 steps here, done" in worker.stdout
    assert (tmp_path / "kept" / "model.ckpt-50.index").exists()


# --- mistakes -------------------------------------------------------------------------------------

BAD_LINES = [
    (["--epochs", "0"], "argument --epochs: expected a whole number from 1 to 10000, got '0'"),
    (["--batch-size", "1"], "argument --batch-size: expected a whole number from 2 to 1438"),
    (["--momentum", "1"], "argument --momentum: expected a number from 0 to below 1, got '1'"),
    (["--save-steps", "0"], "argument --save-steps: expected a whole number from 1 to"),
    (["--kill", "master"], "argument --kill: invalid choice: 'master'"),
    (["--checkpoint-dir", "/dev/null/x"], "cannot create the directory /dev/null/x"),
    (["--no-such-option"], "unrecognized arguments: --no-such-option"),
]


ONE_PS = ["--ps", "localhost:1", "--checkpoint-dir", "kept"]
TWO_WORKERS = [*ONE_PS, "--workers", "localhost:2,localhost:3"]
BAD_TASK_LINES = [
    (
        [*TWO_WORKERS, "--job", "worker", "--task", "7"],
        "argument --task: expected a whole number from 0 to 1 with --job worker and "
        "2 --workers, got 7",
    ),
    (
        [*TWO_WORKERS, "--job", "ps", "--task", "1"],
        "argument --task: expected 0 with --job ps and 2 --workers, got 1",
    ),
    (
        [*ONE_PS, "--workers", "nonsense", "--job", "worker", "--task", "0"],
        "argument --workers: expected HOST:PORT, got 'nonsense'",
    ),
    (
        [*ONE_PS, "--workers", "localhost:2,", "--job", "worker", "--task", "0"],
        "argument --workers: expected HOST:PORT, got ''",
    ),
    (
        ["--ps", "localhost:65536", *TWO_WORKERS[2:], "--job", "ps", "--task", "0"],
        "argument --ps: expected HOST:PORT, got 'localhost:65536'",
    ),
]


def test_wrong_arguments_are_named(tmp_path):
    lines = [([SCRIPT, *line], message) for line, message in BAD_LINES]
    lines += [(["cluster_task.py", *line], message) for line, message in BAD_TASK_LINES]
    results = run_many(tmp_path, [line for line, _ in lines])
    assert files_in(tmp_path) == set()
    for (_, message), result in zip(lines, results):
        assert result.code == 2 and result.out == ""
        assert message in result.err and "Traceback" not in result.err


def test_a_port_is_kept_while_it_is_held():
    """Linux gives a held port to nobody who asks for any, and to the server that names it."""
    code = (
        "import socket\n"
        "from cluster_processes import free_ports\n"
        "with free_ports(1) as ports:\n"
        "    for _ in range(2):\n"
        "        server = socket.socket()\n"
        "        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
        "        server.bind(('', ports[0]))\n"
        "        server.listen()\n"
        "        server.close()\n"
        "    try:\n"
        "        socket.socket().bind(('', ports[0]))\n"
        "    except OSError:\n"
        "        print('kept')\n"
    )
    out = subprocess.run(
        [*command("x")[:1], "-W", "ignore", "-c", code],
        cwd=str(EXAMPLES),
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout
    assert out == "kept\n"
