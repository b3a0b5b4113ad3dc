"""Reads and writes goldens: one readable JSON and one npz for each group of cases."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any, Callable

import numpy as np

GOLDENS = Path(__file__).resolve().parent / "goldens"
WIDTH = 160


def pretty(value: Any, indent: str = "") -> str:
    """JSON with everything on one line that fits, so that a diff reads like a review."""
    flat = json.dumps(value, separators=(",", ":"))
    if len(indent) + len(flat) <= WIDTH or not isinstance(value, (dict, list)) or not value:
        return flat
    inner = indent + " "
    if isinstance(value, dict):
        lines = [f"{inner}{json.dumps(k)}:{pretty(v, inner)}" for k, v in value.items()]
        return "{\n" + ",\n".join(lines) + "\n" + indent + "}"
    return "[\n" + ",\n".join(inner + pretty(v, inner) for v in value) + "\n" + indent + "]"


def _replace(path: Path, write: Callable) -> None:
    beside = path.with_name(path.name + ".part")
    with open(str(beside), "wb") as stream:
        write(stream)
    os.replace(str(beside), str(path))


def save_json(path: Path, value: Any) -> None:
    text = pretty(value) + "\n"
    _replace(path, lambda stream: stream.write(text.encode()))


def save_npz(path: Path, arrays: dict) -> None:
    """Like np.savez_compressed, with fixed dates, so that equal arrays make equal files."""

    def write(stream: Any) -> None:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for key in sorted(arrays):
                member = io.BytesIO()
                np.lib.format.write_array(member, np.asarray(arrays[key]), allow_pickle=False)
                info = zipfile.ZipInfo(key + ".npy", (1980, 1, 1, 0, 0, 0))
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, member.getvalue())

    _replace(path, write)


def load_group(group: str) -> tuple:
    """The structures by case, and the arrays by "case::key"."""
    with open(str(GOLDENS / f"{group}.json"), encoding="utf-8") as stream:
        structures = json.load(stream)
    with np.load(str(GOLDENS / f"{group}.npz"), allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    return structures, arrays
