# SPDX-License-Identifier: Apache-2.0
"""The function: TF1's `tf.layers.batch_normalization`."""

from __future__ import annotations

from typing import Any, Callable, NoReturn

from ..plan.spec import check_reuse
from ..runtime.tensorflow_v1 import Tensor, as_written, raise_if_eager, tf
from .advice import hiding_unknown, unknown_arguments, warn_of_numbers
from .layer import BatchNormalization
from .planning import check_scope_name, make_spec


@as_written
@hiding_unknown
def batch_normalization(
    inputs: Any,
    axis: int | list[int] = -1,
    momentum: Any = 0.99,
    epsilon: Any = 1e-3,
    center: bool = True,
    scale: bool = True,
    beta_initializer: Any = tf.zeros_initializer(),
    gamma_initializer: Any = tf.ones_initializer(),
    moving_mean_initializer: Any = tf.zeros_initializer(),
    moving_variance_initializer: Any = tf.ones_initializer(),
    beta_regularizer: Any = None,
    gamma_regularizer: Any = None,
    beta_constraint: Any = None,
    gamma_constraint: Any = None,
    training: Any = False,
    trainable: bool = True,
    name: Any = None,
    reuse: Any = None,
    renorm: bool = False,
    renorm_clipping: dict[str, Any] | None = None,
    renorm_momentum: Any = 0.99,
    fused: bool | None = None,
    virtual_batch_size: int | None = None,
    adjustment: Callable[..., Any] | None = None,
    **unknown: NoReturn,
) -> Tensor:
    """Normalizes each channel to mean ~0 and standard deviation ~1, then scales and shifts it.

    With `training` true, the moments are those of the batch:

        y = (x - mean(x)) / sqrt(variance(x) + epsilon) * gamma + beta

    and two ops that move `moving_mean` and `moving_variance` towards them,

        moving = moving * momentum + batch * (1 - momentum),

    are put into `tf.GraphKeys.UPDATE_OPS`. **Nothing runs them by itself**: let the train op
    depend on them, or make it with `tf1_bn.minimize`. Otherwise inference, which normalizes with
    the moving statistics, gives garbage without an error.

    Variables are made with `tf.get_variable` under `name`: gamma, beta, moving_mean and
    moving_variance, with renorm also moving_stddev, renorm_mean and renorm_stddev. Their shape is
    `[C]` for one channel axis; for several, the rank of the input with 1 on the other axes.

    Papers: batch normalization arXiv 1502.03167, renorm arXiv 1702.03275, ghost batches
    arXiv 1705.08741.

    Args:
      inputs: a float16, bfloat16, float32 or float64 tensor, variable or array of rank 1 or more,
        with known channel sizes. Half precision keeps float32 parameters.
      axis: the channel axis or a list of them; all others are reduced. Negative ones count from
        the end.
      momentum: kept fraction of the moving statistics per update; a number or scalar tensor.
      epsilon: added to the variance. The fused kernel uses at least 1.001e-5.
      center: whether to add beta.
      scale: whether to multiply with gamma.
      beta_initializer: of beta: a callable, a class or a name such as "zeros"; None for the
        variable scope's.
      gamma_initializer: likewise of gamma.
      moving_mean_initializer: likewise of moving_mean and renorm_mean.
      moving_variance_initializer: likewise of moving_variance; its square root is that of the
        standard deviations.
      beta_regularizer: a function of beta to a loss, put once into REGULARIZATION_LOSSES; or a
        name or config of Keras, such as "l2".
      gamma_regularizer: likewise of gamma.
      beta_constraint: a projection of beta that optimizers apply after their update; or a name
        or config, such as "non_neg".
      gamma_constraint: likewise of gamma.
      training: bool, 0 or 1, or a scalar bool tensor or variable decided at run time; None is
        Keras' learning phase, False unless fed.
      trainable: False keeps gamma and beta out of TRAINABLE_VARIABLES **and the update ops out of
        UPDATE_OPS**; with `training` true the batch's moments are used all the same.
      name: of the layer: a string, which may contain slashes, or a VariableScope; made unique per
        scope from "batch_normalization" if None.
      reuse: True shares existing variables, tf.AUTO_REUSE makes what is missing, None or False
        follow the scope.
      renorm: batch renormalization: corrects the batch's moments towards their averages.
      renorm_clipping: bounds of the correction: a dict of `rmax`, `rmin`, `dmax`, numbers or
        scalar tensors; `tf1_bn.renorm_schedule` gives the paper's.
      renorm_momentum: kept fraction of the averages the correction uses.
      fused: None takes the kernel that is quicker at the size of the input, True the fused op
        wherever it is possible and the composed kernel silently elsewhere, False never the fused
        op. All give TF1's numbers: rank 4 with the channel axis 1 or 3 puts, unless False, the
        sample variance, N / (N - 1) of the population's, into moving_variance.
      virtual_batch_size: normalize interleaved ghost batches of this many rows each on their own;
        must divide the batch in training.
      adjustment: a function from the input's int32 shape tensor to (scale, bias), applied in
        training between normalization and gamma and beta.

    Returns:
      A tensor of the shape and dtype of `inputs`.

    Raises:
      ValueError: under eager execution; an argument has a wrong value, or does not fit the shape;
        a variable exists and is not to be reused, or the reverse.
      TypeError: an argument has a wrong type.
    """
    given = locals()
    if unknown:
        refusal = (
            f"batch_normalization() got an unexpected keyword argument {next(iter(unknown))!r}"
        )
        raise unknown_arguments(refusal, unknown)
    raise_if_eager("tf1_bn.batch_normalization")
    check_reuse(reuse)
    check_scope_name(name)
    spec = make_spec(given)
    # The constructor would name the layer and open its scope before the call is checked.
    layer = BatchNormalization._of(spec, name, reuse)
    if not spec.is_usual:
        warn_of_numbers(spec)
    return layer(inputs, training=training)
