# SPDX-License-Identifier: Apache-2.0
"""Archives of plain arrays, as `numpy.savez` writes them; no array of objects is unpickled."""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import Any, BinaryIO, Mapping

import numpy as np

from .held import count_of

_MOST_BYTES = 2**34
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_plain(opened: BinaryIO) -> dict[str, Any]:
    """The arrays of a `.npz`.

    Raises:
      ValueError: it is none, or damaged, or holds objects.
    """
    try:
        with zipfile.ZipFile(opened) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > _MOST_BYTES:
                raise ValueError(f"it would unpack to more than {_MOST_BYTES} bytes")
            names = [member.filename for member in members]
            if len(set(names)) < len(names) or not all(name.endswith(".npy") for name in names):
                raise ValueError("it holds other files than arrays")
            return {name[: -len(".npy")]: _array(archive.read(name), name) for name in names}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"it is damaged or no .npz ({error})") from None


def _array(content: bytes, name: str) -> Any:
    """Checked before NumPy takes memory for the shape that a file names."""
    opened = io.BytesIO(content)
    read_header = _HEADERS.get(np.lib.format.read_magic(opened))
    if read_header is None:
        raise ValueError(f"{name} in it is of an unknown version")
    shape, _, dtype = read_header(opened)
    if dtype.hasobject:
        raise ValueError(f"{name} in it holds Python objects, which are not unpickled")
    if count_of(shape) * dtype.itemsize != len(content) - opened.tell():
        raise ValueError(f"{name} in it has {len(content)} bytes for shape {list(shape)}")
    return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


def plain_file(arrays: Mapping[str, Any]) -> bytes:
    """A `.npz` of the arrays.

    Raises:
      ValueError: an array is of a dtype that only TensorFlow knows.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, array in arrays.items():
            array = np.asarray(array)
            if array.dtype.kind not in "biufc":
                raise ValueError(f"{name} is {array.dtype}, which a .npz does not keep")
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            archive.writestr(
                zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), member.getvalue()
            )
    return content.getvalue()
