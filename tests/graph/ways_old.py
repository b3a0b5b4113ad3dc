"""Writes the graphs in `data` again: `python -m tests.graph.ways_old FOLDER`.

With the package of commit 29460f0 on TensorFlow 1.15.5; that of today makes other graphs.
"""

from __future__ import annotations

import os
import sys

import tensorflow.compat.v1 as tf

from tests.graph import ways_program
from tests.graph.ways_cases import OLD
from tf1_bn import _compat, layer


def main(folder: str) -> None:
    tf.disable_v2_behavior()
    ways_program.KERNELS.update(OLD)
    for kernel in OLD:
        # Where the fused op has a quick gradient, renorm took that.
        host = _compat.host()._replace(quick=kernel == "old op")
        layer.host = lambda host=host: host
        with tf.Graph().as_default():
            subject = ways_program.Subject(kernel, True)
            x = tf.placeholder(tf.float32, subject.x.shape, name="x")
            tf.identity(subject.loss(x), name="loss")
            subject.check_kernel()
            file = os.path.join(folder, kernel.replace(" ", "_") + ".meta")
            tf.train.export_meta_graph(file, clear_devices=True, strip_default_attrs=True)


if __name__ == "__main__":
    main(sys.argv[1])
