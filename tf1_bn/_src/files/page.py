# SPDX-License-Identifier: Apache-2.0
"""HTML pages that need nothing else: no scripts, no outside files, light and dark."""

from __future__ import annotations

from typing import Mapping, Sequence

from .page_style import style
from .svg import element, escaped

# Nothing may be loaded, whatever a name in a file says.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
# How each page starts, by which a later one knows that it may take its place.
START = '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-S'


def whole_page(title: str, stacked: Mapping[str, Sequence[str]], body: Sequence[str]) -> str:
    """Returns the page.

    Args:
      title: as plain text.
      stacked: by the class of a table, its headings; see `page_style.style`.
      body: its parts, as markup.
    """
    head = (
        '<meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escaped(_POLICY)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escaped(title)}</title><style>{style(stacked)}</style>"
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n'
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def table(lines: Sequence[str], kind: str = "") -> str:
    """A table of rows, each the markup of its cells."""
    named = {"class_": kind} if kind else {}
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return element("table", f"<tbody>{body}</tbody>", **named)


def folded(said: str, inside: str) -> str:
    """Markup that a reader opens by the markup `said`."""
    return element("details", element("summary", said) + inside)
