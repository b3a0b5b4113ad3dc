"""What the tests of rescue share."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests import forked
from tests.forked_client import SOCKET


@pytest.fixture
def new_processes_are_forks(monkeypatch: Any) -> None:
    """Let a model be tried in a fork that has TensorFlow loaded, instead of in a new process."""
    where = forked.server()
    monkeypatch.setenv(SOCKET, where)
    monkeypatch.setattr(sys, "executable", forked.stand_in(where))
