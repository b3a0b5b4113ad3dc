"""Small programs of TF1, broken and correct, by whichever layer is given.

Each builds a graph and returns what it would hand to `tf1_bn.check`.
"""

from __future__ import annotations

from typing import Any, Callable, Dict

from tf1_bn._src.runtime.tensorflow_v1 import tf

Layer = Callable[..., Any]
Program = Callable[[Layer], Dict[str, Any]]


def images(size: int = 3) -> Any:
    return tf.placeholder(tf.float32, [None, 8, 6, size])


def phase() -> Any:
    return tf.placeholder_with_default(False, [], "is_training")


def weights(name: str, shape: list[int]) -> Any:
    return tf.get_variable(name, shape, initializer=tf.random_normal_initializer(seed=1))


def convolved(x: Any, filters: int, name: str, data_format: str = "NHWC") -> Any:
    channels = x.shape.as_list()[3 if data_format == "NHWC" else 1]
    kernel = weights(f"{name}/kernel", [3, 3, channels, filters])
    return tf.nn.conv2d(x, kernel, strides=[1, 1, 1, 1], padding="SAME", data_format=data_format)


def dense(x: Any, units: int, name: str) -> Any:
    return tf.matmul(x, weights(f"{name}/kernel", [x.shape.as_list()[-1], units]))


def loss_of(x: Any) -> Any:
    return tf.reduce_mean(tf.square(x - 1.0))


def minimized(loss: Any, var_list: Any = None, **kwargs: Any) -> Any:
    return tf.train.GradientDescentOptimizer(0.1).minimize(loss, var_list=var_list, **kwargs)


def with_updates(loss: Any, var_list: Any = None, scope: str | None = None) -> Any:
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS, scope)):
        return minimized(loss, var_list)


def net(bn: Layer, training: Any, x: Any = None, **kwargs: Any) -> Any:
    """Two convolutions with batch normalization and a head."""
    x = images() if x is None else x
    for number in (1, 2):
        x = tf.nn.relu(
            bn(convolved(x, 4, f"conv{number}"), training=training, name=f"bn{number}", **kwargs)
        )
    return dense(tf.reduce_mean(x, [1, 2]), 2, "head")


# -- broken ----------------------------------------------------------------------------------------


def training_forgotten(bn: Layer) -> dict[str, Any]:
    return {"train_op": with_updates(loss_of(net(bn, False)))}


def training_forgotten_and_saved(bn: Layer) -> dict[str, Any]:
    train_op = with_updates(loss_of(net(bn, False)))
    return {"train_op": train_op, "saver": tf.train.Saver()}


def training_forgotten_once(bn: Layer) -> dict[str, Any]:
    x = bn(images(), training=phase(), name="given")
    x = bn(convolved(x, 4, "conv"), training=False, name="forgotten")
    return {"train_op": with_updates(loss_of(x))}


def updates_forgotten(bn: Layer) -> dict[str, Any]:
    return {"train_op": minimized(loss_of(net(bn, phase())))}


def updates_forgotten_beside_evaluation(bn: Layer) -> dict[str, Any]:
    train_op = minimized(loss_of(net(bn, True)))
    with tf.variable_scope(tf.get_variable_scope(), reuse=True):
        net(bn, False, reuse=True)
    return {"train_op": train_op}


def updates_forgotten_of_one_graph_of_two(bn: Layer) -> dict[str, Any]:
    """The evaluation may stand in another graph, or nowhere: nobody can tell."""
    return {"train_op": minimized(loss_of(net(bn, True)))}


def updates_forgotten_and_not_asked(bn: Layer) -> dict[str, Any]:
    minimized(loss_of(net(bn, phase())))
    return {}


def collected_before_all(bn: Layer) -> dict[str, Any]:
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        loss = loss_of(net(bn, phase()))
        return {"train_op": minimized(loss)}


