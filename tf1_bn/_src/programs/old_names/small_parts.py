# SPDX-License-Identifier: Apache-2.0
"""Small names that nothing carries any more, on TensorFlow's public ones.

Functions of contrib, and of tf.estimator `ModeKeys` and `EstimatorSpec`, which many programs use
without an estimator.
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any, Callable, Sequence

from ...runtime.tensorflow_v1 import Tensor, tf


def embed_sequence(
    ids: Any,
    vocab_size: int | None = None,
    embed_dim: int | None = None,
    unique: bool = False,
    initializer: Any = None,
    regularizer: Any = None,
    trainable: bool = True,
    scope: Any = None,
    reuse: Any = None,
) -> Tensor:
    """Rows of the variable `embeddings` [vocab_size, embed_dim], by their numbers.

    Args:
      ids: [batch, length], whole numbers.
      vocab_size: how many rows there are; with `reuse` it may be left out.
      embed_dim: the length of a row; with `reuse` it may be left out.
      unique: look each number up once, which is slower unless there are many equal ones.
      initializer: of the variable.
      regularizer: of the variable.
      trainable: whether it is in TRAINABLE_VARIABLES.
      scope: of the variable; "EmbedSequence" if None.
      reuse: whether `scope` has the variable already.

    Returns:
      A tensor [batch, length, embed_dim].

    Raises:
      ValueError: a size is missing without `reuse`.
    """
    is_sized = bool(vocab_size and embed_dim)
    if not (reuse or is_sized):
        raise ValueError(
            f"embed_sequence needs vocab_size and embed_dim (got {vocab_size}, {embed_dim})."
        )
    with tf.variable_scope(scope, "EmbedSequence", [ids], reuse=reuse):
        embeddings = tf.get_variable(
            "embeddings",
            shape=[vocab_size, embed_dim] if is_sized else None,
            initializer=initializer,
            regularizer=regularizer,
            trainable=trainable,
            collections=[tf.GraphKeys.GLOBAL_VARIABLES, tf.GraphKeys.MODEL_VARIABLES],
        )
        if not unique:
            return tf.nn.embedding_lookup(embeddings, ids)
        ids = tf.convert_to_tensor(ids)
        numbers, places = tf.unique(tf.reshape(ids, [-1]))
        rows = tf.gather(tf.nn.embedding_lookup(embeddings, numbers), places)
        found = tf.reshape(rows, tf.concat([tf.shape(ids), tf.shape(embeddings)[1:]], 0))
        found.set_shape(ids.shape.concatenate(embeddings.shape[1:]))
        return found


def sequence_loss_by_example(
    logits: Sequence[Any],
    targets: Sequence[Any],
    weights: Sequence[Any],
    average_across_timesteps: bool = True,
    softmax_loss_function: Callable[..., Any] | None = None,
    name: str | None = None,
) -> Tensor:
    """The weighted cross entropy of each sequence.

    Args:
      logits: [batch, classes] for each step.
      targets: [batch], the right classes, for each step.
      weights: [batch] for each step.
      average_across_timesteps: divide by the sum of the weights.
      softmax_loss_function: takes `labels` and `logits`, instead of the sparse cross entropy.
      name: of the name scope.

    Returns:
      A tensor [batch].

    Raises:
      ValueError: the three are not of one length.
    """
    if not len(logits) == len(targets) == len(weights):
        lengths = len(logits), len(targets), len(weights)
        raise ValueError(f"logits, targets and weights must be of one length (got {lengths}).")
    loss = softmax_loss_function or tf.nn.sparse_softmax_cross_entropy_with_logits
    with tf.name_scope(name, "sequence_loss_by_example", [*logits, *targets, *weights]):
        sums = tf.add_n(
            [
                weight * loss(labels=tf.reshape(target, [-1]), logits=logit)
                for logit, target, weight in zip(logits, targets, weights)
            ]
        )
        return sums / (tf.add_n(list(weights)) + 1e-12) if average_across_timesteps else sums


def sequence_loss(
    logits: Sequence[Any],
    targets: Sequence[Any],
    weights: Sequence[Any],
    average_across_timesteps: bool = True,
    average_across_batch: bool = True,
    softmax_loss_function: Callable[..., Any] | None = None,
    name: str | None = None,
) -> Tensor:
    """The sum over the batch of `sequence_loss_by_example`, or its mean. Returns: a scalar."""
    with tf.name_scope(name, "sequence_loss", [*logits, *targets, *weights]):
        losses = sequence_loss_by_example(
            logits, targets, weights, average_across_timesteps, softmax_loss_function
        )
        return tf.reduce_mean(losses) if average_across_batch else tf.reduce_sum(losses)


def batch_and_drop_remainder(batch_size: Any) -> Callable[[Any], Any]:
    """For `Dataset.apply`: batches, without a smaller last one."""
    return lambda dataset: dataset.batch(batch_size, drop_remainder=True)


def padded_batch_and_drop_remainder(
    batch_size: Any, padded_shapes: Any, padding_values: Any = None
) -> Callable[[Any], Any]:
    """For `Dataset.apply`: padded batches, without a smaller last one."""
    return lambda dataset: dataset.padded_batch(
        batch_size, padded_shapes, padding_values, drop_remainder=True
    )


def get_placeholders(graph: Any) -> list[Tensor]:
    """The outputs of the placeholders of a graph, but for those with a default."""
    return [op.outputs[0] for op in graph.get_operations() if op.type == "Placeholder"]


def constant_value(tensor: Any, partial: bool = False) -> Any:
    """The value of a tensor that is known while the graph is built, or None."""
    return tf.get_static_value(tensor, partial)


# The name of contrib.summary.
all_summary_ops = tf.summary.all_v2_summary_ops

# The names of contrib.metrics for tf.sets, which take the same arguments.
set_difference = tf.sets.difference
set_intersection = tf.sets.intersection
set_size = tf.sets.size
set_union = tf.sets.union


class ModeKeys:
    """What a model function builds for."""

    TRAIN = "train"
    EVAL = "eval"
    PREDICT = "infer"


class EstimatorSpec(
    namedtuple(
        "EstimatorSpec",
        "mode predictions loss train_op eval_metric_ops export_outputs training_chief_hooks "
        "training_hooks scaffold evaluation_hooks prediction_hooks",
    )
):
    """What a model function returns, checked for its mode.

    Attributes:
      mode: one of ModeKeys.
      predictions: a tensor or a dict of tensors; needed to predict.
      loss: a scalar tensor; needed to train and to evaluate.
      train_op: an op or tensor; needed to train.
      eval_metric_ops: by name, pairs of a value and of what updates it.
      scaffold: a tf.train.Scaffold.
    """

    __slots__ = ()

    def __new__(
        cls,
        mode: str,
        predictions: Any = None,
        loss: Any = None,
        train_op: Any = None,
        eval_metric_ops: Any = None,
        export_outputs: Any = None,
        training_chief_hooks: Any = None,
        training_hooks: Any = None,
        scaffold: Any = None,
        evaluation_hooks: Any = None,
        prediction_hooks: Any = None,
    ) -> EstimatorSpec:
        """Takes the fields in their order or by name; those left out get a TF1 estimator's values.

        Raises:
          TypeError: a field is unknown, or `loss` is no tensor.
          ValueError: what the mode needs is missing, or `loss` is no scalar.
        """
        if mode == ModeKeys.TRAIN and train_op is None:
            raise ValueError("Missing train_op.")
        if mode in (ModeKeys.TRAIN, ModeKeys.EVAL) and loss is None:
            raise ValueError("Missing loss.")
        if mode == ModeKeys.PREDICT and predictions is None:
            raise ValueError("Missing predictions.")
        return super().__new__(
            cls,
            mode,
            {} if predictions is None else predictions,
            _scalar(loss),
            train_op,
            eval_metric_ops or {},
            export_outputs,
            tuple(training_chief_hooks or ()),
            tuple(training_hooks or ()),
            scaffold or tf.train.Scaffold(),
            tuple(evaluation_hooks or ()),
            tuple(prediction_hooks or ()),
        )


def _scalar(loss: Any) -> Any:
    if loss is None:
        return None
    if not tf.is_tensor(loss):
        raise TypeError(f"loss must be Tensor, given: {loss}")
    if loss.shape.num_elements() not in (None, 1):
        raise ValueError(f"Loss must be scalar, given: {loss}")
    return loss if loss.shape.rank == 0 else tf.reshape(loss, [])
