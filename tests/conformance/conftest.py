"""The candidate under test and its outcomes, each case built and run once a session."""

from __future__ import annotations

import os
from typing import Any, Callable

import pytest

from tests.conformance.cases import CASES
from tests.conformance.runner import Candidate, Outcome, real_layer, run_case, tf1_bn_layer

CANDIDATES = {"tf1_bn": tf1_bn_layer, "tf.layers": real_layer}


@pytest.fixture(scope="session")
def candidate() -> Candidate:
    """`tf1_bn`, or with TF1_BN_CANDIDATE=tf.layers the real layer of the running TensorFlow."""
    return CANDIDATES[os.environ.get("TF1_BN_CANDIDATE", "tf1_bn")]()


@pytest.fixture(scope="session")
def outcome_of(candidate: Candidate) -> Callable:
    known: dict = {}

    def outcome(name: str) -> Outcome:
        if name not in known:
            known[name] = run_case(candidate, CASES[name])
        return known[name]

    return outcome


@pytest.fixture
def is_ours(candidate: Candidate) -> Any:
    return candidate.label == "tf1_bn"
