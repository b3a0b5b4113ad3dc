"""`assert_parity` passes what is the same and refuses each mistake, by the point that shows it."""

from __future__ import annotations

from typing import Any

import pytest

import tf1_bn
from tests.conftest import tensorflow
from tests.testing.hand_written import hand_written
from tf1_bn.testing import assert_parity, check_parity

POINTS = [
    "1 structure",
    "2 inference from distinct state",
    "3 training forward, mean far from 0",
    "4 gradients",
    "5 state after one step",
    "6 teacher-forced trajectory",
    "7 training flag",
    "8 wiring",
    "9 batch independence of inference",
    "10 checkpoint round trip",
    "11 edge sizes",
]


def ours(**kwargs: Any) -> Any:
    return lambda x, training: tf1_bn.batch_normalization(x, training=training, name="bn", **kwargs)


def by_hand(mistake: str = "", **kwargs: Any) -> Any:
    function = hand_written(mistake)
    return lambda x, training: function(x, training=training, name="bn", **kwargs)


def refused(report: Any) -> set[str]:
    return {section.name for section in report.sections if section.verdict == "different"}


@pytest.mark.parametrize(
    "shape, kwargs",
    [
        ((5, 7), {}),
        ((3, 2, 4, 5), {}),
        ((4, 3, 5), {"axis": 1, "scale": False}),
        ((6, 5), {"virtual_batch_size": 2}),
        ((7, 5), {"renorm": True, "renorm_clipping": {"rmax": 2.0, "dmax": 1.0}}),
    ],
)
def test_an_independent_norm_is_the_same(shape: tuple, kwargs: dict) -> None:
    """By hand against ours: two texts with nothing in common but the definition."""
    report = check_parity(
        ours(**kwargs), by_hand(**kwargs), shape, structure=False, dynamic=False, config=kwargs,
        steps=5,
    )  # fmt: skip
    assert [section.name for section in report.sections] == POINTS
    # The hand-written one knows nothing of empty batches, nor of ghosts that do not divide one.
    wrong = {
        (row.aspect, row.step.split(",")[0])
        for section in report.sections
        for row in section.rows
        if row.verdict == "different"
    }
    allowed = {"batch of 0"} | ({"batch of 1"} if "virtual_batch_size" in kwargs else set())
    assert {step for _, step in wrong} <= allowed, report.text()


@pytest.mark.tf_max("2.15", reason="it compares with the real tf.layers, lost with Keras 3")
@pytest.mark.parametrize(
    "shape, kwargs",
    [((5, 7), {}), ((3, 2, 4, 5), {}), ((7, 5), {"renorm": True}), ((4, 3, 5), {"axis": 1})],
)
def test_the_real_layer_is_the_same(shape: tuple, kwargs: dict) -> None:
    layers = tensorflow().layers

    def real(x: Any, training: Any) -> Any:
        return layers.batch_normalization(x, training=training, name="bn", **kwargs)

    report = assert_parity(real, ours(**kwargs), shape, config=kwargs, steps=5)
    assert [section.name for section in report.sections] == POINTS


WRONG = [
    ("swapped_batch_moments", (5, 7), {}, "5 state after one step", "swapped statistics"),
    ("swapped_moving", (5, 7), {}, "2 inference from distinct state", "swapped statistics"),
    ("swapped_parameters", (5, 7), {}, "3 training forward, mean far from 0", "swapped parameters"),
    ("biased", (3, 2, 1, 5), {}, "5 state after one step", "without Bessel's factor"),
    ("bessel", (5, 7), {}, "5 state after one step", "with Bessel's factor"),
    (
        "consecutive_ghosts",
        (6, 5),
        {"virtual_batch_size": 2},
        "3 training forward, mean far from 0",
        "ghost grouping",
    ),
    ("swapped_momentum", (5, 7), {}, "6 teacher-forced trajectory", "momentum convention"),
    ("no_updates", (5, 7), {}, "8 wiring", "does not move the moving statistics"),
    ("always_training", (5, 7), {}, "9 batch independence of inference", "training flag"),
    ("updates_in_inference", (5, 7), {}, "7 training flag", "training flag"),
    ("no_gradient_through_moments", (5, 7), {}, "4 gradients", "gradients differ"),
    ("no_renorm", (7, 5), {"renorm": True}, "3 training forward, mean far from 0", "renorm"),
]


# These two points show a mistake by what no model of the arithmetic explains.
NAMED_BY = {
    "8 wiring": ["5 state after one step"],
    "9 batch independence of inference": ["2 inference from distinct state"],
}


