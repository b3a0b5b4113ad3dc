# SPDX-License-Identifier: Apache-2.0
"""Trains a small convolutional net on real handwritten digits, the way TF1 programs are written.

Placeholders, `tf.get_variable`, `tf.Session`, `tf.train.Saver` and Adam; batch normalization comes
from `tf1_bn`. At the end the accuracies with the batch's own statistics ("training mode") and with
the moving statistics ("inference mode") stand side by side, also after restoring the checkpoint in
a fresh graph.

`--forget-updates` trains the same net without running `tf.GraphKeys.UPDATE_OPS`, a classic mistake.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import example_support as support
import numpy as np
import tensorflow.compat.v1 as tf
from digits_data import HELD_OUT_CHOICES, Digits, Split, load_digits, shift_half, shuffled_batches

import tf1_bn

Tensor = Any
CONV_LAYERS = ("conv1", "conv2", "conv3")
TRAINING_IMAGES = 1438


class Model(NamedTuple):
    """The tensors of one graph. `before_norm` are the inputs of the batch normalizations."""

    images: Tensor
    training: Tensor
    logits: Tensor
    before_norm: list[Tensor]


class History(NamedTuple):
    """What `--plot` draws: the loss of each step, everything else once for each epoch."""

    losses: list[float]
    training_mode: list[float]
    inference_mode: list[float]
    mean_error: list[float]
    variance_error: list[float]


# --- the model ------------------------------------------------------------------------------------


def conv_layer(
    inputs: Tensor, name: str, filters: int, stride: int, training: Tensor, momentum: float
) -> tuple[Tensor, Tensor]:
    """Convolution, batch normalization, relu. Returns the output and what went into the norm."""
    with tf.variable_scope(name):
        kernel = tf.get_variable(
            "kernel",
            [3, 3, int(inputs.shape[-1]), filters],
            initializer=tf.variance_scaling_initializer(2.0),
        )
        # No bias: batch normalization subtracts the mean, and its beta takes the bias's place.
        before = tf.nn.conv2d(inputs, kernel, strides=[1, stride, stride, 1], padding="SAME")
        after = tf1_bn.batch_normalization(before, training=training, momentum=momentum)
        return tf.nn.relu(after), before


def build_model(training: Tensor, momentum: float) -> Model:
    """Builds the net; `training` is a bool placeholder, or a Python bool for a one-phase graph."""
    images = tf.placeholder(tf.float32, [None, 8, 8, 1], name="images")
    # Pixels go in as counted, 0 to 16: the first batch normalization does the scaling.
    hidden, before1 = conv_layer(images, "conv1", 32, 1, training, momentum)
    hidden, before2 = conv_layer(hidden, "conv2", 64, 1, training, momentum)
    hidden, before3 = conv_layer(hidden, "conv3", 128, 2, training, momentum)
    flat = tf.reshape(hidden, [-1, 4 * 4 * 128])
    with tf.variable_scope("logits"):
        kernel = tf.get_variable(
            "kernel", [4 * 4 * 128, 10], initializer=tf.variance_scaling_initializer(1.0)
        )
        bias = tf.get_variable("bias", [10], initializer=tf.zeros_initializer())
        logits = tf.matmul(flat, kernel) + bias
    return Model(images, training, logits, [before1, before2, before3])


def build_train_op(
    logits: Tensor, labels: Tensor, steps: int, forget_updates: bool
) -> tuple[Tensor, Tensor]:
    """Returns the train op and the loss."""
    loss = tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    )
    global_step = tf.train.get_or_create_global_step()
    learning_rate = tf.train.polynomial_decay(2e-3, global_step, steps, 1e-5)
    optimizer = tf.train.AdamOptimizer(learning_rate)
    # The moving statistics move only if somebody runs these ops. `tf1_bn.minimize(optimizer, loss,
    # global_step)` would do it in one line; this is the spelling of existing TF1 programs.
    update_ops = [] if forget_updates else tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    with tf.control_dependencies(update_ops):
        train_op = optimizer.minimize(loss, global_step=global_step)
    return train_op, loss


# --- measuring ------------------------------------------------------------------------------------


def logits_of(
    session: Any, model: Model, digits: Digits, batch_size: int, training: bool | None
) -> np.ndarray:
    """Logits of all images, batch by batch; `training=None` when the graph has only one phase."""
    # Training mode leaves the moving statistics alone here: no fetched tensor needs UPDATE_OPS.
    phase = {} if training is None else {model.training: training}
    chunks = [
        session.run(
            model.logits, {model.images: digits.images[start : start + batch_size], **phase}
        )
        for start in range(0, len(digits.labels), batch_size)
    ]
    return np.concatenate(chunks)


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(np.argmax(logits, axis=1) == labels))


def recalibrated_accuracy(session: Any, model: Model, split: Split, batch_size: int) -> float:
    """The held-out accuracy in inference mode, with statistics that are measured anew."""
    images = split.training.images
    starts = range(0, len(images), batch_size)
    tf1_bn.recalibrate(
        session, [{model.images: images[start : start + batch_size]} for start in starts]
    )
    logits = logits_of(session, model, split.held_out, batch_size, False)
    return accuracy(logits, split.held_out.labels)


def moving_statistics_error(session: Any, model: Model, digits: Digits) -> tuple[float, float]:
    """How far the moving statistics are from the statistics of all training images.

    Returns the mean over all channels of |moving_mean - mean| in standard deviations, and of
    |moving_variance / variance - 1|.
    """
    variables = {variable.op.name: variable for variable in tf.global_variables()}
    activations = session.run(
        model.before_norm, {model.images: digits.images, model.training: True}
    )
    mean_errors, variance_errors = [], []
    for layer, values in zip(CONV_LAYERS, activations):
        moving_mean, moving_variance = session.run(
            [
                variables[layer + "/batch_normalization/moving_mean"],
                variables[layer + "/batch_normalization/moving_variance"],
            ]
        )
        mean = np.mean(values, axis=(0, 1, 2), dtype=np.float64)
        variance = np.var(values, axis=(0, 1, 2), dtype=np.float64)
        mean_errors.append(np.abs(moving_mean - mean) / np.sqrt(variance))
        variance_errors.append(np.abs(moving_variance / variance - 1.0))
    return float(np.mean(np.concatenate(mean_errors))), float(
        np.mean(np.concatenate(variance_errors))
    )


# --- checkpoints ----------------------------------------------------------------------------------


def save_checkpoint(session: Any, directory: Path) -> None:
    """Writes the checkpoint into a folder of its own inside `directory`, then moves its files."""
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=str(directory)))
    try:
        saver = tf.train.Saver(save_relative_paths=True)
        saver.save(session, str(partial / "digits.ckpt"))
        # "checkpoint" names the other files, so it has to come last.
        for file in sorted(partial.iterdir(), key=lambda file: file.name == "checkpoint"):
            file.replace(directory / file.name)
    finally:
        shutil.rmtree(str(partial))


def restored_logits(directory: Path, digits: Digits, options: argparse.Namespace) -> np.ndarray:
    """Builds the net for inference only in a fresh graph, restores into it and runs it."""
    with tf.Graph().as_default():
        model = build_model(training=False, momentum=options.momentum)
        with tf.Session() as session:
            tf.train.Saver().restore(session, tf.train.latest_checkpoint(str(directory)))
            return logits_of(session, model, digits, options.batch_size, training=None)


# --- the plot -------------------------------------------------------------------------------------


def check_plot(path: Path) -> None:
    """Finds out before the training whether the plot can be written after it."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError:
        raise support.ExampleError(
            "--plot needs matplotlib: pip install -e '.[plot]' (or pip install matplotlib)"
        ) from None
    known = sorted(FigureCanvasAgg.filetypes)
    if path.suffix[1:].lower() not in known:
        raise support.ExampleError(
            f"--plot {path}: the name must end in one of {', '.join('.' + name for name in known)}"
        )
    if path.is_dir() or not path.parent.is_dir():
        raise support.ExampleError(f"--plot {path}: not a file in an existing directory")


