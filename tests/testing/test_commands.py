"""`python -m tf1_bn record` and `verify`, as people call them.

In forks of a process that has imported TensorFlow, the program of `verify` in a fork of its own;
in processes of their own (`anew`) where the start, Ctrl-C or Python's own end is what is tested.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests import forked
from tests.forked import environment
from tests.testing.support import DATA, DENSE_NET, SLIM_NET, SMALL_NET
from tf1_bn._src.cli.main import main
from tf1_bn.testing import load_recording

SECONDS = 900
PROGRAM = """
import sys
import numpy as np
import tensorflow.compat.v1 as tf
import tf1_bn
print("arguments", sys.argv[1:])
tf.disable_eager_execution()
x = tf.placeholder(tf.float32, [None, 3])
y = tf1_bn.batch_normalization(x, training=True, name=NAME)
updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for step in range(STEPS):
        session.run([y, updates], {x: np.random.RandomState(step).normal(size=[4, 3]) + [1, 2, 3]})
        print("step", step, flush=True)
END
"""


class Ended(NamedTuple):
    """How a command ended and what it said."""

    returncode: int
    stdout: str
    stderr: str


def anew(*arguments: str, cwd: Path) -> Ended:
    done = subprocess.run(
        [sys.executable, "-m", "tf1_bn", *arguments],
        cwd=str(cwd),
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        # pytest may itself run where Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def command(*arguments: str, cwd: Path) -> Ended:
    return Ended(*forked.python("-m", "tf1_bn", *arguments, cwd=cwd))


def here(capsys: Any, *arguments: str) -> Ended:
    """In this process: for a command that ends before it would start anything."""
    try:
        code = main(arguments)
    except SystemExit as stop:
        assert isinstance(stop.code, int)
        code = stop.code
    return Ended(code, *capsys.readouterr())


def program(folder: Path, name: str = "bn", steps: int = 3, end: str = "") -> Path:
    path = folder / "program.py"
    text = PROGRAM.replace("NAME", repr(name)).replace("STEPS", str(steps)).replace("END", end)
    path.write_text(text)
    return path


def test_record_then_verify(tmp_path: Path) -> None:
    program(tmp_path)
    done = anew("record", "program.py", "-o", "r.npz", "--", "-o", "x", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "arguments ['-o', 'x']\nstep 0\nstep 1\nstep 2\n" in done.stdout
    assert "tf1_bn: 1 batch-norm call and 3 steps recorded in r.npz" in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["program.py", "r.npz"]

    done = anew(
        "verify", "r.npz", "program.py", "--json", "r.json", "--html", "r.html", cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("proven: 2 same, 0 different, 0 not compared\n")
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["exit_code"] == 0 and report["facts"]["recording"].startswith("r.npz, SHA-256 ")
    assert report["facts"]["command"].startswith("python -m tf1_bn verify r.npz program.py --json")
    assert (tmp_path / "r.html").read_text().startswith("<!DOCTYPE html>")

    program(tmp_path, name="renamed")
    done = command("verify", "r.npz", "program.py", "--format", "json", cwd=tmp_path)
    assert done.returncode == 1
    sections = json.loads(done.stdout)["sections"]
    assert [s["verdict"] for s in sections] == ["different", "different", "same"]


def test_the_program_of_1_15_builds_the_same_here(tmp_path: Path) -> None:
    """Names, shapes, collections, update wiring and numbers, by the script itself, unedited."""
    script = str(DATA / "small_net.py")
    done = command("verify", str(SMALL_NET), script, "--", "--steps", "3", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "proven: 14 same" in done.stdout


def test_the_slim_program_of_1_15_builds_the_same_here(tmp_path: Path) -> None:
    done = command("verify", str(SLIM_NET), str(DATA / "slim_net.py"), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "proven: 12 same" in done.stdout


def test_the_program_of_1_15_that_needs_neighbours(tmp_path: Path) -> None:
    """What `run --neighbours` runs, `verify --neighbours` compares and `record` records."""
    script = str(DATA / "dense_net.py")
    done = command("verify", "--neighbours", str(DENSE_NET), script, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "proven: 2 same" in done.stdout

    options = ("--neighbours", "--force", "--tf1-alias")
    done = command("record", *options, script, "-o", "r.npz", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 batch-norm call and 4 steps recorded in r.npz" in done.stderr
    done = command("verify", *options, "r.npz", script, "--format", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["run", "record", "verify"])
def test_every_command_has_the_options_of_what_a_program_finds(name: str, capsys: Any) -> None:
    done = here(capsys, name, "--help")
    assert done.returncode == 0
    for option in ("--neighbours", "--force", "--tf1-alias", "--contrib", "--compat"):
        assert option in done.stdout


def test_options_may_stand_between_the_recording_and_the_program(tmp_path: Path) -> None:
    program(tmp_path, end="print('here is', sys.argv[1:])")
    between = ["--all", "--html", "r.html"]
    done = command("verify", str(DENSE_NET), *between, "program.py", "--", "3", cwd=tmp_path)
    assert "here is ['3']" in done.stdout, done.stderr
    done = command("verify", str(DENSE_NET), "-mprogram", "--", "3", cwd=tmp_path)
    assert "here is ['3']" in done.stdout, done.stderr


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["verify", str(SMALL_NET), "--", "3"], "behind -- is for a SCRIPT, and there is none"),
        (["verify", str(SMALL_NET), "--frob"], "unrecognized arguments: --frob"),
        (["record", "program.py", "3", "-o", "r.npz"], "unrecognized arguments: 3"),
        (["run", "--neighbors", "program.py"], "unrecognized arguments: --neighbors"),
        (["repair", "one"], "the following arguments are required: OUT"),
    ],
)
def test_a_wrong_command_line_shows_its_own_usage(
    arguments: list, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Nothing is run, nothing is said to be proven."""
    program(tmp_path)
    monkeypatch.chdir(tmp_path)
    done = here(capsys, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    usage, said = done.stderr.splitlines()[0], done.stderr.splitlines()[-1]
    assert usage.startswith(f"usage: python -m tf1_bn {arguments[0]} ") and words in said


@pytest.mark.parametrize(
    "target, words",
    [
        ("out", "`--output` must be a file and not a folder (got 'out')"),
        ("new/", "`--output` must be a file and not a folder (got 'new/')"),
        ("program.py", "'program.py' is neither, and would be lost"),
        ("/dev/full", "'/dev/full' is neither, and would be lost"),
        ("/proc/r.npz", "cannot write /proc/r.npz: "),
        ("n" * 300, f"cannot write {'n' * 300}: File name too long"),
    ],
)
def test_a_bad_place_is_found_before_the_program_runs(
    target: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    program(tmp_path)
    before = (tmp_path / "program.py").read_text()
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["record", "program.py", "-o", target]) == 2
    told = capsys.readouterr()
    assert words in told.err and told.err.count("\n") == 1 and told.out == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "program.py"]
    assert (tmp_path / "program.py").read_text() == before


