"""The table: one line for each call of contrib's batch norm that is compared with TF 1.15.5."""

from __future__ import annotations

from typing import Any

from tests.conformance.case import Case, Made

V2, V3, V4, V5 = (7, 5), (6, 3, 5), (4, 3, 2, 5), (4, 3, 2, 6, 5)

TANH = Made("tanh", lambda tf: tf.nn.tanh)
RELU = Made("relu", lambda tf: tf.nn.relu)
DOUBLED = Made("doubled", lambda tf: lambda y: y * 2.0)
ROWS = Made("rows", lambda tf: lambda y: tf.reshape(y, y.shape.as_list()))
INITIALIZERS = Made(
    "constants",
    lambda tf: {
        "beta": tf.constant_initializer(0.25),
        "gamma": tf.constant_initializer(1.5),
        "moving_mean": tf.constant_initializer(-0.5),
        "moving_variance": tf.constant_initializer(2.0),
    },
)
ONE_INITIALIZER = Made("beta", lambda tf: {"beta": tf.constant_initializer(0.25)})
REGULARIZERS = Made(
    "l2",
    lambda tf: {
        "beta": lambda w: 0.125 * tf.reduce_sum(w * w),
        "gamma": lambda w: 0.375 * tf.reduce_sum(w * w),
    },
)
BY_NAME = {"beta": ["my_betas"], "moving_mean": ["moving_vars"], "moving_variance": ["moving_vars"]}
WEIGHTS = (0.5, 2.0, 1.25, 0.0, 3.0, 0.25, 1.0)
FED_WEIGHTS = Made(
    "fed", lambda tf: tf.placeholder_with_default([0.5, 2.0, 1.25, 3.0], [None], name="weights")
)
FED_WEIGHTS_NO_SHAPE = Made(
    "fed_no_shape", lambda tf: tf.placeholder_with_default([0.5, 2.0, 1.25, 3.0], None)
)
ADJUST = Made(
    "channelwise",
    lambda tf: lambda shape: (tf.constant([0.75, 1.0, 1.25, 1.5, 2.0]), tf.constant([0.5] * 5)),
)
TWO_PARTS = Made("two_parts", lambda tf: tf.fixed_size_partitioner(2))
DECAY_TENSOR = Made("tensor", lambda tf: tf.constant(0.75))
CLIP = {"rmax": 1.25, "rmin": 0.75, "dmax": 0.25}
IN_PLACE: dict = {"updates_collections": None}
FAST: dict = {"decay": 0.875}
ZERO_DEBIAS = {"zero_debias_moving_mean": True, "decay": 0.875}


def case(
    group: str, shape: tuple = V2, training: str = "True", args: Any = None, **fields: Any
) -> Case:
    return Case(group, shape, training, args or {}, **{"program": "contrib", **fields})


def _phases() -> list:
    """Each path contrib has, in each phase."""
    paths = [
        (V2, {}),
        (V3, {}),
        (V4, {}),
        (V5, {}),
        (V2, {"fused": False}),
        (V4, {"fused": False}),
        (V2, IN_PLACE),
        (V3, IN_PLACE),
        (V4, IN_PLACE),
        (V2, {**IN_PLACE, "fused": False}),
        (V4, {**IN_PLACE, "fused": False}),
    ]
    made = [
        case("phase", shape, training, {"scale": True, **FAST, **args})
        for shape, args in paths
        for training in ("True", "False", "placeholder")
    ]
    odd = (
        "omitted",
        "1",
        "0",
        "constant(True)",
        "constant(False)",
        "variable",
        "tensor",
        "placeholder_no_shape",
        "placeholder_with_default",
        "np.True_",
    )
    for shape, args in ((V2, {}), (V4, {}), (V2, IN_PLACE), (V3, IN_PLACE)):
        made += [case("phase", shape, training, {**args, **FAST}) for training in odd]
    made += [
        case("phase", V2, "placeholder", IN_PLACE, steps="TITFIT"),
        case("phase", V3, "placeholder", IN_PLACE, steps="TITFIT"),
        case("phase", V4, "placeholder", steps="TITFIT"),
    ]
    return made


