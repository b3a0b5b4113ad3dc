"""`python -m tf1_bn convert`: names, layouts and refusals, on archives of plain arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping

import numpy as np
import pytest

from tf1_bn._src.cli.main import main

NUMBERS = np.random.RandomState(5)


def values(*shape: int) -> Any:
    return NUMBERS.uniform(0.5, 2.0, size=shape).astype(np.float32)


def norm(scope: str, *shape: int, without: str = "") -> dict[str, Any]:
    leaves = ("gamma", "beta", "moving_mean", "moving_variance")
    return {f"{scope}/{leaf}": values(*shape) for leaf in leaves if leaf != without}


class Converting:
    """Converts arrays to arrays in a folder, and keeps what the command said."""

    def __init__(self, folder: Path, capsys: Any) -> None:
        self._folder, self._capsys = folder, capsys
        self.out = self.err = ""

    def __call__(self, arrays: Mapping[str, Any], to: str, *more: str) -> dict[str, Any] | None:
        source, target = self._folder / "source.npz", self._folder / "target.npz"
        np.savez(str(source), **arrays)
        code = main(["convert", str(source), "--to", to, "-o", str(target), "--overwrite", *more])
        self.out, self.err = self._capsys.readouterr()
        assert code in (0, 2) and (code == 0) == target.exists()
        if code:
            assert sorted(self._folder.iterdir()) == [source]
            return None
        with np.load(str(target)) as archive:
            found = dict(archive)
        target.unlink()
        return found


@pytest.fixture
def convert(tmp_path: Path, capsys: Any) -> Converting:
    return Converting(tmp_path, capsys)


def same(found: Any, meant: Mapping[str, Any]) -> None:
    assert found is not None and set(found) == set(meant)
    for name, array in meant.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
        assert found[name].dtype == array.dtype


def test_a_variable_called_as_a_scope_is_no_owner_of_slots(convert: Converting) -> None:
    arrays = {**norm("bn", 4), "conv": values(3, 3, 2, 4), "conv/bias": values(4)}
    assert convert(arrays, "torch") is None and "conv: [3,3,2,4]" in convert.err
    found = convert(arrays, "torch", "--rule", "conv=conv")
    assert found is not None
    np.testing.assert_array_equal(found["conv.bias"], arrays["conv/bias"])


def test_a_convolution_net_to_torch(convert: Converting) -> None:
    bn = norm("net/BatchNorm", 4, without="gamma")
    conv, depthwise = values(3, 2, 5, 4), values(3, 3, 5, 2)
    arrays = {
        **bn,
        "net/Conv/weights": conv,
        "net/Conv/biases": values(4),
        "dw/depthwise_kernel": depthwise,
        "fc/kernel": values(7, 4),
        "line/kernel": values(3, 5, 6),
        "global_step": np.array(7),
        "net/BatchNorm/beta/Adam": values(4),
        "net/BatchNorm/net/BatchNorm/moving_mean/biased": values(4),
    }
    found = convert(arrays, "torch")
    assert found is not None
    np.testing.assert_array_equal(found.pop("net.BatchNorm.weight"), np.ones(4, np.float32))
    assert found.pop("net.BatchNorm.num_batches_tracked") == 0
    by_channel = found.pop("dw.weight")
    assert by_channel.shape == (10, 1, 3, 3)
    # Channel 3's second output.
    np.testing.assert_array_equal(by_channel[3 * 2 + 1, 0], depthwise[:, :, 3, 1])
    same(
        found,
        {
            "net.BatchNorm.bias": bn["net/BatchNorm/beta"],
            "net.BatchNorm.running_mean": bn["net/BatchNorm/moving_mean"],
            "net.BatchNorm.running_var": bn["net/BatchNorm/moving_variance"],
            "net.Conv.weight": np.einsum("hwio->oihw", conv),
            "net.Conv.bias": arrays["net/Conv/biases"],
            "fc.weight": arrays["fc/kernel"].T,
            "line.weight": np.einsum("wio->oiw", arrays["line/kernel"]),
        },
    )
    assert "left out: a counter" in convert.out and "of an optimizer" in convert.out
    assert "(no gamma)" in convert.out and "filled in" in convert.out


def test_torch_to_tf_layers_and_back_is_the_same(convert: Converting) -> None:
    state = {
        "0.weight": values(6, 3, 5, 2),
        "0.bias": values(6),
        "1.weight": values(6),
        "1.bias": values(6),
        "1.running_mean": values(6),
        "1.running_var": values(6),
        "1.num_batches_tracked": np.zeros([], np.int64),
        "2.weight": values(6, 1, 3, 3),
        "head.weight": values(2, 6),
        "head.bias": values(2),
    }
    there = convert(state, "tf.layers", "--rule", r"2\.weight=depthwise")
    assert there is not None and there["2/depthwise_kernel"].shape == (3, 3, 6, 1)
    assert there["0/kernel"].shape == (5, 2, 3, 6) and "1/moving_variance" in there
    assert "height, width, channel" in convert.out.replace("\n", " ")
    same(convert(there, "torch"), state)


def test_between_contrib_and_tf_layers_only_names_change(convert: Converting) -> None:
    arrays = {
        **norm("batch_normalization", 3),
        **norm("a/batch_normalization_1", 3),
        **norm("a/own", 3),
        "conv2d/kernel": values(1, 1, 2, 3),
        "a/batch_normalization_1/gamma/Momentum": values(3),
        "beta1_power": np.array(0.5, np.float32),
    }
    there = convert(arrays, "contrib")
    assert there is not None
    assert {"BatchNorm/beta", "a/BatchNorm_1/gamma/Momentum", "a/own/beta"} <= set(there)
    same(convert(there, "tf.layers"), arrays)


def test_a_debiased_mean_keeps_its_names_in_contrib(convert: Converting) -> None:
    shadow = "n/batch_normalization/n/batch_normalization/moving_mean/local_step"
    arrays = {**norm("n/batch_normalization", 2), shadow: np.array(3.0, np.float32)}
    found = convert(arrays, "contrib")
    assert found and "n/BatchNorm/n/BatchNorm/moving_mean/local_step" in found
    left = convert(arrays, "keras")
    assert left and not any("local_step" in name for name in left)


def test_ghost_and_list_axis_parameters_are_squeezed(convert: Converting) -> None:
    arrays = norm("bn", 1, 1, 1, 4)
    found = convert(arrays, "keras")
    same(found, {name: array.reshape(4) for name, array in arrays.items()})
    assert "[1,1,1,4] -> [4]" in convert.out
    # TensorFlow has such layers, so there nothing is squeezed.
    same(convert(arrays, "tf.layers"), arrays)
    assert convert(norm("bn", 1, 3, 4), "torch") is None
    assert "several axes" in convert.err


def test_the_weighted_renorm_of_1_4_becomes_that_of_1_15(convert: Converting) -> None:
    arrays = {
        **norm("bn", 3),
        "bn/renorm_mean": values(3),
        "bn/renorm_mean_weight": np.array(0.5, np.float32),
        "bn/renorm_stddev": values(3),
        "bn/renorm_stddev_weight": np.array(0.0, np.float32),
    }
    assert convert(arrays, "tf.layers") is None
    assert "--epsilon" in convert.err
    found = convert(arrays, "tf.layers", "--epsilon", "0.25")
    assert found is not None
    np.testing.assert_array_equal(found.pop("bn/renorm_mean"), arrays["bn/renorm_mean"] * 2)
    np.testing.assert_array_equal(found.pop("bn/renorm_stddev"), np.ones(3, np.float32))
    np.testing.assert_allclose(
        found.pop("bn/moving_stddev"), np.sqrt(arrays["bn/moving_variance"] + 0.25), rtol=1e-6
    )
    same(found, {name: arrays[name] for name in arrays if "renorm" not in name})
    plain = convert(arrays, "torch", "--epsilon", "0.25")
    assert plain and not any("renorm" in name or "stddev" in name for name in plain)


@pytest.mark.parametrize(
    "more, to, words",
    [
        ({"lstm/cell": values(4, 8)}, "torch", ["1 of 5", "lstm/cell: [4,8]"]),
        ({"a/w": values(2), "a/v": values(2)}, "keras", ["2 of 6", "a/w: [2]", "a/v: [2]"]),
        ({"odd/moving_mean": values(2)}, "keras", ["odd has no moving_variance"]),
        (norm("x_y", 2), "keras", None),
        ({**norm("x_y", 2), **norm("x/y", 2)}, "torch", None),
        ({"batch_normalization/gamma": values(2)}, "tf.layers", None),
        (
            {**norm("BatchNorm", 2), **norm("batch_normalization", 2)},
            "contrib",
            ["BatchNorm/gamma would come from batch_normalization/gamma"],
        ),
    ],
)
def test_keys_that_no_rule_fits_are_listed(
    convert: Converting, more: Any, to: str, words: list[str] | None
) -> None:
    found = convert({**norm("bn", 2), **more}, to)
    assert (found is None) == (words is not None)
    assert all(word in convert.err for word in words or ())


def test_a_torch_weight_that_may_be_two_things(convert: Converting) -> None:
    bn = {f"bn.{leaf}": values(4) for leaf in ("weight", "bias", "running_mean", "running_var")}
    doubtful = {
        "conv.weight": values(4, 1, 3, 3),
        "emb.weight": values(9, 4),
        "ln.weight": values(4),
    }
    assert convert({**bn, **doubtful}, "tf.layers") is None
    assert [line.split(":")[0].strip() for line in convert.err.splitlines()[1:]] == list(doubtful)
    found = convert(
        {**bn, **doubtful},
        "tf.layers",
        *("--rule", "conv.*=conv", "--rule", "emb.*=keep", "--rule", "ln.*=drop"),
    )
    assert found is not None and found["conv/kernel"].shape == (3, 3, 1, 4)
    np.testing.assert_array_equal(found["emb/weight"], doubtful["emb.weight"])
    assert not any(name.startswith("ln") for name in found)


def test_renames_come_first(convert: Converting) -> None:
    found = convert(
        norm("old/BatchNorm", 2), "torch", "--rename", r"^old/=net/", "--rename", "Ba=ba"
    )
    assert found is not None and "net.batchNorm.running_mean" in found
    assert convert(norm("a", 2), "torch", "--rename", "gamma=beta") is None
    assert "another key" in convert.err


@pytest.mark.parametrize(
    "change, words",
    [
        ({"bn/gamma": values(3)}, "bn/gamma has shape [3], and moving_mean [2]"),
        ({"bn/beta": np.float32([1.0, np.nan])}, "bn/beta holds numbers that are not finite"),
        ({"bn/moving_variance": np.float32([1.0, -1.0])}, "below 0"),
        ({"bn/moving_mean": np.array([1, 2])}, "must be of floats"),
    ],
)
def test_numbers_and_shapes_that_no_layer_has(convert: Converting, change: Any, words: str) -> None:
    assert convert({**norm("bn", 2), **change}, "torch") is None
    assert words in convert.err and convert.err.count("\n") == 1


def test_without_batch_normalization(convert: Converting) -> None:
    assert convert({"conv/kernel": values(1, 1, 2, 2)}, "torch") is None
    assert "no batch normalization" in convert.err


def test_keras_paths_keep_their_slashes(convert: Converting) -> None:
    arrays = {**norm("net/BatchNorm_2", 2), "net/Conv/weights": values(1, 1, 2, 2)}
    found = convert(arrays, "keras")
    assert found is not None and set(found) == {
        *(f"net/batch_normalization_2/{leaf}" for leaf in ("gamma", "beta")),
        *(f"net/batch_normalization_2/moving_{leaf}" for leaf in ("mean", "variance")),
        "net/Conv/kernel",
    }