def collected_before_the_last(bn: Layer) -> dict[str, Any]:
    training = phase()
    x = bn(convolved(images(), 4, "conv"), training=training, name="first")
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    x = bn(convolved(x, 4, "other"), training=training, name="second")
    with tf.control_dependencies(updates):
        return {"train_op": minimized(loss_of(x))}


def collected_with_a_scope(bn: Layer) -> dict[str, Any]:
    training = phase()
    with tf.variable_scope("encoder"):
        x = bn(convolved(images(), 4, "conv"), training=training, name="bn")
    with tf.variable_scope("decoder"):
        x = bn(convolved(x, 4, "conv"), training=training, name="bn")
    return {"train_op": with_updates(loss_of(x), scope="encoder")}


def collected_with_a_scope_before_the_last(bn: Layer) -> dict[str, Any]:
    """Collected behind all layers, the same scope would leave the same layer out."""
    training = phase()
    with tf.variable_scope("encoder"):
        x = bn(convolved(images(), 4, "conv"), training=training, name="bn")
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS, "encoder")
    with tf.variable_scope("decoder"):
        x = bn(convolved(x, 4, "conv"), training=training, name="bn")
    with tf.control_dependencies(updates):
        return {"train_op": minimized(loss_of(x))}


def fetched_gradients(bn: Layer) -> list[Any]:
    """What a program fetches that assigns the weights by itself."""
    loss = loss_of(net(bn, phase()))
    return [loss, tf.gradients(loss, tf.trainable_variables())]


def gradients_without_updates(bn: Layer) -> dict[str, Any]:
    return {"train_op": fetched_gradients(bn)}


def subtracted_without_updates(bn: Layer) -> dict[str, Any]:
    loss, learned = loss_of(net(bn, phase())), tf.trainable_variables()
    pairs = zip(learned, tf.gradients(loss, learned))
    return {"train_op": [tf.assign_sub(v, 0.1 * gradient) for v, gradient in pairs]}


def inside_a_conditional(bn: Layer) -> dict[str, Any]:
    x = convolved(images(), 4, "conv")
    x = tf.cond(
        phase(),
        lambda: bn(x, training=True, name="bn"),
        lambda: bn(x, training=False, name="bn", reuse=tf.AUTO_REUSE),
    )
    return {"train_op": minimized(loss_of(x))}


def saver_of_trainable(bn: Layer) -> dict[str, Any]:
    train_op = with_updates(loss_of(net(bn, phase())))
    return {"train_op": train_op, "saver": tf.train.Saver(tf.trainable_variables())}


def only_saver_of_trainable(bn: Layer) -> dict[str, Any]:
    train_op = with_updates(loss_of(net(bn, phase())))
    tf.train.Saver(tf.trainable_variables())
    return {"train_op": train_op}


def last_axis_behind_channels_first(bn: Layer) -> dict[str, Any]:
    x = convolved(tf.placeholder(tf.float32, [4, 3, 8, 8]), 4, "conv", "NCHW")
    return {"train_op": with_updates(loss_of(bn(tf.nn.relu(x), training=phase(), name="bn")))}


def first_axis_behind_channels_last(bn: Layer) -> dict[str, Any]:
    x = bn(convolved(images(), 4, "conv"), training=phase(), name="bn", axis=1)
    return {"train_op": with_updates(loss_of(x))}


def _gan(bn: Layer, training: Any) -> dict[str, Any]:
    def discriminated(x: Any, reuse: bool) -> Any:
        with tf.variable_scope("discriminator", reuse=reuse):
            x = bn(convolved(x, 4, "conv"), training=training, name="bn", reuse=reuse)
            return dense(tf.reduce_mean(tf.nn.relu(x), [1, 2]), 1, "head")

    noise = tf.placeholder(tf.float32, [None, 8, 8, 3], "noise")
    with tf.variable_scope("generator"):
        fake = bn(convolved(noise, 3, "conv"), training=training, name="bn")
    with tf.name_scope("real"):
        on_real = discriminated(tf.placeholder(tf.float32, [None, 8, 8, 3], "real"), False)
    on_fake = discriminated(fake, True)
    return {
        "d_loss": loss_of(on_real) + tf.reduce_mean(tf.square(on_fake)),
        "g_loss": loss_of(on_fake),
        "d": tf.trainable_variables("discriminator"),
        "g": tf.trainable_variables("generator"),
    }


