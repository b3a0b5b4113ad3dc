# SPDX-License-Identifier: Apache-2.0
"""Files of `torch.save`, read and written without PyTorch, and without running what they hold.

Such a file is a zip archive of a pickle and of plain storages. A pickle is a program: this reader
knows the few names that a state dict needs, and refuses all others.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from typing import Any, BinaryIO, Callable, Iterator, Mapping, NamedTuple

import numpy as np

from .held import count_of

_DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    # The upper half of a float32.
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}
_BY_DTYPE = {np.dtype(d): name for name, d in _DTYPES.items() if name != "BFloat16Storage"}
_MOST_PICKLE = 2**26


class _Storage(NamedTuple):
    name: str
    values: Any


class _Class(NamedTuple):
    """Stands for a name of PyTorch's, and does nothing."""

    name: str


class _Tensor(NamedTuple):
    array: Any


def read_torch(opened: BinaryIO) -> dict[str, Any]:
    """The arrays of a state dict; bfloat16 as float32.

    Raises:
      ValueError: it is none, is damaged, or holds more than tensors in dicts.
    """
    try:
        with zipfile.ZipFile(opened) as archive:
            return _tensors(_unpickled(archive))
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"it is damaged, or older than PyTorch 1.6 ({error})") from None


def _unpickled(archive: zipfile.ZipFile) -> Any:
    members = {member.filename: member for member in archive.infolist()}
    pickles = [name for name in members if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ValueError("it holds no state dict")
    root = pickles[0][: -len("data.pkl")]
    if f"{root}constants.pkl" in members:
        raise ValueError("it is a TorchScript program; save its state_dict() alone")
    order = f"{root}byteorder"
    if order in members and archive.read(order).strip() != b"little":
        raise ValueError("it is of a machine of the other byte order")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
        raise ValueError("it is compressed, as no file of torch.save is")
    if members[pickles[0]].file_size > _MOST_PICKLE:
        raise ValueError("its list of tensors is too large")

    def storage(key: str) -> bytes:
        if f"{root}data/{key}" not in members:
            raise ValueError(f"it is damaged: storage {key} is missing")
        return archive.read(f"{root}data/{key}")

    reader = _Unpickler(io.BytesIO(archive.read(pickles[0])), storage)
    try:
        return reader.load()
    except _Refused:
        raise
    except Exception as error:
        # Whatever a damaged pickle makes of Python's reader.
        told = str(error) or type(error).__name__
        raise ValueError(f"its list of tensors is damaged ({told})") from None


class _Refused(ValueError):
    pass


# Python's reader in Python: the one in C takes memory for whatever place a file names.
_PythonUnpickler: Any = pickle._Unpickler


class _Unpickler(_PythonUnpickler):  # type: ignore[misc]
    """Makes dicts and tensors, and nothing else."""

    def __init__(self, opened: BinaryIO, storage: Callable[[str], bytes]) -> None:
        super().__init__(opened, encoding="utf-8")
        self._storage = storage
        self._read: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        if module == "torch" and name in _DTYPES:
            return _Class(name)
        raise _Refused(
            f"it holds {ascii(module)[1:-1]}.{ascii(name)[1:-1]}, which is not unpickled; save the "
            "model's state_dict() alone"
        )

    def persistent_load(self, pid: Any) -> _Storage:
        _, kind, key, _, count = pid
        if not isinstance(kind, _Class) or not isinstance(key, str):
            raise ValueError("a storage of no known kind")
        if key not in self._read:
            values = np.frombuffer(self._storage(key), _DTYPES[kind.name])
            if len(values) != count:
                raise ValueError(f"storage {key} has {len(values)} numbers, not {count}")
            self._read[key] = _Storage(kind.name, values)
        return self._read[key]


def _rebuild(storage: _Storage, offset: int, size: Any, stride: Any, *_: Any) -> _Tensor:
    values = storage.values
    count = count_of(size)
    last = offset + sum((length - 1) * step for length, step in zip(size, stride))
    is_inside = not count or (offset >= 0 and last < len(values) and count <= len(values))
    if len(size) != len(stride) or min([*size, *stride, 0]) < 0 or not is_inside:
        raise ValueError(f"a tensor of shape {tuple(size)} does not fit its storage")
    view = np.lib.stride_tricks.as_strided(
        values[offset:], size, [step * values.itemsize for step in stride]
    )
    if storage.name == "BFloat16Storage":
        return _Tensor((view.astype("<u4") << 16).view("<f4"))
    return _Tensor(np.array(view, order="C"))


def _tensors(found: Any) -> dict[str, Any]:
    """The tensors of a dict, or of the one dict inside it that is a state dict."""
    if isinstance(found, dict) and not any(isinstance(v, _Tensor) for v in found.values()):
        inner = {
            key: value
            for key, value in found.items()
            if isinstance(value, dict) and any(isinstance(v, _Tensor) for v in value.values())
        }
        if len(inner) > 1:
            raise ValueError(f"it holds several state dicts, {sorted(map(str, inner))}; save one")
        found = next(iter(inner.values()), None)
    if not isinstance(found, dict):
        raise ValueError("it holds no state dict")
    others = [str(key) for key, value in found.items() if not isinstance(value, _Tensor)]
    if others:
        raise ValueError(f"its state dict holds what is no tensor: {', '.join(others[:5])}")
    return {str(key): value.array for key, value in found.items()}


def torch_file(arrays: Mapping[str, Any]) -> bytes:
    """A file that `torch.load(..., weights_only=True)` reads: a dict of tensors.

    Raises:
      ValueError: PyTorch has no such dtype.
    """
    for name, array in arrays.items():
        if np.asarray(array).dtype.newbyteorder("<") not in _BY_DTYPE:
            raise ValueError(f"{name} is {np.asarray(array).dtype}, which PyTorch files have not")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        _put(archive, "data.pkl", b"".join(_pickled(arrays)))
        _put(archive, "byteorder", b"little")
        for place, array in enumerate(arrays.values()):
            little = np.asarray(array)
            _put(archive, f"data/{place}", little.astype(little.dtype.newbyteorder("<")).tobytes())
        _put(archive, "version", b"3\n")
    return content.getvalue()


def _put(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(f"archive/{name}", (1980, 1, 1, 0, 0, 0)), content)


def _pickled(arrays: Mapping[str, Any]) -> Iterator[bytes]:
    """By hand, since only PyTorch itself could be pickled otherwise: protocol 2, as it writes."""
    empty = b"ccollections\nOrderedDict\n)R"
    yield b"\x80\x02" + empty + b"("
    for place, (name, array) in enumerate(arrays.items()):
        array = np.asarray(array)
        steps = [count_of(array.shape[axis + 1 :]) for axis in range(array.ndim)]
        kind = _BY_DTYPE[array.dtype.newbyteorder("<")].encode()
        yield _text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(("
        yield _text("storage") + b"ctorch\n" + kind + b"\n"
        yield _text(str(place)) + _text("cpu") + _whole(array.size) + b"tQ" + _whole(0)
        yield b"(" + b"".join(map(_whole, array.shape)) + b"t"
        yield b"(" + b"".join(map(_whole, steps)) + b"t\x89" + empty + b"tR"
    yield b"u."


def _text(text: str) -> bytes:
    encoded = text.encode("utf-8")
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _whole(number: int) -> bytes:
    if number < 2**31:
        return b"J" + struct.pack("<i", number)
    return b"\x8a\x08" + struct.pack("<q", number)