def _arguments() -> list:
    made = []
    for shape, path in ((V2, {}), (V4, {}), (V3, IN_PLACE), (V4, IN_PLACE)):
        for args in (
            {},
            {"center": False},
            {"center": False, "scale": True},
            {"decay": 0.5},
            {"decay": 1.0},
            {"decay": DECAY_TENSOR},
            {"epsilon": 0.25},
            {"epsilon": 0.0},
            {"activation_fn": TANH},
            {"param_initializers": ONE_INITIALIZER},
            {"param_regularizers": REGULARIZERS, "scale": True},
            {"trainable": False, "scale": True},
            {"variables_collections": ["my_variables"], "scale": True},
            {"variables_collections": BY_NAME, "scale": True},
            {"outputs_collections": "my_outputs"},
            {"outputs_collections": ["my_outputs", "more_outputs"], "activation_fn": TANH},
        ):
            made.append(case("argument", shape, args={**path, **args}))
        initial = {**path, "param_initializers": INITIALIZERS, "scale": True}
        made.append(case("argument", shape, args=initial, initial="initializers", steps="T"))
        made.append(case("argument", shape, args=path, initial="initializers"))
    for shape in (V2, V3, V4):
        for args in (
            {"updates_collections": "my_updates"},
            {"updates_collections": ["update_ops"]},
            {"updates_collections": ["update_ops", "my_updates"]},
            {"updates_collections": []},
            {"updates_collections": "my_updates", "trainable": False},
        ):
            made.append(case("argument", shape, args={**FAST, **args}))
        dynamic = {**FAST, "updates_collections": "my_updates"}
        made.append(case("argument", shape, "placeholder", dynamic))
    made += [
        case("argument", V2, program="contrib_positional"),
        case("argument", V4, program="contrib_positional"),
        case("argument", V3, program="contrib_positional"),
        case("argument", V4, "placeholder", program="contrib_positional"),
        case("argument", V2, "False", {"activation_fn": TANH, "outputs_collections": "my_outputs"}),
        case("argument", V4, args={"fused": True}),
        case("argument", V5, args={"fused": True, **IN_PLACE}),
        case("argument", V2, args={"epsilon": 1e-6}),
        case("argument", V4, args={"epsilon": 1e-6, **IN_PLACE}),
    ]
    return made


def _zero_debias() -> list:
    made = []
    for shape in (V2, V3, V4):
        for more in ({}, IN_PLACE, {"fused": False}):
            args = {**ZERO_DEBIAS, **more}
            made.append(case("zero_debias", shape, args=args, initial="initializers", steps="TTT"))
            made.append(
                case(
                    "zero_debias", shape, "placeholder", args, initial="initializers", steps="TITI"
                )
            )
    made += [
        case("zero_debias", V2, args=ZERO_DEBIAS),
        case("zero_debias", V3, args={**ZERO_DEBIAS, **IN_PLACE}),
        case("zero_debias", V2, "False", ZERO_DEBIAS),
        case("zero_debias", V3, "False", ZERO_DEBIAS),
        case(
            "zero_debias",
            V2,
            args=ZERO_DEBIAS,
            program="contrib_two_layers",
            initial="initializers",
        ),
        case(
            "zero_debias",
            V3,
            args=ZERO_DEBIAS,
            program="contrib_two_layers",
            initial="initializers",
        ),
        case("zero_debias", V2, args={**ZERO_DEBIAS, "variables_collections": ["my_variables"]}),
        case(
            "zero_debias",
            V2,
            args=ZERO_DEBIAS,
            program="contrib_train_then_eval",
            initial="initializers",
            consume="one_by_one",
        ),
        case(
            "zero_debias",
            V2,
            args=ZERO_DEBIAS,
            scope={"use_resource": True},
            initial="initializers",
        ),
        case("zero_debias", V2, args=ZERO_DEBIAS, program="contrib_getter"),
        case("zero_debias", V3, args=ZERO_DEBIAS, program="contrib_getter"),
        case(
            "zero_debias",
            V2,
            args=ZERO_DEBIAS,
            program="contrib_shared",
            initial="initializers",
            consume="one_by_one",
        ),
        case(
            "zero_debias",
            V2,
            args=ZERO_DEBIAS,
            program="contrib_shared_auto",
            initial="initializers",
            consume="one_by_one",
        ),
    ]
    return made