def test_a_full_disk_is_found_before_the_program_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    resource = pytest.importorskip("resource")
    program(tmp_path)
    monkeypatch.chdir(tmp_path)
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, kept[1]))
    try:
        assert main(["record", "program.py", "-o", "r.npz"]) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)
    assert capsys.readouterr().err == "tf1_bn: cannot write r.npz: File too large\n"
    assert [p.name for p in tmp_path.iterdir()] == ["program.py"]


def test_repair_without_tensorflow_says_one_line(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"")
    (tmp_path / "tensorflow.py").write_text("raise ModuleNotFoundError(\"No module named 'x'\")")
    code = "import sys; sys.path.insert(0, '.'); from tf1_bn._src.cli import main; "
    code += "sys.exit(main.main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "repair", "one", "two"],
        cwd=str(tmp_path),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert "Traceback" not in done.stderr and "No module named 'x'" in done.stderr


BOTH = (["record", "program.py", "-o", "r.npz"], ["verify", str(DENSE_NET), "program.py"])


@pytest.mark.parametrize("arguments", BOTH, ids=["record", "verify"])
@pytest.mark.parametrize(
    "end, last",
    [
        ("{}['lost']", "KeyError: 'lost'"),
        ("session.run(x)", "session.run(x)"),
        ("tf1_bn.batch_normalization(x, axis=7)", "axis=7)"),
        ("tf1_bn.contrib.batch_norm(x, data_format='no')", "data_format='no')"),
    ],
    ids=["its own error", "a run", "a layer", "a function"],
)
def test_a_failing_program_is_shown_without_our_frames(
    end: str, last: str, arguments: list, tmp_path: Path
) -> None:
    """Neither of what runs the program, nor of what listens to it."""
    program(tmp_path, end=f"import tf1_bn.contrib\n{end}")
    done = command(*arguments, cwd=tmp_path)
    assert last in done.stderr
    start = done.stderr.index("Traceback (most recent call last):")
    shown = re.findall(r'^  File "(.*)", line', done.stderr[start:], re.MULTILINE)
    assert shown[0].endswith("program.py")
    ours = [name for name in shown if re.search(r"_src/(cli|programs|files|proof)/", name)]
    # TensorFlow 1 tells in its own words where an op was made, whoever stood around it.
    assert ours == [] or "Original stack trace" in done.stderr


