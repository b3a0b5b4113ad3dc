# SPDX-License-Identifier: Apache-2.0
"""Findings as lines for people, editors and grep, as JSON, and as SARIF 2.1.0."""

from __future__ import annotations

import json

from ..files import sarif
from ..files.sarif import text_of
from ..files.text_table import counted, printable
from ..version import __version__
from .finding import CODES, LEVELS
from .old_names import needs_of
from .scan import UNREAD, Result


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
                "path": text_of(each.path),
                "line": each.line,
                "column": each.column,
                "code": each.code,
                "level": each.level,
                "text": text_of(each.text),
            }
            for each in result.findings
        ],
        "calls": [
            {
                "path": text_of(path),
                "line": norm.call.line,
                "column": norm.call.column,
                "name": text_of(norm.name),
                "is_kept": norm.call.is_kept,
                "options": list(needs_of(norm)),
            }
            for path, norm in result.norms
        ],
    }
    return json.dumps(document, indent=1) + "\n"


def as_sarif(result: Result) -> str:
    """A log of one run."""
    found = [
        sarif.result(
            each.code,
            each.level,
            each.text,
            each.path,
            {"startLine": each.line, "startColumn": each.column},
        )
        for each in result.findings
    ]
    unread = [f"{each.path}: {each.text}" for each in result.findings if each.code in UNREAD]
    return sarif.log("tf1_bn scan", __version__, CODES, found, unread)


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
