"""Recordings are read from anywhere: each damaged or hostile file gives one clear error."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.testing.support import SLIM_NET, SMALL_NET
from tf1_bn._src.files.whole_files import written_beside
from tf1_bn._src.proof.recording import archive as files
from tf1_bn._src.proof.recording.archive import (
    DTYPES,
    RecordingError,
    read_archive,
    write_archive,
)
from tf1_bn._src.proof.recording.recording import (
    Call,
    Recording,
    Step,
    load_recording,
    save_recording,
)
from tf1_bn.repair import Repair

CONFIG = {
    "axis": -1,
    "momentum": 0.99,
    "epsilon": 0.001,
    "center": False,
    "scale": True,
    "renorm": False,
    "renorm_clipping": None,
    "renorm_momentum": 0.99,
    "fused": None,
    "trainable": True,
    "virtual_batch_size": None,
    "adjustment": None,
}
NAMES = ("gamma", "moving_mean", "moving_variance")


def small_recording() -> Recording:
    arrays = {"input": np.arange(6.0, dtype="float32").reshape(2, 3)}
    arrays["output"] = arrays["input"] + 1
    for number, role in enumerate(
        [f"before/{name}" for name in NAMES] + [f"after/{name}" for name in NAMES[1:]]
    ):
        arrays[role] = np.full(3, number, "float32")
    variables = [
        {"name": f"a/bn/{n}", "shape": [5], "dtype": "float32", "trainable": i == 0}
        for i, n in enumerate(NAMES)
    ]
    call = Call(
        name="a/bn",
        kind="layer",
        config=CONFIG,
        phase="training",
        dtype="float32",
        shape=[None, 5],
        sample={"axis": 1, "kept": [0, 2, 4], "of": 5},
        structure={
            "losses": 0,
            "variables": [{**variable, "collections": ["variables"]} for variable in variables],
            "updates": [{"name": f"u{n}", "writes": [f"a/bn/{n}"]} for n in NAMES[1:]],
            "output": {"name": "a/bn/add:0", "dtype": "float32", "shape": [None, 5]},
            "maker": "BatchNormalization",
        },
        wiring={"runs": 2, "update_runs": 1},
        notes=["a note"],
        steps=[Step(True, 2, arrays)],
    )
    software = ("TensorFlow", "NumPy", "Python", "machine", "oneDNN", "tf1_bn")
    return Recording({name: f"{name} 1" for name in software}, [call])


def changed(path: Path, target: Path, **members: Any) -> str:
    """Copy an archive with some members replaced (None: left out); double underscores are dots."""
    replace = {name.replace("__", "."): content for name, content in members.items()}
    with zipfile.ZipFile(str(path)) as old, zipfile.ZipFile(str(target), "w") as new:
        for name in old.namelist():
            content = replace.pop(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
        for name, content in replace.items():
            new.writestr(name, content)
    return str(target)


def header_with(path: Path, **changes: Any) -> bytes:
    with zipfile.ZipFile(str(path)) as archive:
        header = json.loads(archive.read("recording.json").decode())
    for key, value in changes.items():
        if key in header:
            header[key] = value
        else:
            header["calls"][0][key] = value
    return json.dumps(header).encode()


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "recording.npz"
    save_recording(small_recording(), str(path))
    return path


def test_round_trip(written: Path) -> None:
    read = load_recording(str(written))
    expected = small_recording()
    assert read.facts == expected.facts
    assert read.calls[0]._replace(steps=[]) == expected.calls[0]._replace(steps=[])
    (step,), (wanted,) = read.calls[0].steps, expected.calls[0].steps
    assert (step.training, step.updates_run) == (True, 2)
    assert list(step.arrays) == list(wanted.arrays)
    for role, array in wanted.arrays.items():
        np.testing.assert_array_equal(step.arrays[role], array)
        assert step.arrays[role].dtype == array.dtype
    assert list(step.group("before")) == list(NAMES)


def test_users_meet_public_names_in_errors_and_pickles(tmp_path: Path) -> None:
    """A pickle is read by versions whose files stand elsewhere."""
    recording = small_recording()
    for value in (recording, Repair(["a"], []), RecordingError("no zip file")):
        pickled = pickle.dumps(value)
        assert b"tf1_bn" in pickled and b"_src" not in pickled
        again = pickle.loads(pickled)
        assert type(again) is type(value) and str(again) == str(value)


def test_same_content_same_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("one.npz", "two.npz")]
    for path in paths:
        save_recording(small_recording(), str(path))
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (1, 2, 3, 4)])
def test_arrays_of_every_dtype_and_shape(dtype: str, shape: tuple, tmp_path: Path) -> None:
    path = str(tmp_path / "a.npz")
    array = (np.arange(np.prod(shape, dtype=int)) % 7).reshape(shape).astype(dtype)
    write_archive(path, {}, {"a": array})
    read = read_archive(path)[1]["a"]
    np.testing.assert_array_equal(read, array)
    assert (read.dtype, read.shape) == (array.dtype, array.shape)
    # NumPy reads what we write.
    with np.load(path, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["a"], array)


def test_other_dtypes_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="complex64"):
        write_archive(str(tmp_path / "a.npz"), {}, {"a": np.zeros(2, "complex64")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, SystemExit])
def test_an_interrupted_write_leaves_the_old_file_and_no_other(error: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(b"old")
    with pytest.raises(error), written_beside(str(path)) as opened:
        opened.write(b"half")
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("keep", [0, 1, 10, 0.3, 0.7, 0.99])
def test_truncated(keep: float, tmp_path: Path) -> None:
    content = SMALL_NET.read_bytes()
    path = tmp_path / "cut.npz"
    path.write_bytes(content[: int(keep if keep >= 1 else keep * len(content))])
    with pytest.raises(RecordingError, match="cut.npz is not a tf1_bn recording"):
        load_recording(str(path))


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bytes_never_crash(seed: int, tmp_path: Path) -> None:
    """A flipped byte is found by the zip's checksums, or lies where nothing is read."""
    content = bytearray(SLIM_NET.read_bytes())
    random = np.random.RandomState(seed)
    for at in random.randint(0, len(content), size=5):
        content[at] ^= 1 << random.randint(8)
    path = tmp_path / "flipped.npz"
    path.write_bytes(bytes(content))
    try:
        load_recording(str(path))
    except RecordingError as error:
        assert "is not a tf1_bn recording" in str(error)


