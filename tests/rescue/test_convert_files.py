"""What `convert` refuses to read, and what it leaves where it cannot write. No TensorFlow."""

from __future__ import annotations

import errno
import io
import os
import pickle
import re
import signal
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tf1_bn._src.cli.main import main
from tf1_bn._src.rescue.convert import conversion
from tf1_bn._src.rescue.convert.formats.hdf5 import keras_file
from tf1_bn._src.rescue.convert.formats.keras_files import read_keras
from tf1_bn._src.rescue.convert.formats.torch_files import read_torch, torch_file

STATE = {
    "bn.weight": np.float32([1.0, 2.0]),
    "bn.bias": np.float32([3.0, 4.0]),
    "bn.running_mean": np.float32([5.0, 6.0]),
    "bn.running_var": np.float32([7.0, 8.0]),
    "bn.num_batches_tracked": np.array(9),
    "head.weight": np.arange(6, dtype=np.float64).reshape(3, 2),
    "head.bias": np.zeros([3], np.float16),
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    path.write_bytes(torch_file(STATE))
    return path


def refused(capsys: Any, source: object, *more: str) -> str:
    """Converts, which must fail in one line and leave the folder as it was."""
    folder = Path(str(source)).parent
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    arguments = more or ("--to", "keras", "-o", str(folder / "out.npz"))
    assert main(["convert", str(source), *arguments]) == 2
    out, err = capsys.readouterr()
    after = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert out == "" and err.count("\n") == 1 and after == before
    return str(err)


def test_a_torch_file_reads_back() -> None:
    found = read_torch(io.BytesIO(torch_file(STATE)))
    assert list(found) == list(STATE)
    for name, array in STATE.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def zipped(pickled: bytes, **more: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        for name, each in more.items():
            archive.writestr(f"a/data/{name[1:]}", each)
    return content.getvalue()


class _Evil:
    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self._path,)


def test_a_pickle_that_runs_something_is_refused(tmp_path: Path, capsys: Any) -> None:
    evil = pickle.dumps({"bn.running_mean": _Evil(str(tmp_path / "ran"))}, protocol=2)
    (tmp_path / "evil.pt").write_bytes(zipped(evil))
    assert "mkdir, which is not unpickled" in refused(capsys, tmp_path / "evil.pt")
    (tmp_path / "old.pt").write_bytes(evil)
    assert "it is not unpickled" in refused(capsys, tmp_path / "old.pt")
    assert not (tmp_path / "ran").exists()


def tensor(size: str, stride: str, count: int = 4) -> bytes:
    """A state dict of one tensor, by hand: sizes and strides as opcodes of one-byte numbers."""
    return (
        b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage"
        b"ctorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK"
        + bytes([count])
        + b"tQK\x00("
        + b"".join(b"K" + bytes([int(each)]) for each in size)
        + b"t("
        + b"".join(b"K" + bytes([int(each)]) for each in stride)
        + b"t\x89}tRs."
    )


@pytest.mark.parametrize(
    "size, stride, count",
    [("5", "1", 4), ("99", "00", 4), ("4", "2", 4), ("22", "2", 4), ("4", "1", 5)],
)
def test_a_tensor_beyond_its_storage_is_refused(size: str, stride: str, count: int) -> None:
    assert read_torch(io.BytesIO(zipped(tensor("22", "21"), _0=bytes(16))))["a"].shape == (2, 2)
    with pytest.raises(ValueError, match="damaged"):
        read_torch(io.BytesIO(zipped(tensor(size, stride, count), _0=bytes(16))))


def test_files_that_are_cut_or_changed_never_crash(capsys: Any) -> None:
    pytest.importorskip("h5py")
    keras = {f"bn/{leaf}": np.float32([1.0]) for leaf in ("gamma", "moving_mean")}
    numbers = np.random.RandomState(0)
    for content, read in ((torch_file(STATE), read_torch), (keras_file(keras), read_keras)):
        for attempt in range(60):
            bad = bytearray(content)
            if attempt % 3:
                bad[numbers.randint(len(bad))] = numbers.randint(256)
            else:
                bad = bad[: numbers.randint(len(bad))]
            try:
                read(io.BytesIO(bytes(bad)))
            except ValueError as error:
                assert str(error)


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("text.pt", b"no checkpoint at all", "no checkpoint, and no file"),
        ("empty.npz", b"", "no checkpoint, and no file"),
        ("cut.npz", b"PK\x03\x04", "damaged"),
        ("cut.h5", b"\x89HDF\r\n\x1a\n\x00\x00", "damaged"),
        ("gone.npz", None, "No such file"),
    ],
)
def test_foreign_files(
    name: str, content: bytes | None, words: str, tmp_path: Path, capsys: Any
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert words in refused(capsys, tmp_path / name)


def test_arrays_of_objects_are_refused(tmp_path: Path, capsys: Any) -> None:
    np.savez(str(tmp_path / "a.npz"), a=np.array([{}], dtype=object))
    assert "not unpickled" in refused(capsys, tmp_path / "a.npz")


def test_arrays_in_other_files_are_refused(tmp_path: Path, capsys: Any) -> None:
    h5py = pytest.importorskip("h5py")
    (tmp_path / "secret").write_bytes(bytes(8))
    with h5py.File(str(tmp_path / "a.h5"), "w") as file:
        outside = [(str(tmp_path / "secret"), 0, 8)]
        file.create_dataset("layers/bn/vars/0", (2,), "<f4", external=outside)
    assert "lies in another file" in refused(capsys, tmp_path / "a.h5")
    with h5py.File(str(tmp_path / "b.h5"), "w") as file:
        # Never written, so it takes no place in the file.
        file.create_dataset("layers/bn/vars/0", (2**40,), "<f4", chunks=(1024,))
    assert "far more than its size" in refused(capsys, tmp_path / "b.h5")


@pytest.mark.parametrize(
    "out, words",
    [
        ("x.weights.h5", "load_weights(path, by_name=True)"),
        ("x.pt", "must end in .h5 or .npz"),
        ("", "must name a file"),
        ("missing/x.h5", "No such file or directory"),
        (".", "must end in"),
    ],
)
def test_names_that_nobody_could_load(
    out: str, words: str, source: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.chdir(source.parent)
    assert words in refused(capsys, source, "--to", "keras", "-o", out)


def test_the_source_is_never_the_output(source: Path, tmp_path: Path, capsys: Any) -> None:
    npz = tmp_path / "s.npz"
    np.savez(str(npz), **STATE)
    (tmp_path / "soft.npz").symlink_to(npz)
    os.link(str(npz), str(tmp_path / "hard.npz"))
    for name in ("s.npz", "soft.npz", "hard.npz"):
        told = refused(capsys, npz, "--to", "keras", "-o", str(tmp_path / name), "--overwrite")
        assert "is the source" in told
    assert "is a state dict of PyTorch already" in refused(
        capsys, source, "--to", "torch", "-o", str(tmp_path / "other.pt")
    )


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_nothing(step: str, source: Path, capsys: Any, monkeypatch: Any) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(conversion, "check_target", lambda path: None)
    monkeypatch.setattr(os, step, full)
    assert "No space left on device" in refused(capsys, source)


def test_ctrl_c_leaves_nothing(source: Path, capsys: Any, monkeypatch: Any) -> None:
    def interrupted(target: str, path: str, arrays: Any) -> None:
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(conversion, "write", interrupted)
    out = source.with_name("out.npz")
    assert main(["convert", str(source), "--to", "keras", "-o", str(out)]) == 130
    assert capsys.readouterr().err == "tf1_bn: interrupted, nothing was written\n"
    assert list(source.parent.iterdir()) == [source]


def test_the_table_folds_at_80_columns(source: Path, capsys: Any, monkeypatch: Any) -> None:
    long = "/".join(["a_very_long_scope_of_a_model"] * 3)
    renamed = ["--rename", f"^bn={long}"]
    command = ["convert", str(source), "--to", "keras", "--dry-run"]
    assert main([*command, *renamed]) == 0
    wide = capsys.readouterr().out
    monkeypatch.setattr(
        "tf1_bn._src.rescue.convert.command.width_of", lambda stream: 80, raising=True
    )
    assert main([*command, *renamed]) == 0
    folded = capsys.readouterr().out
    assert max(map(len, wide.splitlines())) > 80
    longest = max(re.split(r"\s", folded), key=len)
    assert max(map(len, folded.splitlines())) <= max(80, len(longest) + 2)
    assert "running_var" in folded and "dense, transposed" in folded


@pytest.mark.parametrize(
    "words",
    [
        ["--rename", "(=x"],
        ["--rename", "x"],
        ["--rename", r"a=\9"],
        ["--rule", "a=lstm"],
        ["--rule", "(=keep"],
        ["--epsilon", "x"],
        ["--to", "jax"],
    ],
)
def test_wrong_words_are_refused(words: list[str], source: Path, capsys: Any) -> None:
    command = ["convert", str(source), "--to", "keras", "--dry-run", *words]
    assert main(command) == 2
    assert "error: " in capsys.readouterr().err
    assert main(["convert", str(source), "--to", "keras"]) == 2


def test_sigterm_leaves_no_scratch_folder(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    folder, before = source.parent, signal.getsignal(signal.SIGTERM)

    def killed(target: str, path: str, arrays: Any) -> None:
        Path(path).write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(conversion, "write", killed)
    code = main(["convert", str(source), "--to", "keras", "-o", str(folder / "out.npz")])
    assert code == 128 + signal.SIGTERM
    assert list(folder.iterdir()) == [source] and signal.getsignal(signal.SIGTERM) == before
