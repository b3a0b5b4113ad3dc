# SPDX-License-Identifier: Apache-2.0
"""All rules over a tree of files."""

from __future__ import annotations

from typing import Iterator

from ..source.tree import Tree
from .collected import collected_rules
from .finding import Finding
from .old_names import call_rules, name_rules
from .training import training_rules
from .updates import updates_rules

RULES = (call_rules, training_rules, updates_rules, collected_rules, name_rules)


def findings_of(tree: Tree) -> Iterator[Finding]:
    """What the rules find, but for lines with a `noqa` for it."""
    silenced = {each.path: each.silenced for each in tree.files}
    for rule in RULES:
        for finding in rule(tree):
            codes = silenced[finding.path].get(finding.line)
            if codes is None or (codes and finding.code not in codes):
                yield finding
