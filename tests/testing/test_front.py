"""What people meet first: help, questions, a broken TensorFlow, Ctrl-C, narrow terminals."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import io
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import pytest

from tests.forked import environment
from tests.meta.project import ROOT, run_python
from tests.testing.support import SMALL_NET
from tests.testing.test_commands import command
from tests.testing.test_endings import told_to
from tf1_bn._src.cli import run
from tf1_bn._src.cli.main import main
from tf1_bn._src.files.terminal import width_of
from tf1_bn._src.proof.report import progress
from tf1_bn._src.proof.report.report import Report, Section
from tf1_bn._src.proof.report.rows import number_row
from tf1_bn._src.proof.report.tolerances import EXACT
from tf1_bn._src.version import __version__

OLD = ROOT / "migration_guide" / "data" / "old_model.meta"
WIDTHS = (20, 40, 80, 200)

# -- help and wrong command lines ------------------------------------------------------------------


def test_help_and_version_import_neither_tensorflow_nor_numpy() -> None:
    done = run_python(
        "-c",
        "import sys; from tf1_bn._src.cli.main import main\n"
        "names = ('run', 'record', 'verify', 'repair')\n"
        "def code_of(given):\n"
        "    try:\n        return main(given)\n"
        "    except SystemExit as stop:\n        return stop.code\n"
        "given = [[], ['--version'], *([n, '--help'] for n in names)]\n"
        "codes = [code_of(words) for words in given]\n"
        "print(codes, {'tensorflow', 'numpy', 'google.protobuf'} & set(sys.modules))",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[2, 0, 0, 0, 0, 0] set()"
    assert f"\ntf1_bn {__version__}\n" in done.stdout
    # Called bare it shows the commands.
    assert done.stdout.startswith("usage: ") and "verify" in done.stdout.split("\n\n")[3]


@pytest.mark.parametrize("name", ["run", "record", "verify", "repair"])
def test_help_tells_the_default_of_every_option_that_has_one(name: str, capsys: Any) -> None:
    from tf1_bn._src.cli.main import _parsers

    for action in _parsers()[1][name]._actions:
        if action.nargs != 0 and action.default not in (None, "==SUPPRESS=="):
            assert action.help and "default %(default)s" in action.help, action.option_strings


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("--neighbours run p.py", "--neighbours stands before run: options of a command stand"),
        ("p.py --steps 3", "p.py is no command; to run it: python -m tf1_bn run p.py --steps 3"),
        ("record p.py --lr 3 -o r.npz", "arguments: --lr 3; arguments of SCRIPT stand behind --"),
        ("verify r.npz --lr", "unrecognized arguments: --lr\n"),
        ("repair a b c", "unrecognized arguments: c\n"),
        ("frob", "invalid choice: 'frob'"),
    ],
)
def test_words_in_the_wrong_place(
    given: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.py").write_text("print('ran')")
    assert main(given.split()) == 2
    told = capsys.readouterr()
    assert told.out == "" and words in told.err and "Traceback" not in told.err


def test_our_options_behind_the_program_are_the_programs_and_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text("import os, sys; print(sys.argv[1:], sorted(os.environ))")
    done = command("run", "p.py", "--neighbours", "--force", "x", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("['--neighbours', '--force', 'x']")
    assert "tf1_bn: --neighbours stands behind p.py, so it is for the program" in done.stderr
    assert "write it before p.py to give it to tf1_bn" in done.stderr
    assert "--force stands" not in done.stderr
    # The level of TensorFlow's log is the program's matter.
    assert ("TF_CPP_MIN_LOG_LEVEL" in done.stdout) == ("TF_CPP_MIN_LOG_LEVEL" in os.environ)


def test_the_console_script_speaks_of_itself(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    for called, shown in (("/bin/tf1_bn", "tf1_bn"), ("tf1_bn.exe", "tf1_bn"), ("x", None)):
        monkeypatch.setattr(sys, "argv", [called])
        assert main([]) == 2
        assert capsys.readouterr().out.startswith(f"usage: {shown or 'python -m tf1_bn'} [-h]")


# -- repair asks -----------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("answer", "code"), [("y\n", 0), ("YES\n", 0), ("\n", 1), ("no\n", 1), ("", 1), (None, 2)]
)
def test_repair_asks_before_it_replaces(
    answer: str | None, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "new.meta"
    target.write_text("precious")
    monkeypatch.setattr(sys, "stdin", io.StringIO() if answer is None else Terminal(answer))
    with told_to(Terminal(), "stderr"):
        assert main(["repair", str(OLD), str(target)]) == code
        told = sys.stderr.getvalue()
    assert (target.read_bytes() == b"precious") == (code != 0)
    assert ("Replace it? [y/N]" in told) == (answer is not None)
    assert ("with --overwrite it is replaced" in told) == (answer is None)
    assert [path.name for path in tmp_path.iterdir()] == ["new.meta"]


def test_repair_overwrites_where_told_to_but_never_its_input(tmp_path: Path, capsys: Any) -> None:
    target = tmp_path / "new.meta"
    target.write_bytes(OLD.read_bytes())
    assert main(["repair", str(target), str(target), "--overwrite"]) == 2
    assert "the input is never overwritten" in capsys.readouterr().err
    assert main(["repair", str(OLD), str(target), "--overwrite"]) == 0
    assert target.read_bytes() != OLD.read_bytes()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("m.ckpt-7", "m.ckpt-7 is no graph; that of this checkpoint is in {}/m.ckpt-7.meta"),
        ("m.ckpt-7.index", "that of this checkpoint is in {}/m.ckpt-7.meta"),
        ("m.ckpt-7.data-00000-of-00001", "that of this checkpoint is in {}/m.ckpt-7.meta"),
        ("", "is no SavedModel; for the graph of its checkpoint: {}/m.ckpt-7.meta"),
        ("bare", "bare is a checkpoint without a graph, as there is no {}/bare.meta"),
        ("gone", "cannot read {}/gone: No such file or directory"),
    ],
)
def test_repair_suggests_the_graph_of_a_checkpoint(
    source: str, words: str, tmp_path: Path, capsys: Any
) -> None:
    for name in ("m.ckpt-7.meta", "m.ckpt-7.index", "m.ckpt-7.data-00000-of-00001", "bare.index"):
        (tmp_path / name).write_text("")
    assert main(["repair", str(tmp_path / source), str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert words.format(tmp_path) in told and told.count("\n") == 1


# -- TensorFlow missing, broken, loud, interrupted -------------------------------------------------

NOISE = (
    "import os\nos.write(2, b'I0000 00:00:1795684698.235261 1 port.cc:153] oneDNN is on\\n"
    "WARNING: All log messages before absl::InitializeLog() are\\n"
    "2020-01-01 00:00:00.100: W tensorflow/stream_executor/x.cc:1] no GPU\\n')\n"
)
ABORT = NOISE + "os.write(2, b'2020-01-01 00:00:00.1: F x.cc:1] no AVX here\\n'); os.abort()"
FAULTS = {
    "missing": (
        "raise ModuleNotFoundError('no', name='tensorflow')",
        "there is none here: install",
    ),
    "a library": (
        NOISE + "try:\n    raise ImportError('libz.so.9: cannot open shared object file')\n"
        "except ImportError:\n"
        "    raise ImportError('Traceback (most recent call last):\\n\\nFailed to load')",
        "tf1_bn: TensorFlow cannot be imported: libz.so.9: cannot open shared object file",
    ),
    "protobuf clash": (
        NOISE + "raise TypeError('Descriptors cannot be created directly.\\n1. Downgrade')",
        "import failed with TypeError: Descriptors cannot be created directly. 1. Downgrade",
    ),
    "no protobuf": ("import google_protobuf", "No module named 'google_protobuf'"),
}


def with_fake(code: str, tmp_path: Path, *given: str, **changes: str) -> Any:
    (tmp_path / "tensorflow.py").write_text(code)
    kept = {name: value for name, value in environment().items() if name[:6] != "TF_CPP"}
    kept["PYTHONPATH"] = os.pathsep.join([str(tmp_path), kept["PYTHONPATH"]])
    return subprocess.Popen(
        [sys.executable, "-m", "tf1_bn", *given],
        cwd=str(tmp_path),
        env={**kept, **changes},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


@pytest.mark.parametrize("given", [["repair", str(OLD), "out"], ["verify", str(SMALL_NET)]])
@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_with_tensorflow_is_one_line(fault: str, given: list, tmp_path: Path) -> None:
    code, words = FAULTS[fault]
    process = with_fake(code, tmp_path, *given)
    out, told = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert words in told and told.startswith("tf1_bn: ") and told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_start_up_lines_are_shown_to_who_asks_and_last_words_to_all(tmp_path: Path) -> None:
    code, words = FAULTS["a library"]
    given = ("repair", str(OLD), "out")
    _, told = with_fake(code, tmp_path, *given, TF_CPP_MIN_LOG_LEVEL="0").communicate()
    assert words in told and "oneDNN is on" in told and "no GPU" in told
    process = with_fake(ABORT, tmp_path, *given)
    assert process.communicate()[1] == "2020-01-01 00:00:00.1: F x.cc:1] no AVX here\n"
    assert process.returncode == -signal.SIGABRT


@pytest.mark.parametrize("given", [["repair", str(OLD), "out"], ["verify", str(SMALL_NET)]])
def test_ctrl_c_is_one_line(given: list, tmp_path: Path) -> None:
    slow = "import time; print('here', flush=True); time.sleep(60)"
    process = with_fake(slow, tmp_path, *given)
    assert process.stdout.readline() == "here\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate()
    assert process.returncode == 130
    assert re.match(r"tf1_bn: interrupted(, nothing was written)?\n\Z", told)
    assert not (tmp_path / "out").exists()


# -- widths ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def terminal(columns: int) -> Iterator[tuple[Any, Any]]:
    """A stream that writes to a terminal, and a function that gives what it has shown."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    stream = os.fdopen(theirs, "w")
    try:
        yield stream, lambda: _all_there_is(ours)
    finally:
        stream.close()
        os.close(ours)


