# SPDX-License-Identifier: Apache-2.0
"""The archive that a recording is: a zip file of one JSON text and plain arrays. No TensorFlow.

Nobody vouches for a file that is read: no pickle, nothing executed, every size checked first.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
import zlib
from typing import Any, Mapping

import numpy as np

from ...files.text_table import counted
from ...files.whole_files import open_regular, written_beside

HEADER = "recording.json"
# What a file may claim to hold; numbers in it decide how much memory is asked for.
MOST_BYTES = 2**30
MOST_HEADER_BYTES = 2**26
MOST_MEMBERS = 100_000
# Of the list of members, which the zip reader takes into memory before anybody can count them.
_MOST_DIRECTORY_BYTES = 2**25
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LONGEST_INT = 20
DTYPES = ("bool", "float16", "float32", "float64", "int32", "int64")
_MAGIC = b"\x93NUMPY\x01\x00"
_DESCRIPTION = re.compile(
    r"\{'descr': '(?P<descr>[<|][a-z]\d+)', 'fortran_order': False, "
    r"'shape': \((?P<shape>[\d, ]*)\), ?\} *\n\Z"
)
_EARLIEST = (1980, 1, 1, 0, 0, 0)


class RecordingError(ValueError):
    """The file is no recording that can be read, with the reason in one sentence."""

    # Tracebacks and pickles name what users know.
    __module__ = "tf1_bn.testing"


def write_archive(path: str, header: Any, arrays: Mapping[str, Any]) -> None:
    """Writes a JSON value and arrays, the same bytes for the same content.

    Raises:
      ValueError: an array of a dtype that is not among `DTYPES`.
    """
    with written_beside(path) as opened, zipfile.ZipFile(opened, "w") as archive:
        _put(archive, HEADER, json.dumps(header, indent=1, allow_nan=False).encode("utf-8"))
        for name, array in arrays.items():
            _put(archive, f"{name}.npy", _npy(np.asarray(array)))


def _put(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, date_time=_EARLIEST)
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, content)


def _npy(array: Any) -> bytes:
    if array.dtype.name not in DTYPES:
        raise ValueError(f"an array must be of a dtype in {list(DTYPES)} (got {array.dtype.name}).")
    little = np.array(array, dtype=array.dtype.newbyteorder("<"), order="C", copy=True)
    shape = f"({little.shape[0]},)" if little.ndim == 1 else str(tuple(map(int, little.shape)))
    descr = little.dtype.str.replace("=", "<")
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (-(len(_MAGIC) + 3 + len(text)) % 64) + "\n"
    return _MAGIC + len(text).to_bytes(2, "little") + text.encode("ascii") + little.tobytes()


def read_archive(path: str) -> tuple[Any, dict[str, Any]]:
    """Returns the JSON value and the arrays that `write_archive` wrote.

    Every size is checked before memory is asked for, and only plain arrays are made.

    Raises:
      RecordingError: the file is no such archive, is damaged, or claims to be too large.
      OSError: it cannot be opened.
    """
    try:
        with _Limited(open_regular(path, MOST_BYTES)) as opened, zipfile.ZipFile(opened) as archive:
            opened.most = MOST_BYTES
            members = archive.infolist()
            _check_sizes(members)
            names = [member.filename for member in members]
            if HEADER not in names or len(set(names)) < len(names):
                raise RecordingError(f"it has no {HEADER}, or two files of one name")
            header = _json(archive.read(HEADER).decode("utf-8"))
            arrays = {
                member.filename[: -len(".npy")]: _array(archive.read(member), member.filename)
                for member in members
                if member.filename != HEADER
            }
            return header, arrays
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise RecordingError(f"it is damaged or no zip file ({error})") from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise RecordingError(f"its {HEADER} is no JSON ({type(error).__name__})") from None


class _Limited(io.BufferedReader):
    """A file that gives at most `most` bytes at once: zipfile reads its list of files in one go."""

    most = _MOST_DIRECTORY_BYTES

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(self.most + 1 if size is None or size < 0 else size)
        if len(content) > self.most:
            raise RecordingError(f"its list of files takes more than {self.most} bytes")
        return content


def _json(text: str) -> Any:
    """JSON as the standard has it: no NaN, no number a float cannot hold, each key once."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in found}) < len(found):
            raise RecordingError(f"its {HEADER} has two values for one key")
        return dict(found)

    def number(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise RecordingError(f"its {HEADER} holds the number {_shown(text)}")
        return value

    def whole(text: str) -> int:
        # Reading a million digits takes minutes.
        if len(text) > _LONGEST_INT:
            raise RecordingError(f"its {HEADER} holds a number of {len(text)} digits")
        return int(text)

    return json.loads(
        text, object_pairs_hook=pairs, parse_float=number, parse_int=whole, parse_constant=number
    )


def _check_sizes(members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MOST_MEMBERS:
        raise RecordingError(f"it holds {len(members)} files, more than {MOST_MEMBERS}")
    total = sum(member.file_size for member in members)
    if total > MOST_BYTES:
        raise RecordingError(f"it would unpack to {total} bytes, more than {MOST_BYTES}")
    for member in members:
        if member.filename == HEADER and member.file_size > MOST_HEADER_BYTES:
            raise RecordingError(f"its {HEADER} has {member.file_size} bytes")
        if member.compress_type not in _METHODS:
            # Python's readers of the others unpack without a limit.
            raise RecordingError(f"{_shown(member.filename)} in it is packed in an unknown way")


def _array(content: bytes, name: str) -> Any:
    """Not NumPy's own reader: that one allocates whatever shape the file names."""
    start = len(_MAGIC) + 2
    length = int.from_bytes(content[len(_MAGIC) : start], "little")
    description = content[start : start + length].decode("latin-1")
    matched = _DESCRIPTION.match(description)
    if not name.endswith(".npy") or not content.startswith(_MAGIC) or matched is None:
        raise RecordingError(f"{_shown(name)} in it is no plain array")
    dtype = np.dtype(matched["descr"]) if _is_dtype(matched["descr"]) else None
    # More than any tensor has, and few enough to multiply.
    sizes = [int(size) for size in matched["shape"].replace(" ", "").split(",") if size][:33]
    if dtype is None or dtype.name not in DTYPES or len(sizes) > 32:
        raise RecordingError(f"{_shown(name)} in it has an unknown dtype or shape")
    body = content[start + length :]
    count = 1
    for size in sizes:
        count *= size
    if count * dtype.itemsize != len(body):
        raise RecordingError(
            f"{_shown(name)} in it has {counted(len(body), 'byte')} for shape {sizes}"
        )
    return np.frombuffer(body, dtype=dtype).reshape(sizes).copy()


def _is_dtype(text: str) -> bool:
    try:
        np.dtype(text)
    except TypeError:
        return False
    return True


def _shown(name: str) -> str:
    return ascii(name[:80])
