"""The layer class has every public name of TF 1.15.5's, or a reason stands in the guide."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests import forked
from tests.meta.project import ROOT

META = Path(__file__).parent
RECORDED = json.loads((META / "data" / "class_surface_1_15.json").read_text(encoding="utf-8"))
HEADING = "## What the class leaves out"


def surface_of(source: str) -> dict[str, Any]:
    done = forked.python(str(META / "class_surface.py"), source, cwd=ROOT)
    assert done.code == 0, done.err
    described: dict[str, Any] = json.loads(done.out)
    return described


def left_out() -> set[str]:
    """The names at the start of the rows of the guide's table."""
    page = (ROOT / "migration_guide" / "differences.md").read_text(encoding="utf-8")
    section = page.split(HEADING + "\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE))


def test_every_name_is_there_or_has_its_reason() -> None:
    ours = surface_of("tf1_bn")
    assert len(RECORDED) >= 80 and {"add_variable", "get_weights", "gamma"} <= set(RECORDED)
    assert set(RECORDED) - set(ours) == left_out()
    for name in sorted(set(RECORDED) & set(ours)):
        theirs, found = RECORDED[name], ours[name]
        assert found["kind"] == theirs["kind"], name
        if theirs["kind"] == "attribute":
            assert found["settable"] or not theirs["settable"], name
        else:
            # Ours may take more.
            count = len(theirs["parameters"])
            assert found["parameters"][:count] == theirs["parameters"], name


@pytest.mark.tf_max("1.15", reason="later ones have other names")
def test_the_record_is_what_the_real_class_says() -> None:
    assert surface_of("tf.layers") == RECORDED
