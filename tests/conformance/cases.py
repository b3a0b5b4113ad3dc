"""The table: every promise about TF 1.15.5 as one line. Names follow from the arguments.

No two dimensions of a shape are alike, so that a transposition cannot hide.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.conformance.case import Case, Made

V2, V3, V4, V5, V6 = (7, 5), (6, 3, 5), (4, 3, 2, 5), (4, 3, 2, 6, 5), (4, 3, 2, 1, 6, 5)


# Arguments that are objects -------------------------------------------------------------------


def _ramp(tf: Any) -> Any:
    """A plain function, so that each element starts with a value of its own."""

    def ramp(shape: Any, dtype: Any = None, partition_info: Any = None) -> Any:
        sizes = [int(size) for size in shape]
        values = 0.5 + 0.25 * np.arange(int(np.prod(sizes))).reshape(sizes)
        return tf.constant(values, dtype=dtype)

    return ramp


def _half_getter(tf: Any) -> Any:
    """Keeps variables in float32 and hands the layer another tensor, as mixed precision does."""
    return lambda getter, *args, **kwargs: 0.5 * getter(*args, **kwargs)


def _frozen_getter(tf: Any) -> Any:
    def getter(getter: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs["trainable"] = False
        return getter(*args, **kwargs)

    return getter


def _renaming_getter(tf: Any) -> Any:
    """Other names for the statistics, as tensorpack has them."""

    def getter(getter: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        return getter(name.replace("moving_mean", "mean/EMA"), *args, **kwargs)

    return getter


def _adjust(tf: Any) -> Any:
    """A scale and bias of its own for each example, without randomness."""

    def adjust(shape: Any) -> tuple:
        count, rank = shape[0], tf.size(shape)
        row = tf.range(1.0, tf.cast(count, "float32") + 1.0) / 8.0
        row = tf.reshape(row, tf.concat([[count], tf.ones([rank - 1], "int32")], 0))
        return 1.0 + row, row - 0.5

    return adjust


L2 = Made("l2", lambda tf: lambda w: 0.125 * tf.reduce_sum(w * w))
NUMBER = Made("number", lambda tf: lambda w: 0.75)
L1 = Made("l1", lambda tf: lambda w: 0.25 * tf.reduce_sum(tf.abs(w)))
NO_LOSS = Made("returns_None", lambda tf: lambda w: None)
RAMP = Made("ramp", _ramp)
ZEROS_CLASS = Made("zeros_class", lambda tf: tf.zeros_initializer)
TWOS = Made("twos", lambda tf: tf.constant_initializer(2.0))
HALVES = Made("halves", lambda tf: tf.constant_initializer(0.5))
NON_NEGATIVE = Made("non_negative", lambda tf: lambda w: tf.maximum(w, 0.0))
UNIT = Made("at_most_one", lambda tf: lambda w: tf.minimum(w, 1.0))
TWO_PARTS = Made("two_parts", lambda tf: tf.fixed_size_partitioner(2))
HALF_GETTER = Made("halving", _half_getter)
FROZEN_GETTER = Made("freezing", _frozen_getter)
RENAMING_GETTER = Made("renaming", _renaming_getter)
ADJUST = Made("per_example", _adjust)
AUTO_REUSE = Made("AUTO_REUSE", lambda tf: tf.AUTO_REUSE)
MOMENTUM_TENSOR = Made("tensor", lambda tf: tf.constant(0.75))
EPSILON_TENSOR = Made("tensor", lambda tf: tf.constant(0.125))
NUMPY_AXIS = Made("np.int64(1)", lambda tf: np.int64(1))
CPU = Made("cpu", lambda tf: "/cpu:0")
CLIP = {"rmax": 1.25, "rmin": 0.75, "dmax": 0.25}
CLIP_TENSORS = Made(
    "tensors",
    lambda tf: {key: tf.placeholder_with_default(v, []) for key, v in sorted(CLIP.items())},
)

RENORM = {"renorm": True, "renorm_momentum": 0.75, "momentum": 0.875}
RESOURCE = {"use_resource": True}
REF = {"use_resource": False}


def _ranks() -> list:
    """Each rank in each phase, by both kernels where there are two."""
    cases = []
    for shape in (V2, V3, V4, V5, V6):
        for training in ("True", "False", "placeholder"):
            cases.append(Case("rank", shape, training))
    cases += [
        Case("rank", V2, unknown=(0,)),
        Case("rank", V3, unknown=(0, 1)),
        Case("rank", V4, unknown=(0,)),
        Case("rank", V4, unknown=(0, 1, 2)),
        Case("rank", V4, "True", unknown=(0, 1, 2)),
        Case("rank", V4, args={"fused": False}, unknown=(0, 1, 2)),
        Case("rank", V5, unknown=(0, 1, 2, 3)),
        Case("rank", (1, 5), "True"),
        Case("rank", (1, 1, 1, 5), "True"),
        Case("rank", (7, 1), "True"),
        Case("rank", (4, 3, 2, 1), "True"),
        Case("rank", V4, "placeholder", steps="TITFIT"),
    ]
    return cases


def _axes() -> list:
    unfused: dict = {"fused": False}
    cases = [Case("axis", V2, args={"axis": axis}) for axis in (0, 1, -2, [1], [-1], [0, 1])]
    cases += [Case("axis", V3, args={"axis": axis}) for axis in (1, 2, -2, [0, 2], [1, 2], [2, 1])]
    for axis in (0, 1, 2, -3, [1], [3], [-1], [1, 3], [1, 2, 3], [0, 1, 2, 3], [3, 1], [-1, 1]):
        changes = unfused if axis in (1, -3, [1]) else {}
        cases.append(Case("axis", V4, args={"axis": axis, **changes}))
    cases += [
        Case("axis", V4, "True", {"axis": 1, "fused": False}),
        Case("axis", V4, "False", {"axis": 1, "fused": False}),
        Case("axis", V4, "False", {"axis": [1, 3]}),
        Case("axis", V4, "True", {"axis": [1, 3]}),
        Case("axis", V5, args={"axis": 1}),
        Case("axis", V5, args={"axis": 4}),
        Case("axis", V5, args={"axis": [1, 4]}),
        Case("axis", V6, args={"axis": 2}),
        Case("axis", V4, args={"axis": 1, "fused": False}, unknown=(0, 2, 3)),
        Case("axis", V4, args={"axis": [1, 3]}, unknown=(0, 2)),
        # The fused NCHW kernel has no CPU version in TF 1.15; the numbers are the transposed ones.
        Case("axis", V4, "True", {"axis": 1}, like={"program": "transposed"}),
        Case("axis", V4, "placeholder", {"axis": 1}, like={"program": "transposed"}),
        Case("axis", V4, "False", {"axis": 1}, like={"program": "transposed"}),
    ]
    return cases


def _dtypes() -> list:
    cases = []
    for dtype in ("float16", "bfloat16", "float64"):
        for training in ("True", "False", "placeholder"):
            cases.append(Case("dtype", V2, training, dtype=dtype))
    for dtype in ("float16", "bfloat16"):
        for training in ("True", "placeholder", "False"):
            cases.append(Case("dtype", V4, training, dtype=dtype))
        cases.append(Case("dtype", V4, "placeholder", {"fused": False}, dtype))
        cases.append(Case("dtype", V3, "placeholder", {"axis": 1}, dtype))
        cases.append(Case("dtype", V2, "True", {"scale": False, "center": False}, dtype))
    cases += [
        Case("dtype", V2, "True", RENORM, "float16"),
        Case("dtype", V4, "placeholder", {"fused": False}, "float64"),
        Case("dtype", V4, "True", {"fused": False, "axis": 1}, "float64"),
        Case("dtype", V4, "True", {"axis": [1, 3]}, "float64"),
        Case("dtype", (8, 5), "placeholder", {"virtual_batch_size": 4}, "float64"),
        Case("dtype", V4, "True", {}, "float64", like={"args": {"fused": False}}),
        Case("dtype", V4, "placeholder", {"fused": True}, "float64",
             like={"args": {"fused": False}}),
    ]  # fmt: skip
    return cases


def _phases() -> list:
    cases = []
    for training in (
        "1", "0", "1.0", "np.True_", "np.False_", "constant(True)", "constant(False)", "omitted",
        "placeholder_no_shape", "placeholder_with_default", "tensor", "equal", "variable",
        "not(constant(False))", "not(constant(True))", "identity(constant(True))", "constant(1)",
        "constant(0)",
    ):  # fmt: skip
        cases.append(Case("phase", V2, training))
        cases.append(Case("phase", V4, training))
    return cases


def _arguments() -> list:
    cases = [
        Case("argument", V2, "True", {"momentum": 0.5, "epsilon": 0.25}),
        Case("argument", V4, "True", {"momentum": 0.5, "epsilon": 0.25}),
        Case("argument", V2, "placeholder", {"momentum": MOMENTUM_TENSOR}),
        Case("argument", V4, "placeholder", {"momentum": MOMENTUM_TENSOR}),
        Case("argument", V2, "True", {"momentum": 1.0}),
        Case("argument", V2, "True", {"momentum": 0.0}),
        Case("argument", V2, "True", {"epsilon": 0.0}),
        Case("argument", V2, "True", {"epsilon": 1e-8}),
        Case("argument", V4, "True", {"epsilon": 1e-8}),
        Case("argument", V4, "False", {"epsilon": 1e-8}),
        Case("argument", V4, "True", {"epsilon": 1e-5}),
        Case("argument", (1, 1, 1, 5), "True", {"epsilon": 1e-8}),
        Case("argument", V2, "True", {"epsilon": EPSILON_TENSOR}),
        Case("argument", V2, "True", {"momentum": 1}),
        Case("argument", V2, "True", {"momentum": 0}),
    ]
    for center, scale in ((True, False), (False, True), (False, False)):
        for shape in (V2, V4):
            for training in ("True", "placeholder", "False"):
                cases.append(Case("argument", shape, training, {"center": center, "scale": scale}))
    cases += [
        Case("argument", V4, args={"axis": 1, "scale": False, "fused": False}),
        Case("argument", V2, "True", {"beta_initializer": RAMP}, initial="initializers"),
        Case("argument", V2, "True", {"gamma_initializer": RAMP}, initial="initializers"),
        Case("argument", V2, "True", {"moving_mean_initializer": RAMP}, initial="initializers"),
        Case("argument", V2, "True", {"moving_variance_initializer": RAMP}, initial="initializers"),
        Case("argument", V4, "True", {"beta_initializer": "ones", "gamma_initializer": "zeros"},
             initial="initializers"),
        Case("argument", V2, "True", {"beta_initializer": ZEROS_CLASS}, initial="initializers"),
        Case("argument", V2, "True", {}, initial="initializers"),
        Case("argument", V2, "True", {**RENORM, "moving_mean_initializer": HALVES,
             "moving_variance_initializer": TWOS}, initial="initializers"),
        Case("argument", V2, "True", {"gamma_initializer": None}, initial="initializers",
             scope={"initializer": TWOS}),
        Case("argument", V2, "True", {}, initial="initializers", scope={"initializer": TWOS}),
        Case("argument", V2, "True", {"gamma_regularizer": L2}),
        Case("argument", V2, "True", {"beta_regularizer": L1}),
        Case("argument", V4, "placeholder", {"beta_regularizer": L1, "gamma_regularizer": L2}),
        Case("argument", V2, "True", {"gamma_regularizer": NO_LOSS}),
        Case("argument", V2, "True", {"gamma_regularizer": L2, "scale": False}),
        Case("argument", V2, "True", {"gamma_regularizer": L2, "trainable": False}),
        Case("argument", V2, "True", {"gamma_constraint": UNIT}, consume="control_dependencies"),
        Case("argument", V4, "True", {"beta_constraint": NON_NEGATIVE},
             consume="control_dependencies"),
        Case("argument", V2, "True", {"trainable": False}),
        Case("argument", V4, "True", {"trainable": False}),
        Case("argument", V4, "placeholder", {"trainable": False}),
        Case("argument", V2, "placeholder", {"trainable": False}),
        Case("argument", V2, "False", {"trainable": False}),
        Case("argument", V2, "True", {**RENORM, "trainable": False}),
        Case("argument", V2, "True", {"renorm_clipping": {"bogus": 1.0}}),
        Case("argument", (6, 5), "True", program="positional"),
        Case("argument", V2, "True", program="variable_as_input"),
    ]  # fmt: skip
    return cases


def _kernels() -> list:
    """`fused=True` is a wish: silently not, where there is no such kernel."""
    cases = []
    for fused in (True, False):
        for training in ("True", "False", "placeholder"):
            cases.append(Case("fused", V4, training, {"fused": fused}))
    cases += [
        Case("fused", V2, "True", {"fused": True}),
        Case("fused", V3, "True", {"fused": True}),
        Case("fused", V5, "True", {"fused": True}),
        Case("fused", V4, "True", {"fused": True, "axis": 2}),
        Case("fused", V4, "True", {"fused": True, "axis": [1, 3]}),
        Case("fused", V4, "True", {"fused": True, **RENORM}),
        Case("fused", V4, "True", {"fused": True, "virtual_batch_size": 2}),
        Case("fused", V4, "True", {"fused": True, "adjustment": ADJUST}),
    ]
    return cases


def _renorm() -> list:
    cases = []
    for shape in (V2, V4):
        for training in ("True", "False", "placeholder"):
            cases.append(Case("renorm", shape, training, RENORM))
            cases.append(Case("renorm", shape, training, {**RENORM, "renorm_clipping": CLIP}))
    for clip in ({"rmax": 1.125}, {"rmin": 0.875}, {"dmax": 0.125}, {}, CLIP_TENSORS):
        cases.append(Case("renorm", V2, "True", {**RENORM, "renorm_clipping": clip}))
    cases += [
        Case("renorm", V2, "True", {"renorm": True}),
        Case("renorm", V2, "True", {"renorm": True}, initial="initializers"),
        Case("renorm", V3, "placeholder", {**RENORM, "axis": 1}),
        Case("renorm", V4, "placeholder", {**RENORM, "axis": [1, 3]}),
        Case("renorm", V4, "True", {**RENORM, "axis": 1}),
        Case("renorm", V5, "True", RENORM),
        Case("renorm", V2, "True", {**RENORM, "center": False}),
        Case("renorm", V2, "True", {**RENORM, "scale": False}),
        Case("renorm", V2, "True", {**RENORM, "scale": False, "center": False}),
        Case("renorm", V2, "True", {**RENORM, "epsilon": 0.25}),
        Case("renorm", V2, "True", {**RENORM, "renorm_momentum": MOMENTUM_TENSOR}),
        Case("renorm", V2, "True", RENORM, consume="control_dependencies"),
        Case("renorm", V2, "True", RENORM, consume="none"),
        Case("renorm", V2, "placeholder", RENORM, steps="TITFIT"),
        Case("renorm", V2, "True", RENORM, scope=RESOURCE),
        Case("renorm", V2, "placeholder", RENORM, scope=RESOURCE),
        Case("renorm", V4, unknown=(0, 1, 2), args=RENORM),
        Case("renorm", V2, "True", {**RENORM, "adjustment": ADJUST}),
        Case("renorm", V2, "placeholder", {**RENORM, "adjustment": ADJUST}),
        Case("renorm", V2, "True", {**RENORM, "gamma_regularizer": L2}, scope={"regularizer": L1}),
        Case("renorm", V2, "True", RENORM, "float64",
             like={"dtype": "float32"}),
    ]  # fmt: skip
    return cases


def _ghosts() -> list:
    cases = []
    for training in ("True", "False", "placeholder"):
        cases.append(Case("ghost", (8, 5), training, {"virtual_batch_size": 2}))
        cases.append(Case("ghost", (6, 3, 2, 5), training, {"virtual_batch_size": 3}))
    cases += [
        Case("ghost", (8, 5), "True", {"virtual_batch_size": 8}),
        Case("ghost", (8, 5), "True", {"virtual_batch_size": 1}),
        Case("ghost", (6, 4, 5), "True", {"virtual_batch_size": 3, "axis": 1}),
        Case("ghost", (6, 3, 2, 5), "placeholder", {"virtual_batch_size": 2, "axis": 1}),
        Case("ghost", (6, 3, 2, 5), "placeholder", {"virtual_batch_size": 2, "axis": [1, 3]}),
        Case("ghost", (4, 3, 2, 6, 5), "True", {"virtual_batch_size": 2}),
        Case("ghost", (8, 5), unknown=(0,), args={"virtual_batch_size": 4}),
        Case("ghost", (6, 3, 2, 5), unknown=(0,), args={"virtual_batch_size": 3}),
        Case("ghost", (8, 5), "True", {"virtual_batch_size": 4, "scale": False}),
        Case("ghost", (8, 5), "True", {"virtual_batch_size": 4, **RENORM}),
        Case("ghost", (8, 5), "placeholder", {"virtual_batch_size": 4, **RENORM}),
        Case("ghost", (8, 5), "False", {"virtual_batch_size": 4, **RENORM}),
        Case("ghost", (6, 3, 2, 5), "True", {"virtual_batch_size": 2, "axis": [1, 3], **RENORM}),
        Case("ghost", (8, 5), "True",
             {"virtual_batch_size": 4, **RENORM, "renorm_clipping": CLIP}),
        Case("ghost", (8, 5), "placeholder", {"virtual_batch_size": 4}, scope=RESOURCE),
        Case("ghost", (8, 5), "True", {"virtual_batch_size": 4}, initial="initializers"),
        Case("ghost", (8, 5), "True", {"virtual_batch_size": 4}, entry="class"),
        Case("ghost", (6, 3, 2, 5), "True", {"virtual_batch_size": 3}, unknown=(0, 1, 2),
             like={"unknown": (0,)}),
        Case("ghost", (7, 5), "False", {"virtual_batch_size": 2}, unknown=(0,),
             like={"args": {"virtual_batch_size": 1}}),
        Case("ghost", (7, 5), "placeholder", {"virtual_batch_size": 2}, unknown=(0,), steps="I",
             like={"args": {"virtual_batch_size": 1}}),
        Case("ghost", (7, 5), "placeholder", {"virtual_batch_size": 2}, unknown=(0,), steps="T"),
    ]  # fmt: skip
    return cases


def _adjustments() -> list:
    args = {"adjustment": ADJUST}
    return [
        Case("adjustment", V2, "True", args),
        Case("adjustment", V2, "False", args),
        Case("adjustment", V2, "placeholder", args),
        Case("adjustment", V4, "True", args),
        Case("adjustment", V4, "placeholder", args),
        Case("adjustment", V3, "placeholder", {**args, "axis": 1}),
        Case("adjustment", V4, "True", {**args, "axis": [1, 3]}),
        Case("adjustment", V2, "True", {**args, "scale": False}),
        Case("adjustment", V2, "True", {**args, "center": False}),
        Case("adjustment", V2, "True", {**args, "scale": False, "center": False}),
        Case("adjustment", V2, unknown=(0,), args=args),
    ]


def _scopes() -> list:
    cases = [
        Case("scope", V2, "True", program=name)
        for name in (
            "unnamed_twice", "nested_scopes", "scope_as_name", "scope_as_name_inside",
            "name_scope_only", "op_name_taken", "name_scope_taken", "default_name_taken",
        )
    ]  # fmt: skip
    cases += [
        Case("scope", V2, "True", {"name": "bn"}),
        Case("scope", V2, "True", {"name": ""}),
        Case("scope", V2, "True", {"name": "a/b/c"}),
        Case("scope", V4, "placeholder", {"name": "a/b/c"}),
        Case("scope", V2, "True", {"name": "bn"}, scope={"reuse": None}),
        Case("scope", V4, "placeholder", program="nested_scopes"),
        Case("scope", V4, "placeholder", program="unnamed_twice"),
        Case("scope", V4, "True", program="op_name_taken"),
        Case("scope", V4, "placeholder", program="chained", consume="one_by_one"),
        Case("scope", V2, "True", RENORM, program="op_name_taken"),
        Case("scope", V2, "True", program="under_device"),
        Case("scope", V2, "True", program="ops_of_updates"),
        Case("scope", V4, "True", program="ops_of_updates"),
    ]
    return cases


def _reuse() -> list:
    sharing = (
        "reentered_by_name_reuse", "reentered_auto_reuse", "reentered_by_object",
        "reuse_variables_method", "reuse_false_in_reusing_scope", "shared_by_name", "shared_auto",
        "shared_unnamed", "shared_unnamed_auto", "train_and_eval_graph", "eval_then_train_graph",
        "towers", "towers_unnamed", "discriminator",
    )  # fmt: skip
    cases = [Case("reuse", V2, "True", program=name, consume="one_by_one") for name in sharing]
    for name in ("towers", "discriminator", "shared_by_name"):
        cases.append(Case("reuse", V4, "placeholder", program=name, consume="one_by_one"))
        cases.append(Case("reuse", V2, "placeholder", program=name, consume="one_by_one"))
    cases += [
        Case("reuse", V2, "True", {"reuse": AUTO_REUSE, "name": "bn"}),
        Case("reuse", V2, "True", {"reuse": False, "name": "bn"}),
        Case("reuse", V2, "True", {"reuse": None, "name": "bn"}),
        Case("reuse", V2, "True", {"gamma_regularizer": L2, "beta_regularizer": L1},
             program="shared_by_name", consume="one_by_one"),
        Case("reuse", V2, "True", program="shared_by_name", consume="one_by_one",
             scope={"regularizer": L2}),
        Case("reuse", V2, "True", RENORM, program="shared_by_name", consume="one_by_one"),
        Case("reuse", V4, "True", program="towers", consume="scoped"),
        Case("reuse", V4, "True", program="towers", consume="one_by_one", scope=RESOURCE),
        Case("reuse", V2, "placeholder", program="towers", consume="one_by_one", scope=RESOURCE),
    ]  # fmt: skip
    return cases


def _updates() -> list:
    cases = []
    for consume in ("control_dependencies", "loss", "group", "one_by_one", "none"):
        for shape in (V2, V4):
            cases.append(Case("updates", shape, "placeholder", consume=consume))
    cases += [
        Case("updates", V4, "True", consume="none"),
        Case("updates", V4, "True", consume="group", scope=RESOURCE),
        Case("updates", V2, "placeholder", consume="control_dependencies", scope=RESOURCE),
        Case("updates", V2, "True", program="in_cond"),
        Case("updates", V4, "True", program="in_cond"),
        Case("updates", V4, "placeholder", program="in_cond"),
        Case("updates", V2, "True", program="in_while_loop", scope={"reuse": AUTO_REUSE}),
        Case("updates", V4, "True", program="in_while_loop", scope={"reuse": AUTO_REUSE}),
        Case("updates", V2, "True", {"momentum": 0.5}, steps="T" * 8),
        Case("updates", V4, "True", {"momentum": 0.5}, steps="T" * 8),
    ]
    return cases


def _variables() -> list:
    cases = []
    for kind in (RESOURCE, REF):
        for shape in (V2, V4):
            for training in ("True", "placeholder"):
                cases.append(Case("variable", shape, training, scope=kind))
    cases += [
        Case("variable", V2, "False", scope=RESOURCE),
        Case("variable", V2, "placeholder", {"adjustment": ADJUST}, scope=RESOURCE),
        Case("variable", V2, "True", program="seen_by_getter", consume="one_by_one"),
        Case("variable", V2, "True", {"gamma_constraint": UNIT, "gamma_regularizer": L2, **RENORM},
             program="seen_by_getter", consume="one_by_one"),
        Case("variable", V2, "True", {"trainable": False}, program="seen_by_getter", steps="F"),
        Case("variable", V2, "True", program="seen_by_getter", dtype="float16", steps="F"),
        Case("variable", V2, "False", scope={"custom_getter": HALF_GETTER}),
        Case("variable", V4, "False", scope={"custom_getter": HALF_GETTER}),
        Case("variable", V2, "True", scope={"custom_getter": FROZEN_GETTER}),
        Case("variable", V4, "True", scope={"custom_getter": RENAMING_GETTER}),
        Case("variable", V2, "True", entry="class", scope={"custom_getter": FROZEN_GETTER}),
        Case("variable", V2, "True", scope={"regularizer": L2}),
        Case("variable", V4, "placeholder", scope={"regularizer": L2}),
        Case("variable", V2, "True", {"gamma_regularizer": L1}, scope={"regularizer": L2}),
        Case("variable", V2, "True", scope={"partitioner": TWO_PARTS}),
        Case("variable", V4, "True", scope={"partitioner": TWO_PARTS}),
        Case("variable", V4, "placeholder", scope={"partitioner": TWO_PARTS}),
        Case("variable", V2, "True", {"gamma_regularizer": L2}, scope={"partitioner": TWO_PARTS}),
        Case("variable", V2, "True", scope={"caching_device": CPU}),
        Case("variable", V2, "True", scope={"dtype": "float16"}),
    ]  # fmt: skip
    return cases


def _classes() -> list:
    cases = []
    for shape in (V2, V4):
        for training in ("True", "False", "placeholder", "omitted"):
            cases.append(Case("class", shape, training, entry="class"))
    one_by_one = ("layer_twice", "layer_shared_by_reuse", "layer_shared_by_scope")
    for name in (
        "layer_twice", "layer_positional_training", "layer_apply", "layer_build_first",
        "layer_made_elsewhere", "layer_pair_unnamed", "layer_switched_off",
        "layer_scope_argument", "layer_shared_by_reuse", "layer_shared_by_scope",
        "layer_from_config", "subclass_call", "subclass_weight", "subclass_moments",
    ):  # fmt: skip
        consume = "one_by_one" if name in one_by_one else "fetch"
        cases.append(Case("class", V2, "True", program=name, consume=consume))
    cases += [
        Case("class", V4, "placeholder", program="layer_twice", consume="one_by_one"),
        Case("class", V4, "placeholder", program="layer_build_first"),
        Case("class", V4, "placeholder", program="layer_scope_argument"),
        Case("class", V4, "True", {"fused": False}, program="subclass_moments"),
        Case("class", V4, "True", {"name": "bn", "axis": 1, "fused": False}, entry="class"),
        Case("class", V4, "True", {"name": "bn", "axis": [1, 3]}, entry="class"),
        Case("class", V2, "True", {"scale": False, "name": "bn"}, entry="class"),
        Case("class", V2, "True", {"center": False, "name": "bn"}, entry="class"),
        Case("class", V2, "True", {**RENORM, "renorm_clipping": CLIP}, entry="class"),
        Case("class", V2, "True", {"trainable": False}, entry="class"),
        Case("class", V2, "True", {"gamma_regularizer": L2, "beta_regularizer": L1},
             entry="class"),
        Case("class", V2, "True", {"momentum": 0.75, "epsilon": 0.25, "dtype": "float32"},
             entry="class"),
        Case("class", V2, "True", {"adjustment": ADJUST}, entry="class"),
        Case("class", V2, "True", {"gamma_regularizer": L2}, program="layer_twice",
             consume="one_by_one"),
        Case("class", V4, "True", entry="class", scope=RESOURCE),
        Case("class", V2, "placeholder", entry="class", scope=RESOURCE),
        Case("class", (8, 5), "True", {"virtual_batch_size": 4}, program="layer_thrice",
             consume="one_by_one"),
        Case("class", (8, 5), "placeholder", {"virtual_batch_size": 4},
             program="layer_in_two_phases", consume="one_by_one"),
        Case("class", V2, "placeholder", RENORM, program="layer_in_two_phases",
             consume="one_by_one"),
        Case("class", V2, "placeholder", program="layer_in_two_phases", consume="one_by_one"),
        Case("class", V2, "True", program="layer_open_channels", consume="one_by_one"),
        Case("class", V4, "placeholder", program="layer_open_channels", consume="one_by_one"),
        Case("class", V2, "True", {"gamma_regularizer": NUMBER}, entry="class"),
        Case("class", V2, "True", program="layer_other_rank", mentions="2"),
        Case("class", V2, "True", program="layer_other_channels", mentions="5"),
        Case("class", V2, "True", program="layer_bogus_argument", mentions="bogus"),
        Case("class", V2, "True", program="layer_scope_name_before_call"),
    ]  # fmt: skip
    return cases


def _graphs() -> list:
    """The graph leaves the program: frozen for inference, or as a MetaGraph."""
    cases = [Case("graph", shape, "False", program="frozen") for shape in (V2, V4)]
    cases += [Case("graph", V2, "False", program="frozen", scope=RESOURCE)]
    for args in ({}, {"fused": False}, RENORM):
        cases.append(Case("graph", V4, "placeholder", args, program="through_meta_graph"))
    cases += [
        Case("graph", V2, "placeholder", program="through_meta_graph"),
        Case("graph", V2, "placeholder", program="through_meta_graph", consume="group"),
        Case("graph", V4, "placeholder", program="through_meta_graph", scope=RESOURCE),
        Case("graph", V2, "placeholder", {"gamma_regularizer": L2}, program="through_meta_graph"),
    ]
    return cases


def _edges() -> list:
    return [
        Case("edge", (0, 5), "False"),
        Case("edge", (0, 3, 2, 5), "False"),
        Case("edge", (0, 5), "True", steps="T"),
        Case("edge", (0, 3, 2, 5), "True", steps="T"),
        Case("edge", (0, 5), "placeholder", steps="T"),
        Case("edge", (0, 3, 2, 5), "placeholder", steps="T"),
        Case("edge", (0, 5), "True", unknown=(0,), steps="T"),
        Case("edge", (0, 3, 2, 5), "True", unknown=(0, 1, 2), steps="T"),
        Case("edge", (2, 5), "True"),
        Case("edge", (2, 1, 1, 5), "True"),
        Case("edge", V2, "None"),
        Case("edge", V4, "None"),
    ]


def _bad() -> list:
    """Wrong calls: the type of the error is TF 1.15.5's; what it must name is ours."""

    def bad(mentions: str, args: Any = None, shape: tuple = V2, **fields: Any) -> Case:
        fields.setdefault("training", "True")
        return Case("bad", shape, args=args or {}, mentions=mentions, **fields)

    return [
        bad("axis", {"axis": 2}),
        bad("axis", {"axis": -3}),
        bad("axis", {"axis": 4}, V4),
        bad("axis", {"axis": [1, 4]}, V4),
        bad("axis", {"axis": [3, 3]}, V4),
        bad("axis", {"axis": [3, -1]}, V4),
        bad("axis", {"axis": []}, V4),
        bad("axis", {"axis": 1.0}),
        bad("axis", {"axis": "last"}),
        bad("axis", {"axis": None}),
        bad("axis", {"axis": NUMPY_AXIS}, like={"args": {"axis": 1}}),
        bad("axis", {"axis": (3,)}, V4, like={"args": {"axis": [3]}}),
        bad("axis", {"axis": (1, 3)}, V4, like={"args": {"axis": [1, 3]}}),
        bad("rank", unknown="rank"),
        bad("inputs", shape=()),
        bad("axis", unknown=(1,)),
        bad("inputs", dtype="int32"),
        bad("inputs", dtype="bool"),
        bad("inputs", dtype="int32", shape=V4),
        bad("inputs", dtype="int64", training="False"),
        bad("inputs", program="input_is_none"),
        bad("inputs", program="input_is_nested_list"),
        bad("inputs", program="input_is_list_of_tensors"),
        bad("inputs", program="input_is_sparse"),
        bad("virtual_batch_size", {"virtual_batch_size": 0}, (8, 5)),
        bad("virtual_batch_size", {"virtual_batch_size": -2}, (8, 5)),
        bad("virtual_batch_size", {"virtual_batch_size": 3}, (8, 5)),
        bad("virtual_batch_size", {"virtual_batch_size": 2, "axis": 0}, (8, 5)),
        bad("virtual_batch_size", {"virtual_batch_size": 2, "axis": [0, 1]}, (8, 5)),
        bad("adjustment", {"virtual_batch_size": 2, "adjustment": ADJUST}, (8, 5)),
        bad("renorm_clipping", {"renorm": True, "renorm_clipping": {"bogus": 1.0}}),
        bad("renorm_clipping", {"renorm": True, "renorm_clipping": {"rmax": 2.0, "max": 1.0}}),
        bad("renorm_clipping", {"renorm": True, "renorm_clipping": 2.0}),
        bad("training", training="2"),
        bad("training", training="yes"),
        bad("training", training="[True]"),
        bad("training", training="int32_tensor"),
        bad("training", training="vector"),
        bad("training", training="2", shape=V4),
        bad("training", training="int32_tensor", shape=V4),
        bad("momentum", {"momentum": "fast"}),
        bad("momentum", {"momentum": None}),
        bad("momentum", {"momentum": 1}, V4, like={"args": {"momentum": 1.0}}),
        bad("momentum", {"momentum": 0}, V4, like={"args": {"momentum": 0.0}}),
        bad("momentum", {"momentum": 1}, V4, training="placeholder",
            like={"args": {"momentum": 1.0}}),
        bad("epsilon", {"epsilon": "small"}),
        bad("epsilon", {"epsilon": None}),
        bad("epsilon", {"epsilon": EPSILON_TENSOR}, V4,
            like={"args": {"epsilon": EPSILON_TENSOR, "fused": False}}),
        bad("beta_initializer", {"beta_initializer": "bogus"}),
        bad("gamma_initializer", {"gamma_initializer": 1.0}),
        bad("name", {"name": 3}),
        bad("name", {"name": "a b"}),
        bad("reuse", {"reuse": "yes", "name": "bn"}),
        bad("reuse", {"reuse": 3, "name": "bn"}),
        bad("bogus", program="bogus_argument"),
        bad("bn", program="same_name_twice"),
        bad("gamma", program="variable_name_taken"),
        bad("a/batch_normalization", program="reentered_by_name"),
        bad("nope", program="reuse_missing"),
        bad("bn", program="reuse_other_shape"),
        bad("moving_stddev", program="reuse_needs_renorm"),
    ]  # fmt: skip


def _all() -> dict:
    tables = (
        _ranks, _axes, _dtypes, _phases, _arguments, _kernels, _renorm, _ghosts, _adjustments,
        _scopes, _reuse, _updates, _variables, _classes, _graphs, _edges, _bad,
    )  # fmt: skip
    cases: dict = {}
    for table in tables:
        for case in table():
            assert case.name not in cases, f"the case {case.name} is in the table twice"
            cases[case.name] = case
    return cases


CASES = _all()
GROUPS = sorted({case.group for case in CASES.values()})
