# SPDX-License-Identifier: Apache-2.0
"""Charts as text: the elements of an SVG drawing."""

from __future__ import annotations

import html
from typing import Any

from .text_table import printable


def element(tag: str, content: str | None = None, **attributes: Any) -> str:
    """Returns an element whose `content` is markup, or an empty one if that is None.

    Attributes are escaped; their names have dashes for underscores, and none at the end.

    >>> element("line", x1=0, x2=2.5, class_="grid", stroke_width=3)
    '<line x1="0" x2="2.5" class="grid" stroke-width="3"/>'
    >>> element("text", escaped("a < b"), x=4)
    '<text x="4">a &lt; b</text>'
    """
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escaped(value)}"'
        for name, value in attributes.items()
    )
    return f"<{tag}{given}/>" if content is None else f"<{tag}{given}>{content}</{tag}>"


def escaped(text: Any) -> str:
    """Returns `text` as content or attribute of an element, control characters made visible."""
    return html.escape(printable(str(text)), quote=True)