def _weights() -> list:
    made = []
    for shape in (V2, (7, 3, 5), (7, 3, 2, 5)):
        for training in ("True", "False", "placeholder"):
            for more in ({}, IN_PLACE):
                args = {"batch_weights": WEIGHTS, **FAST, **more}
                made.append(case("weights", shape, training, args))
    weighted = {"batch_weights": WEIGHTS, **FAST}
    made += [
        case("weights", V4, args={"batch_weights": FED_WEIGHTS, **FAST}, unknown=(0,)),
        case("weights", V4, args={"batch_weights": FED_WEIGHTS_NO_SHAPE, **FAST}, unknown=(0, 1)),
        case(
            "weights", V2, args={**weighted, "scale": True, "epsilon": 0.25, "activation_fn": TANH}
        ),
        case(
            "weights",
            V2,
            args={**weighted, "param_initializers": INITIALIZERS, "scale": True},
            initial="initializers",
        ),
        case("weights", V2, args={**weighted, "param_regularizers": REGULARIZERS, "scale": True}),
        case("weights", V2, args={**weighted, **ZERO_DEBIAS}, initial="initializers"),
        case("weights", V2, args={**weighted, "center": False}),
        case("weights", V2, args={**weighted, "data_format": "NCHW"}),
        case("weights", (7, 5, 3), args={**weighted, "data_format": "NCHW"}),
        case(
            "weights",
            (7, 5, 3, 2),
            "placeholder",
            {**weighted, "data_format": "NCHW", "scale": True},
        ),
        case(
            "weights",
            V2,
            "True",
            {"batch_weights": WEIGHTS},
            dtype="float64",
            program="contrib_float64_weights",
        ),
        case("weights", V2, args={"batch_weights": (1.0,) * 7, **FAST}),
    ]
    return made


def _formats() -> list:
    nchw = {"data_format": "NCHW", "scale": True, **FAST}
    like = {"program": "contrib_transposed"}
    made = [
        case("format", V2, args=nchw, like=like),
        case("format", V2, "placeholder", {**nchw, **IN_PLACE}, like=like),
        case("format", V2, args={**nchw, "fused": False}),
        case("format", (6, 5, 3), args=nchw),
        case("format", (6, 5, 3), "placeholder", {**nchw, **IN_PLACE}),
        case("format", (4, 5, 3, 2), args=nchw, like=like),
        case("format", (4, 5, 3, 2), "placeholder", nchw, like=like),
        case("format", (4, 5, 3, 2), args={**nchw, **IN_PLACE}, like=like),
        case("format", (4, 5, 3, 2), "False", {**nchw, **IN_PLACE}, like=like),
        case("format", (4, 5, 3, 2), "placeholder", {**nchw, **IN_PLACE}, like=like),
        case("format", (4, 5, 3, 2), args={**nchw, "fused": False}),
        case("format", (4, 5, 3, 2), "placeholder", {**nchw, **IN_PLACE, "fused": False}),
        case("format", (4, 5, 3, 2, 6), args=nchw),
    ]
    for shape in (V2, V3, V4):
        for args in ({}, IN_PLACE):
            made.append(
                case("format", shape, args={**args, **FAST}, unknown=tuple(range(len(shape) - 1)))
            )
    made += [
        case("format", V2, "placeholder", FAST, unknown=(0,)),
        case("format", V3, "placeholder", {**FAST, **IN_PLACE}, unknown=(0, 1)),
        case("format", (1, 5), args=FAST),
        case("format", (1, 5), args={**FAST, **IN_PLACE, "fused": False}),
        case("format", (5,), args=FAST),
        case("format", (5,), args={**FAST, **IN_PLACE}),
        case("format", (0, 5), args=FAST, unknown=(0,), steps="T"),
        case("format", (0, 3, 5), args={**FAST, **IN_PLACE}, unknown=(0,), steps="T"),
    ]
    return made


