# SPDX-License-Identifier: Apache-2.0
"""The `scan` command."""

from __future__ import annotations

import argparse
import re
from typing import Any

from ..files.streams import put, say
from ..files.text_table import counted, printable
from .options import INTERRUPTED, USAGE_ERROR

_CODES = re.compile(r"BN\d{0,3}")


def add_scan(commands: Any) -> None:
    """Adds the command to a parser's `commands`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "scan",
        help="find batch-norm calls and mistakes in source files",
        usage="%(prog)s [options] PATH...",
        description=(
            "Read source files, without running them and without TensorFlow: each batch-norm call, "
            "what it needs on new TensorFlow, names that are gone, and mistakes. Exit code 0: no "
            "warning, 1: warnings or errors, 2: something could not be read or parsed. A comment "
            "`# noqa: CODE` silences a line. Folders are searched for .py files, but for hidden "
            "ones, site-packages and virtual environments."
        ),
        allow_abbrev=False,
    )
    parser.add_argument("paths", metavar="PATH", nargs="*", help="a file, or a folder")
    parser.add_argument(
        "--format",
        choices=("text", "json", "sarif"),
        default="text",
        help="of the findings on standard output (default %(default)s)",
    )
    for flag, effect in (("--select", "show these only"), ("--ignore", "do not show these")):
        parser.add_argument(
            flag, metavar="CODES", type=_codes, default=[], help=f"{effect}: BN101,BN2 (beginnings)"
        )
    parser.add_argument(
        "--level",
        choices=("note", "warning", "error"),
        default="note",
        help="the least that is shown (default %(default)s)",
    )
    parser.add_argument("--list-codes", action="store_true", help="list all codes, and end")
    parser.add_argument(
        "--fix",
        action="store_true",
        help="show as a diff what can be rewritten to tf1_bn; needs the extra [fix]",
    )
    parser.add_argument(
        "--write", action="store_true", help="with --fix: rewrite the files instead"
    )
    parser.set_defaults(command=scan_command)


def scan_command(parsed: Any) -> int:
    """`python -m tf1_bn scan PATH...`; returns the exit code."""
    try:
        return _scan(parsed)
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED


def _scan(parsed: Any) -> int:
    # None of the other commands needs these.
    from ..scan.report import as_json, as_lines, as_sarif, code_lines
    from ..scan.scan import kept, scan

    if parsed.list_codes:
        return put(code_lines(), 0)
    if not parsed.paths or (parsed.write and not parsed.fix):
        say("scan: a PATH is required" if not parsed.paths else "scan: --write needs --fix")
        return USAGE_ERROR
    result = scan(parsed.paths, _watched)
    if parsed.fix:
        return _fix(result, parsed.write)
    result = kept(result, parsed.select, parsed.ignore, parsed.level)
    show = {"text": as_lines, "json": as_json, "sarif": as_sarif}[parsed.format]
    return put(show(result), result.exit_code)


def _fix(result: Any, is_written: bool) -> int:
    from ..scan.fix import FixMissing, fixes_of, write_fix

    code = 2 if result.unread else 0
    for finding in result.findings:
        if finding.code in ("BN001", "BN002", "BN003"):
            say(printable(f"{finding.path}: {finding.code} {finding.text}"))
    changed, diffs = 0, []
    try:
        for fix in fixes_of(result):
            if fix.trouble:
                say(printable(f"{fix.path}: left alone: {fix.trouble}"))
            elif not is_written:
                diffs.append(fix.diff)
            else:
                trouble = write_fix(fix)
                code = 2 if trouble else code
                say(printable(f"{fix.path}: {trouble or 'rewritten'}"))
            changed += not fix.trouble
    except FixMissing as error:
        say(str(error))
        return USAGE_ERROR
    if not changed:
        say("nothing to rewrite")
    elif not is_written:
        say(f"{counted(changed, 'file')} to rewrite; --fix --write does it")
        code = code or 1
    return put(b"".join(diffs), code)


def _watched(files: Any) -> Any:
    from ..proof.report.progress import watched

    return watched(files, "read", "file")


def _codes(text: str) -> list[str]:
    listed = [each.strip().upper() for each in text.split(",") if each.strip()]
    wrong = [each for each in listed if not _CODES.fullmatch(each)]
    if wrong or not listed:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of codes such as BN101,BN2")
    return listed