def shared_discriminator_over_all(bn: Layer) -> dict[str, Any]:
    parts = _gan(bn, True)
    with_updates(parts["d_loss"], parts["d"])
    return {"train_op": with_updates(parts["g_loss"], parts["g"])}


def gan_that_collects_of_its_generator_alone(bn: Layer) -> dict[str, Any]:
    parts = _gan(bn, phase())
    with_updates(parts["g_loss"], parts["g"], "generator")
    return {"train_op": with_updates(parts["d_loss"], parts["d"], "generator")}


def validation_moves_the_statistics(bn: Layer) -> dict[str, Any]:
    loss = loss_of(net(bn, True))
    with tf.variable_scope(tf.get_variable_scope(), reuse=True):
        net(bn, True, reuse=True)
    return {"train_op": with_updates(loss)}


def exported_in_training(bn: Layer) -> dict[str, Any]:
    return {"outputs": net(bn, True)}


def frozen_in_training(bn: Layer) -> dict[str, Any]:
    outputs = net(bn, True)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return {
            "graph": tf.graph_util.convert_variables_to_constants(
                session, tf.get_default_graph().as_graph_def(), [outputs.op.name]
            )
        }


def one_example(bn: Layer) -> dict[str, Any]:
    x = bn(dense(tf.placeholder(tf.float32, [1, 3]), 4, "in"), training=True, name="bn")
    return {"train_op": with_updates(loss_of(x))}


def momentum_the_other_way_round(bn: Layer) -> dict[str, Any]:
    return {"train_op": with_updates(loss_of(net(bn, True, momentum=0.1)))}


def inside_a_loop(bn: Layer) -> dict[str, Any]:
    x, kernel = tf.placeholder(tf.float32, [None, 4]), weights("kernel", [4, 4])

    def body(count: Any, x: Any) -> Any:
        return count + 1, bn(tf.matmul(x, kernel), training=True, name="bn", reuse=tf.AUTO_REUSE)

    _, x = tf.while_loop(lambda count, _: count < 3, body, [0, x])
    return {"train_op": minimized(loss_of(x))}


def towers_over_all(bn: Layer) -> dict[str, Any]:
    losses = []
    for tower in range(2):
        scope = tf.variable_scope(tf.get_variable_scope(), reuse=tower > 0)
        with tf.device(f"/device:CPU:{tower}"), tf.name_scope(f"tower_{tower}"), scope:
            losses.append(loss_of(net(bn, True, reuse=tower > 0)))
    return {"train_op": with_updates(tf.add_n(losses) / 2.0)}


def rollout_moves_the_statistics(bn: Layer) -> dict[str, Any]:
    """An agent that acts through the layers that it learns by, in training."""

    def policy(state: Any, reuse: bool) -> Any:
        x = bn(dense(state, 4, "first"), training=True, name="bn", reuse=reuse)
        return dense(tf.nn.relu(x), 2, "head")

    with tf.variable_scope("policy"):
        learned = policy(tf.placeholder(tf.float32, [None, 3], "batch"), False)
    with tf.variable_scope("policy", reuse=True):
        policy(tf.placeholder(tf.float32, [8, 3], "states"), True)
    return {"train_op": with_updates(loss_of(learned))}


def fetched_before_the_last(bn: Layer) -> dict[str, Any]:
    x = bn(convolved(images(), 4, "conv"), training=True, name="first")
    updates = tf.group(*tf.get_collection(tf.GraphKeys.UPDATE_OPS))
    x = bn(convolved(x, 4, "other"), training=True, name="second")
    bn(x, training=False, name="second", reuse=True)
    return {"train_op": [minimized(loss_of(x)), updates]}


