"""A recording that was changed by hand: refused in one sentence, found different, or equivalent.

Every key of the JSON text is deleted, and every value replaced by others. What then still counts as
proven must be among the changes listed here, each with the reason why it proves the same.
"""

from __future__ import annotations

import copy
import json
import zipfile
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from tests.testing.support import SLIM_NET, SMALL_NET
from tf1_bn._src.cli.main import main
from tf1_bn._src.proof.recording.archive import read_archive
from tf1_bn._src.proof.recording.recording import recording_from
from tf1_bn.testing import Recording, RecordingError, compare_structure, load_recording, verify

# One of each kind: fused, renorm with tensors as bounds, ghost batches, a shared layer; and of
# contrib one with a weight tensor, one that moves its averages with its output.
CALLS = [
    (SMALL_NET, 0),
    (SMALL_NET, 1),
    (SMALL_NET, 3),
    (SMALL_NET, 5),
    (SLIM_NET, 1),
    (SLIM_NET, 4),
]
IDS = ["fused", "renormed", "ghosts", "shared", "in_place", "weighted"]
OTHER_TYPES = (None, True, "x", 1.5, [], [1], {}, {"tensor": "x"})
OUT_OF_RANGE = (-(2**41), 2**41, -1, 10**19, -1e300, 1e300, "x" * 3000, "\ud800")
# JSON that is none, or that only Python takes.
RAW = ("NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, "[" * 5000)
OTHER_VALUES: dict[str, tuple] = {
    "momentum": (0.5, 0, 1),
    "decay": (0.5, 0, 1),
    "epsilon": (0.5, 0, {"tensor": "epsilon"}),
    "renorm_momentum": (0.5,),
    "renorm_decay": (0.5,),
    "axis": (0, 1, -2, [-1], [0, 1]),
    "center": (False,),
    "scale": (False,),
    "trainable": (False,),
    "renorm": (True, False),
    "renorm_clipping": (None, {"rmax": 1.0001}),
    "rmin": (1, {"tensor": "renorm_clipping/rmin"}),
    "rmax": (1, None),
    "dmax": (0, None),
    "fused": (True, False),
    "virtual_batch_size": (None, 2, 4),
    "adjustment": ({"tensor": "adjustment"}, {"tensor": "adjustment", "scale": 2.0, "bias": 0.5}),
    "activation_fn": ("relu", "identity", "nothing_of_the_kind"),
    "updates_collections": (None, "update_ops", "others"),
    "batch_weights": (None, 2.0, {"tensor": "batch_weights"}),
    "data_format": ("NHWC", "NCHW"),
    "zero_debias_moving_mean": (True,),
    "kind": ("layer", "contrib"),
    "phase": ("training", "inference", "dynamic"),
    "dtype": ("float16", "bfloat16", "float64", "int32"),
    "training": (True, False),
    "updates_run": (0, 1, 2, 3),
}


def header_of(path: Path) -> Any:
    with zipfile.ZipFile(str(path)) as archive:
        return json.loads(archive.read("recording.json").decode())


def single(source: Path, number: int, folder: Path) -> Path:
    """A recording of one call, and the one after it where that shares its variables."""
    header = header_of(source)
    names = [call["name"] for call in header["calls"]]
    kept = [n for n, name in enumerate(names) if name == names[number]]
    header["calls"] = [header["calls"][n] for n in kept]
    path = folder / "good.npz"
    with zipfile.ZipFile(str(source)) as old, zipfile.ZipFile(str(path), "w") as new:
        for name in old.namelist():
            call, _, rest = name.partition("/")
            if call.isdigit() and int(call) in kept:
                new.writestr(f"{kept.index(int(call))}/{rest}", old.read(name))
        new.writestr("recording.json", json.dumps(header))
    return path


def with_header(path: Path, text: str, folder: Path) -> str:
    target = folder / "changed.npz"
    with zipfile.ZipFile(str(path)) as old, zipfile.ZipFile(str(target), "w") as new:
        for name in old.namelist():
            new.writestr(name, text if name == "recording.json" else old.read(name))
    return str(target)


def places(value: Any, where: tuple = ()) -> Iterator[tuple]:
    """The path of every value; of lists that hold one kind of thing the first item's."""
    if where:
        yield where
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*where, key))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*where, 0))


def at(header: Any, where: tuple) -> Any:
    for key in where:
        header = header[key]
    return header


def named(where: tuple) -> str:
    return "".join(f"[{k}]" if isinstance(k, int) else f".{k}" for k in where).lstrip(".")