def draw(history: History, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # An opaque ground, as a dark page shows through else; lines differ in more than their colours.
    figure = Figure(figsize=(12.0, 3.6), facecolor="white")
    canvas = FigureCanvasAgg(figure)
    one = {"color": "#0060a0", "marker": "o", "markersize": 4}
    other = {"color": "#b04000", "marker": "s", "markersize": 4, "linestyle": "--"}
    epochs = np.arange(1, len(history.training_mode) + 1)
    left, middle, right = figure.subplots(1, 3)
    by_epoch = np.reshape(history.losses, [len(epochs), -1]).mean(axis=1)
    steps = np.arange(1, len(history.losses) + 1)
    left.semilogy(steps, history.losses, linewidth=0.6, color="#808890", label="each step")
    left.semilogy(epochs * len(steps) / len(epochs), by_epoch, label="mean of an epoch", **one)
    left.set(title="training loss", xlabel="step", ylabel="loss, logarithmic")
    middle.plot(
        epochs, [100 * value for value in history.training_mode], label="training mode", **one
    )
    middle.plot(
        epochs, [100 * value for value in history.inference_mode], label="inference mode", **other
    )
    middle.set(title="held-out accuracy", xlabel="epoch", ylabel="right, %", ylim=(0, 102))
    right.semilogy(epochs, history.mean_error, label="mean, in standard deviations", **one)
    right.semilogy(epochs, history.variance_error, label="variance, relative", **other)
    right.set(title="error of the moving statistics", xlabel="epoch", ylabel="error, logarithmic")
    for axes in (left, middle, right):
        axes.legend()
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.tight_layout()
    with support.written_beside(path) as partial:
        canvas.print_figure(
            str(partial), dpi=100, format=path.suffix[1:].lower(), facecolor="white"
        )


# --- the program ----------------------------------------------------------------------------------


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    number = support.whole_number
    parser.add_argument("--epochs", type=number(1, 10000), default=20, help="default %(default)s")
    parser.add_argument(
        "--batch-size", type=number(2, TRAINING_IMAGES), default=32, help="default %(default)s"
    )
    parser.add_argument("--seed", type=number(0), default=0, help="default %(default)s")
    parser.add_argument(
        "--momentum",
        type=support.fraction,
        default=0.99,
        help="of the moving statistics, default %(default)s",
    )
    parser.add_argument(
        "--held-out",
        choices=HELD_OUT_CHOICES,
        default="every-fifth",
        help="which images are not trained on, default %(default)s",
    )
    parser.add_argument(
        "--forget-updates", action="store_true", help="do not run UPDATE_OPS, to see what happens"
    )
    parser.add_argument(
        "--checkpoint-dir",
        type=Path,
        metavar="DIR",
        help="keep the checkpoint here (default: a temporary directory)",
    )
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE.png",
        help="draw the loss and the convergence of the moving statistics (needs matplotlib)",
    )
    return parser.parse_args()