@pytest.mark.parametrize("mistake, shape, kwargs, point, words", WRONG)
def test_a_mistake_is_refused(
    mistake: str, shape: tuple, kwargs: dict, point: str, words: str
) -> None:
    report = check_parity(
        ours(**kwargs), by_hand(mistake, **kwargs), shape, structure=False, config=kwargs, steps=2,
        points=[point, *NAMED_BY.get(point, ())],
    )  # fmt: skip
    (section,) = [section for section in report.sections if section.name == point]
    assert section.verdict == "different"
    assert any(words in cause for cause in report.causes), report.text()


def test_the_report_is_the_message() -> None:
    with pytest.raises(AssertionError, match="momentum is about 0.9, not 0.99"):
        assert_parity(ours(), ours(momentum=0.9), steps=1)


def test_structure_is_exact() -> None:
    points = ["1 structure", "8 wiring", "10 checkpoint round trip"]
    renamed = check_parity(
        ours(),
        lambda x, t: tf1_bn.batch_normalization(x, training=t, name="n"),
        steps=1,
        points=points,
    )
    assert {"1 structure", "10 checkpoint round trip"} <= refused(renamed)
    frozen = check_parity(ours(), ours(trainable=False), steps=1, points=points)
    assert {"1 structure", "8 wiring"} <= refused(frozen)
    lossy = check_parity(ours(), ours(gamma_regularizer=lambda v: 0.1 * v[0]), steps=1)
    assert refused(lossy) == {"1 structure"}


def test_names_map_variables() -> None:
    def other(x: Any, training: Any) -> Any:
        return tf1_bn.batch_normalization(x, training=training, name="n")

    words = ("gamma", "beta", "moving_mean", "moving_variance")
    names = {f"bn/{word}": f"n/{word}" for word in words}
    assert assert_parity(ours(), other, names=names, steps=2).exit_code == 0


def test_updates_may_be_returned() -> None:
    def returned(x: Any, training: Any) -> Any:
        tf = tensorflow()
        y = tf1_bn.batch_normalization(x, training=training, name="bn")
        updates = tf.get_collection_ref(tf.GraphKeys.UPDATE_OPS)
        kept = list(updates)
        del updates[:]
        return y, kept

    report = check_parity(ours(), returned, steps=2)
    assert refused(report) == {"1 structure"}
    points = ["1 structure", "8 wiring"]
    report = check_parity(ours(), returned, structure=False, steps=2, points=points)
    assert report.exit_code == 0


def test_a_metric_is_compared_to_the_last_digit() -> None:
    def metric(build: Any) -> float:
        tf = tensorflow()
        y = build(tf.constant([[1.0, 2.0], [4.0, 8.0]]), True)
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            return float(session.run(tf.reduce_sum(y * y)))

    points = ["1 structure"]
    same = assert_parity(ours(), ours(), metric=metric, steps=1, points=points)
    assert same.sections[-1].name == "end metric" and same.exit_code == 0
    report = check_parity(ours(), ours(epsilon=0.0011), metric=metric, steps=1, points=points)
    assert "end metric" in refused(report)


def test_what_both_refuse_is_no_difference_and_no_proof() -> None:
    """Three rows do not divide into ghosts of two: with any batch of one example it is an error."""
    report = check_parity(ours(virtual_batch_size=2), ours(virtual_batch_size=2), (6, 5), steps=1)
    assert report.exit_code == 0
    edges = [row for row in report.sections[10].rows if row.aspect == "both fail"]
    assert [row.step for row in edges] == ["batch of 1, training"]


def test_one_side_that_refuses_is_a_difference() -> None:
    def refuses(x: Any, training: Any) -> Any:
        raise TypeError("never")

    assert check_parity(ours(), refuses, steps=1).exit_code == 1
    # What the reference refuses, no program depends on; but then nothing is proven.
    assert check_parity(refuses, ours(), steps=1).exit_code != 0


def test_points_are_among_those_of_the_standard() -> None:
    with pytest.raises(ValueError, match="`points` must be among .*got \\['gradients'\\]"):
        check_parity(ours(), ours(), points=["gradients"])
    report = check_parity(ours(), ours(), points=[POINTS[7], POINTS[3]])
    assert [section.name for section in report.sections] == [POINTS[3], POINTS[7]]


def test_shape_needs_a_batch_axis() -> None:
    with pytest.raises(ValueError, match="`shape` must have a batch and a channel axis"):
        check_parity(ours(), ours(), (5,))