def served_from_the_training_graph(bn: Layer) -> dict[str, Any]:
    logits = net(bn, True)
    train_op = with_updates(loss_of(logits))
    return {"train_op": train_op, "outputs": tf.nn.softmax(logits), "saver": tf.train.Saver()}


def last_axis_behind_a_channels_first_deconvolution(bn: Layer) -> dict[str, Any]:
    x, kernel = tf.placeholder(tf.float32, [4, 3, 5, 6]), weights("kernel", [3, 3, 4, 3])
    x = tf.nn.conv2d_transpose(x, kernel, [4, 4, 5, 6], [1, 1, 1, 1], data_format="NCHW")
    return {"train_op": with_updates(loss_of(bn(x, training=phase(), name="bn")))}


def one_example_behind_a_pooling(bn: Layer) -> dict[str, Any]:
    x = convolved(tf.placeholder(tf.float32, [1, 8, 8, 3]), 4, "conv")
    x = bn(tf.reduce_mean(x, [1, 2], keepdims=True), training=True, name="bn")
    return {"train_op": with_updates(loss_of(x))}


def saver_by_names(bn: Layer) -> dict[str, Any]:
    train_op = with_updates(loss_of(net(bn, phase())))
    return {
        "train_op": train_op,
        "saver": tf.train.Saver({v.op.name: v for v in tf.trainable_variables()}, max_to_keep=2),
    }


def held_still_by_half(bn: Layer) -> dict[str, Any]:
    x = bn(convolved(images(), 4, "conv"), training=True, name="bn", trainable=False)
    return {"train_op": with_updates(loss_of(dense(tf.reduce_mean(x, [1, 2]), 2, "head")))}


def siamese_without_names(bn: Layer) -> dict[str, Any]:
    kernel = weights("kernel", [3, 4])
    left, right = (
        bn(tf.matmul(tf.placeholder(tf.float32, [None, 3]), kernel), training=True, name=None)
        for _ in range(2)
    )
    return {"train_op": with_updates(loss_of(left - right))}


def evaluated_by_a_copy(bn: Layer) -> dict[str, Any]:
    def model(x: Any, training: bool) -> Any:
        with tf.variable_scope(None, "model"):
            return dense(bn(dense(x, 4, "first"), training=training, name="bn"), 2, "head")

    train_op = with_updates(loss_of(model(tf.placeholder(tf.float32, [None, 3]), True)))
    return {"train_op": train_op, "outputs": model(tf.placeholder(tf.float32, [None, 3]), False)}


def bias_before_it(bn: Layer) -> dict[str, Any]:
    x = tf.nn.bias_add(convolved(images(), 4, "conv"), weights("conv/bias", [4]))
    return {"train_op": with_updates(loss_of(bn(x, training=phase(), name="bn")))}


BROKEN: dict[str, tuple[Program, str]] = {
    program.__name__: (program, code)
    for program, code in [
        (training_forgotten, "BN101"),
        (training_forgotten_and_saved, "BN101"),
        (training_forgotten_once, "BN102"),
        (updates_forgotten, "BN110"),
        (updates_forgotten_beside_evaluation, "BN110"),
        (updates_forgotten_of_one_graph_of_two, "BN301"),
        (updates_forgotten_and_not_asked, "BN301"),
        (collected_before_all, "BN110"),
        (collected_before_the_last, "BN112"),
        (inside_a_conditional, "BN302"),
        (saver_of_trainable, "BN306"),
        (only_saver_of_trainable, "BN306"),
        (last_axis_behind_channels_first, "BN307"),
        (first_axis_behind_channels_last, "BN307"),
        (shared_discriminator_over_all, "BN303"),
        (validation_moves_the_statistics, "BN303"),
        (exported_in_training, "BN305"),
        (frozen_in_training, "BN305"),
        (one_example, "BN308"),
        (momentum_the_other_way_round, "BN309"),
        (inside_a_loop, "BN302"),
        (towers_over_all, "BN304"),
        (rollout_moves_the_statistics, "BN303"),
        (fetched_before_the_last, "BN112"),
        (collected_with_a_scope, "BN112"),
        (gradients_without_updates, "BN110"),
        (subtracted_without_updates, "BN110"),
        (gan_that_collects_of_its_generator_alone, "BN112"),
        (served_from_the_training_graph, "BN305"),
        (last_axis_behind_a_channels_first_deconvolution, "BN307"),
        (one_example_behind_a_pooling, "BN308"),
        (saver_by_names, "BN306"),
        (held_still_by_half, "BN310"),
        (siamese_without_names, "BN312"),
        (evaluated_by_a_copy, "BN312"),
        (bias_before_it, "BN313"),
    ]
}