def _dtypes() -> list:
    unfused = {**IN_PLACE, "fused": False}
    return [
        case("dtype", V2, args=FAST, dtype="float16"),
        case("dtype", V4, args={**FAST, **IN_PLACE}, dtype="float16"),
        case("dtype", V3, args=FAST, dtype="float16"),
        case("dtype", V3, args={**FAST, **IN_PLACE}, dtype="float16", like={"dtype": "float32"}),
        case("dtype", V2, args=FAST, dtype="float64", like={"args": {**FAST, "fused": False}}),
        case(
            "dtype",
            V2,
            args={**FAST, **IN_PLACE},
            dtype="float64",
            like={"args": {**FAST, **unfused}},
        ),
        case("dtype", V3, args=FAST, dtype="float64"),
        case("dtype", V3, args={**FAST, **IN_PLACE}, dtype="float64"),
        case("dtype", V3, "placeholder", {**FAST, **IN_PLACE}, dtype="float64"),
        case(
            "dtype",
            V4,
            args={**FAST, **IN_PLACE},
            dtype="float64",
            like={"args": {**FAST, **unfused}},
        ),
        case("dtype", V4, args={**FAST, **unfused}, dtype="float64"),
    ]


def _scopes() -> list:
    made = []
    for shape, path in ((V2, {}), (V4, {}), (V3, IN_PLACE), (V4, IN_PLACE)):
        args = {**FAST, **path}
        for program in (
            "contrib_two_layers",
            "contrib_scope_object",
            "contrib_chained",
            "contrib_getter",
            "contrib_activation_with_variable",
        ):
            made.append(case("scope", shape, args=args, program=program))
        if path:
            made.append(case("scope", shape, args=args, program="contrib_inside_cond"))
        for program in ("contrib_shared", "contrib_shared_auto", "contrib_shared_towers"):
            # Two updates in place of one variable have no order in TF1, nor has a read of it.
            fields: dict = {"training": "False"} if path else {"consume": "one_by_one"}
            made.append(case("scope", shape, args=args, program=program, **fields))
        if not path:
            made.append(
                case(
                    "scope",
                    shape,
                    args=args,
                    program="contrib_train_then_eval",
                    consume="one_by_one",
                )
            )
        for scope in (
            {"use_resource": True},
            {"reuse": Made("AUTO_REUSE", lambda tf: tf.AUTO_REUSE)},
            {"partitioner": TWO_PARTS},
        ):
            made.append(case("scope", shape, args={**args, "scale": True}, scope=scope))
        made.append(case("scope", shape, "placeholder", args, scope={"use_resource": True}))
        made.append(case("scope", shape, args={**args, "scope": "given"}))
        made.append(
            case(
                "scope", shape, args={**args, "scope": "given/deeper"}, scope={"use_resource": True}
            )
        )
    made.append(
        case("scope", V3, args={**FAST, **IN_PLACE}, program="contrib_inside_loop", steps="FF")
    )
    return made


