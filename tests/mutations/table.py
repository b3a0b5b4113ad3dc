"""The kill list: one-line changes of the core, each a mistake somebody could make."""

from __future__ import annotations

from typing import NamedTuple

STEP = "tests/properties/test_reference.py::test_a_training_step"
INFERENCE = "tests/properties/test_reference.py::test_inference"
DERIVATIVES = "tests/properties/test_reference.py::test_first_and_second_derivatives"
FUZZ = "tests/properties/test_fuzz.py"
STRUCTURE = "tests/conformance/test_structure.py"
EMPTY = "tests/graph/test_empty_batch.py"
NUMERICS = "tests/graph/test_numerics.py"
LAYER = "tests/graph/test_layer.py"
TRAIN_OP = "tests/graph/test_train_op.py"
FAILURES = "tests/graph/test_failures.py"
CHOICE = "tests/unit/test_kernel_choice.py"
GEOMETRY = "tests/unit/test_geometry.py"
SPEC = "tests/unit/test_spec.py"
FLAG = "tests/graph/test_training_flag.py"
KERNELS = "tests/graph/test_kernels.py"
MODE = "tests/graph/test_update_mode.py"
WAYS = "tests/graph/test_gradient_ways.py"
EXTREMES = "tests/properties/test_extremes.py"


class Mutation(NamedTuple):
    """In `file` of the package the one line `old` becomes `new`; `tests` must notice.

    Lines are given without their indentation. `select` is pytest's -k.
    """

    mistake: str
    file: str
    old: str
    new: str
    tests: tuple
    select: str = ""


def _of(file: str, *rows: tuple) -> list:
    return [Mutation(row[0], file, *row[1:]) for row in rows]


