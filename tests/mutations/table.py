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
SURFACE = "tests/graph/test_layer_surface.py"
OBJECTS = "tests/conformance/test_object_checkpoint.py"
TRAIN_OP = "tests/graph/test_train_op.py"
FAILURES = "tests/graph/test_failures.py"
INTERRUPTED = "tests/graph/test_interrupted.py"
FUNCTIONS = "tests/graph/test_functions.py"
KINDS = "tests/graph/test_variable_kinds.py"
CHOICE = "tests/unit/test_kernel_choice.py"
GEOMETRY = "tests/unit/test_geometry.py"
SPEC = "tests/unit/test_spec.py"
FLAG = "tests/graph/test_training_flag.py"
KERNELS = "tests/graph/test_kernels.py"
MODE = "tests/graph/test_update_mode.py"
FUZZ_PROOF = "tests/testing/test_fuzz.py"
ENDINGS = "tests/testing/test_endings.py"
RECORDED_FILES = "tests/testing/test_files.py"
WAYS = "tests/graph/test_gradient_ways.py"
EXTREMES = "tests/properties/test_extremes.py"
COMBINATIONS = "tests/properties/test_combinations.py"
CONTRIB = "tests/contrib/test_conformance.py"
CONTRIB_BEHAVIOUR = "tests/contrib/test_behaviour.py"
OLD_NAMES = "tests/legacy/test_contrib_names.py"
MOMENTS = "tests/unit/test_population_moments.py"
RECALIBRATE = "tests/rescue/test_recalibrate.py"
HPARAMS = "tests/legacy/test_hparams.py"


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
        "_src/scaling/replica_merge.py",
        ("a tape in a replica does not see that merged statistics depend on anything",
         "seen = tf.identity_n([*values, *sums])[len(sums) :]",
         "seen = sums", (WAYS,), "graph_of_a_replica_is_refused"),
    ),
    *_of(
        "_src/scaling/tower_tapes.py",
        ("a tape in a tower does not see that merged statistics depend on anything",
         "shown = tf.identity_n([*values, *seen])[: len(values)]",
         "shown = list(values)", (WAYS,), "in_a_tower"),
        ("a tape around towers that is asked for variables finds None",
         "asked += [variable.read_value() for variable in variables[:1]]",
         "asked += []", (WAYS,), "around_towers"),
        ("a tape around towers is not refused for complex results",
         "differentiable = value.dtype.is_floating or value.dtype.is_complex",
         "differentiable = value.dtype.is_floating", (WAYS,), "whatever_they_return"),
        ("a tape around towers that is asked for inputs finds None",
         "asked = [tensors[name] for name in names if name in tensors]",
         "asked = []", (WAYS,), "around_towers"),
    ),
    *_of(
        "_src/call/core.py",
        ("gamma and beta swapped",
         "learned = (read(variable) for variable in (variables.gamma, variables.beta))",
         "learned = (read(variable) for variable in (variables.beta, variables.gamma))", (STEP,)),
        ("an empty batch moves the averages in a fed phase",
         "active = training if active is None else tf.logical_and(training, active)",
         "active = training", (EMPTY, STEP, "tests/conformance/test_values.py"),
         "0x or test_empty_batch"),
    ),
    *_of(
        "_src/call/core.py",
        ("moving mean and variance swapped in inference",
         "way, moving, affine = plan.choice.in_inference, state.moving, state.learned",
         "way, moving, affine = plan.choice.in_inference, Moments(*state.moving[::-1]),"
         " state.learned",
         (INFERENCE,)),
        ("r and d swapped", "affine = affine.after(*correction)",
         "affine = affine.after(*correction[::-1])", (STEP, KERNELS), "renorm"),
        ("a subclass's variance lost on its way",
         "own = Moments(tf.cast(mean, dtype), tf.cast(variance, dtype))",
         "own = Moments(tf.cast(mean, dtype), tf.zeros_like(variance))",
         ("tests/graph/test_layer.py",)),
    ),
    *_of(
        "_src/kernels/adjustment.py",
        ("adjustment forgotten",
         "return learned.after(*shaped(adjustment, geometry)), None",
         "return learned, None", (NUMERICS,), "adjustment"),
        ("an adjustment for each example forgotten",
         "return Affine(None, None), fitted(learned, geometry).after(*adjustment)",
         "return learned, None", (NUMERICS,), "adjustment"),
    ),
    *_of(
        "_src/kernels/moments.py",
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
    ),
    *_of(
        "_src/kernels/batch.py",
        ("values counted in half precision",
         "dtype = tf.float32 if is_half(inputs) else inputs.dtype",
         "dtype = inputs.dtype", (COMBINATIONS,), "float16"),
    ),
    *_of(
        "_src/kernels/batch.py",
        ("an empty batch's NaN from the composed kernel",
         "tf.where(batch_has_values, batch.mean, fallback.mean),",
         "batch.mean,", (EMPTY, "tests/conformance/test_values.py"), "0x or test_empty_batch"),
        ("1 / 0 for the values of an empty batch of known size",
         "return 1.0 / count if count else 0.0",
         'return 1.0 / count if count else float("inf")', (EMPTY,), "derivatives"),
        ("1 / 0 for the values of an empty batch",
         "return tf.math.divide_no_nan(tf.constant(_product(kept), dtype), values)",
         "return tf.constant(_product(kept), dtype) / values", (EMPTY,), "derivatives"),
    ),
    *_of(
        "_src/call/updates.py",
        ("momentum for 1 - momentum", "wide = 1.0 - float(momentum)",
         "wide = float(momentum)", (STEP,)),
        ("averages move away from the batch",
         "delta = (old - tf.cast(value, old.dtype)) * rate",
         "delta = (tf.cast(value, old.dtype) - old) * rate", (STEP,)),
        ("updates run in inference",
         "return rate if active is None else tf.where(active, rate, tf.zeros_like(rate))",
         "return rate", (INFERENCE,)),
        ("chained updates all start from the first value",
         "old = read(variable)", "old = value_of(variable)", (EXTREMES,), "shared"),
    ),
    *_of(
        "_src/call/renorm_updates.py",
        ("renorm's variance written in inference",
         "if active is not None:", "if active is None:", (INFERENCE,), "renorm"),
        ("renorm's variance keeps epsilon",
         "value = tf.nn.relu(stddev * stddev - scalar(epsilon, stddev.dtype))",
         "value = tf.nn.relu(stddev * stddev)", (STEP,), "renorm"),
        ("renorm's variance may be negative",
         "value = tf.nn.relu(stddev * stddev - scalar(epsilon, stddev.dtype))",
         "value = stddev * stddev - scalar(epsilon, stddev.dtype)", (EXTREMES,)),
    ),
    *_of(
        "_src/kernels/renorm.py",
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
         'scale=tf.stop_gradient(r, name="renorm_r"), offset=tf.stop_gradient(d, name="renorm_d")',
         'scale=tf.identity(r, name="renorm_r"), offset=tf.stop_gradient(d, name="renorm_d")',
         (DERIVATIVES,), "renorm"),
        ("stop_gradient of d forgotten",
         'scale=tf.stop_gradient(r, name="renorm_r"), offset=tf.stop_gradient(d, name="renorm_d")',
         'scale=tf.stop_gradient(r, name="renorm_r"), offset=tf.identity(d, name="renorm_d")',
         (DERIVATIVES,), "renorm"),
        ("the schedule's rmax ends too early", "rmax = 1.0 + 2.0 * ramp(40000.0)",
         "rmax = 1.0 + 2.0 * ramp(25000.0)", (NUMERICS,), "schedule"),
    ),
    *_of(
        "_src/kernels/fused.py",
        ("an empty batch's NaN from the fused kernel",
         "return outputs, batch.settled(moments)",
         "return outputs, moments", (EMPTY, "tests/conformance/test_values.py"),
         "0x or test_empty_batch"),
        ("Bessel's correction dropped",
         "return outputs, Moments(result.batch_mean, result.batch_variance)",
         "return outputs, Moments(result.batch_mean, result.reserve_space_2)", (STEP,), "fused"),
    ),
    *_of(
        "_src/kernels/composed.py",
        ("epsilon outside of the root",
         "inverse_stddev = tf.rsqrt(variance + scalar(epsilon, variance.dtype))",
         "inverse_stddev = tf.rsqrt(variance) + scalar(epsilon, variance.dtype)", (STEP,)),
        ("the mean added instead of taken away",
         "shift = -shift if affine.offset is None else affine.offset - shift",
         "shift = -shift if affine.offset is None else affine.offset + shift", (INFERENCE,)),
    ),
    *_of(
        "_src/kernels/fused.py",
        ("Bessel's correction kept where TF1 has none",
         "population = 1.0 - inverse_count_of(rows, (0, 1, 2))", "population = 1.0", (KERNELS,),
         "exact"),
        ("ghosts of the folded kernel not averaged",
         "return tf.reduce_mean(each, 0)", "return each[0]",
         (KERNELS,), "exact"),
        ("an empty batch's NaN from the folded kernel",
         "return [op.y for op in ops], batch.settled(moments)",
         "return [op.y for op in ops], moments",
         (KERNELS,), "empty"),
    ),
    *_of(
        "_src/kernels/columns.py",
        ("the columns' share left out of the count",
         "inverse_count = inverse_count_of(rows, (0,)) * (fold.channels / float(fold.width))",
         "inverse_count = inverse_count_of(rows, (0,))", (KERNELS,), "exact and columns"),
        ("columns not centered", "outputs = centered * tf.reshape(columns, [-1])",
         "outputs = rows * tf.reshape(columns, [-1])", (KERNELS,), "exact and columns"),
        ("the shifted mean lost in the gradient of columns",
         "forward = Forward(rows, None, mean, inverse_stddev, factor, inverse_count)",
         "forward = Forward(rows, None, 0 * mean, inverse_stddev, factor, inverse_count)",
         (KERNELS,), "exact and columns"),
    ),
    *_of(
        "_src/kernels/row_view.py",
        ("columns of a channel not added up",
         "return tf.reduce_sum(total, axes, keepdims=True) if axes else total",
         "return tf.reduce_max(total, axes, keepdims=True) if axes else total", (KERNELS,),
         "exact and columns"),
    ),
    *_of(
        "_src/plan/row_layout.py",
        ("channels that fill no vectors given to the op as they are",
         "if rows is not None and not rows.slow and not rows.transposed:",
         "if rows is not None and not rows.transposed:",
         ("tests/unit/test_folding_plan.py",)),
        ("all rows on one axis", "return [examples, rows // examples, 1, width]",
         "return [rows, 1, 1, width]", ("tests/unit/test_folding_plan.py",)),
        ("channels apart taken for a block",
         "apart = any(shape[axis] != 1 for axis in range(first, last) if axis not in channel_axes)",
         "apart = False", ("tests/unit/test_folding_plan.py",)),
    ),
    *_of(
        "_src/kernels/gradients.py",
        ("the gradient through the mean lost",
         "inner = centered * over(slope) + over(total * inverse_count)",
         "inner = centered * over(slope)", (DERIVATIVES,)),
        ("the gradient through the variance lost",
         "inner = centered * over(slope) + over(total * inverse_count)",
         "inner = over(total * inverse_count)", (DERIVATIVES,)),
        ("the uncentered shift of the wrong sign",
         "shift = (mean * slope - total * inverse_count) * factor",
         "shift = (mean * slope + total * inverse_count) * factor", (KERNELS,),
         "exact and columns"),
        ("the mean not taken from the uncentered product",
         "along = sums(upstream * inputs) - mean * total",
         "along = sums(upstream * inputs)", (KERNELS,),
         "exact and columns"),
    ),
    *_of(
        "_src/kernels/row_view.py",
        ("ghosts of consecutive rows",
         "parts = tf.unstack(view, num=layout.slices, axis=1)",
         "parts = tf.split(tf.reshape(view, [-1, layout.split[2]]), layout.slices)",
         (KERNELS,), "slices and exact"),
    ),
    *_of(
        "_src/call/conditional.py",
        ("the phases swapped", "taken = if_true([switch.output_true for switch in switched])",
         "taken = if_false([switch.output_true for switch in switched])", (STEP, INFERENCE)),
    ),
    *_of(
        "_src/kernels/batch.py",
        ("the population's variance where elementary ops stand in for TF1's fused op",
         "if not self.sample:", "if True:", ("tests/graph/test_odd_images.py",), "training"),
        ("gamma forgotten on the inner offset",
         "composed_scale, composed_offset = scale * self.scale, offset * self.scale",
         "composed_scale, composed_offset = scale * self.scale, offset", (STEP,), "adjusted"),
        ("the inner offset lost", "composed_offset = composed_offset + self.offset",
         "composed_offset = self.offset", (STEP,), "adjusted"),
    ),
    *_of(
        "_src/plan/kernel_choice.py",
        ("epsilon not raised for the fused kernel",
         "return max(float(given), FUSED_MIN_EPSILON) if self.fused else given",
         "return given", (NUMERICS, STEP), "tiny"),
        ("epsilon raised to another value", "FUSED_MIN_EPSILON = 1.001e-5",
         "FUSED_MIN_EPSILON = 1e-5", (EXTREMES,)),
    ),
    *_of(
        "_src/plan/geometry.py",
        ("unknown sizes taken for one",
         "count *= assumed if known is None else known",
         "count *= 1 if known is None else known", (CHOICE,)),
    ),
    *_of(
        "_src/plan/ways.py",
        ("a batch of one not thought of, where the fused op dies of it",
         "one_row = all(sizes[axis] in (None, 0, 1) for axis in geometry.reduction_axes)",
         "one_row = all(sizes[axis] in (0, 1) for axis in geometry.reduction_axes)", (CHOICE,)),
    ),
    *_of(
        "_src/plan/ways.py",
        ("tiny inputs folded",
         "if size < least:", "if size >= least:", (CHOICE,)),
    ),
    *_of(
        "_src/plan/geometry.py",
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
        "_src/plan/spec.py",
        ("ghosts and adjustment let through together", "if self.adjustment is not None:",
         "if False:", (SPEC,)),
        ("an unknown clipping key let through", "if unknown:", "if False:", (SPEC,)),
        ("TF1's phrase before our rule", 'return kind(f"{rule} In the words of TF1: {phrase}")',
         'return kind(f"{phrase}: {rule}")', (SPEC,), "words or phrase"),
    ),
    *_of(
        "_src/api/planning.py",
        ("inference refuses a remainder batch",
         "if trains is not False:", "if True:", (EXTREMES,), "ghosts"),
    ),
    *_of(
        "_src/runtime/training_flag.py",
        ("the learning phase is training by default",
         "return tf.placeholder_with_default(False, shape=(), name=LEARNING_PHASE)",
         "return tf.placeholder_with_default(True, shape=(), name=LEARNING_PHASE)", (FLAG,)),
    ),
    *_of(
        "_src/state/variables.py",
        ("statistics are trained", "trainable=False,", "trainable=True,", (STRUCTURE,), "7x5"),
        ("gamma made by center", 'gamma = learned("gamma") if spec.scale else None',
         'gamma = learned("gamma") if spec.center else None', (STRUCTURE,), "center or scale"),
        ("statistics are partitioned", "with _no_partitioner():",
         "with contextlib.suppress():", (STRUCTURE, "tests/conformance/test_checkpoint.py"),
         "partition or checkpoint"),
    ),
    *_of(
        "_src/state/variables.py",
        ("renorm's variables take turns on parameter servers",
         "with made_beside(made.moving_variance):", "with contextlib.suppress():", (KINDS,),
         "renorm_lies"),
    ),
    *_of(
        "_src/state/half_layers.py",
        ("shared statistics looked for in parts",
         "sharing.set_partitioner(scope.partitioner if split else None)",
         "sharing.set_partitioner(scope.partitioner)", (KINDS,), "partitioned_scope"),
    ),
    *_of(
        "_src/state/reach.py",
        ("a ref variable assigned from another graph",
         "return is_ref(variable) and home is not here", "return False", (KINDS,), "branch"),
    ),
    *_of(
        "_src/call/updates.py",
        ("a wrapper given keywords it does not take",
         'return {"name": wished["name"]} if named else {}', "return wished", (KINDS,), "staged"),
    ),
    *_of(
        "_src/state/leftovers.py",
        ("a variable that a function lifted out of itself counts as half made",
         'return hasattr(variable, "handle") or hasattr(variable, "op")',
         'return hasattr(variable, "op")', (FUNCTIONS,), "retry"),
        ("another call takes what a failed one left",
         "if not changed and not same(wanted, found):", "if False:", (INTERRUPTED,),
         "another_call"),
        ("a variable that was left comes back without its collections",
         "add_once(key, [item], home)", "pass", (INTERRUPTED,), "gamma_regularizer"),
    ),
    *_of(
        "_src/state/undoing.py",
        ("a failed call leaves its items in the collections",
         "take_out_since(self._lengths, lambda item: is_variable(item) and id(item) not in ours)",
         "del ours", (INTERRUPTED,), "adjustment"),
        ("a failed call leaves its layer half built",
         "self._restore()", "pass", (INTERRUPTED,), "subclass"),
    ),
    *_of(
        "_src/objects/weights.py",
        ("losses twice under reuse",
         "if any(id(part) in before for part in parts_of(weight)):", "if False:",
         (LAYER, STRUCTURE), "share or reuse"),
    ),
    *_of(
        "_src/objects/graph_layer.py",
        ("reuse forgotten",
         "return self._enter(variable_scope(given, self._base_name, reuse=self._reuse))",
         "return self._enter(variable_scope(given, self._base_name, reuse=None))",
         (STRUCTURE,), "reuse"),
    ),
    *_of(
        "_src/objects/graph_layer.py",
        ("update ops of a layer that is not trainable",
         "return [update for update, _ in self._updates] if self.trainable else []",
         "return [update for update, _ in self._updates]", (LAYER, STRUCTURE), "trainable"),
        ("losses that need an input among those that need none",
         "kept.append((made, None if inputs is None else made))", "kept.append((made, None))",
         (SURFACE,), "losses or activity"),
    ),
    *_of(
        "_src/objects/weights.py",
        ("weights that checkpoints by object do not see",
         "tf.Module.__setattr__(self, name, weight)", "pass", (OBJECTS,), "restores or keys"),
        ("a wrapper and a key for each list",
         "if is_argument or not self._is_further_state(value):", "if is_argument:",
         (SURFACE,), "attributes"),
    ),
    *_of(
        "_src/runtime/graph_search.py",
        ("updates found by the very input only",
         "for source in [*op.inputs, *op.control_inputs]:", "for source in op.control_inputs:",
         (SURFACE,), "updates"),
    ),
    *_of(
        "_src/objects/session_values.py",
        ("weights written although one does not fit",
         "if not variable.shape.is_compatible_with(array.shape):", "if False:",
         (SURFACE,), "do_not_fit"),
    ),
    *_of(
        "_src/settings.py",
        ("a named regularizer with the factor of another",
         "def _l2(l: float = 0.01) -> Named:  # noqa: E741",
         "def _l2(l: float = 0.02) -> Named:  # noqa: E741",
         ("tests/graph/test_named_functions.py",), "regularizer"),
    ),
    *_of(
        "_src/runtime/graph_place.py",
        ("update ops collected twice", "if id(item) not in known:", "if True:",
         (LAYER, STRUCTURE), "class or updates"),
    ),
    *_of(
        "_src/call/in_place.py",
        ("the gradient does not wait for the updates",
         "with tf.control_dependencies([tf.identity(tensor) for tensor in moved]):",
         "with tf.control_dependencies([]):", (MODE,), "whatever and linear"),
        ("the outputs do not wait for the updates",
         "with tf.control_dependencies([token]):", "with tf.control_dependencies([]):", (MODE,),
         "whatever"),
        ("updates run beside, not before", "with tf.control_dependencies(moves):",
         "with tf.control_dependencies([]):", (MODE,), "whatever"),
    ),
    *_of(
        "_src/call/updates.py",
        ("a shared read taken for the value in a chain of updates",
         "rate = rate_of(plan.spec.momentum, call.active if fresh else None, plan)",
         "rate = rate_of(plan.spec.momentum, None, plan)", (EMPTY, TRAIN_OP)),
        ("an iteration reads the averages before the last one has written",
         "updates = updates_again()", "updates = build(outcome, plan, False)",
         (MODE,), "whatever and loop"),
    ),
    *_of(
        "_src/call/renorm_updates.py",
        ("averages of renorm move with the other momentum",
         "rate = rate_of(plan.spec.renorm_momentum, call.active, plan)",
         "rate = rate_of(plan.spec.momentum, call.active, plan)", (STEP,), "renorm"),
    ),
    *_of(
        "_src/call/renorm_updates.py",
        ("averages of renorm moved before r and d are known",
         "with tf.control_dependencies(list(users)):",
         "with tf.control_dependencies([]):", (EXTREMES,), "before"),
        ("moving variance written before the deviation it is made of",
         "with tf.control_dependencies([moved]):",
         "with tf.control_dependencies([]):", (STEP, STRUCTURE), "renorm"),
    ),
    *_of(
        "_src/call/stranded_updates.py",
        ("a train op of updates that cannot run", "if stranded:", "if False:", (MODE,), "named"),
    ),
    *_of(
        "_src/runtime/constant_folding.py",
        ("a flag of constants not known", "elif op.type in _KERNELS and len(values) + len(pending) "
         "< MOST_OPS:", "elif False:", (FLAG,), "of_constants"),
        ("placeholders taken for constants", '"Identity",', '"Identity", "PlaceholderWithDefault",',
         (FLAG,), "run_time"),
    ),
    *_of(
        "_src/call/core.py",
        ("the number of a later call's reshape",
         'reshapes = tf1_names.next_number("Reshape") if ghosts else None',
         "reshapes = 0", (STRUCTURE,), "layer_thrice"),
    ),
    *_of(
        "_src/call/renorm_updates.py",
        ("renorm's own averages beside the conditionals",
         "with scope_of(name):", "with scope_of(None):", (STRUCTURE,), "layer_in_two_phases"),
    ),
    *_of(
        "_src/contrib/batch_norm.py",
        ("the activation before TF1's numbers",
         "take_contrib_names(spec, geometry, trains, layer.fused)", "pass",
         (CONTRIB,), "relu"),
        ("TF1's phrases renamed", "message = _OUR_NAME.sub(lambda found: "
         "_OUR_NAMES[found.group(1)], str(error), count=1)",
         'message = str(error).replace("`axis`", "`data_format`")',
         (CONTRIB_BEHAVIOUR,), "speak"),
    ),
    *_of(
        "_src/contrib/averages.py",
        ("operations collected", "tf.add_to_collections(collections, tensor)",
         "tf.add_to_collections(collections, tensor.op)", (CONTRIB_BEHAVIOUR,), "collected"),
    ),
    *_of(
        "_src/objects/weights.py",
        ("a number among the losses", "return _as_tensors(made)",
         "return [loss for loss in made if loss is not None]", (STRUCTURE,), "number"),
    ),
    *_of(
        "_src/api/planning.py",
        ("the channels of a built layer forgotten",
         "shape = [known.get(axis) if size is None else size for axis, size in enumerate(shape)]",
         "pass", (STRUCTURE,), "open_channels"),
    ),
    *_of(
        "_src/api/train_op.py",
        ("a loss of another graph", '_check_graph(loss, "minimize")', "pass", (TRAIN_OP,),
         "another_graph"),
        ("updates of every tower",
         "wanted = {update for call in calls if call.outputs.op in needed "
         "for update in call.updates}",
         "wanted = ours", (TRAIN_OP,)),
    ),
    *_of(
        "_src/proof/recording/checks.py",
        ("a recording may lack a key", "elif key not in may_lack:", "elif False:",
         (FUZZ_PROOF,), "key_is_required"),
        ("a recording may have keys of its own", "if key not in keys:", "if False:",
         (FUZZ_PROOF,), "key_is_required"),
    ),
    *_of(
        "_src/proof/recording/consistency.py",
        ("exchanged roles of a recording are believed",
         "if roles[: len(ordered)] != ordered or "
         "not all(r.startswith(\"alone/after/\") for r in rest):",
         "if not all(r.startswith(\"alone/after/\") for r in rest):", (FUZZ_PROOF,), "exchanged"),
        ("another count of updates is believed", "if has_after and not all_ran:", "if False:",
         (FUZZ_PROOF,), "proves and fused"),
        ("float32 is judged as bfloat16",
         "if dtype == \"bfloat16\" and np.any(array.reshape(-1).view(\"uint32\") & 0xFFFF):",
         "if False:", (FUZZ_PROOF,), "wide_tolerances"),
    ),
    *_of(
        "_src/files/streams.py",
        ("a verdict that nobody could read is a success",
         "return code if isinstance(error, BrokenPipeError) else code or _CANNOT_TELL",
         "return 0", (ENDINGS,), "cannot_be_told"),
    ),
    *_of(
        "_src/files/whole_files.py",
        ("endless files are read", "if is_kind(found.st_mode):", "if False:",
         (RECORDED_FILES,), "without_an_end"),
    ),
    *_of(
        "_src/programs/old_names/modules.py",
        ("an error keeps its module's name, so that `from ... import` drops the sentence",
         "raise ModuleNotFoundError(sentence(module))",
         "raise ModuleNotFoundError(sentence(module), name=name)", (OLD_NAMES,), "names_its_heir"),
        ("what TF-Slim lacks hides what others have",
         "missing = missing or error", "raise", (OLD_NAMES,), "without_slim"),
    ),
    *_of(
        "_src/programs/old_names/rnn.py",
        ("the gates of the normalized cell swapped",
         "i, j, f, o = tf.split(gates, 4, axis=1)", "j, i, f, o = tf.split(gates, 4, axis=1)",
         (OLD_NAMES,), "LayerNormBasicLSTMCell"),
    ),
    *_of(
        "_src/programs/old_names/hparams.py",
        ("a whole number is cut out of a fraction",
         "fits = fits and isinstance(value, numbers.Integral)", "pass", (HPARAMS,)),
    ),
    *_of(
        "_src/rescue/averages/moments.py",
        ("the mean of the batches' variances is taken for the variance of all",
         "return Moments(count, mean, first.squares + second.squares + between)",
         "return Moments(count, mean, first.squares + second.squares)", (MOMENTS,)),
        ("a standard error shrinks with the values and not with the batches",
         "factor = np.sqrt(batches / (batches - 1.0)) / count",
         "factor = 1.0 / count / np.sqrt(count)", (MOMENTS,), "standard_errors"),
    ),
    *_of(
        "_src/rescue/averages/rounds.py",
        ("a layer is measured in training although inference is asked for",
         "phase = dict.fromkeys(rounds.switches, rounds.training)",
         "phase = dict.fromkeys(rounds.switches, True)", (RECALIBRATE,), "inference_will_see"),
        ("values that are not finite are taken",
         "if not (np.isfinite(batch.mean).all() and np.isfinite(batch.squares).all()):",
         "if False:", (RECALIBRATE,), "bad_batch"),
        ("each layer keeps what its kernel reports, whatever its update writes",
         "rules[name] = rules[name] if known is None else known",
         "rules[name] = True", (RECALIBRATE,), "recorded_from_tensorflow_1"),
    ),
    *_of(
        "_src/rescue/averages/recalibrate.py",
        ("later layers are measured with the old statistics of earlier ones",
         "levels = levels_of(view, chosen) if method == METHODS[0] else [_in_training(chosen)]",
         "levels = [chosen]", (RECALIBRATE,), "inference_will_see"),
        ("renorm's averages are left behind",
         "values.update({name: kinds[kind] for name, kind in layer.renorm})", "pass",
         (RECALIBRATE,), "renorm"),
    ),
    *_of(
        "_src/rescue/averages/held.py",
        ("an exception leaves the statistics half written",
         "_put_back(session, held, before)", "pass", (RECALIBRATE,), "as_they_were"),
    ),
]  # fmt: skip
