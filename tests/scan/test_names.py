"""A name leads to TensorFlow whichever way a file spells it; what hides it leads nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scan.support import codes, found, scanned

ALIAS, CONTRIB = "--tf1-alias", "--contrib"


@pytest.mark.parametrize(
    "text, options",
    [
        ("import tensorflow as tf\ntf.layers.batch_normalization(x)", [ALIAS]),
        ("import tensorflow\ntensorflow.layers.batch_normalization(x)", [ALIAS]),
        ("import tensorflow as tf\ntf.compat.v1.layers.batch_normalization(x)", []),
        ("import tensorflow.compat.v1 as tf\ntf.layers.BatchNormalization()", []),
        ("from tensorflow.compat import v1\nv1.layers.batch_normalization(x)", []),
        ("from tensorflow.compat.v1 import layers as l\nl.batch_normalization(x)", []),
        ("from tensorflow.compat.v1.layers import batch_normalization as b\nb(x)", []),
        ("from tensorflow.python.layers import normalization as n\nn.BatchNorm()", []),
        ("from tensorflow.contrib.layers import *\nbatch_norm(x)", [CONTRIB]),
        ("import tensorflow.contrib as c\nc.layers.batch_norm(x)", [CONTRIB]),
        ("from tensorflow.contrib import slim\nslim.batch_norm(x)", [CONTRIB]),
        ("from tensorflow.contrib.slim import batch_norm\nbatch_norm(x)", [CONTRIB]),
        ("import tf_slim as slim\nslim.batch_norm(x)", []),
        ("from tf_slim.layers import layers\nlayers.batch_norm(x)", []),
        ("import tensorflow as tf\nlayers = tf.layers\nlayers.batch_normalization(x)", [ALIAS]),
        ("import tensorflow as tf\ntf = tf.compat.v1\ntf.layers.batch_normalization(x)", []),
        ("import tensorflow as t\nclass A:\n tf = t\n y = tf.layers.BatchNormalization()", [ALIAS]),
        ("import tensorflow.compat.v1 as tf\nl = lambda x: tf.layers.batch_normalization(x)", []),
        ("import tensorflow.compat.v1 as tf\n[tf.layers.batch_normalization(x) for x in y]", []),
        (
            "import tensorflow as tf\nclass A:\n tf = load()\n def f(self, x):\n"
            "  return tf.layers.batch_normalization(x)",
            [ALIAS],
        ),
        ("def f():\n import tensorflow.compat.v1 as tf\n tf.layers.batch_normalization(x)", []),
        ("def f():\n return tf.layers.batch_normalization(x)\nimport tensorflow as tf", [ALIAS]),
        (
            "try:\n import tensorflow.compat.v1 as tf\nexcept ImportError:\n"
            " import tensorflow as tf\ntf.layers.batch_normalization(x)",
            [],
        ),
        ("import tensorflow as tf\nclass B(tf.layers.BatchNormalization):\n pass", [ALIAS]),
        ("import tensorflow as tf\nx = {'norm': tf.layers.batch_normalization}", [ALIAS]),
    ],
)
def test_each_spelling_is_found(tmp_path: Path, text: str, options: list[str]) -> None:
    result = scanned(tmp_path, program=text + "\n")
    assert len(result.norms) == 1
    assert codes(result, "BN201", "BN203") == ["BN100"]
    assert list(result.options) == options


@pytest.mark.parametrize(
    "text",
    [
        "tf.layers.batch_normalization(x)",
        "import torch as tf\ntf.layers.batch_normalization(x)",
        "import tensorflow as tf\ndef f(tf, x):\n tf.layers.batch_normalization(x)",
        "import tensorflow as tf\ntf = load()\ntf.layers.batch_normalization(x)",
        "import tensorflow as tf\nfor tf in x:\n pass\nwith a as tf:\n tf.layers.batch_norm(x)",
        "import tensorflow as tf\n[tf.layers.batch_normalization(x) for tf in y]",
        "import tensorflow as tf\ntf.nn.batch_normalization(x, m, v, b, g, 1e-3)",
        "import tensorflow as tf\ntf.keras.layers.BatchNormalization()",
        "import tensorflow as tf\n'tf.layers.batch_normalization(x)'",
        "from mine import *\nbatch_norm(x)",
    ],
)
def test_what_is_something_else_is_not(tmp_path: Path, text: str) -> None:
    assert scanned(tmp_path, program=text + "\n").norms == []


def test_names_through_other_files_of_the_tree(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "__init__.py").write_text("from .backend import tf as tensors\n")
    (tmp_path / "lib" / "backend.py").write_text("import tensorflow as tf\nL = tf.layers\n")
    relative = "from .backend import L\nL.batch_normalization(x)\n"
    (tmp_path / "lib" / "relative.py").write_text(relative)
    result = scanned(
        tmp_path,
        package="from lib import tensors\ntensors.layers.batch_normalization(x)\n",
        module="import lib.backend as b\nb.tf.layers.batch_normalization(x)\n",
        star="from lib.backend import *\ntf.layers.batch_normalization(x)\n",
        circle="from circle import norm\nnorm(x)\n",
    )
    assert sorted(Path(path).stem for path, _ in result.norms) == [
        "module",
        "package",
        "relative",
        "star",
    ]


def test_a_call_keeps_what_partial_gave(tmp_path: Path) -> None:
    text = (
        "import functools\nfrom functools import partial as p\nimport tensorflow.compat.v1 as tf\n"
        "one = functools.partial(tf.layers.batch_normalization, training=False)\n"
        "two = p(one, training=True)\n"
        "two(x)\none(x, **more)\ntf.train.AdamOptimizer().minimize(one(x))\n"
    )
    result = scanned(tmp_path, program=text)
    said = [norm.training.value for _, norm in result.norms if norm.training is not None]
    assert said == [True, False, False]
    assert [norm.is_open for _, norm in result.norms if norm.is_called] == [False, True, False]


def test_positions_of_arguments(tmp_path: Path) -> None:
    places = "x, -1, .9, 1e-3, True, True, a, b, c, d, None, None, None, None"
    text = (
        f"import tensorflow.compat.v1 as tf\ntf.layers.batch_normalization({places}, True, False)\n"
    )
    text += "tf.contrib.layers.batch_norm(x, .9, True, True, 1e-3, None, None, None, None, False)\n"
    (_, layers), (_, contrib) = scanned(tmp_path, program=text).norms
    assert (layers.says(True), layers.is_collected) == (True, False)
    assert (contrib.says(False), contrib.is_collected) == (True, False)


NET = "import tensorflow.compat.v1 as tf\n\ntf.train.AdamOptimizer().minimize(y)\n"


@pytest.mark.parametrize(
    "comment, left",
    [
        ("", ["BN100", "BN101"]),
        ("# noqa", []),
        ("# NOQA: bn101", ["BN100"]),
        ("# noqa:BN101,BN100", []),
        ("# noqa: E501 BN100", ["BN101"]),
        ("# noqa: E501", ["BN100", "BN101"]),
        ("# type: ignore # noqa: BN100 because", ["BN101"]),
    ],
)
def test_noqa(tmp_path: Path, comment: str, left: list[str]) -> None:
    text = f"{NET}y = tf.layers.batch_normalization(x)  {comment}\n"
    assert codes(scanned(tmp_path, program=text)) == left


def test_noqa_of_another_line_or_for_what_cannot_be_read_silences_nothing(tmp_path: Path) -> None:
    text = f"# noqa\n{NET}y = tf.layers.batch_normalization(x)\n# noqa\n"
    assert found(scanned(tmp_path, program=text)) == [(5, "BN100"), (5, "BN101")]
    assert "BN002" in codes(scanned(tmp_path, old="print 'a'  # noqa\n"))
