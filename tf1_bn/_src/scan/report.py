# SPDX-License-Identifier: Apache-2.0
"""Findings as lines for people, editors and grep, as JSON, and as SARIF 2.1.0."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import quote

from ..files.text_table import counted, printable
from ..version import __version__
from .finding import CODES, LEVELS, Finding
from .old_names import needs_of
from .scan import UNREAD, Result

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def as_lines(result: Result) -> str:
    """A line a finding, `path:line:col: CODE text`, and what all say together."""
    found = [
        printable(f"{each.path}:{each.line}:{each.column}: {each.code} {each.text}")
        for each in result.findings
    ]
    return "\n".join([*found, *_summary(result)]) + "\n"


def code_lines() -> str:
    """A line for each code there is."""
    return "".join(f"{code}  {each.level:<7}  {each.says}\n" for code, each in CODES.items())


def as_json(result: Result) -> str:
    """One object: `findings`, `calls` with what each needs, and what the tree needs together."""
    document = {
        "tool": "tf1_bn scan",
        "version": __version__,
        "files": result.files,
        "not_checked": result.unread,
        "options": list(result.options),
        "findings": [
            {
                "path": _text(each.path),
                "line": each.line,
                "column": each.column,
                "code": each.code,
                "level": each.level,
                "text": _text(each.text),
            }
            for each in result.findings
        ],
        "calls": [
            {
                "path": _text(path),
                "line": norm.call.line,
                "column": norm.call.column,
                "name": _text(norm.name),
                "is_kept": norm.call.is_kept,
                "options": list(needs_of(norm)),
            }
            for path, norm in result.norms
        ],
    }
    return json.dumps(document, indent=1) + "\n"


def as_sarif(result: Result) -> str:
    """A log of one run."""
    listed = list(CODES)
    driver = {
        "name": "tf1_bn scan",
        "version": __version__,
        "rules": [
            {
                "id": code,
                "shortDescription": {"text": each.says},
                "defaultConfiguration": {"level": each.level},
                "help": {"text": f"{each.says} See migration_guide/pitfalls/{code}.md."},
            }
            for code, each in CODES.items()
        ],
    }
    unread = [each for each in result.findings if each.code in UNREAD]
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": not unread,
                "toolExecutionNotifications": [
                    {
                        "level": "error",
                        "message": {"text": f"{_text(each.path)}: {_text(each.text)}"},
                    }
                    for each in unread
                ],
            }
        ],
        "results": [_sarif_result(each, listed.index(each.code)) for each in result.findings],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _sarif_result(finding: Finding, index: int) -> dict[str, Any]:
    region = {"startLine": finding.line, "startColumn": finding.column}
    place = {"artifactLocation": {"uri": _uri(finding.path)}, "region": region}
    return {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": finding.level,
        "message": {"text": _text(finding.text)},
        "locations": [{"physicalLocation": place}],
    }


def _uri(path: str) -> str:
    """A path as a reference: relative to where the scan ran, or absolute."""
    name = quote(os.fsencode(path.replace(os.sep, "/")))
    return f"file://{name}" if name.startswith("/") else name


def _text(text: str) -> str:
    r"""A text that every reader of JSON takes: names of files may hold bytes that are no text.

    >>> _text("a\udcff.py")
    'a\\xff.py'
    """
    raw = text.encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "backslashreplace")


def _summary(result: Result) -> list[str]:
    levels = [(level, sum(f.level == level for f in result.findings)) for level in LEVELS[::-1]]
    counts = ", ".join(counted(number, level) for level, number in levels if number)
    files = counted(result.files, "file")
    said = [f"{files}: {counts or 'nothing found'}"]
    if result.unread:
        said.append(f"not checked: {result.unread}, see the lines with BN001 to BN003")
    homes = {path for path, _ in result.norms}
    if result.norms or result.options:
        calls = counted(len(result.norms), "batch-norm call")
        where = f"{calls} in {counted(len(homes), 'file')}" if homes else "no batch-norm call"
        said.append(f"{where}; {_how(result)}")
    return said


def _how(result: Result) -> str:
    if result.options or any(not norm.is_ours for _, norm in result.norms):
        return f"on new TensorFlow: {' '.join(('python -m tf1_bn run', *result.options))}"
    return "nothing else is needed on new TensorFlow"
