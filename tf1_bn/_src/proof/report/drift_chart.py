# SPDX-License-Identifier: Apache-2.0
"""The error at each step as inline SVG: a panel a phase, a line a quantity, a label on each line.

The axis of errors is logarithmic. What is exactly 0, and what is infinite, has a line of its own
beyond a break of the axis, so neither is drawn as a number that it is not.
"""

from __future__ import annotations

import math
import re
from typing import Dict, List, NamedTuple, Sequence, Tuple

from ...files.page_style import LINE_COLOURS
from ...files.svg import element, escaped
from .rows import Row

_WIDTH, _LEFT, _RIGHT, _TOP, _PLOT = 360, 50, 196, 44, 150
_BAND, _LINE_HEIGHT, _LABEL = 22, 16, 206
_LONGEST_NAME = 20
_MOST_MARKERS = 12
# Counts without a common factor: 40 lines differ without their colours.
_DASHES = ("none", "7 3", "2 3", "9 3 2 3", "4 2 1 2")
_MARKERS = (
    "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0Z",
    "M-3 -3H3V3H-3Z",
    "M0 -4L4 3H-4Z",
    "M0 -4.5L4.5 0L0 4.5L-4.5 0Z",
    "M0 -4V4M-4 0H4",
    "M-3 -3L3 3M-3 3L3 -3",
    "M0 4L4 -3H-4Z",
    "M-4 -2H4V2H-4Z",
)
_CAPTION = (
    "Error at each step as a multiple of what is allowed, on a logarithmic axis; 0 (equal to the "
    "last bit) and ∞ (a shape differs, or something that is no number) stand beyond a break of it."
)

# By quantity: its points, each a step's number and the error over what is allowed.
_Lines = Dict[str, List[Tuple[int, float]]]


class _Scale(NamedTuple):
    """Where an error over what is allowed is drawn, from the decade `low` to the decade `high`."""

    low: int
    high: int
    top: int
    bottom: int

    def y(self, ratio: float) -> float:
        if ratio <= 0:
            return self.bottom + _BAND
        if math.isinf(ratio):
            return self.top - _BAND
        part = (math.log10(ratio) - self.low) / (self.high - self.low)
        return self.bottom - (self.bottom - self.top) * part

    @property
    def ticks(self) -> list[float]:
        apart = math.ceil((self.high - self.low) / 6)
        return [10.0**n for n in range(self.low, self.high + 1) if n % apart == 0]


def drift_chart(rows: Sequence[Row]) -> str:
    """Returns a figure of the rows whose steps are numbered; "" where none has several steps."""
    phases: dict[str, _Lines] = {}
    for row in rows:
        step = re.match(r"(.*?) ?(\d{1,9})$", row.step)
        if step and not math.isnan(row.ratio):
            lines = phases.setdefault(step.group(1) or "steps", {})
            lines.setdefault(row.aspect, []).append((int(step.group(2)), row.ratio))
    everything = [points for lines in phases.values() for points in lines.values()]
    if not any(len(points) > 1 for points in everything):
        return ""
    ratios = [ratio for points in everything for _, ratio in points]
    scale = _scale(ratios, max(map(len, phases.values())))
    # A quantity looks the same in every phase.
    names = list(dict.fromkeys(name for lines in phases.values() for name in lines))
    panels = "".join(_panel(phase, lines, names, scale, ratios) for phase, lines in phases.items())
    return f'<figure><div class="panels">{panels}</div><figcaption>{_CAPTION}</figcaption></figure>'


def _scale(ratios: Sequence[float], lines: int) -> _Scale:
    decades = [math.log10(ratio) for ratio in ratios if 0 < ratio < math.inf]
    low, high = math.floor(min([-2.0, *decades])), math.ceil(max([1.0, *decades]))
    top = _TOP + (_BAND if math.inf in ratios else 0)
    return _Scale(low, high, top, top + max(_PLOT, _LINE_HEIGHT * lines - _BAND))


def _panel(
    phase: str, lines: _Lines, names: list[str], scale: _Scale, ratios: Sequence[float]
) -> str:
    steps = sorted({step for points in lines.values() for step, _ in points})
    floor = scale.bottom + (_BAND if 0.0 in ratios else 0)
    parts = [_text(4, 14, phase, "title"), _text(4, 30, "error / allowed")]
    parts += _axes(scale, ratios, floor)
    apart = math.ceil(len(steps) / 6)
    for step in steps[::apart]:
        parts.append(_text(_x(step, steps), floor + 18, f"{step}", text_anchor="middle"))
    middle = (_LEFT + _RIGHT) / 2
    parts.append(_text(middle, floor + 34, "step", text_anchor="middle"))
    heights = _spread([scale.y(points[-1][1]) for points in lines.values()], _TOP)
    for (name, points), height in zip(lines.items(), heights):
        drawn = [(_x(step, steps), scale.y(ratio)) for step, ratio in points]
        parts.append(_line(names.index(name), name, drawn, height))
    words = f"{phase}: error over what is allowed, by step, of {', '.join(lines)}"
    bottom = max([floor + 42.0, *(height + 8 for height in heights)])
    return element(
        "svg",
        "".join(parts),
        viewBox=f"0 0 {_WIDTH} {bottom:.0f}",
        role="img",
        aria_label=words,
    )


