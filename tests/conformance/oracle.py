"""Training graphs that real TF 1.15 built, to be executed beside ours on the running TensorFlow.

`python -m tests.conformance.oracle` writes those that are missing, under TF 1.15 only.
"""

from __future__ import annotations

import gzip
import io
import os
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.conformance.data import make_state
from tests.conformance.goldens_io import GOLDENS
from tests.conformance.record import on_tf1
from tests.conformance.runner import real_layer
from tests.conftest import make_session, tensorflow

FOLDER = GOLDENS / "oracle"
SAVED_MODEL = FOLDER / "saved_model.tar.gz"
# What the guide's page on old graphs loads.
GUIDE = GOLDENS.parents[2] / "migration_guide" / "data" / "old_model"
LEARNING_RATE = 0.125
CLIPPING = {"rmin": 0.8, "rmax": 1.25, "dmax": 0.3}


class Graph(NamedTuple):
    """One recorded graph: the layer's input and arguments, and whether the phase is fed."""

    shape: tuple
    args: dict = {}
    dynamic: bool = False
    use_resource: bool = False


GRAPHS = {
    "rank_2": Graph((7, 5)),
    "rank_3_axis_1": Graph((4, 5, 3), {"axis": 1}),
    "fused": Graph((4, 3, 2, 5)),
    "fused_resource": Graph((4, 3, 2, 5), use_resource=True),
    "placeholder": Graph((7, 5), dynamic=True),
    "fused_placeholder": Graph((4, 3, 2, 5), dynamic=True),
    "renorm": Graph((7, 5), {"renorm": True, "renorm_clipping": CLIPPING, "renorm_momentum": 0.75}),
    "renorm_placeholder": Graph((4, 3, 2, 5), {"renorm": True}, dynamic=True),
    "ghost": Graph((6, 5), {"virtual_batch_size": 3}),
    "ghost_images": Graph((6, 3, 2, 5), {"virtual_batch_size": 2}, dynamic=True),
}


class Ends(NamedTuple):
    """The names by which a built or imported graph is fed and fetched."""

    x: str
    weights: str
    training: str | None
    outputs: str
    gradients: dict
    train: str


def build(function: Any, graph: Graph) -> Ends:
    """A layer behind one weight per channel, the gradients of a loss, and a train op."""
    tf = tensorflow()
    x = tf.placeholder(tf.float32, graph.shape, name="x")
    weights = tf.placeholder(tf.float32, graph.shape, name="weights")
    training = tf.placeholder(tf.bool, [], name="training") if graph.dynamic else True
    with tf.variable_scope("net", use_resource=graph.use_resource):
        kernel = tf.get_variable("kernel", [graph.shape[-1]])
        # Batch norm undoes a mere factor, whose gradient would be cancellation.
        net = tf.sin(x * kernel)
        outputs = function(net, training=training, momentum=0.75, name="bn", **graph.args)
    # Under control flow v2 the layer's own name for it ends otherwise.
    outputs = tf.identity(outputs, name="outputs")
    # Not linear, so that the second application of the chain rule differs from element to element.
    loss = tf.reduce_sum(tf.tanh(outputs) * weights, name="loss")
    targets = {"x": x, **{v.op.name: v for v in tf.trainable_variables()}}
    gradients = tf.gradients(loss, list(targets.values()))
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    with tf.control_dependencies(updates):
        train = tf.train.GradientDescentOptimizer(LEARNING_RATE).minimize(loss, name="train")
    return Ends(
        x.name,
        weights.name,
        None if isinstance(training, bool) else training.name,
        outputs.name,
        {
            # How a gradient is put together, and so its name, is each implementation's own.
            key: tf.identity(gradient, name=f"gradient/{key}").name
            for key, gradient in zip(targets, gradients)
        },
        train.name,
    )


class Running:
    """A graph in a session: state in, one step out."""

    def __init__(self, graph: Any, ends: Ends) -> None:
        self.ends = ends
        self.session = make_session(graph)
        tf = tensorflow()
        with graph.as_default():
            self.variables = {v.op.name: v for v in tf.global_variables()}
            self.updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)

    def load(self, state: dict) -> None:
        feed = {self.variables[k].initializer.inputs[1]: value for k, value in state.items()}
        self.session.run([self.variables[key].initializer for key in state], feed)

    def state(self) -> dict:
        return self.session.run(self.variables)

    def step(self, x: Any, weights: Any, training: bool, train: bool = False) -> dict:
        """Outputs and gradients, while the updates run; with `train` the train op, afterwards."""
        ends, run = self.ends, self.session.run
        feed = {ends.x: x, ends.weights: weights}
        if ends.training is not None:
            feed[ends.training] = training
        fetches = {"output": ends.outputs, **ends.gradients}
        # An update that the phase switches off must write nothing, so it always runs. The train op
        # would write weights that the gradients read.
        values, _ = run([fetches, [] if train else self.updates], feed)
        if train:
            run(ends.train, feed)
        return values


def ours(described: Graph) -> tuple:
    """Our own build of the same program, in a graph of its own."""
    tf = tensorflow()
    import tf1_bn

    with tf.Graph().as_default() as graph:
        ends = build(tf1_bn.batch_normalization, described)
    return graph, ends


def imported(meta_graph_def: Any) -> Any:
    """The recorded graph on the running TensorFlow, with its collections."""
    tf = tensorflow()
    with tf.Graph().as_default() as graph:
        tf.train.import_meta_graph(meta_graph_def)
    return graph


