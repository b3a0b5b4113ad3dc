"""Commands whose output goes nowhere: one line, no traceback, and no failure becomes a success."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator

import pytest

from tests.forked import environment, server, stand_in
from tests.forked_client import SOCKET
from tests.testing.support import SLIM_NET
from tests.testing.test_commands import SECONDS, command, program
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


def test_a_report_replaces_reports_alone(proven: str, tmp_path: Path, capsys: Any) -> None:
    """A script that was to be verified, behind the wrong option, stays."""
    script, page = tmp_path / "train.py", tmp_path / "r.html"
    script.write_text("print('trains')\n")
    for path in (page, script, page):
        page.touch()
        assert main(["verify", proven, "--html", str(path)]) == 0
    assert script.read_text() == "print('trains')\n"
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "train.py: it is no report, and would be lost" in told
    main(["verify", proven, "--json", str(page)])
    assert json.loads(page.read_text())["title"]


def test_a_report_does_not_cut_off_standard_output(proven: str, tmp_path: Path) -> None:
    """Renamed into the place of the file that the shell opened, it would be all that is there."""
    told = tmp_path / "told.txt"
    with told.open("w") as opened:
        ended = subprocess.run(
            [stand_in(server()), "-m", "tf1_bn", "verify", proven, "--html", str(told)],
            stdout=opened,
            stderr=subprocess.PIPE,
            env=environment(**{SOCKET: server()}),
            timeout=SECONDS,
        )
    assert b"standard output goes there; the verdict is told without it" in ended.stderr
    assert told.read_text().splitlines()[-1].startswith("proven: ")


def test_a_pipe_without_a_reader_holds_no_verdict_back(proven: str, tmp_path: Path) -> None:
    os.mkfifo(str(tmp_path / "pipe"))
    with subprocess.Popen(
        [stand_in(server()), "-m", "tf1_bn", "verify", proven, "--html", str(tmp_path / "pipe")],
        stdout=subprocess.PIPE,
        env=environment(**{SOCKET: server()}),
    ) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, b"")
        assert any(line.startswith(b"proven: ") for line in lines)
        assert (tmp_path / "pipe").read_text().startswith("<!DOCTYPE html>")
        assert process.wait(SECONDS) == 0


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
        env=environment(PYTHON=sys.executable, PYTHONUNBUFFERED=""),
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


@pytest.mark.parametrize(
    "names, words",
    [
        (("", "out"), "IN must name a file or folder (got '')"),
        (("-", "out"), "IN must name a file or folder (got '-'); a file of that name is ./-"),
        (("in", ""), "OUT must name a file or folder (got '')"),
        (("in", "-"), "OUT must name a file or folder (got '-'); a file of that name is ./-"),
        (("in", "out/"), "out/ is a folder's name; OUT is a file, as in is"),
    ],
)
def test_repair_takes_names_of_files(names: Any, words: str, tmp_path: Path, capsys: Any) -> None:
    assert main(["repair", *names]) == 2
    assert capsys.readouterr().err == f"tf1_bn: {words}\n"


def test_repair_of_a_folder_on_a_full_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "model" / "variables").mkdir(parents=True)
    for name in ("saved_model.pb", "variables/variables.index"):
        (tmp_path / "model" / name).write_bytes(b"x" * 5000)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    source, target = str(tmp_path / "model"), str(tmp_path / "new")
    # Python ignores the signal, and gets an error where a full disk gives one.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
    try:
        assert main(["repair", source, target]) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert capsys.readouterr().err == f"tf1_bn: cannot write {target}: File too large\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]
