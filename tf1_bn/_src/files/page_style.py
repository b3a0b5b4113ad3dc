# SPDX-License-Identifier: Apache-2.0
"""The colours and the CSS of a report's page: light or dark as the reader's system is set."""

from __future__ import annotations

from typing import Mapping, Sequence

# Name, in a light page, in a dark one. Whatever is text has a contrast of 4.5 or more.
_COLOURS = (
    ("page", "#ffffff", "#14181d"),
    ("head", "#eef1f4", "#20262d"),
    ("cause", "#fff4d6", "#332a12"),
    ("text", "#1b1f24", "#e6e9ec"),
    ("faint", "#565c64", "#a3abb4"),
    ("link", "#0550ae", "#79b8ff"),
    ("same", "#0a5c2b", "#7ad49a"),
    ("different", "#a3000b", "#ff8f88"),
    ("edge", "#c2c8cf", "#454d57"),
    # Of lines: the hues of Okabe and Ito, which the colour-blind tell apart.
    ("line0", "#005a9c", "#6cb6ff"),
    ("line1", "#a84000", "#ff9d5c"),
    ("line2", "#006b4d", "#4fd1a5"),
    ("line3", "#96307a", "#f29ad6"),
    ("line4", "#7a5500", "#f0c64a"),
    ("line5", "#00666f", "#66d4e0"),
    ("line6", "#3f3f46", "#d4d4d8"),
)
LINE_COLOURS = sum(name.startswith("line") for name, _, _ in _COLOURS)

_RULES = """
* { box-sizing: border-box; }
body { background: var(--page); color: var(--text); font: 16px/1.5 system-ui, sans-serif;
  margin: 0 auto; max-width: 76rem; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .3rem 0; } h2 { font-size: 1.2rem; }
a { color: var(--link); } .faint, figcaption { color: var(--faint); }
table { border-collapse: collapse; margin: .5rem 0 1rem; font-size: .875rem; }
td, th { border: 1px solid var(--edge); padding: .25rem .6rem; text-align: left;
  vertical-align: top; }
th { background: var(--head); }
th, .number, .verdict { overflow-wrap: normal; }
.facts th { min-width: 8.5rem; overflow-wrap: anywhere; }
.verdict, .rows .number:nth-child(n + 8) { white-space: nowrap; }
.same { color: var(--same); } .different { color: var(--different); font-weight: bold; }
.not { color: var(--faint); }
.rows td:nth-child(2) { min-width: 9rem; } .rows td:nth-child(3) { min-width: 6.5rem; }
.number { font-family: ui-monospace, monospace; }
.cause { background: var(--cause); padding: .4rem .8rem; }
section { border-top: 1px solid var(--edge); padding-top: .5rem; margin-top: 1.5rem; }
section.folded { margin-top: 0; padding: .3rem 0; }
summary { cursor: pointer; padding: .25rem 0; } summary h2 { display: inline; font-size: 1rem; }
figure { margin: .5rem 0; } figcaption { font-size: .875rem; max-width: 60rem; }
.panels { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; }
.panels svg { flex: 1 1 20rem; max-width: 30rem; width: 100%; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: var(--text);
  paint-order: stroke; stroke: var(--page); stroke-width: 3px; stroke-linejoin: round; }
svg .title { font-weight: bold; }
svg .grid { stroke: var(--edge); } svg .axis { stroke: var(--faint); fill: none; }
svg .allowed { stroke: var(--different); stroke-width: 1.5; }
svg text.limit { fill: var(--different); }
svg .line { stroke: currentColor; fill: none; stroke-width: 1.8; }
svg .leader { stroke: currentColor; fill: none; stroke-width: .6; }
svg .marker { stroke: currentColor; fill: var(--page); stroke-width: 1.5; }
svg .box { stroke: currentColor; stroke-width: 7; }
svg g text { fill: currentColor; }
.panels.wide svg { flex-basis: 24rem; max-width: 36rem; }
"""
_NARROW = """
.stacked, .stacked tbody, .stacked tr { display: block; }
.stacked tr:first-child { display: none; }
.stacked tr { border: 1px solid var(--edge); margin-bottom: .6rem; padding: .2rem 0; }
.stacked td { border: 0; display: grid; grid-template-columns: 8rem 1fr; padding: .1rem .6rem; }
.stacked td:empty { display: none; }
.stacked td::before { color: var(--faint); font: .8125rem/1.6 system-ui, sans-serif; }
"""


def style(stacked: Mapping[str, Sequence[str]]) -> str:
    """Returns the style sheet.

    Args:
      stacked: the headings of the tables of a class, which stand beside each cell on a narrow
        screen, where a row is a block of lines.
    """
    light, dark = (
        " ".join(f"--{colours[0]}: {colours[which]};" for colours in _COLOURS) for which in (1, 2)
    )
    lines = "\n".join(f".line{n} {{ color: var(--line{n}); }}" for n in range(LINE_COLOURS))
    beside = "\n".join(
        f'.{kind} td:nth-child({n})::before {{ content: "{heading}"; }}'
        for kind, headings in stacked.items()
        for n, heading in enumerate(headings, 1)
    )
    return (
        f":root {{ color-scheme: light dark; {light} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}{_RULES}{lines}\n"
        f"@media (max-width: 60rem) {{{_NARROW}{beside}\n}}\n"
    )
