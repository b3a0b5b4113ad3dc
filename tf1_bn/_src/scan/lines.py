# SPDX-License-Identifier: Apache-2.0
"""Findings as lines for people, editors and grep."""

from __future__ import annotations

from ..files.text_table import counted, printable
from .rules.finding import CODES, LEVELS
from .scan import Result


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
        said.append(f"{calls} in {counted(len(homes), 'file')}; {_how(result)}")
    return said


def _how(result: Result) -> str:
    if result.options or any(not norm.is_ours for _, norm in result.norms):
        return f"on new TensorFlow: {' '.join(('python -m tf1_bn run', *result.options))}"
    return "nothing else is needed on new TensorFlow"
