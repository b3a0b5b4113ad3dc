"""`install` in programs of its own: before and after imports, and with legacy Keras."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests import forked
from tests.legacy.process import python

lost = pytest.mark.tf_min("2.16", reason="tf.layers is lost from here on")

# What a program holds when install() is called, and where ours must then be found.
HELD = {
    "nothing imported": ("", "import tensorflow as tf; layers = tf.compat.v1.layers"),
    "the first compat.v1": (
        "import tensorflow as tf; held = tf.compat.v1",
        "layers = held.layers",
    ),
    "the first loader": (
        "import tensorflow as tf; layers = tf.compat.v1.layers",
        "",
    ),
    "the loader": ("from tensorflow.compat.v1 import layers", ""),
    "the imported module's value": (
        "import importlib; layers = importlib.import_module('tensorflow.compat.v1.layers')",
        "",
    ),
}


def said(tmp_path: Path, *lines: str, **changes: str) -> list[str]:
    # Legacy Keras is chosen while TensorFlow is imported.
    run = python if changes else forked.python
    ended = run("-c", "\n".join(lines), cwd=tmp_path, **changes)
    assert ended.code == 0, ended.err
    return ended.out.splitlines()


@lost
@pytest.mark.parametrize("held", sorted(HELD))
def test_what_was_held_before_shows_ours(held: str, tmp_path: Path) -> None:
    before, after = HELD[held]
    shown = said(
        tmp_path,
        "import tf1_bn",
        before,
        "tf1_bn.install(neighbours=True)",
        after,
        "print(layers.batch_normalization is tf1_bn.batch_normalization)",
        "print(layers.BatchNormalization is tf1_bn.BatchNormalization)",
        "print(layers.conv2d.__name__)",
        "from tensorflow.compat.v1.layers import batch_normalization",
        "print(batch_normalization is tf1_bn.batch_normalization)",
        "tf1_bn.uninstall()",
        "print(hasattr(layers, 'batch_normalization'), hasattr(layers, 'conv2d'))",
    )
    # A module found after install() is the stand-in, which asks TensorFlow's own loader again.
    assert shown == ["True", "True", "conv2d", "True", "False False"]


@lost
def test_original_error_without_and_after(tmp_path: Path) -> None:
    ask = (
        "for ask in ('tf.compat.v1.layers.batch_normalization', 'tf.compat.v1.layers.dense',",
        "            'tf.compat.v1.nn.rnn_cell.GRUCell', 'v1.layers.BatchNormalization',",
        "            'normalization.BatchNormalization'):",
        "    try: print(eval(ask))",
        "    except Exception as error: print(type(error).__name__, error)",
    )
    imports = (
        "import tensorflow as tf, tensorflow.compat.v1 as v1",
        "from tensorflow.python.layers import normalization",
    )
    plain = said(tmp_path, *imports, *ask)
    there_and_back = ("import tf1_bn", "tf1_bn.install()", "tf1_bn.uninstall()")
    after = said(tmp_path, *there_and_back, *imports, *ask)
    assert after == plain
    assert plain[0] == "AttributeError `batch_normalization` is not available with Keras 3."


def test_a_name_kept_before_is_not_reached(tmp_path: Path) -> None:
    """The order rule: whoever keeps the function itself must be imported after install()."""
    (tmp_path / "keeps.py").write_text(
        "import functools\nimport tensorflow.compat.v1 as tf\n"
        "normalize = functools.partial(tf.layers.batch_normalization, momentum=0.9)\n"
    )
    shown = said(
        tmp_path,
        "import tf1_bn",
        "tf1_bn.install(force=True)",
        "import keeps",
        "print(keeps.normalize.func is tf1_bn.batch_normalization)",
        "tf1_bn.uninstall()",
        "print(keeps.normalize.func is tf1_bn.batch_normalization)",
    )
    assert shown == ["True", "True"]


@lost
def test_legacy_keras_that_is_not_installed(tmp_path: Path) -> None:
    if importlib.util.find_spec("tf_keras") is not None:
        pytest.skip("tf_keras is installed")
    # TensorFlow's loader answers so once; asked again it calls itself without end.
    shown = said(
        tmp_path,
        "import tensorflow.compat.v1 as tf, tf1_bn",
        "tf1_bn.install()",
        "print(tf.layers.batch_normalization is tf1_bn.batch_normalization)",
        "tf1_bn.uninstall()",
        "try: tf.layers.batch_normalization",
        "except ImportError as error: print(error)",
        TF_USE_LEGACY_KERAS="1",
    )
    assert shown == ["True", "Keras cannot be imported. Check that it is installed."]


@lost
@pytest.mark.parametrize("force", [False, True])
def test_legacy_keras(force: bool, tmp_path: Path) -> None:
    if importlib.util.find_spec("tf_keras") is None:
        pytest.skip("tf_keras is not installed: it is what TF_USE_LEGACY_KERAS switches on")
    shown = said(
        tmp_path,
        "import tensorflow.compat.v1 as tf, tf1_bn",
        "from tensorflow.python.layers import normalization",
        "original = tf.layers.batch_normalization",
        f"tf1_bn.install(force={force})",
        "from tensorflow.compat.v1.layers import batch_normalization",
        "print(tf.layers.batch_normalization is tf1_bn.batch_normalization)",
        "print(batch_normalization is tf.layers.batch_normalization)",
        "print(normalization.BatchNormalization is tf1_bn.BatchNormalization)",
        "print(tf.layers.conv2d.__module__.split('.')[0])",
        "tf1_bn.uninstall()",
        "print(tf.layers.batch_normalization is original)",
        TF_USE_LEGACY_KERAS="1",
    )
    assert shown == [str(force), "True", "True", "tf_keras", "True"]


def test_nothing_is_imported_that_tensorflow_does_not_import(tmp_path: Path) -> None:
    """Neither legacy Keras nor TF-Slim comes in because of install()."""
    listing = "print(sorted(n for n in sys.modules if n.split('.')[0] in ('tf_keras', 'tf_slim')))"
    shown = said(tmp_path, "import sys, tf1_bn", "tf1_bn.install(neighbours=True)", listing)
    assert shown == ["[]"]
