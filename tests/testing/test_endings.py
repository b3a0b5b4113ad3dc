"""Commands whose output goes nowhere: one line, no traceback, and no failure becomes a success."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator

import pytest

from tests.testing.support import SLIM_NET
from tests.testing.test_commands import SECONDS, command, environment, program
from tests.testing.test_fuzz import header_of, put, single, with_header
from tf1_bn import repair
from tf1_bn._src.cli.main import main
from tf1_bn._src.files import streams

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no such device")
FULL = "No space left on device"


@pytest.fixture
def proven(tmp_path: Path) -> str:
    return str(single(SLIM_NET, 0, tmp_path))


@pytest.fixture
def different(proven: str, tmp_path: Path) -> str:
    header = put(header_of(Path(proven)), ("calls", 0, "config", "decay"), 0.5)
    return with_header(Path(proven), json.dumps(header), tmp_path)


@contextlib.contextmanager
def told_to(stream: Any, name: str = "stdout") -> Iterator[None]:
    """Within the test itself: pytest sets its own stream between a fixture and the test."""
    kept = getattr(sys, name)
    setattr(sys, name, stream)
    try:
        yield
    finally:
        setattr(sys, name, kept)
        with contextlib.suppress(OSError):
            stream.close()


def full() -> Any:
    """A stream where nothing fits."""
    return open("/dev/full", "w")


def unread() -> Any:
    """A pipe whose reader has gone."""
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "w")


def test_a_verdict_that_cannot_be_told_is_no_success(proven: str, capfd: Any) -> None:
    with told_to(full()):
        assert main(["verify", proven]) == 2
    assert capfd.readouterr().err == f"tf1_bn: cannot write to standard output: {FULL}\n"


def test_a_difference_that_cannot_be_told_stays_one(different: str) -> None:
    with told_to(full()):
        assert main(["verify", different]) == 1


def test_a_reader_that_has_gone_does_not_change_the_verdict(
    proven: str, different: str, capfd: Any
) -> None:
    with told_to(unread()):
        assert main(["verify", proven]) == 0
    assert capfd.readouterr().err == "tf1_bn: cannot write to standard output: Broken pipe\n"
    with told_to(unread()):
        assert main(["verify", different, "--format", "json"]) == 1


@pytest.mark.parametrize("option", ["--json", "--html"])
def test_a_bad_path_costs_the_path_alone(
    option: str, proven: str, different: str, tmp_path: Path, capsys: Any
) -> None:
    """The report on standard output comes all the same, and the exit code is the verdict's."""
    gone, without = str(tmp_path / "gone" / "r"), "; the verdict is told without it"
    for recording, code in ((proven, 0), (different, 1)):
        for path, words in (
            ("/dev/full", FULL),
            (str(tmp_path), f"Is a directory{without}"),
            (gone, f"No such file or directory{without}"),
            (recording, f"it is what is verified{without}"),
        ):
            assert main(["verify", recording, option, path]) == code
            told = capsys.readouterr()
            assert told.err == f"tf1_bn: cannot write {path}: {words}\n"
            assert ("DIFFERENT" if code else "proven") in told.out.splitlines()[-1]
    assert Path("/dev/full").is_char_device()


def test_names_that_the_terminal_cannot_show(
    monkeypatch: pytest.MonkeyPatch, proven: str, tmp_path: Path
) -> None:
    header = put(header_of(Path(proven)), ("calls", 0, "notes"), ["gr\u00fc\u00df"])
    path = with_header(Path(proven), json.dumps(header), tmp_path)
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    assert main(["verify", path]) == 0
    assert b"note: gr\\xfc\\xdf" in shown.getvalue()


@pytest.mark.parametrize("arguments", [["--help"], ["verify", "--help"], ["repair", "--help"]])
def test_help_that_cannot_be_told(arguments: list) -> None:
    with told_to(full()):
        assert main(arguments) == 2


def test_without_any_standard_streams(monkeypatch: pytest.MonkeyPatch, proven: str) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["verify", proven]) == 2
    assert streams.put("", 0) == 0


def test_an_error_that_nobody_hears(tmp_path: Path) -> None:
    with told_to(full(), "stderr"):
        assert main(["verify", str(tmp_path / "missing")]) == 2


# -- as processes, whose end flushes once more -----------------------------------------------------


