"""The shipped data are the ones described, and the split is the one stated."""

from __future__ import annotations

import hashlib
import importlib.util
from types import ModuleType

import numpy as np
import pytest

from tests.examples.support import EXAMPLES

README = (EXAMPLES / "data" / "README.md").read_text(encoding="utf-8")


def digits_data() -> ModuleType:
    spec = importlib.util.spec_from_file_location("digits_data", str(EXAMPLES / "digits_data.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(str(EXAMPLES / "data" / "digits.npz")) as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.mark.parametrize(
    "name, shape, largest", [("images", (1797, 8, 8), 16), ("labels", (1797,), 9)]
)
def test_arrays_are_the_described_ones(stored, name, shape, largest):
    array = stored[name]
    assert array.dtype == np.uint8 and array.shape == shape
    assert array.min() == 0 and array.max() == largest
    assert f"| `{name}` | `{hashlib.sha256(array.tobytes()).hexdigest()}` |" in README


def test_class_counts_are_the_described_ones(stored):
    counts = np.bincount(stored["labels"]).tolist()
    text = ", ".join(map(str, counts[:-1])) + f" and {counts[-1]}"
    assert f"There are {text} images of the digits 0 to 9." in README


@pytest.mark.parametrize(
    "held_out, indices",
    [("every-fifth", np.arange(4, 1797, 5)), ("last-fifth", np.arange(1438, 1797))],
)
def test_split_holds_out_the_stated_images(stored, held_out, indices):
    split = digits_data().load_digits(held_out)
    rest = np.setdiff1d(np.arange(1797), indices)
    for part, expected in ((split.held_out, indices), (split.training, rest)):
        assert part.images.dtype == np.float32 and part.labels.dtype == np.int64
        np.testing.assert_array_equal(part.images[..., 0], stored["images"][expected])
        np.testing.assert_array_equal(part.labels, stored["labels"][expected])


def test_unknown_split_is_refused():
    with pytest.raises(ValueError, match="every-fifth.*last-fifth.*got 'random'"):
        digits_data().load_digits("random")


def test_an_epoch_uses_each_image_at_most_once():
    module = digits_data()
    training = module.load_digits().training
    numbered = module.Digits(training.images, np.arange(len(training.labels)))
    batches = list(module.shuffled_batches(numbered, 100, np.random.RandomState(0)))
    drawn = np.concatenate([batch.labels for batch in batches])
    assert len(batches) == 14 and len(np.unique(drawn)) == len(drawn) == 1400
    assert not np.array_equal(drawn, np.sort(drawn))
    np.testing.assert_array_equal(batches[3].images, training.images[batches[3].labels])


def test_shift_moves_half_of_the_images_by_at_most_one_pixel():
    module = digits_data()
    images = np.arange(1.0, 1.0 + 400 * 6 * 5).reshape([400, 6, 5, 1])
    shifted = module.shift_half(images, np.random.RandomState(1))
    unmoved = 0
    for before, after in zip(images, shifted):
        padded = np.pad(before, ((1, 1), (1, 1), (0, 0)), mode="constant")
        matches = [
            (y, x)
            for y in range(3)
            for x in range(3)
            if np.array_equal(padded[y : y + 6, x : x + 5], after)
        ]
        assert len(matches) == 1
        unmoved += matches[0] == (1, 1)
    # Half are left alone and a ninth of the others moves by nothing: 0.56 of 400, deviation 10.
    assert 180 < unmoved < 266