def read_meta(name: str) -> Any:
    message = tensorflow().MetaGraphDef()
    message.ParseFromString(gzip.decompress((FOLDER / f"{name}.meta.gz").read_bytes()))
    return message


def draw(shape: Any, seed: int) -> tuple:
    """A random input and loss weights; every channel has statistics of its own."""
    random = np.random.RandomState(seed)
    channels = np.arange(1, shape[-1] + 1)
    x = random.standard_normal(shape) * (0.5 + 0.25 * channels) + random.uniform(-3, 3, shape[-1])
    return x.astype("float32"), random.uniform(-2, 2, shape).astype("float32")


def draw_state(variables: dict, seed: int) -> dict:
    """A random value for each variable, positive where it must be."""
    random = np.random.RandomState(seed + 1)
    positive = (0.5, 1.75)
    ranges = {
        "variance": (0.3, 2.5),
        "stddev": (0.6, 1.6),
        "gamma": positive,
        # A channel of no width would have gradients of any size.
        "kernel": positive,
    }
    state = {}
    for name in sorted(variables):
        low, high = next((r for k, r in ranges.items() if name.endswith(k)), (-1.0, 1.0))
        shape = variables[name].shape.as_list()
        state[name] = random.uniform(low, high, shape).astype("float32")
    return state


def record() -> None:
    tf = tensorflow()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, described in GRAPHS.items():
        path = FOLDER / f"{name}.meta.gz"
        if path.exists():
            continue
        with tf.Graph().as_default() as graph:
            tf.set_random_seed(1)
            build(real_layer().function, described)
            tf.train.Saver()
            exported = tf.train.export_meta_graph(graph=graph, clear_devices=True)
            _write(path, _gzipped(exported.SerializeToString()))
        print("recorded", name, file=sys.stderr)
    if not SAVED_MODEL.exists():
        _write(SAVED_MODEL, _saved_model())
    if not GUIDE.with_suffix(".meta").exists():
        GUIDE.parent.mkdir(exist_ok=True)
        _record_guide_model()


def _saved_model() -> bytes:
    """A training graph with fused batch norm as a SavedModel, packed."""
    tf = tensorflow()
    with tempfile.TemporaryDirectory() as scratch:
        folder = str(Path(scratch, "saved_model"))
        with tf.Graph().as_default() as graph:
            ends = build(real_layer().function, GRAPHS["fused"])
            with make_session(graph) as session:
                for v in tf.global_variables():
                    v.load(make_state(v.op.name, v.shape.as_list()), session)
                x, y = (graph.get_tensor_by_name(name) for name in (ends.x, ends.outputs))
                tf.saved_model.simple_save(session, folder, {"x": x}, {"y": y})
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            archive.add(folder, "saved_model", filter=_without_owner)
        return packed.getvalue()


def _without_owner(member: Any) -> Any:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


def _record_guide_model() -> None:
    """A small convolutional classifier after some steps, as a TF1 program would have saved it."""
    tf = tensorflow()
    random = np.random.RandomState(3)
    with tf.Graph().as_default() as graph:
        tf.set_random_seed(3)
        images = tf.placeholder(tf.float32, [None, 6, 6, 1], name="images")
        labels = tf.placeholder(tf.int64, [None], name="labels")
        training = tf.placeholder_with_default(False, [], name="training")
        kernel = tf.get_variable("kernel", [3, 3, 1, 4])
        net = tf.nn.conv2d(images, kernel, strides=[1, 1, 1, 1], padding="SAME")
        net = tf.nn.relu(real_layer().function(net, momentum=0.9, training=training, name="bn"))
        output = tf.get_variable("output", [4, 2])
        logits = tf.matmul(tf.reduce_mean(net, [1, 2]), output, name="logits")
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        loss = tf.reduce_mean(losses, name="loss")
        with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
            train = tf.train.AdamOptimizer(0.02).minimize(loss, name="train")
        with make_session(graph) as session:
            session.run(tf.global_variables_initializer())
            for _ in range(60):
                pixels, stripes = stripes_of(random, 16)
                session.run(train, {images: pixels, labels: stripes, training: True})
            tf.train.Saver().save(session, str(GUIDE))
    (GUIDE.parent / "checkpoint").unlink()


def stripes_of(random: Any, count: int) -> tuple:
    """Noisy images of vertical (0) or horizontal (1) stripes."""
    labels = random.randint(0, 2, count)
    vertical = np.tile([1.0, -1.0], [6, 3])
    images = np.where(labels[:, None, None] == 0, vertical, vertical.T)
    return (images + random.standard_normal(images.shape))[..., None].astype("float32"), labels


def _gzipped(content: bytes) -> bytes:
    """Without the date, so that equal graphs make equal files."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream:
        stream.write(content)
    return packed.getvalue()


def _write(path: Path, content: bytes) -> None:
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(content)
    os.replace(str(beside), str(path))


def unpack_saved_model(folder: Path) -> Path:
    with tarfile.open(str(SAVED_MODEL)) as archive:
        # Python 3.7 knows no filter, 3.13 warns where none is named.
        if hasattr(tarfile, "data_filter"):
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(str(folder))
    return folder / "saved_model"


if __name__ == "__main__":
    sys.exit(on_tf1(record))