def changed_at(header: Any, where: tuple, change: Callable[[Any], Any]) -> Any:
    """Copies what lies on the way to the place, and shares the rest, which nobody writes."""
    if not where:
        return change(header)
    copied = copy.copy(header)
    copied[where[0]] = changed_at(header[where[0]], where[1:], change)
    return copied


def without(header: Any, where: tuple) -> Any:
    *way, last = where
    return changed_at(header, tuple(way), lambda d: {k: v for k, v in d.items() if k != last})


def put(header: Any, where: tuple, value: Any) -> Any:
    *way, last = where

    def set_there(there: Any) -> Any:
        copied = copy.copy(there)
        copied[last] = value
        return copied

    return changed_at(header, tuple(way), set_there)


def same(one: Any, other: Any) -> bool:
    return json.dumps(one) == json.dumps(other)


def reader(path: Path) -> Callable[[Any], Recording]:
    """Reads a header with the arrays of a file, as `load_recording` does."""
    _, arrays = read_archive(str(path))
    return lambda header: recording_from(header, arrays)


@pytest.fixture(params=list(zip(CALLS, IDS)), ids=IDS)
def good(request: Any, tmp_path: Path) -> Path:
    (source, number), _ = request.param
    return single(source, number, tmp_path)


def test_each_key_is_required_and_no_other_is_known(good: Path) -> None:
    header, read = header_of(good), reader(good)
    keys = [where for where in places(header) if isinstance(where[-1], str)]
    assert len(keys) > 50
    for where in keys:
        if where[-1] in ("rmax", "rmin", "dmax"):
            # The argument's own dict may lack them.
            continue
        with pytest.raises(ValueError, match="lacks|says so nowhere|version None|must be"):
            read(without(header, where))
    for where in [(), *keys]:
        if isinstance(at(header, where), dict):
            with pytest.raises(ValueError, match="has a key 'more', which is not known|must be"):
                read(put(header, (*where, "more"), 1))


def test_a_value_of_another_type_or_out_of_range_is_refused(good: Path) -> None:
    """Refused, or valid by the schema: those are the other tests' to judge."""
    header, read = header_of(good), reader(good)
    refused = 0
    for where in places(header):
        value = at(header, where)
        for other in (*OTHER_TYPES, *OUT_OF_RANGE):
            if same(value, other):
                continue
            try:
                read(put(header, where, other))
            except ValueError as error:
                refused += 1
                assert "\n" not in str(error)
            else:
                assert allowed_by_type(where, value, other), (named(where), other)
    assert refused > 700


def allowed_by_type(where: tuple, value: Any, other: Any) -> bool:
    """Whether a value of the table may stand there, whatever it then proves."""
    key = where[-1]
    if isinstance(value, str) and key not in ("name", 0) or where[0] == "facts":
        return other == "x"
    if key in ("losses", "runs", "update_runs", "updates_run"):
        return isinstance(other, int) and other >= 0
    texts = {"name", "notes", "collections", "writes"} & set(map(str, where))
    if texts:
        return other == "x" or other == []
    if key in ("batch_weights", "rmin", "rmax", "dmax") and isinstance(other, int):
        return key == "batch_weights" or other >= 0
    tables = {
        "center": (True,), "scale": (True,), "trainable": (True,), "renorm": (True,),
        "fused": (None, True), "zero_debias_moving_mean": (True,), "axis": (-1, [1]),
        "renorm_clipping": (None, {}), "rmin": (None, 1.5), "adjustment": (None,),
        "shape": (None,), "training": (True,), "activation_fn": (None, "x"),
        "updates_collections": (None,), "batch_weights": (None, 1.5, [], [1]),
        "rmax": (None, 1.5), "dmax": (None, 1.5), "virtual_batch_size": (None,),
        "epsilon": (1.5,), "variables": ([],), "updates": ([],), "sample": (None,),
    }  # fmt: skip
    return any(same(other, choice) for choice in tables.get(str(key), ()))


@pytest.mark.parametrize("raw", RAW, ids=lambda raw: raw[:9])
def test_a_number_that_is_none_is_refused(raw: str, good: Path, tmp_path: Path) -> None:
    header = header_of(good)
    for where in list(places(header))[::7]:
        text = json.dumps(put(header, where, "HERE")).replace('"HERE"', raw)
        with pytest.raises(RecordingError, match="is not a tf1_bn recording"):
            load_recording(with_header(good, text, tmp_path))