# -- correct ---------------------------------------------------------------------------------------


def classic(bn: Layer) -> dict[str, Any]:
    outputs = net(bn, phase())
    loss = loss_of(outputs)
    train_op = with_updates(loss)
    return {"train_op": train_op, "loss": loss, "outputs": outputs, "saver": tf.train.Saver()}


def not_asked(bn: Layer) -> dict[str, Any]:
    classic(bn)
    return {}


def resnet(bn: Layer) -> dict[str, Any]:
    training, x = phase(), convolved(images(), 4, "stem")
    for number in range(3):
        with tf.variable_scope(f"block{number}"):
            short = x
            x = tf.nn.relu(bn(x, training=training, name="bn1"))
            x = tf.nn.relu(bn(convolved(x, 4, "conv1"), training=training, name="bn2"))
            x = short + convolved(x, 4, "conv2")
    x = dense(tf.reduce_mean(tf.nn.relu(bn(x, training=training, name="bn")), [1, 2]), 2, "head")
    step = tf.train.get_or_create_global_step()
    loss = loss_of(x) + 1e-4 * tf.add_n([tf.nn.l2_loss(v) for v in tf.trainable_variables()])
    optimizer = tf.train.MomentumOptimizer(0.1, 0.9)
    train_op = optimizer.apply_gradients(optimizer.compute_gradients(loss), step)
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    return {"train_op": tf.group(train_op, *updates), "saver": tf.train.Saver()}


def channels_first(bn: Layer) -> dict[str, Any]:
    x = convolved(tf.placeholder(tf.float32, [4, 3, 8, 8]), 4, "conv", "NCHW")
    return {"train_op": with_updates(loss_of(bn(x, training=phase(), name="bn", axis=1)))}


def transposed(bn: Layer) -> dict[str, Any]:
    x = tf.transpose(tf.placeholder(tf.float32, [4, 8, 8, 3]), [0, 3, 1, 2])
    x = tf.transpose(convolved(x, 4, "conv", "NCHW"), [0, 2, 3, 1])
    return {"train_op": with_updates(loss_of(bn(x, training=phase(), name="bn")))}


def gan_discriminator_step(bn: Layer) -> dict[str, Any]:
    parts = _gan(bn, True)
    with_updates(parts["g_loss"], parts["g"], "generator")
    return {"train_op": with_updates(parts["d_loss"], parts["d"], ".*discriminator")}


def gan_generator_step(bn: Layer) -> dict[str, Any]:
    parts = _gan(bn, True)
    with_updates(parts["d_loss"], parts["d"], ".*discriminator")
    return {"train_op": with_updates(parts["g_loss"], parts["g"], "generator")}


def gan_discriminator_step_with_a_phase(bn: Layer) -> dict[str, Any]:
    parts = _gan(bn, phase())
    with_updates(parts["g_loss"], parts["g"], "generator")
    return {"train_op": with_updates(parts["d_loss"], parts["d"], ".*discriminator")}


def gan_with_a_phase(bn: Layer) -> dict[str, Any]:
    parts = _gan(bn, phase())
    with_updates(parts["d_loss"], parts["d"], ".*discriminator")
    return {"train_op": with_updates(parts["g_loss"], parts["g"], "generator")}


