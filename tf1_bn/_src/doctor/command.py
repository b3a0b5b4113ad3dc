# SPDX-License-Identifier: Apache-2.0
"""The `doctor` command."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Sequence

from ..files.page import START as PAGE
from ..files.sarif import START as SARIF
from ..files.streams import put, reason, say
from ..files.terminal import width_of
from ..files.text_table import printable
from ..files.whole_files import check_report, write_text
from ..runtime.own_start import start_tensorflow
from .facts.finding import codes_of

UNREAD = 2
_STARTS = (PAGE.encode(), SARIF.encode())


def add_doctor(commands: Any) -> None:
    """Adds the command to a parser's `commands`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "doctor",
        help="examine the batch norm of a graph or checkpoint",
        description=(
            "Read a .meta file, a frozen graph, a SavedModel, a checkpoint, or all of a folder, "
            "without running it: the phase and the moving statistics of each layer, and mistakes. "
            "Exit code 0: no warning, 1: warnings, 2: something could not be read."
        ),
        allow_abbrev=False,
    )
    parser.add_argument("target", metavar="TARGET", help="a file, a folder or a checkpoint's name")
    parser.add_argument("--json", action="store_true", help="for programs, instead of a table")
    parser.add_argument("--html", metavar="FILE", help="also write one HTML page, with plots")
    parser.add_argument("--sarif", metavar="FILE", help="also write the findings as SARIF 2.1.0")
    add_ignore(parser)
    parser.set_defaults(command=doctor_command)


def add_ignore(parser: argparse.ArgumentParser) -> None:
    """Adds the option of codes that are not to be told; `ignored` reads it."""
    parser.add_argument(
        "--ignore",
        metavar="CODE[,CODE]",
        type=_codes,
        action="append",
        help="do not tell findings of these codes, nor count them; may be given again",
    )


def _codes(text: str) -> Sequence[str]:
    try:
        return sorted(codes_of([each.strip() for each in text.split(",")], "CODE"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).rstrip(".")) from None


def ignored(parsed: Any) -> frozenset[str]:
    """The codes of all `--ignore` of a command line."""
    return frozenset(code for codes in parsed.ignore or () for code in codes)


def doctor_command(parsed: Any) -> int:
    """`python -m tf1_bn doctor TARGET`; returns the exit code."""
    try:
        files = _writable(parsed)
        # Not before: the help must not wait for it.
        start_tensorflow()
    except OSError as error:
        say(str(error))
        return UNREAD
    except ImportError as error:
        say(printable(str(error)))
        return UNREAD
    from .examined import examination
    from .report.texts import as_json, as_text

    found = examination(parsed.target).without(ignored(parsed))
    for line in found.troubles:
        say(printable(line))
    text = as_json(found) if parsed.json else as_text(found, width_of(sys.stdout))
    code = put(text, found.exit_code)
    return code if _written(found, files) else UNREAD


def _writable(parsed: Any) -> list[tuple[str, str]]:
    """The files that are asked for, each with its kind.

    Raises:
      OSError: one cannot be written, or would take the place of something else.
    """
    found: list[tuple[str, str]] = []
    for kind, path in (("html", parsed.html), ("sarif", parsed.sarif)):
        if path is None:
            continue
        try:
            others = [each for each, _ in found]
            check_report(path, _STARTS, [parsed.target], others, "examined", "--json is")
        except OSError as error:
            raise OSError(f"cannot write {printable(path)}: {reason(error)}") from None
        found.append((path, kind))
    return found


def _written(found: Any, files: list[tuple[str, str]]) -> bool:
    """Writes the files, each whole or not at all; whether all could be written."""
    from .report.page import page
    from .report.texts import as_sarif

    done = True
    for path, kind in files:
        try:
            write_text(path, page(found) if kind == "html" else as_sarif(found))
        except OSError as error:
            say(f"cannot write {printable(path)}: {reason(error)}")
            done = False
    return done