def train(
    session: Any,
    model: Model,
    labels: Tensor,
    train_op: Tensor,
    loss: Tensor,
    split: Split,
    options: argparse.Namespace,
) -> History:
    """Trains for `options.epochs` epochs; one line of progress for each."""
    history = History([], [], [], [], [])
    random = np.random.RandomState(options.seed)
    with support.Progress(options.epochs * options.steps_per_epoch) as progress:
        for epoch in range(1, options.epochs + 1):
            for batch in shuffled_batches(split.training, options.batch_size, random):
                feed = {
                    model.images: shift_half(batch.images, random),
                    labels: batch.labels,
                    model.training: True,
                }
                _, step_loss = session.run([train_op, loss], feed)
                history.losses.append(float(step_loss))
                progress.advance(len(history.losses))
            in_training_mode, in_inference_mode = (
                accuracy(
                    logits_of(session, model, split.held_out, options.batch_size, training),
                    split.held_out.labels,
                )
                for training in (True, False)
            )
            history.training_mode.append(in_training_mode)
            history.inference_mode.append(in_inference_mode)
            if options.plot is not None or epoch == options.epochs:
                errors = moving_statistics_error(session, model, split.training)
                history.mean_error.append(errors[0])
                history.variance_error.append(errors[1])
            epoch_loss = np.mean(history.losses[-options.steps_per_epoch :])
            progress.note(
                f"epoch {epoch}/{options.epochs}: loss {epoch_loss:.4f}, held-out accuracy "
                f"{support.percent(in_training_mode)} in training mode, "
                f"{support.percent(in_inference_mode)} in inference mode"
            )
    return history