def _renorm() -> list:
    renorm = {"renorm": True, "renorm_decay": 0.75, "decay": 0.875, "scale": True}
    return [
        case("renorm", V2, args=renorm),
        case("renorm", V4, "placeholder", renorm),
        case("renorm", V4, "False", renorm),
        case("renorm", V3, args={**renorm, "renorm_clipping": CLIP}),
        case(
            "renorm", V2, args={**renorm, "renorm_clipping": CLIP, "variables_collections": ["my"]}
        ),
        case("renorm", V2, args={**renorm, "activation_fn": RELU}),
        case("renorm", V2, "placeholder", {**renorm, "activation_fn": RELU}),
        case("renorm", V3, args={**renorm, "activation_fn": DOUBLED, "renorm_clipping": CLIP}),
        case("renorm", (6, 5, 3), args={**renorm, "activation_fn": ROWS, "data_format": "NCHW"}),
        case("renorm", V2, args={"renorm_clipping": CLIP}),
        case("renorm", V2, args={"adjustment": ADJUST, "scale": True, **FAST}),
        case("renorm", V4, "placeholder", {"adjustment": ADJUST, **FAST}),
        case("renorm", V4, args={"adjustment": ADJUST, **FAST, **IN_PLACE}),
    ]


def _bad() -> list:
    def bad(
        mentions: str, args: dict, shape: tuple = V2, training: str = "True", **fields: Any
    ) -> Case:
        return case("bad", shape, training, args, mentions=mentions, **fields)

    made = []
    for path in ({}, IN_PLACE):
        made += [
            bad("data_format", {"data_format": "NWHC", **path}),
            bad("data_format", {"data_format": "NWHC", **path}, V3),
            bad("data_format", {"data_format": None, **path}),
            bad("rank", path, V2, unknown="rank"),
            bad("shape", path, V2, unknown=(1,)),
            bad("shape", path, V3, unknown=(2,)),
            bad("shape", path, V4, unknown=(3,)),
            bad("shape", {"data_format": "NCHW", **path}, (6, 5, 3), unknown=(1,)),
            bad("is_training", path, V2, "2"),
            bad("is_training", path, V3, "2"),
            bad("is_training", path, V2, "yes"),
            bad("is_training", path, V3, "int32_tensor"),
            bad("is_training", path, V2, "vector"),
            bad("dtype", path, V2, dtype="int32"),
            bad("dtype", path, V3, dtype="int32"),
            bad("reuse", path, V2, program="contrib_reuse_unscoped"),
            bad("bn", path, V2, program="contrib_reuse_missing"),
            bad("bn", path, V3, program="contrib_same_scope_twice"),
            bad("bn", path, V2, program="contrib_other_shape"),
            bad("reuse", {"reuse": "yes", "scope": "bn", **path}),
            bad("activation_fn", {"activation_fn": "relu", **path}),
            bad("param_initializers", {"param_initializers": [0.0], **path}),
            bad("param_regularizers", {"param_regularizers": [0.0], **path}),
            bad("decay", {"decay": "0.9", **path}),
            bad("decay", {"decay": None, **path}),
            bad("epsilon", {"epsilon": None, **path}),
            bad("scope", {"scope": 3, **path}),
        ]
    made += [
        bad("is_training", IN_PLACE, V2, "None"),
        bad("is_training", IN_PLACE, V3, "None"),
        bad("is_training", {}, V2, "None"),
        bad("renorm", {"renorm": True, **IN_PLACE}),
        bad("renorm", {"renorm": True, "batch_weights": WEIGHTS}),
        bad("renorm", {"renorm": True, "zero_debias_moving_mean": True}),
        bad("renorm", {"renorm": True, "updates_collections": "my_updates"}),
        bad("batch_weights", {"batch_weights": (1.0, 2.0)}),
        bad("batch_weights", {"batch_weights": ((1.0,),) * 7}),
        bad("batch_weights", {"batch_weights": 1.0}),
        bad("renorm_clipping", {"renorm": True, "renorm_clipping": {"max": 1.0}}, V4),
    ]
    return made


GROUPS = {
    "phase": _phases,
    "argument": _arguments,
    "zero_debias": _zero_debias,
    "weights": _weights,
    "format": _formats,
    "dtype": _dtypes,
    "scope": _scopes,
    "renorm": _renorm,
    "bad": _bad,
}


def _table() -> dict:
    table: dict = {}
    for make in GROUPS.values():
        for made in make():
            table.setdefault(made.name, made)
    return table


CASES = _table()
