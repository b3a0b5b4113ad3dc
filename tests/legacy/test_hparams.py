"""HParams answers as TF 1.15.5's does; no TensorFlow is needed."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from tests.legacy.hparams_cases import RECORD, answers
from tf1_bn._src.programs.old_names.hparams import HParams

EXPECTED = json.loads(RECORD.read_text(encoding="utf-8"))
ANSWERS = dict(answers(HParams))


@pytest.mark.parametrize(("step", "answer"), EXPECTED, ids=[step for step, _ in EXPECTED])
def test_each_answer_is_that_of_tf1(step: str, answer: str) -> None:
    assert ANSWERS[step] == answer


def test_errors_name_the_setting() -> None:
    hparams = HParams(rate=0.1, sizes=[1])
    for text, words in (
        ("rate=x", "Could not parse hparam 'rate' of type 'float' with value 'x' in rate=x"),
        ("sizes=3", "Must pass a list for multi-valued parameter: sizes"),
        ("sizes[0]=3", "one item of 'sizes' alone"),
        ("speed=3", "Unknown hyperparameter type for speed"),
        ("rate=1,rate=2", "Multiple assignments to variable 'rate' in rate=1,rate=2"),
    ):
        with pytest.raises(ValueError, match=words.replace("[", r"\[")):
            hparams.parse(text)
    with pytest.raises(ValueError, match="went with contrib"):
        HParams(b"proto")
    assert hparams.values() == {"rate": 0.1, "sizes": [1]}


def test_copies_are_independent_and_pickled() -> None:
    hparams = HParams(sizes=[1, 2], name="x")
    copied = copy.deepcopy(hparams).parse("sizes=[3],name=y")
    assert hparams.values() == {"sizes": [1, 2], "name": "x"}
    assert copied.values() == pickle.loads(pickle.dumps(copied)).values()
