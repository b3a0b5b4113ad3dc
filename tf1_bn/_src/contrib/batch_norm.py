# SPDX-License-Identifier: Apache-2.0
"""`tf.contrib.layers.batch_norm`, which is also `slim.batch_norm`, on this package's own core."""

from __future__ import annotations

import contextlib
import re
from typing import Any, Callable, Iterator, Mapping, NoReturn

from ..api.advice import hiding_unknown, refuse_unknown_of_contrib, warn_of_numbers
from ..api.layer import BatchNormalization
from ..api.planning import Checked, check_call, check_scope_name, make_spec
from ..call.calls import listeners
from ..call.tf1_names import take_contrib_names
from ..plan.spec import check_reuse, in_both_words
from ..runtime.graph_place import told
from ..runtime.tensorflow_v1 import Tensor, as_written, raise_if_eager, tf
from ..runtime.training_flag import resolve_training
from ..scaling.merging import open_scope
from ..state.undoing import all_or_nothing, variable_scope
from .beyond_layer import check_weights, fused_form, is_beyond_layer, normalized, unfused_form
from .variables import collect_output, collect_variables, model_variable

DATA_FORMATS = ("NHWC", "NCHW")

# Arguments that the layer has under the same name.
_SAME = (
    *("epsilon", "center", "scale", "trainable", "renorm", "renorm_clipping", "fused"),
    "adjustment",
)
# What the core calls them, and what contrib did: for messages.
_OUR_NAMES = {
    "momentum": "`decay`",
    "renorm_momentum": "`renorm_decay`",
    "training": "`is_training`",
    "name": "`scope`",
    "axis": "the channel axis of `data_format`",
    **{
        f"{variable}_{kind}": f"`param_{kind}s['{variable}']`"
        for variable in ("beta", "gamma", "moving_mean", "moving_variance")
        for kind in ("initializer", "regularizer")
    },
}
# Only where the core says what an argument must be: TF1's own phrases have such words, too.
_OUR_NAME = re.compile(rf"`({'|'.join(_OUR_NAMES)})`(?= must )")


@as_written
@all_or_nothing
@hiding_unknown
def batch_norm(
    inputs: Any,
    decay: Any = 0.999,
    center: bool = True,
    scale: bool = False,
    epsilon: Any = 0.001,
    activation_fn: Callable[[Tensor], Tensor] | None = None,
    param_initializers: Mapping[str, Any] | None = None,
    param_regularizers: Mapping[str, Any] | None = None,
    updates_collections: Any = tf.GraphKeys.UPDATE_OPS,
    is_training: Any = True,
    reuse: Any = None,
    variables_collections: Any = None,
    outputs_collections: Any = None,
    trainable: bool = True,
    batch_weights: Any = None,
    fused: bool | None = None,
    data_format: str = "NHWC",
    zero_debias_moving_mean: bool = False,
    scope: Any = None,
    renorm: bool = False,
    renorm_clipping: dict[str, Any] | None = None,
    renorm_decay: Any = 0.99,
    adjustment: Callable[..., Any] | None = None,
    **unknown: NoReturn,
) -> Tensor:
    """Batch normalization (arXiv 1502.03167) with the arguments, defaults and names of contrib.

    Not those of `tf.layers`: `is_training` is True, `scale` False and `decay` 0.999 unless given,
    and the variables `beta`, `gamma`, `moving_mean` and `moving_variance` lie right under `scope`,
    also in MODEL_VARIABLES.

    As in contrib, which kernel runs depends on the arguments. Ranks 2 and 4 are fused, so that
    moving_variance gets the sample variance; `fused=False`, other ranks, `batch_weights`, renorm,
    `adjustment`, float64 and a tensor as `epsilon` are not, and take the population's.

    Args:
      inputs: a float tensor of known rank and channel count; half precision keeps float32
        variables.
      decay: kept fraction of the moving statistics per update, a number or scalar tensor.
      center: whether to add beta.
      scale: whether to multiply with gamma.
      epsilon: added to the variance; the fused kernel uses at least 1.001e-5.
      activation_fn: applied to the result, inside of the scope.
      param_initializers: initializers by variable name, each of the four optional.
      param_regularizers: functions to a loss by `beta` and `gamma`.
      updates_collections: the collection or collections that get the two update ops, which
        something must run. None moves the averages in place instead: whatever needs the output
        in training moves them.
      is_training: bool, 0 or 1, or a scalar bool tensor or variable decided at run time.
      reuse: True shares the variables of `scope`, tf.AUTO_REUSE makes what is missing.
      variables_collections: collections for all variables, or a dict of lists by variable name.
      outputs_collections: the collection or collections that get the output.
      trainable: False keeps beta and gamma out of TRAINABLE_VARIABLES.
      batch_weights: `[batch]`, how often each row counts in the batch's moments. A batch without
        any weight is normalized with the moving statistics and moves none.
      fused: False never uses the fused kernel.
      data_format: "NHWC" for the channel axis last, "NCHW" for channel axis 1, of any rank.
      zero_debias_moving_mean: undo the pull of moving_mean towards its first value 0, by two more
        variables `biased` and `local_step`.
      scope: of the variables, a name or VariableScope; made unique from "BatchNorm" if None.
      renorm: batch renormalization (arXiv 1702.03275).
      renorm_clipping: bounds of its correction: `rmax`, `rmin` and `dmax`.
      renorm_decay: kept fraction of the averages the correction uses.
      adjustment: a function from the input's shape tensor to (scale, bias), applied in training
        before gamma and beta.

    Returns:
      A tensor of the shape and dtype of `inputs`, but for what `activation_fn` makes of it.

    Raises:
      ValueError: under eager execution; an argument has a wrong value or does not fit the shape;
        renorm with `batch_weights`, `zero_debias_moving_mean` or other `updates_collections`;
        training with any of these, or with rank 2, inside of `tf1_bn.cross_replica`; a variable
        exists and is not to be reused, or the reverse.
      TypeError: an argument has a wrong type.
    """
    given = dict(locals())
    refuse_unknown_of_contrib(given.pop("unknown"))
    raise_if_eager("tf1_bn.contrib.batch_norm")
    settings, checked = _checked(given)
    spec, geometry, trains = checked.spec, checked.geometry, checked.trains
    check_weights(batch_weights, geometry)
    beyond_layer = is_beyond_layer(
        renorm, batch_weights, zero_debias_moving_mean, updates_collections
    )
    form = None
    if batch_weights is None and (beyond_layer or geometry.rank == 2):
        form = fused_form(spec, geometry)
    by_layer = form is None and not beyond_layer
    if not by_layer:
        _check_phase(is_training, trains)
        warn_of_numbers(spec)

    getter = None if form is not None else model_variable
    opened = variable_scope(scope, "BatchNorm", [inputs], reuse=reuse, custom_getter=getter)
    with told(listeners, batch_norm, given["inputs"], given) as done, opened as (made, _):
        inputs = tf.convert_to_tensor(inputs)
        if by_layer:
            layer = BatchNormalization(name=made.name, _scope=made, _reuse=reuse, **settings)
            outputs = layer(inputs, training=is_training)
            if activation_fn is not None:
                take_contrib_names(spec, geometry, trains, layer.fused)
            collect_variables(layer, variables_collections)
        else:
            outputs = normalized(
                inputs,
                resolve_training(is_training, trains, folds=False),
                *(form or unfused_form(spec, geometry)),
                batch_weights=batch_weights,
                zero_debias=bool(zero_debias_moving_mean),
                updates_collections=updates_collections,
                variables_collections=variables_collections,
            )
        if activation_fn is not None:
            outputs = activation_fn(outputs)
        return done(collect_output(outputs, outputs_collections, made.name))