def test_foreign_files(tmp_path: Path) -> None:
    text, other = tmp_path / "notes.txt", tmp_path / "other.npz"
    text.write_text("hello")
    np.savez(str(other), a=np.zeros(3))
    with pytest.raises(RecordingError, match="damaged or no zip file"):
        load_recording(str(text))
    with pytest.raises(RecordingError, match="it has no recording.json"):
        load_recording(str(other))
    with pytest.raises(RecordingError, match="cannot read .*missing.npz: No such file"):
        load_recording(str(tmp_path / "missing.npz"))
    with pytest.raises(RecordingError, match="cannot read .*: it is a directory, not a file"):
        load_recording(str(tmp_path))


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there are no such devices")
def test_files_without_an_end_are_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(str(pipe))
    link = tmp_path / "link"
    link.symlink_to("/dev/zero")
    for path, kind in ((pipe, "a pipe"), ("/dev/zero", "a device"), (link, "a device")):
        with pytest.raises(RecordingError, match=f"cannot read .*: it is {kind}, not a file"):
            load_recording(str(path))


def test_files_that_are_too_large_are_not_read(written: Path, tmp_path: Path) -> None:
    path = tmp_path / "sparse.npz"
    with path.open("wb") as opened:
        opened.truncate(files.MOST_BYTES + 1)
    with pytest.raises(RecordingError, match="it has 1073741825 bytes, more than 1073741824"):
        load_recording(str(path))


