# SPDX-License-Identifier: Apache-2.0
"""A source file as a syntax tree, or why there is none."""

from __future__ import annotations

import ast
import bisect
import io
import json
import re
import sys
import threading
import tokenize
import warnings
from typing import Any, Iterator, NamedTuple

from ...files.whole_files import open_regular

# Before 3.11 Python ends, without a word, on a tree that is too deep for its stack.
_IS_FRAIL = sys.version_info < (3, 11)
MOST_BYTES = (1 if _IS_FRAIL else 5) * 2**20
# A chain such as `a.b.b` goes one level down every two bytes.
_SAFE_BYTES, _STACK_BYTES = 2**15, 2**29
DEEP = "is nested too deeply to be checked"
_PYTHON_2 = (
    ("a print statement", re.compile(r"^\s*print\s+[^\s(=.,:\[)]|^\s*print\s*(?:>>|[\"'])")),
    (
        "`except E, e`",
        re.compile(r"^\s*except\s+[\w.]+\s*,\s*\w+\s*:|^\s*except\s*\(.*\)\s*,\s*\w+\s*:"),
    ),
    ("`raise E, text`", re.compile(r"^\s*raise\s+[\w.]+\s*,")),
    ("an exec statement", re.compile(r"^\s*exec\s+[^\s(=.,:]")),
    ("a text with ur in front", re.compile(r"(?<![\w\"'])[uU][rR][\"']")),
    ("`<>`", re.compile(r"[\w)\]]\s*<>\s*[\w(\[\"'-]")),
    ("an octal number such as 0777", re.compile(r"(?<![\w.\"'])0[0-7]+[lL]?(?![\w.\"'])")),
    ("a long number such as 1L", re.compile(r"(?<![\w.\"'])\d+[lL](?![\w\"'])")),
    ("backquotes", re.compile(r"^[^#\"'`]*`[^`\"']+`")),
    ("a tuple among a function's arguments", re.compile(r"^\s*def\s+\w+\(.*\([\w, ]+\).*\):")),
)
_PYTHON = f"Python {sys.version_info[0]}.{sys.version_info[1]}"
NOTEBOOK = ".ipynb"
# Of a notebook's cell: what is no Python, and what says that the rest is.
_MAGIC = re.compile(r"(\s*)(?=[!?]|%%?[a-zA-Z_]|\w+\s*=\s*(?:!|%[a-zA-Z_])|[\w.]+\?\??\s*$)")
_MOST_MISSES = 100
_STILL_PYTHON = re.compile(r"%%(?:time|timeit|capture|prun)\b")
_MENTION = re.compile(r"batch_norm|BatchNorm")


class Unreadable(NamedTuple):
    """Why a file was not checked.

    Attributes:
      code: BN001 (could not be read), BN002 (Python 2) or BN003 (no Python parses it).
      line, column: where the trouble is.
      text: what it is.
    """

    code: str
    line: int
    column: int
    text: str


class Source(NamedTuple):
    """A file that was parsed, with its lines as Python counts them."""

    tree: ast.Module
    lines: list[str]


def parse_file(path: str) -> Source | Unreadable:
    """Reads and parses a file; never raises but for KeyboardInterrupt."""
    try:
        with open_regular(path, MOST_BYTES) as opened:
            raw = opened.read()
    except (OSError, ValueError) as error:
        return Unreadable("BN001", 1, 1, f"could not be read: {_why(error)}")
    if path.endswith(NOTEBOOK):
        try:
            raw = "\n".join(_code_of(raw.decode("utf-8"))).encode("utf-8", "surrogatepass")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return Unreadable("BN001", 1, 1, "could not be read: it is no notebook of format 4")
    return parse(raw)