def _all_there_is(handle: int) -> str:
    parts = []
    while select.select([handle], [], [], 0.2)[0]:
        parts.append(os.read(handle, 4096))
    return b"".join(parts).decode()


@pytest.mark.parametrize("columns", WIDTHS)
def test_progress_stays_on_its_line(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SECONDS", -1.0)
    monkeypatch.delenv("COLUMNS", raising=False)
    with terminal(columns) as (stream, shown), told_to(stream, "stderr"):
        assert width_of(stream) == columns
        assert list(progress.watched(range(12), "verified", "layer call")) == list(range(12))
        parts = shown().split("\r")
    assert max(map(len, parts)) < columns and "\n" not in "".join(parts)
    assert "12 of 12" in parts[-3] and parts[-2].strip() == parts[-1] == ""


def test_progress_is_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SECONDS", -1.0)
    for stream in (io.StringIO(), None):
        with told_to(stream, "stderr") if stream else contextlib.nullcontext():
            list(progress.watched(range(3), "verified", "layer call"))
            assert stream is None or stream.getvalue() == ""
    assert width_of(None) is None and width_of(io.StringIO()) is None


@pytest.mark.parametrize("columns", WIDTHS)
def test_reports_fit_and_lose_nothing(columns: int) -> None:
    row = number_row("moving_variance after", "training 1", np.arange(6.0), np.ones(6), EXACT)
    report = Report("verify", {"TensorFlow": "2.21"}, [Section("net/bn", [row], ["a cause"], [])])
    whole, fitting = report.text(), report.text(width=columns)
    assert max(map(len, fitting.splitlines())) <= columns < 200 or fitting == whole
    letters = re.sub(r"\s|,", "", fitting)
    for cell in (row.aspect, row.step, row.expected, row.actual, *row.numbers(), "a cause"):
        assert re.sub(r"\s|,", "", cell) in letters
    assert max(map(len, whole.splitlines())) > 80


@pytest.mark.parametrize("columns", WIDTHS)
def test_the_table_of_kernels_fits(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    row = (
        "net/block_1/conv/bn",
        "composed",
        "composed",
        "fused=False, a tensor as epsilon, rank 5",
    )
    watch = argparse.Namespace(kernels=lambda: [("layer", "training", "inference", "why"), row])
    doctor: Any = argparse.Namespace(watch=watch, stop=lambda: None)
    with terminal(columns) as (stream, shown), told_to(stream, "stderr"):
        run._tell([doctor], argparse.Namespace(kernels=True), os.getpid(), ["a line"])
        lines = shown().replace("\r", "").splitlines()
    header = ["layer", "training", "inference", "why"]
    assert lines[0] == "tf1_bn: a line" and (lines[1].split() == header) == (columns == 200)
    assert max(map(len, lines)) <= columns
    letters = re.sub(r"\s", "", "".join(lines))
    assert all(re.sub(r"\s", "", cell) in letters for cell in row)
