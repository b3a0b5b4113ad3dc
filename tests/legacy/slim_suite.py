"""Runs TF-Slim's own unit tests, as they lie in its wheel, with `tf1_bn.install()` done.

`python -m tests.legacy.slim_suite layers.layers_test.BatchNormTest nets.resnet_v1_test` prints a
line for each with what ran, and exits with 1 if a test failed. Without arguments it runs `SUITES`.
"""

from __future__ import annotations

import importlib
import sys
import unittest

# Test modules or classes below `tf_slim`, and how many tests tf_slim 1.1.0 has in each.
SUITES = {
    "layers.layers_test.BatchNormTest": 67,
    "layers.layers_test.FCTest": 15,
    "layers.layers_test.LayerNormTest": 16,
    "layers.normalization_test": 43,
    "learning_test": 38,
    "training.training_test": 19,
    "nets.resnet_v1_test": 17,
    "nets.resnet_v2_test": 17,
    "nets.inception_v1_test": 12,
}


def find_tests(loader: unittest.TestLoader, name: str) -> unittest.TestSuite:
    # Not loader.loadTestsFromName: `tf_slim.layers` shows the functions, not its test modules.
    module, _, last = f"tf_slim.{name}".rpartition(".")
    if last[0].isupper():
        return loader.loadTestsFromTestCase(getattr(importlib.import_module(module), last))
    return loader.loadTestsFromModule(importlib.import_module(f"{module}.{last}"))


def main(suites: list[str]) -> int:
    from tf1_bn._src.programs.install import install

    install()
    import tensorflow.compat.v1 as tf

    # What slim's tests do in their own `main`.
    tf.disable_v2_behavior()
    loader = unittest.TestLoader()
    failed = False
    for name in suites:
        result = unittest.TestResult()
        find_tests(loader, name).run(result)
        wrong = result.failures + result.errors
        for test, trace in wrong:
            print(f"{test}\n{trace}", file=sys.stderr)
        print(f"{name}: {result.testsRun} run, {len(wrong)} failed, {len(result.skipped)} skipped")
        sys.stdout.flush()
        failed = failed or bool(wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(SUITES)))