def _code_of(text: str) -> list[str]:
    """The code of a notebook's cells, each line where it stands in the notebook's file.

    Raises:
      ValueError, TypeError, KeyError, AttributeError, RecursionError: it is no notebook.
    """
    found: list[str] = []
    ends = [match.end() for match in re.finditer("\n", text)]
    place = misses = 0
    for line in _lines_of_cells(json.loads(text)["cells"]):
        # As Jupyter writes it, or all in ASCII.
        shown = [json.dumps(line, ensure_ascii=is_ascii)[:-1] for is_ascii in (False, True)]
        places = [text.find(each, place) for each in shown] if misses < _MOST_MISSES else []
        place = max([place, *places])
        misses += max(places, default=-1) < 0
        # A line that is not found, as it stands in one with others, gets the next number.
        found += [""] * (bisect.bisect_right(ends, place) - len(found))
        found.append(_MAGIC.sub(r"\1pass  # ", line, 1))
    return found


def _lines_of_cells(cells: Any) -> Iterator[str]:
    for cell in cells:
        source = cell["source"] if cell["cell_type"] == "code" else ""
        lines = (source if isinstance(source, str) else "".join(source)).split("\n")
        if not lines[0].startswith("%%"):
            yield from lines
        elif _STILL_PYTHON.match(lines[0]):
            yield from lines[1:]


def parse(raw: bytes) -> Source | Unreadable:
    """Parses what stands in a file."""
    if b"\0" in raw:
        return Unreadable("BN001", 1, 1, "could not be read: it is no text, it has zero bytes")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        text = raw.decode(encoding)
    except (SyntaxError, UnicodeError, LookupError) as error:
        return Unreadable("BN001", 1, 1, f"could not be read: {_why(error)}")
    # As Python counts them: a form feed ends no line.
    lines = re.split(r"\r\n|\r|\n", text)
    try:
        with warnings.catch_warnings():
            # Of invalid escapes in the files of others.
            warnings.simplefilter("ignore")
            return Source(_tree(raw), lines)
    except (RecursionError, MemoryError):
        return Unreadable("BN003", 1, 1, DEEP)
    except (SyntaxError, ValueError) as error:
        return _refused(error, lines)


def _tree(raw: bytes) -> ast.Module:
    if not _IS_FRAIL or len(raw) < _SAFE_BYTES:
        return ast.parse(raw)
    found: list[ast.Module] = []
    trouble: list[BaseException] = []

    def read() -> None:
        try:
            found.append(ast.parse(raw))
        except BaseException as error:
            trouble.append(error)

    before = threading.stack_size(_STACK_BYTES)
    try:
        thread = threading.Thread(target=read)
        thread.start()
    except RuntimeError:
        raise MemoryError("no stack") from None
    finally:
        threading.stack_size(before)
    thread.join()
    if trouble:
        raise trouble[0]
    return found[0]


def _refused(error: Exception, lines: list[str]) -> Unreadable:
    line = getattr(error, "lineno", None) or 1
    column = max(getattr(error, "offset", None) or 1, 1)
    mentions = [number for number, each in enumerate(lines, 1) if _MENTION.search(each)]
    about = f"; it speaks of batch norm in {_listed(mentions)}" if mentions else ""
    old = _python_2(lines, line)
    if old:
        where, what = old
        text = f"is Python 2, by {what}, and was not checked: convert it with 2to3 first{about}"
        return Unreadable("BN002", where, 1, text)
    return Unreadable("BN003", line, column, f"{_PYTHON} cannot parse it: {_why(error)}{about}")


def _python_2(lines: list[str], refused: int) -> tuple[int, str] | None:
    """The line that only Python 2 takes, nearest to the one that was refused; None if none is."""
    near = range(max(refused - 2, 1), min(refused + 1, len(lines)) + 1)
    for number in sorted(near, key=lambda each: abs(each - refused)):
        code = lines[number - 1][:1000]
        for what, pattern in _PYTHON_2:
            if not code.lstrip().startswith("#") and pattern.search(code):
                return number, what
    return None


def _listed(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:4]))
    more = f" and {len(numbers) - 4} more" if len(numbers) > 4 else ""
    return f"{'lines' if len(numbers) > 1 else 'line'} {shown}{more}"


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, SyntaxError):
        return str(error.msg)
    return str(error).split("\n")[0]
