"""Graph is built inside functions too; under eager execution itself the call is refused.

Each test runs a program of its own, because eager execution cannot be switched back on.
"""

from __future__ import annotations

import pytest

from tests import forked

HEADER = """
import numpy as np
import tensorflow.compat.v1 as tf
tf.enable_v2_behavior()
import tf1_bn
x = np.arange(12, dtype="float32").reshape(4, 3) ** 1.5
"""


def _run(program: str) -> str:
    ended = forked.python("-c", HEADER + program, cwd=forked.ROOT)
    assert ended.code == 0, ended.err
    return ended.out


@pytest.mark.parametrize(
    "call",
    [
        "tf1_bn.batch_normalization(x, training=True, name='bn')",
        "tf1_bn.BatchNormalization(name='bn')(x, training=True)",
        "tf1_bn.BatchNormalization(name='bn').apply(x)",
        "tf1_bn.BatchNormalization(name='bn').build([None, 3])",
    ],
)
def test_eager_execution_is_refused_with_the_ways_out(call: str) -> None:
    printed = _run(f"""
try:
    {call}
except ValueError as error:
    print(error)
print(tf.get_collection(tf.GraphKeys.GLOBAL_VARIABLES))
""")

    for way_out in ("tf.Graph().as_default()", "disable_eager_execution()", "wrap_function"):
        assert way_out in printed
    assert printed.splitlines()[-1] == "[]"


def test_a_graph_in_an_eager_process_works_as_usual() -> None:
    printed = _run("""
with tf.Graph().as_default(), tf.Session() as session:
    y = tf1_bn.batch_normalization(tf.constant(x), training=True)
    session.run(tf.global_variables_initializer())
    print(np.abs(session.run(y).mean(0)).max() < 1e-5)
""")

    assert printed == "True\n"


def test_wrap_function_holds_the_variables_and_prunes_to_the_updates() -> None:
    printed = _run("""
def build(inputs, training):
    y = tf1_bn.batch_normalization(inputs, training=training, momentum=0.5, name="plain")
    z = tf.reshape(y, [-1, 1, 1, 3])
    return tf1_bn.batch_normalization(z, training=training, name="fused")

wrapped = tf.wrap_function(
    build, [tf.TensorSpec([None, 3], tf.float32), tf.TensorSpec([], tf.bool)])
graph = wrapped.graph
variables = {variable.name: variable for variable in graph.variables}
print(sorted(variables))
updates = graph.get_collection(tf.GraphKeys.UPDATE_OPS)
update = wrapped.prune(graph.inputs[:2], [wrapped.outputs[0], updates])
moving_mean = variables["plain/moving_mean:0"]
update(tf.constant(x), tf.constant(False))
print(moving_mean.numpy().tolist())
update(tf.constant(x), tf.constant(True))
print(np.abs(moving_mean.numpy() - x.mean(0) / 2).max() < 1e-6)
wrapped(tf.constant(x), tf.constant(True))
print(np.abs(moving_mean.numpy() - x.mean(0) / 2).max() < 1e-6)
""").splitlines()

    names = [
        f"{layer}/{name}:0"
        for layer in ("fused", "plain")
        for name in ("beta", "gamma", "moving_mean", "moving_variance")
    ]
    assert printed == [repr(names), "[0.0, 0.0, 0.0]", "True", "True"]


def test_a_function_updates_by_itself_where_the_layer_holds_the_variables() -> None:
    printed = _run("""
import tensorflow
layer = tf1_bn.BatchNormalization(momentum=0.5)

@tensorflow.function
def train(inputs):
    return layer(inputs, training=True)

for _ in range(2):
    y = train(tf.constant(x))
print(np.abs(y.numpy().mean(0)).max() < 1e-5)
print(np.abs(layer.moving_mean.numpy() - 0.75 * x.mean(0)).max() < 1e-5)
""")

    assert printed == "True\nTrue\n"


def test_nobody_is_warned_of_updates_that_a_function_runs() -> None:
    printed = _run("""
import warnings
layer = tf1_bn.BatchNormalization(momentum=0.5, name="bn")

def build(inputs):
    layer.build([None, 3])
    return layer(inputs, training=True)

wrapped = tf.wrap_function(build, [tf.TensorSpec([None, 3])])

@tf.function
def step(inputs, taken):
    return tf.cond(taken, lambda: layer(inputs, training=True), lambda: inputs)

warnings.filterwarnings("error", category=UserWarning)
for taken in (True, False, True):
    step(x, tf.constant(taken))
print(np.abs(layer.moving_mean.numpy() - 0.75 * x.mean(0)).max() < 1e-5)
""")

    assert printed == "True\n"


def test_a_compiled_function_updates_and_bears_an_empty_batch() -> None:
    printed = _run("""
version = tuple(map(int, tf.__version__.split(".")[:2]))
compiled = {"jit_compile" if version >= (2, 5) else "experimental_compile": True}
for options in ({}, {"fused": True}, {"renorm": True}, {"virtual_batch_size": 2}):
    layer = tf1_bn.BatchNormalization(momentum=0.5, name="bn", **options)
    tf.wrap_function(lambda: layer.build([None, 3]), [])

    def step(inputs, training):
        y = layer(inputs, training=training)
        return tf.gradients(tf.reduce_sum(y ** 3), [layer.gamma, layer.beta])

    batch, flag = tf.TensorSpec([None, 3]), tf.TensorSpec([], tf.bool)
    # In a function of TensorFlow 1.15 XLA compiles no gradient of a conditional.
    if version >= (2, 0):
        step = tf.function(step, input_signature=[batch, flag], **compiled)
        train, infer = (lambda inputs, flag=flag: step(inputs, flag) for flag in (True, False))
    else:
        train, infer = (
            tf.function(lambda inputs, flag=flag: step(inputs, flag), [batch], **compiled)
            for flag in (True, False)
        )
    empty = [bool(slope.numpy().any()) for slope in train(x[:0])]
    still = bool(layer.moving_mean.numpy().any())
    train(x), infer(x), train(x)
    moved = layer.moving_mean.numpy().ravel()
    print(empty, still, np.abs(moved - 0.75 * x.mean(0)).max() < 1e-5)
""")

    assert printed == "[False, False] False True\n" * 4


@pytest.mark.parametrize("fault", ["adjustment", "gamma_regularizer"])
def test_a_retry_inside_a_function_takes_what_the_failed_call_made(fault: str) -> None:
    """The function lifts its variables out of itself: they have a handle and no op."""
    printed = _run(f"""
def fail(_):
    raise KeyError("mine")

def build(inputs):
    try:
        tf1_bn.batch_normalization(inputs, training=True, name="bn", {fault}=fail)
    except KeyError as error:
        print(error)
    return tf1_bn.batch_normalization(inputs, training=True, name="bn")

wrapped = tf.wrap_function(build, [tf.TensorSpec([4, 3], tf.float32)])
print(sorted(variable.name for variable in wrapped.graph.variables))
print(np.abs(wrapped(tf.constant(x)).numpy().mean(0)).max() < 1e-5)
""")

    names = ["bn/beta:0", "bn/gamma:0", "bn/moving_mean:0", "bn/moving_variance:0"]
    assert printed.splitlines() == ["'mine'", str(names), "True"]