def _axes(scale: _Scale, ratios: Sequence[float], floor: int) -> list[str]:
    """The frame, a line and a number at some decades, and those of 0 and infinity if needed."""
    marks = [(ratio, f"{ratio:g}") for ratio in scale.ticks]
    parts = [_rule("axis", _LEFT, scale.top, _LEFT, scale.bottom)]
    if 0.0 in ratios:
        marks.append((0.0, "0"))
        parts.append(_break(scale.bottom + _BAND / 2))
    if math.inf in ratios:
        marks.append((math.inf, "∞"))
        parts.append(_break(scale.top - _BAND / 2))
    for ratio, text in marks:
        y = scale.y(ratio)
        parts.append(_rule("grid", _LEFT, y, _RIGHT, y))
        parts.append(_text(_LEFT - 6, y + 4, text, text_anchor="end"))
    allowed = scale.y(1.0)
    parts.append(_rule("allowed", _LEFT, allowed, _RIGHT, allowed, stroke_dasharray="6 4"))
    parts.append(_text(_LEFT + 4, allowed - 4, "allowed", "limit"))
    return [*parts, _rule("axis", _LEFT, floor, _RIGHT, floor)]


def _line(number: int, name: str, points: Sequence[tuple[float, float]], height: float) -> str:
    """One quantity: its line, markers on it, and beside it the label at `height`."""
    dashes = {"stroke_dasharray": _DASHES[number % len(_DASHES)]}
    listed = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x, y = points[-1]
    sample = f"{_LABEL},{height:.1f} {_LABEL + 24},{height:.1f}"
    leader = f"{x:.1f},{y:.1f} {_RIGHT},{y:.1f} {_LABEL},{height:.1f}"
    parts = [
        element("title", escaped(name)),
        element("polyline", class_="leader", points=leader),
        element("polyline", class_="line", points=listed, **dashes),
        element("polyline", class_="line", points=sample, **dashes),
    ]
    apart = math.ceil(len(points) / _MOST_MARKERS)
    marked = [*points[::-1][::apart], (_LABEL + 12.0, height)]
    shape = _MARKERS[number % len(_MARKERS)]
    parts += [
        element("path", class_="marker", d=shape, transform=f"translate({x:.1f} {y:.1f})")
        for x, y in marked
    ]
    # Names of many layers begin alike, so a long one keeps its end.
    short = name if len(name) <= _LONGEST_NAME else f"{name[:9]}…{name[10 - _LONGEST_NAME :]}"
    parts.append(_text(_LABEL + 30, height + 4, short))
    return element("g", "".join(parts), class_=f"line{number % LINE_COLOURS}")


def _spread(wanted: Sequence[float], top: float) -> list[float]:
    """Returns heights in the order of those wanted, far enough apart for a line of text each."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    most = max(wanted)
    heights = list(wanted)
    # From below, so that labels pushed apart rise into the plot; then down again from its top.
    for place, i in reversed(list(enumerate(order))):
        below = most + _LINE_HEIGHT if place == len(order) - 1 else heights[order[place + 1]]
        heights[i] = min(wanted[i], below - _LINE_HEIGHT)
    above = top - _LINE_HEIGHT
    for i in order:
        above = heights[i] = max(heights[i], above + _LINE_HEIGHT)
    return heights


def _x(step: int, steps: Sequence[int]) -> float:
    if len(steps) == 1:
        return (_LEFT + _RIGHT) / 2
    room = _RIGHT - _LEFT - 20
    return _LEFT + 10 + room * (step - steps[0]) / (steps[-1] - steps[0])


def _rule(kind: str, x1: float, y1: float, x2: float, y2: float, **more: str) -> str:
    return element("line", class_=kind, x1=x1, y1=f"{y1:.1f}", x2=x2, y2=f"{y2:.1f}", **more)


def _break(y: float) -> str:
    """Two strokes across the axis, where it leaves something out."""
    strokes = "".join(
        f"M{_LEFT - 5} {y + 3 + up:.1f}L{_LEFT + 5} {y - 3 + up:.1f}" for up in (-2, 2)
    )
    return element("path", class_="axis break", d=strokes)


def _text(x: float, y: float, text: str, kind: str = "", **more: str) -> str:
    named = {"class_": kind} if kind else {}
    return element("text", escaped(text), x=f"{x:.0f}", y=f"{y:.1f}", **named, **more)