def towers(bn: Layer) -> dict[str, Any]:
    training, losses, updates = phase(), [], []
    for tower in range(2):
        with tf.name_scope(f"tower_{tower}") as scope:
            with tf.variable_scope(tf.get_variable_scope(), reuse=tower > 0):
                losses.append(loss_of(net(bn, training, reuse=tower > 0)))
            updates = updates or tf.get_collection(tf.GraphKeys.UPDATE_OPS, scope)
    with tf.control_dependencies(updates):
        return {"train_op": minimized(tf.add_n(losses) / 2.0)}


def hook_that_groups(bn: Layer) -> dict[str, Any]:
    train_op = minimized(loss_of(net(bn, phase())))
    tf.group(*tf.get_collection(tf.GraphKeys.UPDATE_OPS), name="run_update_ops")
    return {"train_op": train_op}


def fetched_beside(bn: Layer) -> dict[str, Any]:
    train_op = minimized(loss_of(net(bn, phase())))
    return {"train_op": [train_op, {"updates": tf.get_collection(tf.GraphKeys.UPDATE_OPS)}]}


def model_fn_in_training(bn: Layer) -> dict[str, Any]:
    step = tf.train.get_or_create_global_step()
    loss = loss_of(net(bn, True))
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        train_op = minimized(loss, global_step=step)
    return {"train_op": train_op, "loss": loss}


def model_fn_in_evaluation(bn: Layer) -> dict[str, Any]:
    outputs = net(bn, False)
    return {"outputs": outputs, "loss": loss_of(outputs), "saver": tf.train.Saver()}


def trained_and_evaluated(bn: Layer) -> dict[str, Any]:
    train_op = with_updates(loss_of(net(bn, True)))
    with tf.variable_scope(tf.get_variable_scope(), reuse=True):
        outputs = net(bn, False, reuse=True)
    return {"train_op": train_op, "outputs": outputs, "saver": tf.train.Saver()}


def validated_in_the_same_run(bn: Layer) -> dict[str, Any]:
    train_op = with_updates(loss_of(net(bn, True)))
    with tf.variable_scope(tf.get_variable_scope(), reuse=True):
        return {"train_op": [train_op, loss_of(net(bn, False, reuse=True))]}


def maml(bn: Layer) -> dict[str, Any]:
    """Inner and outer step normalize by the batch, at test time too."""
    x, kernel = tf.placeholder(tf.float32, [5, 3]), weights("kernel", [3, 2])

    def forward(kernel: Any, reuse: bool) -> Any:
        return loss_of(bn(tf.matmul(x, kernel), training=True, name="bn", reuse=reuse))

    (gradient,) = tf.gradients(forward(kernel, False), kernel)
    return {"train_op": minimized(forward(kernel - 0.1 * gradient, True))}


def frozen_backbone(bn: Layer) -> dict[str, Any]:
    loss = loss_of(net(bn, False))
    return {"train_op": minimized(loss, tf.trainable_variables("head")), "loss": loss}


def frozen_statistics(bn: Layer) -> dict[str, Any]:
    """Of a checkpoint that has no head; gamma and beta are trained on."""
    outputs = net(bn, False)
    old = [v for v in tf.global_variables() if not v.op.name.startswith("head")]
    tf.train.Saver(old)
    return {"train_op": minimized(loss_of(outputs)), "saver": tf.train.Saver()}


def teacher(bn: Layer) -> dict[str, Any]:
    """A second network that is never trained, in inference, whose output is a target."""
    x, training = images(), phase()
    with tf.variable_scope("teacher"):
        target = tf.stop_gradient(net(bn, False, x))
    with tf.variable_scope("student"):
        student = net(bn, training, x)
    loss = tf.reduce_mean(tf.square(target - student))
    return {"train_op": with_updates(loss, tf.trainable_variables("student"))}


