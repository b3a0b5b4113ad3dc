"""The examples in the doc strings give what they say."""

from __future__ import annotations

import doctest
import importlib

import pytest

FILES = (
    "plan.spec",
    "plan.geometry",
    "plan.row_layout",
    "plan.kernel_choice",
    "state.same",
    "call.tf1_names",
    "scaling.batch_statistics",
    "api.advice",
    "contrib.variables",
    "files.svg",
    "files.text_table",
    "proof.recording.checks",
    "proof.recording.consistency",
    "proof.recording.model",
    "proof.recording.sampling",
    "proof.recording.schema",
    "proof.report.rows",
    "proof.structure",
    "cli.options",
    "cli.run",
)


@pytest.mark.parametrize("name", FILES)
def test_the_examples_of_a_file_are_right(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"tf1_bn._src.{name}"))

    assert found.attempted and not found.failed
