# SPDX-License-Identifier: Apache-2.0
"""The moving statistics of layers as inline SVG: a panel a statistic, a line a layer.

Of a layer a thin line goes from the smallest channel to the greatest, a thick one holds the middle
half of them, and a dot is the median. Means stand on an axis that is linear near 0 and logarithmic
beyond, variances on a logarithmic one; what fits on neither is said in words.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Sequence

import numpy as np

from ...files.svg import element, escaped
from .examination import STATISTICS, Layer

_WIDTH, _LEFT, _RIGHT, _TOP, _LINE = 460, 164, 386, 40, 16
_MOST_DRAWN = 300
_LONGEST_NAME = 22
_MOST_TICKS = 5
# Beyond float32's numbers, and nearer to 0, nothing has a place of its own.
_LARGEST = 1e38
_BEGINS = {"moving_mean": 0.0, "moving_variance": 1.0}
_CAPTION = (
    "Moving statistics of each layer: from its smallest channel to its greatest, the middle half "
    "of the channels thick, the median as a dot. The dashed line is where they begin."
)


class _Axis(NamedTuple):
    """Where numbers stand; `bend` is where a mean's axis turns logarithmic, 0 for a variance."""

    low: float
    high: float
    bend: float

    def x(self, value: float) -> float:
        part = (self.place(value) - self.low) / (self.high - self.low)
        return _LEFT + (_RIGHT - _LEFT) * min(max(part, 0.0), 1.0)

    def place(self, value: float) -> float:
        if self.bend:
            return math.asinh(value / self.bend)
        return math.log10(value)


def statistics_chart(layers: Sequence[Layer]) -> str:
    """Returns a figure of the layers whose statistics are known; "" where there are none."""
    drawn = [each for each in layers if any(each.spread(role) for role in STATISTICS)]
    if not drawn:
        return ""
    panels = "".join(_panel(role, drawn[:_MOST_DRAWN]) for role in STATISTICS)
    more = len(drawn) - _MOST_DRAWN
    left = f" {more} more layers are not drawn." if more > 0 else ""
    caption = f"<figcaption>{_CAPTION}{left}</figcaption>"
    return f'<figure><div class="panels wide">{panels}</div>{caption}</figure>'


def _panel(role: str, layers: Sequence[Layer]) -> str:
    finite = [_drawable(role, each.arrays.get(role)) for each in layers]
    axis = _axis(role, np.concatenate([*finite, [_BEGINS[role]]]))
    bottom = _TOP + _LINE * len(layers) + 4
    parts = [_text(4, 14, role, "title"), *_scale(axis, bottom)]
    begin = axis.x(_BEGINS[role])
    parts.append(_rule("allowed", begin, _TOP - 6, begin, bottom, stroke_dasharray="5 4"))
    for number, (layer, values) in enumerate(zip(layers, finite)):
        parts.append(_layer(axis, layer, role, values, _TOP + _LINE * number + _LINE / 2))
    words = f"{role} of {len(layers)} layers, from the smallest channel to the greatest"
    box = f"0 0 {_WIDTH} {bottom + 24:.0f}"
    return element("svg", "".join(parts), viewBox=box, role="img", aria_label=words)


def _drawable(role: str, array: Any) -> Any:
    """The numbers that have a place on the axis."""
    values = np.asarray([] if array is None else array, np.float64).reshape(-1)
    values = np.clip(values[np.isfinite(values)], -_LARGEST, _LARGEST)
    if role == "moving_mean":
        return np.where(np.abs(values) < 1.0 / _LARGEST, 0.0, values)
    return np.maximum(values[values > 0], 1.0 / _LARGEST)


def _axis(role: str, values: Any) -> _Axis:
    if role == "moving_mean":
        sizes = np.abs(values[values != 0])
        # A power of ten near the smaller ones, so that most are on the logarithmic part.
        bend = 10.0 ** math.floor(math.log10(np.percentile(sizes, 25))) if sizes.size else 1.0
        axis = _Axis(0.0, 1.0, bend)
        low, high = axis.place(float(values.min())), axis.place(float(values.max()))
        low, high = min(low, -1.0), max(high, 1.0)
        return axis._replace(low=low, high=high)
    sizes = np.log10(values)
    return _Axis(math.floor(min(sizes.min(), -1.0)), math.ceil(max(sizes.max(), 1.0)), 0.0)


def _scale(axis: _Axis, bottom: float) -> list[str]:
    parts = [_rule("axis", _LEFT, bottom, _RIGHT, bottom)]
    for value in _ticks(axis):
        x = axis.x(value)
        parts.append(_rule("grid", x, _TOP - 6, x, bottom))
        parts.append(_text(x, bottom + 16, f"{value:g}", text_anchor="middle"))
    return parts


def _ticks(axis: _Axis) -> list[float]:
    """Powers of ten around where statistics begin, as many as have room."""
    if not axis.bend:
        low, high = round(axis.low), round(axis.high)
        apart = math.ceil((high - low) / _MOST_TICKS)
        return [10.0**n for n in range(low, high + 1) if n % apart == 0]
    most = math.sinh(max(axis.high, -axis.low)) * axis.bend
    start = round(math.log10(axis.bend))
    end = max(start, math.floor(math.log10(most)))
    apart = math.ceil((end - start + 1) / (_MOST_TICKS / 2))
    powers = [10.0**n for n in range(end, start - 1, -apart)]
    around = [*(-each for each in powers), 0.0, *powers]
    return [each for each in around if axis.low <= axis.place(each) <= axis.high]


def _layer(axis: _Axis, layer: Layer, role: str, values: Any, y: float) -> str:
    # Names of many layers begin alike, so a long one keeps its end.
    name = layer.name
    short = name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"
    said = element("title", escaped(name)) + _text(_LEFT - 6, y + 4, short, text_anchor="end")
    parts = []
    array = layer.arrays.get(role)
    odd = "" if array is None else _odd(role, array)
    if values.size:
        low, first, middle, third, high = (axis.x(float(v)) for v in _five(values))
        parts.append(_rule("line", low, y, high, y))
        parts.append(_rule("box", first, y, third, y))
        parts.append(element("circle", class_="marker", cx=_n(middle), cy=_n(y), r=3))
    if odd or not values.size:
        said += _text(_RIGHT + 8, y + 4, odd or "missing", "limit")
    return element("g", element("g", "".join(parts), class_="line0") + said)


def _five(values: Any) -> Any:
    return np.percentile(values, [0, 25, 50, 75, 100])


def _odd(role: str, array: Any) -> str:
    """What cannot be drawn of a layer's numbers, in words."""
    if not np.all(np.isfinite(array)):
        return "not finite"
    if role == "moving_variance" and np.size(array) and np.min(array) <= 0:
        return "below 0" if np.min(array) < 0 else "0"
    return ""


def _rule(kind: str, x1: float, y1: float, x2: float, y2: float, **more: str) -> str:
    return element("line", class_=kind, x1=_n(x1), y1=_n(y1), x2=_n(x2), y2=_n(y2), **more)


def _text(x: float, y: float, text: str, kind: str = "", **more: str) -> str:
    named = {"class_": kind} if kind else {}
    return element("text", escaped(text), x=_n(x), y=_n(y), **named, **more)


def _n(value: float) -> str:
    return f"{value:.1f}"