def _checked(given: Mapping[str, Any]) -> tuple[dict[str, Any], Checked]:
    """The layer's arguments, of those of `batch_norm`, and what was checked of the call.

    Raises:
      TypeError, ValueError: an argument has a wrong type or value, or does not fit the input.
    """
    _check_arguments(given["activation_fn"], given["updates_collections"], given["data_format"])
    settings = _settings(given)
    with _in_words_of_contrib():
        check_reuse(given["reuse"])
        check_scope_name(given["scope"])
        checked = check_call(make_spec(settings), given["inputs"], given["is_training"])
    return settings, checked


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the layer, by its own names, of those of `batch_norm`.

    Raises:
      TypeError: initializers or regularizers are no dict.
    """
    for argument in ("param_initializers", "param_regularizers"):
        value = given[argument]
        if value is not None and not isinstance(value, Mapping):
            raise TypeError(
                f"`{argument}` must be None or a dict by variable name (got {value!r})."
            )
    initializers = given["param_initializers"] or {}
    regularizers = given["param_regularizers"] or {}
    zeros, ones = tf.zeros_initializer(), tf.ones_initializer()
    return {
        **{name: given[name] for name in _SAME},
        "axis": 1 if given["data_format"] == "NCHW" else -1,
        "momentum": given["decay"],
        "renorm_momentum": given["renorm_decay"],
        "beta_initializer": initializers.get("beta", zeros),
        "gamma_initializer": initializers.get("gamma", ones),
        "moving_mean_initializer": initializers.get("moving_mean", zeros),
        "moving_variance_initializer": initializers.get("moving_variance", ones),
        "beta_regularizer": regularizers.get("beta"),
        "gamma_regularizer": regularizers.get("gamma"),
    }


def _check_phase(is_training: Any, trains: Any) -> None:
    if is_training is None:
        raise ValueError("`is_training` must be a flag or a scalar bool tensor (got None).")
    if trains is not False and open_scope() is not None:
        raise ValueError(
            "tf1_bn.contrib.batch_norm cannot merge its statistics with these arguments: inside of "
            "`tf1_bn.cross_replica` call `tf1_bn.batch_normalization` (got "
            f"`is_training`={is_training!r})."
        )


def _check_arguments(activation_fn: Any, updates_collections: Any, data_format: Any) -> None:
    if data_format not in DATA_FORMATS:
        rule = f"`data_format` must be one of {list(DATA_FORMATS)} (got {data_format!r})."
        raise in_both_words(ValueError, rule, "data_format has to be either NCHW or NHWC")
    if activation_fn is not None and not callable(activation_fn):
        raise TypeError(f"`activation_fn` must be None or a callable (got {activation_fn!r}).")
    if not isinstance(updates_collections, (str, list, tuple, set, frozenset, type(None))):
        raise TypeError(
            "`updates_collections` must be None, a collection's name or a list of names "
            f"(got {updates_collections!r})."
        )


@contextlib.contextmanager
def _in_words_of_contrib() -> Iterator[None]:
    """Lets errors speak of the arguments that `batch_norm` has."""
    try:
        yield
    except (TypeError, ValueError) as error:
        # What comes after the first is the value that the caller gave.
        message = _OUR_NAME.sub(lambda found: _OUR_NAMES[found.group(1)], str(error), count=1)
        raise type(error)(message) from None