def momentum_is_fed(bn: Layer) -> dict[str, Any]:
    """A rate that only the updates need."""
    loss = loss_of(net(bn, True))
    rate = tf.placeholder(tf.float32, [], "rate")
    seen = tf.get_variable("seen", [], trainable=False, initializer=tf.zeros_initializer())
    with tf.control_dependencies([tf.assign(seen, rate)]):
        return {"train_op": with_updates(loss)}


def gradients_beside_updates(bn: Layer) -> dict[str, Any]:
    return {"train_op": [fetched_gradients(bn), tf.get_collection(tf.GraphKeys.UPDATE_OPS)]}


def subtracted_behind_updates(bn: Layer) -> dict[str, Any]:
    loss, learned = loss_of(net(bn, phase())), tf.trainable_variables()
    gradients = tf.gradients(loss, learned)
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        return {"train_op": [tf.assign_sub(v, 0.1 * g) for v, g in zip(learned, gradients)]}


def gradients_of_the_input(bn: Layer) -> dict[str, Any]:
    """As for a picture that is to be seen differently; nothing is trained."""
    x = images()
    return {"train_op": tf.gradients(loss_of(net(bn, phase(), x)), [x])}


def clipped(bn: Layer) -> dict[str, Any]:
    optimizer = tf.train.AdamOptimizer(1e-3)
    gradients, variables = zip(*optimizer.compute_gradients(loss_of(net(bn, phase()))))
    gradients, _ = tf.clip_by_global_norm(list(gradients), 1.0)
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        train_op = optimizer.apply_gradients(zip(gradients, variables))
    averages = tf.train.ExponentialMovingAverage(0.99)
    with tf.control_dependencies([train_op]):
        return {"train_op": averages.apply(tf.trainable_variables())}


def inference_with_a_bias(bn: Layer) -> dict[str, Any]:
    """A frozen layer takes nothing out, so the bias before it learns."""
    x = tf.nn.bias_add(convolved(images(), 4, "conv"), weights("conv/bias", [4]))
    loss = loss_of(bn(x, training=False, name="bn"))
    return {"train_op": minimized(loss, tf.trainable_variables("conv"))}


def two_heads(bn: Layer) -> dict[str, Any]:
    """On one trunk, each with a loss and a layer of its own."""
    training = phase()
    trunk = tf.nn.relu(
        bn(dense(tf.placeholder(tf.float32, [None, 3]), 4, "trunk"), training=training, name="bn")
    )
    heads = []
    for name in ("age", "place"):
        with tf.variable_scope(name):
            hidden = tf.nn.relu(bn(dense(trunk, 4, "hidden"), training=training, name="bn"))
            heads.append(dense(hidden, 2, "last"))
    loss = loss_of(heads[0]) + 0.5 * loss_of(heads[1])
    return {"train_op": with_updates(loss), "outputs": heads, "saver": tf.train.Saver()}


def averages_of_weights(bn: Layer) -> dict[str, Any]:
    """Evaluation by averaged weights, which a Saver of their own restores."""
    outputs = net(bn, phase())
    averages = tf.train.ExponentialMovingAverage(0.99, tf.train.get_or_create_global_step())
    with tf.control_dependencies([with_updates(loss_of(outputs))]):
        train_op = averages.apply(tf.trainable_variables())
    tf.train.Saver(averages.variables_to_restore())
    return {"train_op": train_op, "outputs": outputs, "saver": tf.train.Saver(max_to_keep=3)}


def phase_of_a_variable(bn: Layer) -> dict[str, Any]:
    training = tf.get_variable("phase", [], tf.bool, tf.zeros_initializer(), trainable=False)
    tf.assign(training, True), tf.assign(training, False)
    return {"train_op": with_updates(loss_of(net(bn, training)))}


def target_network(bn: Layer) -> dict[str, Any]:
    """Of which a copy is taken now and then."""

    def value(name: str, training: Any) -> Any:
        with tf.variable_scope(name):
            x = bn(
                dense(tf.placeholder(tf.float32, [None, 3]), 4, "first"),
                training=training,
                name="bn",
            )
            return dense(tf.nn.relu(x), 1, "last")

    learned, target = value("value", True), value("value_1", False)
    both = zip(tf.global_variables("value/"), tf.global_variables("value_1/"))
    tf.group(*[tf.assign(late, now) for now, late in both])
    return {"train_op": with_updates(loss_of(learned)), "outputs": target}


