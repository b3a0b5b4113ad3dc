"""Arguments are checked one by one, with TF1's error types, before anything else happens."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tf1_bn._src.plan.spec import BatchNormSpec, check_name, check_reuse

REFUSED = [
    ("axis", "1", TypeError),
    ("axis", 1.0, TypeError),
    ("axis", None, TypeError),
    ("axis", [1, "2"], TypeError),
    ("axis", [], ValueError),
    ("momentum", "0.9", TypeError),
    ("momentum", None, TypeError),
    ("momentum", [0.9], TypeError),
    ("epsilon", "tiny", TypeError),
    ("epsilon", None, ValueError),
    ("center", "yes", TypeError),
    ("scale", [1], TypeError),
    ("trainable", "no", TypeError),
    ("gamma_regularizer", 0.1, ValueError),
    ("beta_constraint", "non_neg", ValueError),
    ("adjustment", (2.0, 1.0), TypeError),
    ("virtual_batch_size", 0, ValueError),
    ("virtual_batch_size", -3, ValueError),
    ("virtual_batch_size", 2.0, TypeError),
    ("virtual_batch_size", "2", TypeError),
]

REFUSED_WITH_RENORM = [
    ("renorm_momentum", "0.9", TypeError),
    ("renorm_clipping", 3.0, TypeError),
    ("renorm_clipping", [("rmax", 3.0)], TypeError),
    ("renorm_clipping", {"rmax": "3"}, TypeError),
    ("renorm_clipping", {"maximum": 3.0}, ValueError),
]


def _named_in(error: Any, argument: str, value: Any) -> bool:
    message = str(error.value)
    shown = [repr(value)] + ([str(key) for key in value] if isinstance(value, dict) else [])
    return argument in message and any(text in message for text in shown)


@pytest.mark.parametrize(("argument", "value", "error"), REFUSED)
def test_a_wrong_argument_is_named_with_its_value(argument: str, value: Any, error: type) -> None:
    with pytest.raises(error) as raised:
        BatchNormSpec(**{argument: value})

    assert type(raised.value) is error
    assert _named_in(raised, argument, value), str(raised.value)


@pytest.mark.parametrize(("argument", "value", "error"), REFUSED_WITH_RENORM)
def test_renorm_arguments_are_checked_with_renorm_alone(
    argument: str, value: Any, error: type
) -> None:
    with pytest.raises(error) as raised:
        BatchNormSpec(renorm=True, **{argument: value})

    assert _named_in(raised, argument, value), str(raised.value)
    assert getattr(BatchNormSpec(**{argument: value}), argument) == value


@pytest.mark.parametrize(
    ("axis", "axes"),
    [(-1, (-1,)), ([1, -1], (1, -1)), ((2, 3), (2, 3)), (np.int64(2), (2,)), (True, (1,))],
)
def test_axes_are_plain_ints_whatever_was_given(axis: Any, axes: tuple[int, ...]) -> None:
    found = BatchNormSpec(axis=axis).axes

    assert found == axes
    assert {type(entry) for entry in found} == {int}


def test_virtual_batches_and_adjustment_exclude_each_other() -> None:
    with pytest.raises(ValueError, match=r"virtual_batch_size.*adjustment cannot be specified"):
        BatchNormSpec(virtual_batch_size=4, adjustment=len)


@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [
        ({"axis": "x"}, "axis must be int or list, type given: <class 'str'>"),
        ({"renorm": True, "renorm_clipping": {"a": 1.0}}, "contains keys not in ['rmax', 'rmin',"),
        ({"virtual_batch_size": 0}, "virtual_batch_size must be a positive integer that divides"),
        ({"virtual_batch_size": 2, "adjustment": len}, "adjustment cannot be specified"),
    ],
)
def test_our_rule_stands_before_the_phrase_of_tf1(arguments: dict, phrase: str) -> None:
    with pytest.raises((TypeError, ValueError)) as raised:
        BatchNormSpec(**arguments)

    rule, _, words = str(raised.value).partition(" In the words of TF1: ")
    assert rule.startswith(f"`{list(arguments)[-1]}` must ")
    assert "(got " in rule
    assert phrase in words


def test_clipping_is_in_force_with_renorm_alone() -> None:
    bounds = {"rmax": 2.0, "dmax": 0.5}

    assert BatchNormSpec(renorm=True, renorm_clipping=bounds).clipping == bounds
    assert BatchNormSpec(renorm=True).clipping == {}
    assert BatchNormSpec(renorm=False, renorm_clipping=bounds).clipping == {}


@pytest.mark.parametrize("reuse", ["yes", 2, 0.0, [True], object()])
def test_reuse_must_be_one_of_four(reuse: Any) -> None:
    with pytest.raises(ValueError, match="reuse") as raised:
        check_reuse(reuse)

    assert repr(reuse) in str(raised.value)


@pytest.mark.parametrize("reuse", [None, True, False, np.bool_(True), 1])
def test_reuse_takes_what_tf1_takes(reuse: Any) -> None:
    check_reuse(reuse)


@pytest.mark.parametrize("name", [3, 1.5, ["bn"], b"bn"])
def test_name_must_be_a_string_or_scope(name: Any) -> None:
    with pytest.raises(TypeError, match="name") as raised:
        check_name(name)

    assert repr(name) in str(raised.value)
