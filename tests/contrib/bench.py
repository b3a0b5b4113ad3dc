"""`tf.contrib.layers.batch_norm`, real or ours, on the bench of the conformance suite."""

from __future__ import annotations

from typing import Any, Callable

from tests.conformance.case import Case
from tests.conformance.runner import Candidate, Outcome, run_case
from tests.contrib import programs  # noqa: F401  its programs are found by name
from tests.contrib.cases import CASES


def _as_bench(batch_norm: Callable[..., Any]) -> Callable[..., Any]:
    """The bench says `training`; contrib called it `is_training`."""

    def call(x: Any, *args: Any, **kwargs: Any) -> Any:
        if "training" in kwargs:
            kwargs["is_training"] = kwargs.pop("training")
        return batch_norm(x, *args, **kwargs)

    return call


def real_function() -> Any:
    import tensorflow as tf

    return tf.contrib.layers.batch_norm


def real_contrib() -> Candidate:
    return Candidate("tf.contrib", _as_bench(real_function()), None)


def our_contrib() -> Candidate:
    from tf1_bn.contrib import batch_norm

    return Candidate("tf1_bn.contrib", _as_bench(batch_norm), None)


def outcome_of(candidate: Candidate, name: str) -> Outcome:
    return run_case(candidate, CASES[name])


def instead_of(candidate: Candidate, case: Case) -> Outcome:
    """What a case that TF 1.15.5 fails at should be like."""
    return run_case(candidate, case._replace(like=None, **case.like))