def one_set_a_domain(bn: Layer) -> dict[str, Any]:
    """The same convolution, and a layer for each domain."""
    kernel, losses = weights("kernel", [3, 4]), []
    for domain in ("photo", "sketch"):
        x = tf.matmul(tf.placeholder(tf.float32, [None, 3]), kernel)
        losses.append(loss_of(bn(x, training=True, name=f"bn_{domain}")))
    return {"train_op": with_updates(tf.add_n(losses))}


def accumulated(bn: Layer) -> dict[str, Any]:
    """Gradients of several batches are added up, and applied by another run."""
    optimizer = tf.train.GradientDescentOptimizer(0.1)
    pairs = optimizer.compute_gradients(loss_of(net(bn, phase())))
    sums = [tf.Variable(tf.zeros(v.shape), trainable=False, name="sum") for _, v in pairs]
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        adds = [tf.assign_add(total, gradient) for total, (gradient, _) in zip(sums, pairs)]
    applied = optimizer.apply_gradients((s, v) for s, (_, v) in zip(sums, pairs))
    return {"train_op": [adds, applied]}


def applied_with_the_updates(bn: Layer) -> dict[str, Any]:
    """Gradients that other runs have gathered; the averages move by the last batch."""
    optimizer = tf.train.GradientDescentOptimizer(0.1)
    pairs = optimizer.compute_gradients(loss_of(net(bn, phase())))
    sums = [tf.Variable(tf.zeros(v.shape), trainable=False, name="sum") for _, v in pairs]
    for total, (gradient, _) in zip(sums, pairs):
        tf.assign_add(total, gradient)
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        applied = optimizer.apply_gradients((s, v) for s, (_, v) in zip(sums, pairs))
    return {"train_op": applied}


CORRECT: dict[str, Program] = {
    program.__name__: program
    for program in [
        classic,
        not_asked,
        resnet,
        channels_first,
        transposed,
        gan_discriminator_step,
        gan_generator_step,
        gan_with_a_phase,
        gan_discriminator_step_with_a_phase,
        towers,
        hook_that_groups,
        fetched_beside,
        model_fn_in_training,
        model_fn_in_evaluation,
        trained_and_evaluated,
        validated_in_the_same_run,
        maml,
        frozen_backbone,
        frozen_statistics,
        teacher,
        momentum_is_fed,
        clipped,
        gradients_beside_updates,
        subtracted_behind_updates,
        gradients_of_the_input,
        inference_with_a_bias,
        two_heads,
        averages_of_weights,
        phase_of_a_variable,
        target_network,
        one_set_a_domain,
        accumulated,
        applied_with_the_updates,
    ]
}

# Their mistake, or what may be taken for one, has nothing to do with the kernel.
OF_NO_KERNEL = {
    program.__name__
    for program in [
        training_forgotten_and_saved,
        updates_forgotten_and_not_asked,
        only_saver_of_trainable,
        inside_a_loop,
        towers_over_all,
        rollout_moves_the_statistics,
        fetched_before_the_last,
        collected_with_a_scope,
        gan_that_collects_of_its_generator_alone,
        served_from_the_training_graph,
        last_axis_behind_a_channels_first_deconvolution,
        one_example_behind_a_pooling,
        saver_by_names,
        held_still_by_half,
        siamese_without_names,
        evaluated_by_a_copy,
        bias_before_it,
        validated_in_the_same_run,
        inference_with_a_bias,
        two_heads,
        averages_of_weights,
        phase_of_a_variable,
        target_network,
        one_set_a_domain,
        accumulated,
        subtracted_without_updates,
        subtracted_behind_updates,
        applied_with_the_updates,
        gan_discriminator_step_with_a_phase,
    ]
}
