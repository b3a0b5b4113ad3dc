# SPDX-License-Identifier: Apache-2.0
"""Which format a source is of, and which one a target's name asks for."""

from __future__ import annotations

import io
import os
import zipfile
from typing import Any, Mapping

from ....files.whole_files import open_regular
from ....runtime.own_start import start_tensorflow
from .hdf5 import keras_file
from .held import KERAS, TENSORFLOW, TORCH, Held
from .keras_files import read_keras
from .plain_files import plain_file, read_plain
from .torch_files import read_torch, torch_file

_MOST_BYTES = 2**36
_HDF5 = b"\x89HDF\r\n\x1a\n"
# What each target may be written to; of TensorFlow's a checkpoint, whose name is a prefix.
SUFFIXES = {KERAS: (".h5", ".npz"), TORCH: (".pt", ".pth", ".npz")}
_OF_OTHERS = (".h5", ".hdf5", ".keras", ".pt", ".pth", ".bin", ".meta", ".index", ".pb")


def read_source(path: str) -> Held:
    """What a checkpoint or a file of another library holds.

    Raises:
      OSError: it is not there, or cannot be read.
      ValueError: it is of no known format, or damaged.
      ImportError: what reads it is missing.
    """
    beginning = b""
    if os.path.exists(path) and not os.path.isdir(path):
        with open_regular(path, _MOST_BYTES) as opened:
            beginning = opened.read(len(_HDF5))
    if beginning[:2] != b"PK" and beginning != _HDF5:
        if beginning[:1] == b"\x80":
            raise ValueError(
                f"{path}: a pickle, as PyTorch wrote before 1.6; it is not unpickled. Save the "
                "state dict again by a newer torch.save"
            )
        start_tensorflow()
        from .checkpoints import read_checkpoint

        return read_checkpoint(path)
    try:
        with io.BufferedReader(open_regular(path, _MOST_BYTES)) as opened_file:
            return _of_file(opened_file, path, beginning)
    except MemoryError:
        raise ValueError(f"{path}: it needs more memory than there is") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _of_file(opened: Any, path: str, beginning: bytes) -> Held:
    names = [] if beginning == _HDF5 else _names(opened)
    if any(name.endswith("/data.pkl") for name in names):
        return Held(TORCH, read_torch(opened), {}, (path,))
    if beginning == _HDF5 or "config.json" in names:
        arrays, settings = read_keras(opened)
        return Held(KERAS, arrays, settings, (path,))
    arrays = read_plain(opened)
    is_torch = any(name.rpartition(".")[2] == "running_mean" for name in arrays)
    return Held(TORCH if is_torch else TENSORFLOW, arrays, {}, (path,))


def _names(opened: Any) -> list[str]:
    try:
        with zipfile.ZipFile(opened) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise ValueError(f"it is damaged ({error})") from None
    finally:
        opened.seek(0)


def check_name(target: str, path: str) -> None:
    """Raises ValueError for an output's name that the target's users could not load."""
    if path in ("", "-") or path.endswith(os.sep):
        raise ValueError(f"OUT must name a file or a checkpoint (got {path!r})")
    suffixes = SUFFIXES.get(target)
    if target == KERAS and path.endswith((".weights.h5", ".keras")):
        raise ValueError(
            f"{path}: such a file names layers by their place in a model, which a checkpoint does "
            "not tell; a plain .h5 names them by name, for load_weights(path, by_name=True)"
        )
    if suffixes is not None and not path.endswith(suffixes):
        raise ValueError(f"{path}: for {target} it must end in {' or '.join(suffixes)}")
    if suffixes is None and path.endswith(_OF_OTHERS):
        raise ValueError(
            f"{path}: for {target} it is a checkpoint's name without .index, or ends in .npz"
        )


def outputs_of(target: str, path: str) -> tuple[str, ...]:
    """The files that are written; the last one makes the others a whole."""
    if target in SUFFIXES or path.endswith(".npz"):
        return (path,)
    return (f"{path}.data-00000-of-00001", f"{path}.index")


def write(target: str, path: str, arrays: Mapping[str, Any]) -> None:
    """Writes arrays to the files that `outputs_of` names.

    Raises:
      OSError: they cannot be written.
      ValueError: the format has no such dtype.
    """
    if target in SUFFIXES or path.endswith(".npz"):
        made = plain_file if path.endswith(".npz") else _MADE[target]
        content = made(arrays)
        with open(path, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        return
    start_tensorflow()
    from .checkpoints import write_checkpoint

    write_checkpoint(path, arrays)


_MADE = {KERAS: keras_file, TORCH: torch_file}