def report(
    history: History,
    training_part: tuple[float, float],
    restored: float,
    difference: float,
    split: Split,
) -> None:
    """Prints the accuracies side by side and what the moving statistics have to do with them."""
    print(
        support.table(
            [
                ["accuracy", "training mode", "inference mode"],
                ["normalized with", "batch statistics", "moving statistics"],
                [
                    f"training images ({len(split.training.labels)})",
                    *(support.percent(value) for value in training_part),
                ],
                [
                    f"held-out images ({len(split.held_out.labels)})",
                    support.percent(history.training_mode[-1]),
                    support.percent(history.inference_mode[-1]),
                ],
                ["held-out, restored", "-", support.percent(restored)],
            ]
        )
    )
    print(f"restored in a fresh graph: logits differ by {difference:.1e} at most")
    print(
        "moving statistics against all training images: "
        f"mean off by {history.mean_error[-1]:.3f} standard deviations, "
        f"variance by {support.percent(history.variance_error[-1])}"
    )


def main() -> None:
    options = parse_options()
    if options.plot is not None:
        check_plot(options.plot)
    support.quiet(tf)
    tf.disable_v2_behavior()
    split = load_digits(options.held_out)
    options.steps_per_epoch = len(split.training.labels) // options.batch_size

    with support.output_directory(options.checkpoint_dir) as directory:
        with tf.Graph().as_default():
            tf.set_random_seed(options.seed)
            training = tf.placeholder(tf.bool, [], name="training")
            model = build_model(training, options.momentum)
            labels = tf.placeholder(tf.int64, [None], name="labels")
            train_op, loss = build_train_op(
                model.logits,
                labels,
                options.epochs * options.steps_per_epoch,
                options.forget_updates,
            )
            with tf.Session() as session:
                session.run(tf.global_variables_initializer())
                started = time.monotonic()
                history = train(session, model, labels, train_op, loss, split, options)
                seconds = time.monotonic() - started
                save_checkpoint(session, directory)

                trained = split.training
                training_part = tuple(
                    accuracy(
                        logits_of(session, model, trained, options.batch_size, mode), trained.labels
                    )
                    for mode in (True, False)
                )
                saved = logits_of(session, model, split.held_out, options.batch_size, False)
                if options.forget_updates:
                    anew = recalibrated_accuracy(session, model, split, options.batch_size)
        restored = restored_logits(directory, split.held_out, options)

    print(f"TensorFlow {tf.__version__}: {len(history.losses)} steps in {seconds:.1f} s")
    report(
        history,
        training_part,
        accuracy(restored, split.held_out.labels),
        float(np.max(np.abs(restored - saved))),
        split,
    )
    if options.forget_updates:
        print(
            "UPDATE_OPS was never run: the moving means are still 0 and the moving variances 1, "
            "so inference mode knows nothing of what training saw."
        )
        print(
            f"tf1_bn.recalibrate, from {len(trained.labels)} images: {support.percent(anew)} of "
            "the held-out ones in inference mode"
        )
    if options.checkpoint_dir is not None:
        print(f"checkpoint: {tf.train.latest_checkpoint(str(options.checkpoint_dir))}")
    if options.plot is not None:
        draw(history, options.plot)
        print(f"plot: {options.plot}")


if __name__ == "__main__":
    support.run(main)