def shell(line: str, folder: Path) -> Any:
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        cwd=str(folder),
        env=dict(environment(), PYTHON=sys.executable, PYTHONUNBUFFERED=""),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


_TENSORFLOW_SAYS = re.compile(r"[IWE]\d{4} [\d:.]+ |WARNING: All log messages before absl")


def test_processes_end_without_a_traceback(proven: str, different: str, tmp_path: Path) -> None:
    line = 'bn() { "$PYTHON" -m tf1_bn "$@"; }; code() { echo $? >&2; }; '
    done = shell(
        line
        + f"(bn verify {proven}; code) | head -0; (bn verify {different}; code) >/dev/full; "
        + "(bn verify --help; code) >/dev/full; bn verify missing 2>/dev/full; code",
        tmp_path,
    )
    lost = "tf1_bn: cannot write to standard output: "
    # TensorFlow says which libraries it did not find; a traceback is longer than one line.
    told = [line for line in done.stderr.splitlines() if not _TENSORFLOW_SAYS.match(line)]
    assert told == [
        f"{lost}Broken pipe", "0", f"{lost}{FULL}", "1", f"{lost}{FULL}", "2", "2",
    ]  # fmt: skip


def test_a_recording_survives_a_program_that_nobody_listens_to(tmp_path: Path) -> None:
    """What the program printed waits in a buffer until the very end."""
    path = program(tmp_path)
    path.write_text(path.read_text().replace(", flush=True", ""))
    done = shell('"$PYTHON" -m tf1_bn record program.py -o r.npz >/dev/full', tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == f"tf1_bn: cannot write to standard output: {FULL}"
    assert main(["verify", str(tmp_path / "r.npz")]) == 0


def test_a_program_that_dies_of_its_pipe(tmp_path: Path) -> None:
    program(tmp_path)
    done = shell('"$PYTHON" -m tf1_bn record program.py -o r.npz | head -0', tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "nobody reads" in done.stderr or "Broken pipe" in done.stderr


def test_what_the_program_itself_raises_is_shown_whole(tmp_path: Path) -> None:
    program(tmp_path, end="open('/nowhere/at/all')")
    done = command("record", "program.py", "-o", "r.npz", cwd=tmp_path)
    assert done.returncode == 1 and "/nowhere/at/all" in done.stderr
    assert "program.py" in done.stderr and "3 steps recorded in r.npz" in done.stderr


# -- repair ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["/dev/zero", "pipe", "pipe.pb", "."])
def test_repair_reads_files_only(source: str, tmp_path: Path, capsys: Any) -> None:
    path = source if source.startswith("/") else str(tmp_path / source)
    if source.startswith("pipe"):
        os.mkfifo(path)
    assert main(["repair", path, str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and ("not a file" in told or "no SavedModel" in told)
    assert not (tmp_path / "out").exists()


def test_repair_reads_no_file_that_is_too_large(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "large.meta"
    with path.open("wb") as opened:
        opened.truncate(2**31)
    assert main(["repair", str(path), str(tmp_path / "out")]) == 2
    assert "it has 2147483648 bytes, more than 2147483647" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["device", "pipe", "loop"])
def test_repair_copies_only_folders_that_have_an_end(kind: str, tmp_path: Path) -> None:
    source = tmp_path / "model"
    (source / "variables").mkdir(parents=True)
    (source / "saved_model.pb").write_bytes(b"")
    inner = source / "variables" / "x"
    if kind == "pipe":
        os.mkfifo(str(inner))
    else:
        inner.symlink_to("/dev/zero" if kind == "device" else source)
    words = "is a link to a folder that it lies in" if kind == "loop" else "neither a file nor"
    with pytest.raises(ValueError, match=words):
        repair.repair_saved_model(str(source), str(tmp_path / "out"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model"]


def test_repair_tells_where_it_cannot_write(tmp_path: Path, capfd: Any) -> None:
    source = Path(__file__).parents[2] / "migration_guide" / "data" / "old_model.meta"
    assert main(["repair", str(source), "/dev/full"]) == 2
    assert FULL in capfd.readouterr().err and Path("/dev/full").is_char_device()
    with told_to(full()):
        assert main(["repair", str(source), str(tmp_path / "new.meta")]) == 2
    assert (tmp_path / "new.meta").stat().st_size > 1000