def test_a_list_of_files_that_is_too_long_is_not_read(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files._Limited, "most", 200)
    with pytest.raises(RecordingError, match="its list of files takes more than 200 bytes"):
        load_recording(str(written))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_ways_of_packing_that_unpack_without_a_limit(method: int, tmp_path: Path) -> None:
    path = tmp_path / "r.npz"
    with zipfile.ZipFile(str(path), "w", method) as archive:
        archive.writestr("recording.json", "{}")
    with pytest.raises(RecordingError, match="'recording.json' in it is packed in an unknown way"):
        load_recording(str(path))


@pytest.mark.parametrize(
    "text, words",
    [
        ('{"a": NaN}', "holds the number 'NaN'"),
        ('{"a": -Infinity}', "holds the number '-Infinity'"),
        ('{"a": 1e999}', "holds the number '1e999'"),
        pytest.param(
            '{"a": ' + "9" * 10**6 + "}", "holds a number of 1000000 digits", id="a million digits"
        ),
        ('{"a": 1, "a": 2}', "two values for one key"),
    ],
)
def test_json_that_python_takes_and_the_standard_does_not(
    text: str, words: str, written: Path, tmp_path: Path
) -> None:
    path = changed(written, tmp_path / "lie.npz", recording__json=text.encode())
    with pytest.raises(RecordingError, match=words):
        load_recording(path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no such device")
def test_a_device_or_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    for path in ("/dev/full", str(full)):
        with pytest.raises(OSError, match="No space left"):
            write_archive(path, {}, {"a": np.zeros(3)})
        assert Path(path).is_char_device()
    assert full.is_symlink()
    with pytest.raises(OSError, match="directory"), written_beside(str(tmp_path)) as opened:
        opened.write(b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["full"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    with written_beside(str(link)) as opened:
        opened.write(b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"


def test_pickles_are_not_opened(written: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "exploded",))

    np.save(str(tmp_path / "p.npy"), np.array([Bomb()], dtype=object), allow_pickle=True)
    contents = {
        "object array": (tmp_path / "p.npy").read_bytes(),
        "bare pickle": pickle.dumps(Bomb()),
    }
    for name, content in contents.items():
        path = changed(written, tmp_path / f"{name}.npz", **{"0/0/0__npy": content})
        with pytest.raises(RecordingError, match="0/0/0.npy' in it is no plain array"):
            load_recording(path)
    assert not (tmp_path / "exploded").exists()


def npy_with(shape: str, descr: str = "<f4", body: bytes = b"\0" * 24) -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + body


@pytest.mark.parametrize(
    "content, message",
    [
        (npy_with("(1000000000000,)"), "24 bytes for shape"),
        (npy_with("(" + "9" * 900 + ",)"), "24 bytes for shape"),
        (npy_with("(" + "2, " * 33 + ")"), "unknown dtype or shape"),
        (npy_with("(-6,)"), "no plain array"),
        (npy_with("(6,)", "|O8"), "no plain array"),
        (npy_with("(6,)", "<c8"), "unknown dtype or shape"),
        (npy_with("(6,)", "<U1"), "no plain array"),
        (npy_with("(6,)", "<q4"), "unknown dtype or shape"),
        (npy_with("__import__('os').abort(),"), "no plain array"),
        (b"", "no plain array"),
        (b"\x93NUMPY\x01\x00\xff\xff", "no plain array"),
    ],
)
def test_arrays_that_lie(written: Path, tmp_path: Path, content: bytes, message: str) -> None:
    path = changed(written, tmp_path / "lie.npz", **{"0/0/0__npy": content})
    with pytest.raises(RecordingError, match=message):
        load_recording(path)


def test_zip_bombs_are_refused_before_they_unpack(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST_BYTES", 10**6)
    monkeypatch.setattr(files, "MOST_MEMBERS", 50)
    big, many = tmp_path / "big.npz", tmp_path / "many.npz"
    with zipfile.ZipFile(str(big), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("recording.json", "{}")
        archive.writestr("0.npy", b"\0" * (10**6 + 1))
    assert big.stat().st_size < 10**4
    with pytest.raises(RecordingError, match="unpack to 1000003 bytes, more than 1000000"):
        load_recording(str(big))
    with zipfile.ZipFile(str(many), "w") as archive:
        for number in range(51):
            archive.writestr(f"{number}.npy", b"")
    with pytest.raises(RecordingError, match="it holds 51 files, more than 50"):
        load_recording(str(many))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"format": "something else"}, "it says so nowhere"),
        ({"version": 2}, "format version 2, not 1"),
        ({"version": None}, "format version None"),
        ({"facts": []}, "`facts` must be an object"),
        ({"facts": {}}, "`facts` lacks `TensorFlow`"),
        ({"facts": {"a": 1}}, "`facts` has a key 'a', which is not known"),
        ({"calls": {}}, "`calls` must be a list"),
        ({"calls": [3]}, r"`calls\[0\]` must be an object"),
        ({"kind": "shell"}, r"`calls\[0\].kind` must be one of \['layer', 'contrib'\]"),
        ({"phase": "maybe"}, r"`calls\[0\].phase` must be one of"),
        ({"phase": "inference"}, "call 0: its phase is inference, and it has steps of the other"),
        ({"name": "x" * 5000}, r"`calls\[0\].name` must be a text of at most 2000"),
        ({"name": "\ud800"}, r"`calls\[0\].name` must be a text"),
        ({"name": "b"}, "no variable's name lies below the call's"),
        ({"dtype": "float64"}, "its output is float32, its input float64"),
        ({"shape": [1, "2"]}, r"`calls\[0\].shape\[1\]` must be a whole number"),
        ({"shape": [-1]}, r"`calls\[0\].shape\[0\]` must be a whole number"),
        ({"shape": [None, 10**9], "sample": None}, r"of shape \[2, 3\], not \[None, 1000000000\]"),
        ({"shape": [2, 3, 4]}, "another number of channels than its shape"),
        ({"structure": {"variables": []}}, "structure` lacks `losses`"),
        ({"wiring": {"runs": "many", "update_runs": 1}}, "wiring.runs` must be a whole number"),
        ({"wiring": {"runs": 0, "update_runs": 1}}, "more steps than session runs"),
        ({"sample": {"axis": 0, "of": 3, "kept": []}}, "which channels it kept"),
        ({"sample": {"axis": 1, "of": 5, "kept": [0, 4, 2]}}, "which channels it kept"),
        ({"sample": {"axis": 1, "of": 6, "kept": [0, 2, 4]}}, "another number of channels"),
        ({"steps": []}, "'0/0/0' is missing or has no role"),
        ({"steps": [{"training": 1, "updates_run": 0, "roles": ["input"]}]}, "training` must be"),
        ({"steps": [{"training": True, "updates_run": 0, "roles": [3]}]}, r"roles\[0\]` must be"),
        ({"steps": [{"training": True, "updates_run": 0, "roles": []}]}, "has no role"),
        ({"steps": [{"training": True, "updates_run": 0, "roles": ["x"] * 7}]}, "have one role"),
    ],
)
def test_headers_that_lie(written: Path, tmp_path: Path, changes: dict, message: str) -> None:
    header = header_with(written, **changes)
    path = changed(written, tmp_path / "lie.npz", recording__json=header)
    with pytest.raises(RecordingError, match=message):
        load_recording(path)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 100000, b"NaN", b"[]"])
def test_headers_that_are_no_json_object(written: Path, tmp_path: Path, content: bytes) -> None:
    path = changed(written, tmp_path / "lie.npz", recording__json=content)
    with pytest.raises(RecordingError, match="is not a tf1_bn recording"):
        load_recording(path)


def test_the_shipped_recordings_are_small_and_from_1_15() -> None:
    for path in (SMALL_NET, SLIM_NET):
        recording = load_recording(str(path))
        assert recording.facts["TensorFlow"] == "1.15.5"
        assert path.stat().st_size < 300_000
        assert all(call.steps for call in recording.calls)