MUTATIONS = [
    *_of(
        "replica_merge.py",
        ("a tape in a replica does not see that merged statistics depend on anything",
         "seen = tf.identity_n([*values, *sums])[len(sums) :]",
         "seen = sums", (WAYS,), "graph_of_a_replica_is_refused"),
    ),
    *_of(
        "tower_tapes.py",
        ("a tape in a tower does not see that merged statistics depend on anything",
         "seen = tf.identity_n([*merged, *own])[: len(merged)]",
         "seen = list(merged)", (WAYS,), "in_a_tower"),
    ),
    *_of(
        "core.py",
        ("gamma and beta swapped",
         "learned = (read(variable) for variable in (variables.gamma, variables.beta))",
         "learned = (read(variable) for variable in (variables.beta, variables.gamma))", (STEP,)),
        ("averages of renorm move with the other momentum",
         "renorm_rate = rate_where(active, rate(spec.renorm_momentum))",
         "renorm_rate = rate_where(active, rate(spec.momentum))", (STEP,), "renorm"),
        ("a shared read taken for the value in a chain of updates",
         "select = fresh or spec.renorm", "select = spec.renorm", (EMPTY, TRAIN_OP)),
        ("averages of renorm moved before r and d are known",
         "with tf.control_dependencies(list(users)):",
         "with tf.control_dependencies([]):", (EXTREMES,), "before"),
        ("moving variance written before the deviation it is made of",
         "with tf.control_dependencies([moved(variables.moving_stddev, stddev, moving_rate)]):",
         "with tf.control_dependencies([]):", (STEP, STRUCTURE), "renorm"),
        ("an empty batch moves the averages in a fed phase",
         "active = training if filled is None else tf.logical_and(training, filled)",
         "active = training", (EMPTY, STEP, "tests/conformance/test_values.py"),
         "0x or test_empty_batch"),
    ),
    *_of(
        "phases.py",
        ("moving mean and variance swapped in inference",
         "choice, moving, affine = plan.choice, state.moving, state.learned",
         "choice, moving, affine = plan.choice, Moments(*state.moving[::-1]), state.learned",
         (INFERENCE,)),
        ("r and d swapped",
         "affine = affine.after(*(correction if ghosts else _fit(correction, plan)))",
         "affine = affine.after(*(correction if ghosts else _fit(correction, plan))[::-1])",
         (STEP,), "renorm"),
        ("r and d swapped before the fused op",
         "affine = affine.after(*_flat(correction))",
         "affine = affine.after(*_flat(correction)[::-1])",
         (KERNELS,), "renorm"),
        ("adjustment forgotten",
         "return learned.after(*_shaped(adjustment, plan)), None",
         "return learned, None", (NUMERICS,), "adjustment"),
        ("an adjustment for each example forgotten",
         "return Affine(None, None), _fit(learned, plan).after(*adjustment)",
         "return learned, None", (NUMERICS,), "adjustment"),
        ("an empty batch's NaN from the fused kernel",
         "return Normalized(outputs, moments_or(batch, state.moving, filled))",
         "return Normalized(outputs, batch)", (EMPTY, "tests/conformance/test_values.py"),
         "0x or test_empty_batch"),
        ("a subclass's variance lost on its way",
         "return Moments(tf.cast(mean, dtype), tf.cast(variance, dtype))",
         "return Moments(tf.cast(mean, dtype), tf.zeros_like(variance))",
         ("tests/graph/test_layer.py",)),
    ),
    *_of(
        "moments.py",
        ("ghost batches of consecutive rows",
         'inputs, tf.concat([[virtual_batch_size, ghost_count], sizes[1:]], 0), name="Reshape"',
         "tf.gather(inputs, tf.argsort(tf.range(sizes[0]) % virtual_batch_size, stable=True)),"
         " tf.concat([[virtual_batch_size, ghost_count], sizes[1:]], 0)", (STEP,), "ghosts"),
        ("the averages see the first ghost alone",
         "tf.reduce_mean(moments.variance, axis=1, keepdims=True),",
         "moments.variance[:, :1],", (STEP,), "ghosts"),
        ("the variance's second derivative cut",
         'variance = tf.subtract(squares, tf.square(mean - center), name="variance")',
         'variance = tf.identity(squares, name="variance")', (DERIVATIVES,), "subclass"),
        ("the mean's gradient cut",
         'mean = tf.reduce_mean(inputs, axes, keepdims=True, name="mean")',
         'mean = tf.stop_gradient(tf.reduce_mean(inputs, axes, keepdims=True, name="mean"))',
         (DERIVATIVES,), "subclass"),
        ("an empty batch's NaN from the composed kernel",
         "tf.where(batch_has_values, batch.mean, fallback.mean),",
         "batch.mean,", (EMPTY, "tests/conformance/test_values.py"), "0x or test_empty_batch"),
    ),
    *_of(
        "moving_average.py",
        ("momentum for 1 - momentum", "wide = 1.0 - float(momentum)",
         "wide = float(momentum)", (STEP,)),
        ("averages move away from the batch",
         "delta = (old - tf.cast(average.value, old.dtype)) * average.rate",
         "delta = (tf.cast(average.value, old.dtype) - old) * average.rate", (STEP,)),
        ("updates run in inference",
         "return rate if active is None else tf.where(active, rate, tf.zeros_like(rate))",
         "return rate", (INFERENCE,)),
        ("renorm's variance written in inference",
         "if active is not None:", "if active is None:", (INFERENCE,), "renorm"),
        ("renorm's variance keeps epsilon",
         "value = tf.nn.relu(stddev * stddev - scalar(epsilon, stddev.dtype))",
         "value = tf.nn.relu(stddev * stddev)", (STEP,), "renorm"),
        ("renorm's variance may be negative",
         "value = tf.nn.relu(stddev * stddev - scalar(epsilon, stddev.dtype))",
         "value = stddev * stddev - scalar(epsilon, stddev.dtype)", (EXTREMES,)),
        ("chained updates all start from the first value",
         "old = variable.read_value()",
         "old = tf.convert_to_tensor(variable)", (EXTREMES,), "shared"),
    ),
    *_of(
        "renorm.py",
        ("r upside down", "r = batch_stddev(batch, epsilon) / averaged_stddev",
         "r = averaged_stddev / batch_stddev(batch, epsilon)", (STEP,), "renorm"),
        ("no floor below the averaged deviation",
         "averaged_stddev = tf.maximum(renorm_stddev, scalar(epsilon, dtype) ** 0.5)",
         "averaged_stddev = renorm_stddev", (EXTREMES,)),
        ("rmin bounds from above", 'r = tf.maximum(r, bounds["rmin"])',
         'r = tf.minimum(r, bounds["rmin"])', (STEP,), "renorm"),
        ("dmax bounds one side alone",
         'd = tf.minimum(tf.maximum(d, -bounds["dmax"]), bounds["dmax"])',
         'd = tf.minimum(d, bounds["dmax"])', (STEP,), "renorm"),
        ("stop_gradient of r forgotten",
         'tf.stop_gradient(r, name="renorm_r"), tf.stop_gradient(d, name="renorm_d")',
         'tf.identity(r, name="renorm_r"), tf.stop_gradient(d, name="renorm_d")',
         (DERIVATIVES,), "renorm"),
        ("stop_gradient of d forgotten",
         'tf.stop_gradient(r, name="renorm_r"), tf.stop_gradient(d, name="renorm_d")',
         'tf.stop_gradient(r, name="renorm_r"), tf.identity(d, name="renorm_d")',
         (DERIVATIVES,), "renorm"),
        ("the schedule's rmax ends too early", "rmax = 1.0 + 2.0 * ramp(40000.0)",
         "rmax = 1.0 + 2.0 * ramp(25000.0)", (NUMERICS,), "schedule"),
    ),
    *_of(
        "kernels.py",
        ("Bessel's correction dropped",
         "return outputs, Moments(result.batch_mean, result.batch_variance)",
         "return outputs, Moments(result.batch_mean, result.reserve_space_2)", (STEP,), "fused"),
        ("epsilon not raised for the fused kernel",
         "max(float(epsilon), FUSED_MIN_EPSILON),",
         "float(epsilon),", (NUMERICS, STEP), "tiny"),
        ("epsilon outside of the root",
         "inverse_stddev = tf.rsqrt(variance + scalar(epsilon, variance.dtype))",
         "inverse_stddev = tf.rsqrt(variance) + scalar(epsilon, variance.dtype)", (STEP,)),
        ("the mean added instead of taken away",
         "shift = -shift if affine.offset is None else affine.offset - shift",
         "shift = -shift if affine.offset is None else affine.offset + shift", (INFERENCE,)),
    ),
    *_of(
        "folded_kernels.py",
        ("Bessel's correction kept where TF1 has none",
         "moments = Moments(op.batch_mean, op.batch_variance * (1.0 - inverse_count))",
         "moments = Moments(op.batch_mean, op.batch_variance)", (KERNELS,), "exact"),
        ("ghosts of the folded kernel not averaged",
         "return tf.reduce_mean(each, 0)", "return each[0]",
         (KERNELS,), "exact"),
        ("an empty batch's NaN from the folded kernel",
         "return moments_or(moments, batch.fallback, batch.filled)", "return moments",
         (KERNELS,), "empty"),
        ("renorm normalizes by the averages",
         "normalized = fused_op(each.rows, affine, each.moments, batch.epsilon, False).y",
         "normalized = fused_op(each.rows, affine, batch.fallback, batch.epsilon, False).y",
         (KERNELS,), "exact and renorm"),
        ("renorm's gradient is that of inference",
         "outputs.append(with_gradient_of_op(normalized, each.rows, affine, each.op))",
         "outputs.append(normalized)", (KERNELS,), "exact and renorm"),
    ),
    *_of(
        "column_kernels.py",
        ("the columns' means forgotten in the variance",
         "return Moments(mean, tf.reduce_mean(own.variance + apart, axes, keepdims=True))",
         "return Moments(mean, tf.reduce_mean(own.variance, axes, keepdims=True))",
         (KERNELS,), "exact and columns"),
        ("Bessel's correction kept for columns",
         "own = Moments(op.batch_mean, op.batch_variance * (1.0 - inverse_rows))",
         "own = Moments(op.batch_mean, op.batch_variance)", (KERNELS,), "exact and columns"),
        ("a column's own deviation kept",
         "slope = factor * tf.sqrt(own.variance + batch.epsilon)", "slope = factor",
         (KERNELS,), "exact and columns"),
        ("a column's own mean kept", "shift = (own.mean - merged.mean) * factor",
         "shift = tf.zeros_like(own.mean) * factor", (KERNELS,), "exact and columns"),
        ("an empty batch's NaN from columns",
         "own = moments_or(own, fallback, batch.filled)", "own = own",
         (KERNELS,), "empty and columns"),
        ("the column's share left in the gradient", "slope = (taken - takes) * factor",
         "slope = -takes * factor", (KERNELS,), "exact and columns"),
        ("the channel's share missing in the gradient", "slope = (taken - takes) * factor",
         "slope = taken * factor", (KERNELS,), "exact and columns"),
        ("the gradient not centered by the channel's mean",
         "shift += (merged_mean * takes - mean * taken) * factor",
         "shift += mean * (takes - taken) * factor", (KERNELS,), "exact and columns"),
        ("gamma's gradient without the columns' distance",
         "from_mean = along_column * column_stddev + (mean - merged_mean) * total_of_column",
         "from_mean = along_column * column_stddev", (KERNELS,), "exact and columns"),
        ("the moments of columns constant in second derivatives",
         "own = differentiable_moments(own, rows, inverse_rows)", "own = Moments(*own)",
         (KERNELS,), "second and columns"),
    ),
    *_of(
        "folding_plan.py",
        ("channels that fill no vectors given to the op as they are",
         "if after == 1 and not apart and not slow:", "if after == 1 and not apart:",
         ("tests/unit/test_folding_plan.py",)),
        ("all rows on one axis", "return [examples, rows // examples, 1, width]",
         "return [rows, 1, 1, width]", ("tests/unit/test_folding_plan.py",)),
        ("channels apart taken for a block",
         "apart = any(shape[axis] != 1 for axis in range(first, last) if axis not in channel_axes)",
         "apart = False", ("tests/unit/test_folding_plan.py",)),
    ),
    *_of(
        "gradient.py",
        ("the second pass's own scale lost in its gradient", "scale=scale,",
         "scale=tf.ones_like(scale),", (KERNELS,), "exact and renorm"),
        ("the gradient through the mean lost",
         "d_inputs = (upstream - centered * slope - total * inverse_count) * factor",
         "d_inputs = (upstream - centered * slope) * factor", (DERIVATIVES,)),
        ("the gradient through the variance lost",
         "d_inputs = (upstream - centered * slope - total * inverse_count) * factor",
         "d_inputs = (upstream - total * inverse_count) * factor", (DERIVATIVES,)),
        ("the uncentered shift of the wrong sign",
         "shift = (mean * slope - total * inverse_count) * factor",
         "shift = (mean * slope + total * inverse_count) * factor", (KERNELS,), "exact and hand"),
        ("the mean not taken from the uncentered product",
         "along = sum_like(upstream * inputs, inverse_stddev, inputs) - mean * total",
         "along = sum_like(upstream * inputs, inverse_stddev, inputs)", (KERNELS,),
         "exact and hand"),
    ),
    *_of(
        "folding.py",
        ("ghosts of consecutive rows",
         "view = tf.reshape(inputs, [ghost_size, fold.slices, values])",
         "view = tf.transpose(tf.reshape(inputs, [fold.slices, ghost_size, values]), [1, 0, 2])",
         (KERNELS,), "slices and exact"),
    ),
    *_of(
        "either.py",
        ("the phases swapped", "taken = if_true([switch.output_true for switch in switched])",
         "taken = if_false([switch.output_true for switch in switched])", (STEP, INFERENCE)),
    ),
    *_of(
        "affine.py",
        ("gamma forgotten on the inner offset",
         "composed_scale, composed_offset = scale * self.scale, offset * self.scale",
         "composed_scale, composed_offset = scale * self.scale, offset", (STEP,), "adjusted"),
        ("the inner offset lost", "composed_offset = composed_offset + self.offset",
         "composed_offset = self.offset", (STEP,), "adjusted"),
    ),
    *_of(
        "kernel_choice.py",
        ("tiny inputs folded",
         "kernel = Kernel.FUSED if forced or size >= training else Kernel.COMPOSED",
         "kernel = Kernel.FUSED if forced or size < training else Kernel.COMPOSED", (CHOICE,)),
        ("epsilon raised to another value", "FUSED_MIN_EPSILON = 1.001e-5",
         "FUSED_MIN_EPSILON = 1e-5", (EXTREMES,)),
        ("unknown sizes taken for one",
         "count *= size if size is not None else (ASSUMED_SIZE if axis else ASSUMED_BATCH)",
         "count *= size if size is not None else 1", (CHOICE,)),
    ),
    *_of(
        "geometry.py",
        ("ghost parameters without the ghost axis",
         "param_shape = broadcast_shape[:1] + (1,) + broadcast_shape[1:]",
         "param_shape = broadcast_shape", (GEOMETRY,)),
        ("half-precision parameters",
         'param_dtype="float32" if param_dtype in HALF_DTYPES else param_dtype,',
         "param_dtype=param_dtype,", (GEOMETRY,)),
        ("a batch that ghosts do not divide let through",
         "if size is not None and batch is not None and batch % size:", "if False:",
         (GEOMETRY, FAILURES, STRUCTURE), "ghost or virtual"),
        ("an axis twice let through", "if len(set(resolved)) < len(resolved):", "if False:",
         (GEOMETRY, FUZZ)),
    ),
    *_of(
        "spec.py",
        ("ghosts and adjustment let through together", "if self.adjustment is not None:",
         "if False:", (SPEC,)),
        ("an unknown clipping key let through", "if unknown:", "if False:", (SPEC,)),
    ),
    *_of(
        "call_checks.py",
        ("inference refuses a remainder batch",
         "if static_training(training) is not False:", "if True:", (EXTREMES,), "ghosts"),
    ),
    *_of(
        "training_flag.py",
        ("the learning phase is training by default",
         "return tf.placeholder_with_default(False, shape=(), name=LEARNING_PHASE)",
         "return tf.placeholder_with_default(True, shape=(), name=LEARNING_PHASE)", (FLAG,)),
    ),
    *_of(
        "variables.py",
        ("statistics are trained", "trainable=False,", "trainable=True,", (STRUCTURE,), "7x5"),
        ("gamma made by center", 'gamma = learned("gamma") if spec.scale else None',
         'gamma = learned("gamma") if spec.center else None', (STRUCTURE,), "center or scale"),
        ("statistics are partitioned", "with _no_partitioner():",
         "with contextlib.suppress():", (STRUCTURE, "tests/conformance/test_checkpoint.py"),
         "partition or checkpoint"),
    ),
    *_of(
        "layer_weights.py",
        ("losses twice under reuse",
         "if any(id(part) in before for part in _parts(variable)):", "if False:",
         (LAYER, STRUCTURE), "share or reuse"),
    ),
    *_of(
        "layer_scope.py",
        ("reuse forgotten",
         "return self._enter(tf.variable_scope(given, default_name=self._base_name,"
         " reuse=self.reuse))",
         "return self._enter(tf.variable_scope(given, default_name=self._base_name))",
         (STRUCTURE,), "reuse"),
    ),
    *_of(
        "layer.py",
        ("update ops of a layer that is not trainable",
         "return [update for update, _ in self._updates] if self.trainable else []",
         "return [update for update, _ in self._updates]", (LAYER, STRUCTURE), "trainable"),
    ),
    *_of(
        "graph_collections.py",
        ("update ops collected twice", "if id(item) not in known:", "if True:",
         (LAYER, STRUCTURE), "class or updates"),
    ),
    *_of(
        "update_mode.py",
        ("the gradient does not wait for the updates",
         "with tf.control_dependencies([tf.identity(tensor) for tensor in moved]):",
         "with tf.control_dependencies([]):", (MODE,), "whatever and linear"),
        ("the outputs do not wait for the updates",
         "with tf.control_dependencies([moved]), override:", "with override:", (MODE,), "whatever"),
        ("updates run beside, not before", "with tf.control_dependencies(moves):",
         "with tf.control_dependencies([]):", (MODE,), "whatever"),
    ),
    *_of(
        "core.py",
        ("an iteration reads the averages before the last one has written",
         "updates = tuple(updates_again())", "updates = tuple(_update_ops(outcome, plan))",
         (MODE,), "whatever and loop"),
    ),
    *_of(
        "stranded_updates.py",
        ("a train op of updates that cannot run", "if stranded:", "if False:", (MODE,), "named"),
    ),
    *_of(
        "train_op.py",
        ("updates of every tower",
         "wanted = {update for call in calls if call.outputs.op in needed "
         "for update in call.updates}",
         "wanted = ours", (TRAIN_OP,)),
    ),
]  # fmt: skip
