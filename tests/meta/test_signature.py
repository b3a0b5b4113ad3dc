"""The function and the class take TF r2.3's arguments: names, order, kinds and defaults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import forked
from tests.meta.project import ROOT

META = Path(__file__).parent
RECORDED = json.loads((META / "data" / "signature_r2_3.json").read_text(encoding="utf-8"))


def signatures_of(source: str) -> dict[str, Any]:
    done = forked.python(str(META / "signatures.py"), source, cwd=ROOT)
    assert done.code == 0, done.err
    described: dict[str, Any] = json.loads(done.out)
    return described


def test_signatures_are_tf1s() -> None:
    ours = signatures_of("tf1_bn")
    assert set(RECORDED) == {"batch_normalization", "BatchNormalization"}
    for name, parameters in RECORDED.items():
        assert parameters == ours[name], name


@pytest.mark.tf_max("2.15", reason="Keras 3 took the real layer away")
def test_record_is_what_the_real_layer_says() -> None:
    assert signatures_of("tf.layers") == RECORDED
