"""Ours under test, each case built and run once a session."""

from __future__ import annotations

from typing import Any, Callable

import pytest

from tests.contrib.bench import our_contrib, outcome_of


@pytest.fixture(scope="session")
def outcome() -> Callable[[str], Any]:
    known: dict = {}

    def of(name: str) -> Any:
        if name not in known:
            known[name] = outcome_of(our_contrib(), name)
        return known[name]

    return of
