"""The chart of the README, drawn as SVG: one row per group, one dot per case."""

from __future__ import annotations

import math
from typing import Sequence

from tests.benchmarks.grid import GROUPS, Group
from tests.benchmarks.results import Results, floor_of, rows
from tf1_bn._src.files.svg import element, escaped

WIDTH, LEFT, RIGHT, TOP, ROW = 760, 300, 24, 64, 24
TICKS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
# Light by default; a viewer that prefers dark gets the other panel with it.
STYLE = """
  .panel { fill: #ffffff; } text { fill: #24292f; } .grid { stroke: #d0d7de; }
  .one { stroke: #57606a; } .dot { fill: #0969da; } .floor { stroke: #bc4c00; }
  @media (prefers-color-scheme: dark) {
    .panel { fill: #0d1117; } text { fill: #e6edf3; } .grid { stroke: #30363d; }
    .one { stroke: #8b949e; } .dot { fill: #58a6ff; } .floor { stroke: #f0883e; }
  }
"""


def draw(results: Results) -> str:
    """How many times as fast as the peer each case is, by group, on a logarithmic axis."""
    found = ratios_by_group(results)
    values = [ratio for _, ratios in found for ratio in ratios]
    floors = [floor_of(group, results) for group, _ in found]
    scale = _Scale(min(0.75, *values, *floors), max(2.0, *values, *floors))
    height = TOP + ROW * len(found) + 56
    bottom = TOP + ROW * len(found)
    title = f"Times as fast as {results.peer}, TensorFlow {results.tensorflow}"
    heading = {"y": 28, "font_size": 15, "font_weight": "bold"}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="13" role="img" aria-labelledby="title description">',
        element("title", escaped(title), id="title"),
        element(
            "desc",
            f"One row per kind of call and one dot per size: {_plain(described(results))}.",
            id="description",
        ),
        element("style", STYLE),
        element("rect", class_="panel", width=WIDTH, height=height, rx=8),
        element("text", "kind of call", x=LEFT - 12, **heading, text_anchor="end"),
        element("text", escaped(title), x=LEFT, **heading),
    ]
    for tick in scale.ticks:
        x = scale.x(tick)
        kind = "one" if tick == 1.0 else "grid"
        parts.append(element("line", class_=kind, x1=x, y1=TOP - 8, x2=x, y2=bottom))
        parts.append(element("text", f"{tick:g}", x=x, y=bottom + 18, text_anchor="middle"))
    for number, (group, ratios) in enumerate(found):
        parts += _row(group, ratios, floor_of(group, results), TOP + ROW * number + 8, scale)
    caption = "peer's time / ours, logarithmic; a dot is one size, the bar the least asked for"
    parts.append(element("text", caption, x=f"{WIDTH / 2:g}", y=bottom + 42, text_anchor="middle"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def ratios_by_group(results: Results) -> list[tuple[Group, list[float]]]:
    """The groups that were measured against the peer, in the grid's order."""
    measured = [row for row in rows(results) if row.peer]
    found = [
        (group, [row.peer.median for row in measured if row.case.group == group.name and row.peer])
        for group in GROUPS
    ]
    return [(group, ratios) for group, ratios in found if ratios]


def described(results: Results) -> str:
    """The chart in words, for those who do not see it."""
    return "; ".join(f"{group.title} {span(ratios)}" for group, ratios in ratios_by_group(results))


def span(ratios: Sequence[float]) -> str:
    """The least and the greatest, once where they print alike."""
    low, high = f"{min(ratios):.2f}", f"{max(ratios):.2f}"
    return low if low == high else f"{low} to {high}"


class _Scale:
    """Where a ratio stands on the logarithmic axis."""

    def __init__(self, low: float, high: float) -> None:
        self.low = math.log(max([tick for tick in TICKS if tick <= low] or [low]))
        self.high = math.log(min([tick for tick in TICKS if tick >= high] or [high]))
        inside = (self.low - 1e-9, self.high + 1e-9)
        self.ticks = [tick for tick in TICKS if inside[0] <= math.log(tick) <= inside[1]]

    def x(self, ratio: float) -> float:
        part = (math.log(ratio) - self.low) / (self.high - self.low)
        return round(LEFT + part * (WIDTH - RIGHT - LEFT), 1)


def _row(group: Group, ratios: list[float], floor: float, y: int, scale: _Scale) -> list[str]:
    x = scale.x(floor)
    return [
        element("text", _plain(group.title), x=LEFT - 12, y=y + 4, text_anchor="end"),
        element("line", class_="floor", stroke_width=3, x1=x, y1=y - 8, x2=x, y2=y + 8),
        *(element("circle", class_="dot", cx=scale.x(r), cy=y, r=5) for r in ratios),
    ]


def _plain(text: str) -> str:
    """Text of a page as text of a drawing."""
    return escaped(text.replace("`", ""))
