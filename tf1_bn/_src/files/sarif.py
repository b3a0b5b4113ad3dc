# SPDX-License-Identifier: Apache-2.0
"""Findings as a log of SARIF 2.1.0, which code hosts and editors show."""

from __future__ import annotations

import json
import os
from typing import Any, Iterable, Mapping, Sequence
from urllib.parse import quote

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
# How each log starts, by which a later one knows that it may take its place.
START = f'{{\n "$schema": "{_SCHEMA}"'


def result(
    code: str,
    level: str,
    text: str,
    path: str,
    region: Mapping[str, int] | None = None,
    names: Sequence[str] = (),
) -> dict[str, Any]:
    """One finding of a log.

    Args:
      code: stands for what is said.
      level: error, warning or note.
      text: what is said.
      path: the file it is about.
      region: where in it, by SARIF's names; none for all of it.
      names: of what is meant, where lines do not tell.
    """
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(path)}}
    if region:
        place["region"] = dict(region)
    location: dict[str, Any] = {"physicalLocation": place}
    if names:
        location["logicalLocations"] = [{"fullyQualifiedName": text_of(n)} for n in names]
    message = {"text": text_of(text)}
    return {"ruleId": code, "level": level, "message": message, "locations": [location]}


def log(
    tool: str,
    version: str,
    codes: Mapping[str, Any],
    results: Iterable[Mapping[str, Any]],
    unread: Sequence[str],
) -> str:
    """A log of one run.

    Args:
      tool: its name.
      version: of the tool.
      codes: what each code stands for, with `level` and `says`.
      results: the findings, of `result`.
      unread: a line for each file that could not be examined.
    """
    listed = list(codes)
    driver = {
        "name": tool,
        "version": version,
        "rules": [
            {
                "id": code,
                "shortDescription": {"text": each.says},
                "defaultConfiguration": {"level": each.level},
                "help": {"text": f"{each.says} See migration_guide/pitfalls/{code}.md."},
            }
            for code, each in codes.items()
        ],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": not unread,
                "toolExecutionNotifications": [
                    {"level": "error", "message": {"text": text_of(each)}} for each in unread
                ],
            }
        ],
        "results": [{**each, "ruleIndex": listed.index(each["ruleId"])} for each in results],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _uri(path: str) -> str:
    """A path as a reference: relative to where the command ran, or absolute."""
    name = quote(os.fsencode(path.replace(os.sep, "/")))
    return f"file://{name}" if name.startswith("/") else name


def text_of(text: str) -> str:
    r"""A text that every reader of JSON takes: names of files may hold bytes that are no text.

    >>> text_of("a\udcff.py")
    'a\\xff.py'
    """
    raw = text.encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "backslashreplace")