@pytest.mark.parametrize("arguments", BOTH, ids=["record", "verify"])
def test_the_program_imports_tensorflow_itself(arguments: list, tmp_path: Path) -> None:
    """What it puts into os.environ before that counts."""
    path = program(tmp_path)
    early = "print('too late:', 'tensorflow' in sys.modules)"
    path.write_text(path.read_text().replace("import sys\n", f"import sys\n{early}\n"))
    done = anew(*arguments, cwd=tmp_path)
    assert done.stdout.startswith("too late: False\n"), done.stderr
    assert "step 2\n" in done.stdout


@pytest.mark.parametrize(("arguments", "code"), [(BOTH[0], 1), (BOTH[1], 2)])
def test_a_program_without_tensorflow(arguments: list, code: int, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("print('here')")
    done = command(*arguments, cwd=tmp_path)
    assert done.returncode == code and done.stdout.startswith("here\n")
    assert "tf1_bn: the program did not import TensorFlow" in done.stderr
    assert not (tmp_path / "r.npz").exists()


@pytest.mark.parametrize("installs", [True, False])
def test_verify_undoes_what_it_installed_and_no_more(installs: bool, tmp_path: Path) -> None:
    program(
        tmp_path,
        end=f"""
class Asking:
    # Its last flush is the command's, behind the end of the program.
    def write(self, text):
        pass
    def flush(self):
        from tensorflow.python.layers import normalization
        # Where it is gone, asking the module for it raises.
        ours = vars(normalization).get("BatchNormalization") is tf1_bn.BatchNormalization
        os.write(1, f"still ours: {{ours}}\\n".encode())
import os, sys
sys.stdout = Asking()
if {installs}:
    tf1_bn.install(force=True)
""",
    )
    done = command("verify", str(SMALL_NET), "program.py", cwd=tmp_path)
    last = [line for line in done.stdout.splitlines() if line.startswith("still")][-1]
    assert last == f"still ours: {installs}", done.stderr


@pytest.mark.parametrize(
    "content, words",
    [
        (None, "cannot read r.npz: No such file or directory."),
        (b"PK\3\4 no", "r.npz is not a tf1_bn recording: it is damaged or no zip file"),
    ],
)
def test_what_cannot_be_compared_is_2(
    content: Any, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    if content is not None:
        (tmp_path / "r.npz").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    done = here(capsys, "verify", "r.npz")
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr and done.stderr.count("\n") == 1


KEPT = "; 1 batch-norm call and 3 steps recorded in r.npz"
KILL = "os.kill(os.getpid(), signal.{}); time.sleep(60)"


@pytest.mark.parametrize(
    "end, code, words",
    [
        ("sys.exit('no data')", 1, f"the program ended with exit code 1 (no data){KEPT}"),
        ("raise KeyError('lost')", 1, f"the program raised KeyError{KEPT}"),
        (KILL.format("SIGINT"), 130, f"interrupted{KEPT}"),
        (KILL.format("SIGTERM"), 143, f"ended by SIGTERM{KEPT}"),
        (KILL.format("SIGKILL"), -9, ""),
        ("os._exit(status=3)", 3, f"the program left by os._exit(3){KEPT}"),
        (
            "os.execl(sys.executable, sys.executable, '-c', 'raise SystemExit(5)')",
            5,
            f"the program became another by os.execv{KEPT}",
        ),
        (
            "class Lost(BaseException): pass\nraise Lost",
            1,
            f"the program raised Lost{KEPT}",
        ),
        (
            "class Log:\n    def write(self, text): pass\nsys.stdout = sys.stderr = Log()",
            0,
            "tf1_bn: 1 batch-norm call and 3 steps recorded in r.npz",
        ),
        ("sys.exit(0)", 0, "tf1_bn: 1 batch-norm call and 3 steps recorded in r.npz"),
    ],
)
def test_however_the_program_ends_its_steps_are_kept(
    end: str, code: int, words: str, tmp_path: Path
) -> None:
    program(tmp_path, end=f"import os, signal, time\n{end}")
    # How Python itself ends with the streams that are left, and who gets Ctrl-C.
    start = anew if "SIGINT" in end or "class Log" in end else command
    done = start("record", "program.py", "-o", "r.npz", cwd=tmp_path)
    assert done.returncode == code and words in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["program.py", "r.npz"]
    (call,) = load_recording(str(tmp_path / "r.npz")).calls
    assert len(call.steps) == 3


@pytest.mark.parametrize(
    "end, code, words",
    [
        ("", 1, "tf1_bn: no batch-norm call was seen, neither of tf.layers, nor of contrib"),
        ("sys.exit(3)", 3, "exit code 3; no batch-norm call was seen, neither of tf.layers"),
    ],
)
@pytest.mark.tf_max("2.15", reason="TensorFlow has an original up to there")
def test_a_program_without_batch_norm(end: str, code: int, words: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(f"import sys, tensorflow\n{end}")
    done = command("record", "program.py", "-o", "r.npz", cwd=tmp_path)
    assert done.returncode == code and words in done.stderr
    assert not (tmp_path / "r.npz").exists()


@pytest.mark.tf_min("2.16", reason="TensorFlow has an original up to 2.15")
def test_a_tensorflow_without_an_original_is_told(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import tensorflow")
    done = command("record", "program.py", "-o", "r.npz", cwd=tmp_path)
    assert done.returncode == 1 and not (tmp_path / "r.npz").exists()
    assert "has no original batch normalization to record: record where" in done.stderr
    assert "no batch-norm call was seen, and this TensorFlow has no original" in done.stderr


def test_a_place_that_is_lost_meanwhile_costs_the_place_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "elsewhere"))
    program(tmp_path, end="import shutil; shutil.rmtree('out')")
    done = anew("record", "program.py", "-o", "out/r.npz", cwd=tmp_path)
    assert done.returncode == 2
    assert "tf1_bn: cannot write out/r.npz: No such file or directory\n" in done.stderr
    (kept,) = (tmp_path / "elsewhere").glob("*/r.npz")
    assert str(kept.parent.name) in done.stderr
    assert len(load_recording(str(kept)).calls[0].steps) == 3


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["record", "program.py"], "required: -o/--output"),
        (["record", "-o", "r.npz"], "required: SCRIPT"),
        (["record", "gone.py", "-o", "r.npz"], "there is no script gone.py"),
        (["record", "program.py", "-o", "gone/r.npz"], "`--output` must be in an existing folder"),
        (["record", "program.py", "-o", "r.npz", "--steps", "0"], "`--steps` must be at least 1"),
        (
            ["record", "program.py", "-o", "r.npz", "--sample-kb", "-1"],
            "`--sample-kb` must be positive (got -1)",
        ),
        (
            ["record", "program.py", "-o", "r.npz", "--total-mb", "0"],
            "`--total-mb` must be positive (got 0)",
        ),
        (["verify"], "required: FILE"),
    ],
)
def test_usage_errors_are_2(
    arguments: list, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    program(tmp_path)
    monkeypatch.chdir(tmp_path)
    done = here(capsys, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "end, why",
    [
        ("raise KeyError('lost')", "the program raised KeyError"),
        ("os._exit(3)", "the program left by os._exit(3)"),
        ("os.kill(os.getpid(), 9)", "the program was killed by SIGKILL"),
    ],
)
def test_a_program_that_fails_here_costs_no_replay(end: str, why: str, tmp_path: Path) -> None:
    """The report has both, and the program's own output is not in it."""
    (tmp_path / "program.py").write_text(f"import os, tensorflow\nprint('here')\n{end}\n")
    done = command("verify", str(SMALL_NET), "program.py", "--format", "json", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert f"tf1_bn: {why}\n" in done.stderr and "here\n" in done.stderr
    report = json.loads(done.stdout)
    verdicts = {section["name"]: section["verdict"] for section in report["sections"]}
    assert report["sections"][0]["rows"][0]["remark"] == why
    assert [verdicts[name] for name in verdicts if name.startswith("fused")] == ["same"]
    assert verdicts["structure of fused (dynamic)"] == "not compared"


def test_ctrl_c_ends_verify_and_its_program(tmp_path: Path) -> None:
    program(
        tmp_path,
        end="import os, signal, time; os.kill(os.getppid(), signal.SIGINT)\n"
        "try:\n    time.sleep(60)\nfinally:\n    print('ended too')",
    )
    done = anew("verify", str(SMALL_NET), "program.py", cwd=tmp_path)
    assert done.returncode == 130 and done.stderr.endswith("tf1_bn: interrupted\n")
    assert done.stdout.endswith("ended too\n")


def test_stop_ends_the_program_early(tmp_path: Path) -> None:
    program(tmp_path, steps=50)
    done = command("record", "program.py", "-o", "r.npz", "--steps", "2", "--stop", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "step 0"
    assert "2 steps recorded" in done.stderr
