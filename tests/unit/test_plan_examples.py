"""The examples in the doc strings of the pure files give what they say."""

from __future__ import annotations

import doctest
import importlib

import pytest

PURE = ("spec", "geometry", "row_layout", "costs", "contract", "kernel_choice")


@pytest.mark.parametrize("name", PURE)
def test_the_examples_of_a_pure_file_are_right(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"tf1_bn._src.plan.{name}"))

    assert found.attempted and not found.failed
