"""The recorded outcomes of real `tf.contrib.layers.batch_norm`.

Structure is JSON, one file a group. The thousands of small arrays lie end to end in one array for
each dtype, because a file of their own each would be mostly headers; `index` says where.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.conformance.goldens_io import save_json, save_npz
from tests.conformance.runner import Outcome
from tests.contrib.cases import GROUPS

GOLDENS = Path(__file__).resolve().parent / "goldens"
INSTEAD = "instead: "


def save(outcomes: dict, recorded_by: dict) -> None:
    """Writes outcomes by case name."""
    for group, make in GROUPS.items():
        names = [case.name for case in make() if case.name in outcomes]
        save_json(GOLDENS / f"{group}.json", {name: outcomes[name].structure for name in names})
    save_npz(GOLDENS / "numbers.npz", _packed({n: o.numbers for n, o in outcomes.items()}))
    save_json(GOLDENS / "recorded_by.json", recorded_by)


def load() -> dict:
    """The recorded outcomes by case name."""
    structures: dict = {}
    for group in GROUPS:
        path = GOLDENS / f"{group}.json"
        if path.exists():
            structures.update(json.loads(path.read_text(encoding="utf-8")))
    numbers = _unpacked(GOLDENS / "numbers.npz") if structures else {}
    return {name: Outcome(structures[name], numbers.get(name, {})) for name in structures}


def _packed(numbers: dict) -> dict:
    flat: dict = {}
    index: dict = {}
    for name, arrays in numbers.items():
        for key, array in sorted(arrays.items()):
            flat.setdefault(array.dtype.name, []).append(np.ravel(array))
            index.setdefault(name, {})[key] = [array.dtype.name, list(array.shape)]
    made: dict = {dtype: np.concatenate(parts) for dtype, parts in flat.items()}
    made["index"] = np.frombuffer(json.dumps(index).encode(), np.uint8)
    return made


def _unpacked(path: Path) -> dict:
    with np.load(str(path), allow_pickle=False) as archive:
        flat = {key: archive[key] for key in archive.files}
    used = dict.fromkeys(flat, 0)
    found: dict = {}
    for name, arrays in json.loads(flat["index"].tobytes().decode()).items():
        for key, (dtype, shape) in arrays.items():
            start, size = used[dtype], int(np.prod(shape))
            found.setdefault(name, {})[key] = flat[dtype][start : start + size].reshape(shape)
            used[dtype] += size
    return found
