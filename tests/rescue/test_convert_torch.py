"""State dicts: written for the real PyTorch and read from it; `nox -s convert-peers` has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tf1_bn
from tf1_bn._src.cli.main import main
from tf1_bn._src.runtime.tensorflow_v1 import tf

torch: Any = pytest.importorskip("torch")
IMAGES = np.random.RandomState(2).normal(1.0, 2.0, size=[3, 5, 6, 2]).astype(np.float32)


def module() -> Any:
    """As `rebuilt`: the image goes back to channels last before it is flattened."""

    class Last(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x.permute(0, 2, 3, 1).flatten(1)

    layers = torch.nn
    return layers.ModuleDict(
        {
            "conv": layers.Conv2d(2, 4, 2),
            "bn": layers.BatchNorm2d(4, eps=0.01, momentum=0.25),
            "depthwise": layers.Conv2d(4, 8, 2, groups=4, bias=False),
            "up": layers.ConvTranspose2d(8, 3, 2, stride=2),
            "plain": layers.BatchNorm2d(3, eps=0.01),
            "last": Last(),
            "head": layers.Linear(3 * 6 * 8, 3),
            "bn1": layers.BatchNorm1d(3, eps=0.01),
        }
    )


def inferred(net: Any) -> Any:
    net.eval()
    with torch.no_grad():
        x = torch.as_tensor(np.transpose(IMAGES, [0, 3, 1, 2]).copy())
        for layer in net.values():
            x = layer(x)
        return x.numpy()


def rebuilt(prefix: str, session: Any, is_new: bool, scale: bool) -> Any:
    """The inference of the same net, with values that are saved or restored."""
    x = tf.placeholder(tf.float32, [None, 5, 6, 2])
    y = tf.nn.conv2d(x, tf.get_variable("conv/kernel", [2, 2, 2, 4]), [1] * 4, "VALID")
    y = tf1_bn.batch_normalization(
        y + tf.get_variable("conv/bias", [4]), epsilon=0.01, momentum=0.75, name="bn"
    )
    kernel = tf.get_variable("depthwise/depthwise_kernel", [2, 2, 4, 2])
    y = tf.nn.depthwise_conv2d(y, kernel, [1] * 4, "VALID")
    kernel = tf.get_variable("up/kernel", [2, 2, 3, 8])
    shape = tf.stack([tf.shape(x)[0], 6, 8, 3])
    y = tf.nn.conv2d_transpose(y, kernel, shape, [1, 2, 2, 1], "VALID")
    y += tf.get_variable("up/bias", [3])
    y = tf1_bn.batch_normalization(y, epsilon=0.01, scale=scale, name="plain")
    y = tf.matmul(tf.reshape(y, [-1, 144]), tf.get_variable("head/kernel", [144, 3]))
    y += tf.get_variable("head/bias", [3])
    y = tf1_bn.batch_normalization(y, epsilon=0.01, name="bn1")
    if is_new:
        numbers = np.random.RandomState(8)
        for each in tf.global_variables():
            each.load(numbers.uniform(0.5, 1.5, each.shape.as_list()), session)
        tf.train.Saver().save(session, prefix)
    else:
        tf.train.Saver().restore(session, prefix)
    return session.run(y, {x: IMAGES})


def in_graph(prefix: Path, is_new: bool = False, scale: bool = True) -> Any:
    with tf.Graph().as_default(), tf.Session() as session:
        return rebuilt(str(prefix), session, is_new, scale)


@pytest.mark.parametrize("safely", [True, False])
def test_to_torch(safely: bool, tmp_path: Path, capsys: Any) -> None:
    expected = in_graph(tmp_path / "old", is_new=True, scale=False)
    file = str(tmp_path / "new.pt")
    assert main(["convert", str(tmp_path / "old"), "--to", "torch", "-o", file]) == 0
    out = capsys.readouterr().out
    assert "eps=0.01" in out and out.endswith("greatest difference 0\n")
    net = module()
    net.load_state_dict(torch.load(file, weights_only=safely), strict=True)
    np.testing.assert_allclose(inferred(net), expected, rtol=1e-4, atol=1e-5)


def test_from_torch_and_back(tmp_path: Path, capsys: Any) -> None:
    net = module()
    for each in net.state_dict().values():
        each.copy_(torch.rand(each.shape) + 0.5)
    torch.save({"epoch": 3, "model": net.state_dict()}, str(tmp_path / "a.pt"))
    old, again = tmp_path / "old", str(tmp_path / "b.pt")
    # Two outputs a channel, which a state dict does not tell from as many channels.
    command = ["convert", str(tmp_path / "a.pt"), "--to", "tf.layers", "-o", str(old)]
    assert main(command) == 2 and "depthwise.weight" in capsys.readouterr().err
    assert main([*command, "--rule", "depthwise.weight=depthwise:2"]) == 0
    np.testing.assert_allclose(in_graph(old), inferred(net), rtol=1e-4, atol=1e-5)
    assert main(["convert", str(old), "--to", "torch", "-o", again]) == 0
    back = torch.load(again, weights_only=True)
    assert set(back) == set(net.state_dict())
    for name, each in net.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(back[name], each), name


def test_torch_averages_the_sample_variance_by_one_minus_momentum() -> None:
    """What the report says of the conventions, by experiment."""
    x = np.random.RandomState(0).normal(size=[4, 3, 2, 2]).astype(np.float32)
    for layer, given in (
        (torch.nn.BatchNorm1d(3, momentum=0.25), x[:, :, 0, 0]),
        (torch.nn.BatchNorm2d(3, momentum=0.25), x),
    ):
        layer.train()
        layer(torch.as_tensor(given))
        axes = (0, *range(2, given.ndim))
        np.testing.assert_allclose(
            layer.running_var.numpy(), 0.75 + 0.25 * given.var(axis=axes, ddof=1), rtol=1e-5
        )
        np.testing.assert_allclose(
            layer.running_mean.numpy(), 0.25 * given.mean(axis=axes), rtol=1e-5, atol=1e-7
        )
