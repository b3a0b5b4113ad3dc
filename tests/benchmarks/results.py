"""What a run found, as a file: ratios of one TensorFlow on one machine, and what they amount to."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Iterator, Mapping, NamedTuple

from tests.benchmarks.grid import CASES, Case, Group, group_of
from tests.benchmarks.measure import Ratio

OK, CLOSE, MISSED = "ok", "close", "MISSED"


@dataclass
class Results:
    """`cases` holds by name the other contenders' times over ours, `costs` what else was found.

    `seconds` of each contender are there to be set against another process on the same machine.
    """

    tensorflow: str
    peer: str
    cores: int
    onednn: str
    variables: str
    cases: dict[str, dict[str, Ratio]] = field(default_factory=dict)
    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    costs: dict[str, Any] = field(default_factory=dict)


def setting(results: Results) -> tuple[str, str, int, str, str]:
    """What must be alike for results to stand in one table."""
    return (
        results.tensorflow,
        results.peer,
        results.cores,
        results.onednn,
        results.variables,
    )


class Row(NamedTuple):
    """One line of the table: what was measured against what was promised."""

    case: Case
    peer: Ratio | None
    floor: float
    peer_verdict: str
    bare: Ratio | None
    limit: float | None
    bare_verdict: str
    averages: Ratio | None
    constant: Ratio | None


def rows(results: Results) -> Iterator[Row]:
    for case in CASES:
        if case.name not in results.cases:
            continue
        found = results.cases[case.name]
        group = group_of(case)
        floor = floor_of(group, results)
        limit = group.limit
        peer, bare = found.get("peer"), found.get("bare")
        yield Row(
            case,
            peer,
            floor,
            verdict(peer, floor),
            bare,
            limit,
            verdict(bare, 1 / limit) if limit else "",
            found.get("bare and averages"),
            found.get("constant"),
        )


def floor_of(group: Group, results: Results) -> float:
    """TensorFlow 1's own layer is another peer than the one the floors were set for."""
    return group.own if results.tensorflow.startswith("1.") else group.floor


def verdict(ratio: Ratio | None, floor: float) -> str:
    """OK at or above the floor, CLOSE if the floor is within the spread, else MISSED."""
    if ratio is None:
        return ""
    if ratio.median >= floor:
        return OK
    return CLOSE if ratio.high >= floor else MISSED


def save(results: Results, path: Path) -> None:
    write(path, json.dumps(asdict(results), indent=1, sort_keys=True) + "\n")


def load(path: Path) -> Results:
    raw = json.loads(path.read_text(encoding="utf-8"))
    cases: Mapping[str, Mapping[str, Any]] = raw.pop("cases")
    ratios = {
        name: {peer: Ratio(**ratio) for peer, ratio in found.items()}
        for name, found in cases.items()
    }
    return Results(cases=ratios, **raw)


def write(path: Path, text: str) -> None:
    """Writes beside the target and renames, so that no reader sees half a file."""
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        os.replace(str(beside), str(path))
    finally:
        if beside.exists():
            beside.unlink()


class CostRow(NamedTuple):
    """One line of the costs; `ratio` is peer / ours where it has a floor, else ours / peer.

    `least` is what the same would cost by its TensorFlow ops alone.
    """

    what: str
    ours: float
    peer: float
    ratio: float
    bound: float | None
    verdict: str
    least: float | None = None


# At least peer / ours to build a layer, and at most ours / peer of what is beyond the variables.
BUILD_FLOORS = {"constant": 2.0, "dynamic": 2.3}
MOST_BEYOND_VARIABLES = 0.3
# At most ours / peer; a fused layer with dynamic training has its own promise.
MOST_OPS = {"conv, dynamic": 0.75}
MOST_MEMORY = 1.0


def cost_rows(results: Results) -> Iterator[CostRow]:
    """The costs that have been measured, each next to what was promised."""
    own = results.tensorflow.startswith("1.")
    costs = results.costs
    for kind, found in costs.get("ops", {}).items():
        most = MOST_OPS.get(kind) if not own else None
        yield _at_most(f"ops per layer: {kind}", found, most)
    for kind, found in costs.get("build", {}).items():
        floor = 1.0 if own else BUILD_FLOORS[kind.split(", ")[1]]
        yield _at_least(f"ms to build a layer: {kind}", found, floor)
        beyond = {name: found[name] - found["variables"] for name in found if name != "variables"}
        most = None if own else MOST_BEYOND_VARIABLES
        yield _at_most(f"ms to build, beyond its variables: {kind}", beyond, most)
    for net, found in costs.get("memory", {}).items():
        yield _at_most(f"peak MB of a training step, 12 layers: {net}", found, MOST_MEMORY)
    for what, found in costs.get("import", {}).items():
        yield _at_most(f"ms after TensorFlow: {what}", found, None)


def _at_most(what: str, found: Mapping[str, float], limit: float | None) -> CostRow:
    ours, peer = found["ours"], found.get("peer", float("nan"))
    # A peak is repeated to a tenth of a percent.
    met = limit is None or ours / peer <= limit + 1e-3
    verdict = _cost_verdict(met, limit, peer)
    return CostRow(what, ours, peer, ours / peer, limit, verdict, found.get("ops alone"))


def _at_least(what: str, found: Mapping[str, float], floor: float) -> CostRow:
    ours, peer = found["ours"], found.get("peer", float("nan"))
    verdict = _cost_verdict(peer / ours >= floor, floor, peer)
    return CostRow(what, ours, peer, peer / ours, floor, verdict, found.get("ops alone"))


def _cost_verdict(met: bool, bound: float | None, peer: float) -> str:
    if bound is None or peer != peer:
        return ""
    return OK if met else MISSED
