"""Says once which TensorFlow there is."""

from distutils.version import LooseVersion

import tensorflow as tf

OLD = LooseVersion(tf.__version__) < LooseVersion("2.0")
MAJOR = int(tf.__version__.split(".")[0])