def test_exchanged_roles_are_refused(good: Path, tmp_path: Path) -> None:
    header, read = header_of(good), reader(good)
    roles = header["calls"][0]["steps"][0]["roles"]
    for one in range(len(roles)):
        for other in range(one):
            changed = copy.deepcopy(header)
            swapped = changed["calls"][0]["steps"][0]["roles"]
            swapped[one], swapped[other] = swapped[other], swapped[one]
            if roles[one].startswith("alone/after/") and roles[other].startswith("alone/after/"):
                # Their order depends on the TensorFlow; their numbers are compared.
                assert verify(read(changed)).exit_code == 1
                continue
            with pytest.raises(ValueError, match="step 0: its roles are not those"):
                read(changed)


def test_roles_without_array_and_arrays_without_role(good: Path) -> None:
    header, read = header_of(good), reader(good)
    steps = header["calls"][0]["steps"]
    changes = [
        put(header, ("calls", 0, "steps"), steps[:-1]),
        put(header, ("calls",), []),
        put(header, ("calls", 0, "steps", 0, "roles"), steps[0]["roles"][:-1]),
        put(header, ("calls", 0, "steps", 0, "roles"), [*steps[0]["roles"], "alone/after/x"]),
    ]
    for changed in changes:
        with pytest.raises(ValueError, match="is missing or has no role"):
            read(changed)


def test_what_a_changed_value_proves(good: Path, tmp_path: Path, capsys: Any) -> None:
    """By the command line: its exit code, and one line where the file is refused."""
    header = header_of(good)
    where_to = [w for w in places(header) if w[-1] in OTHER_VALUES and w[:1] == ("calls",)]
    codes = set()
    for where in where_to:
        value = at(header, where)
        for other in OTHER_VALUES[where[-1]]:
            if same(value, other):
                continue
            path = with_header(good, json.dumps(put(header, where, other)), tmp_path)
            code = main(["verify", path])
            told = capsys.readouterr()
            codes.add(code)
            place = f"{named(where)}: {value!r} -> {other!r}"
            assert "Traceback" not in told.err + told.out, place
            if code == 2:
                assert told.err.count("\n") == 1 and not told.out, place
            elif code == 0:
                assert proves_the_same(header, where, other), place
    assert codes >= {1, 2}


def test_the_wide_tolerances_of_short_dtypes_are_for_them_only(good: Path) -> None:
    """Files hold bfloat16 as float32, so another name of the dtype would allow 10000 times more."""
    header, read = header_of(good), reader(good)
    changed = put(header, ("calls", 0, "dtype"), "bfloat16")
    with pytest.raises(ValueError, match="its output is float32, its input bfloat16"):
        read(changed)
    changed = put(changed, ("calls", 0, "structure", "output", "dtype"), "bfloat16")
    with pytest.raises(ValueError, match="`input` holds numbers that bfloat16 does not"):
        read(changed)


def proves_the_same(header: Any, where: tuple, other: Any) -> bool:
    """The changes that ask for the same arithmetic, by what the arguments mean."""
    call = header["calls"][0]
    config, key = call["config"], where[-1]
    rank = len(call["shape"])
    if key in ("renorm_momentum", "renorm_decay"):
        return not config["renorm"]
    if key == "renorm_clipping":
        return not config["renorm"]
    if key == "axis":
        axes = [axis % rank for axis in (other if isinstance(other, list) else [other])]
        return axes == [config["axis"] % rank]
    if key == "fused":
        # The arithmetic is another one where Bessel's factor is taken: fused, and rank 4.
        unfused = (config.get(k) is not None for k in ("virtual_batch_size", "batch_weights"))
        return bool(other) or config["renorm"] or any(unfused)
    if key == "data_format":
        return rank == 2
    if key == "updates_run":
        # Two calls of one run write the same variables, so no array shows what one of them did.
        return [c["name"] for c in header["calls"]].count(call["name"]) > 1
    if key == "phase":
        return all(step["training"] for step in call["steps"])
    return False


def test_what_verify_does_not_compare_is_compared_with_the_program(
    good: Path,
) -> None:
    """Another structure or wiring cannot pass where the program is run again."""
    recording = load_recording(str(good))
    header, read = header_of(good), reader(good)
    changes = {
        ("structure", "losses"): 7,
        ("structure", "output", "name"): "elsewhere:0",
        ("structure", "variables", 0, "collections"): ["x"],
        ("phase",): "training" if header["calls"][0]["phase"] == "dynamic" else "dynamic",
    }
    for inner, other in changes.items():
        changed = put(header, ("calls", 0, *inner), other)
        try:
            report = compare_structure(read(changed), recording)
        except ValueError:
            continue
        assert report.exit_code == 1, inner
    assert compare_structure(recording, recording).exit_code == 0
