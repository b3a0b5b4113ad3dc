"""Object-based checkpoints of the real layer restore into ours and ours into the real layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conformance.object_checkpoints import OURS, REAL, Network, contents, read, write
from tests.conformance.runner import Candidate, real_layer
from tests.conftest import make_session, tensorflow

REAL_LAYER_HERE = pytest.mark.tf_max("2.15", reason="the real layer is gone with Keras 3")
DEFERRED = pytest.mark.parametrize("deferred", [False, True])


def assert_restored(found: tuple) -> None:
    values, expected = found
    assert sorted(values) == sorted(expected) and len(values) == 25
    for name, value in expected.items():
        np.testing.assert_array_equal(values[name], value, err_msg=name)


@DEFERRED
@pytest.mark.parametrize("use_resource", [False, True])
@pytest.mark.parametrize("prefix", [*REAL, OURS], ids=lambda prefix: prefix.name)
def test_a_recorded_checkpoint_restores(
    candidate: Candidate, prefix: Path, use_resource: bool, deferred: bool
) -> None:
    assert_restored(read(prefix, candidate.layer, deferred, use_resource))


@pytest.mark.parametrize("prefix", REAL, ids=lambda prefix: prefix.name)
def test_keys_and_values_are_those_of_the_real_layer(
    candidate: Candidate, prefix: Path, tmp_path: Path
) -> None:
    ours = contents(write(tmp_path / "saved", candidate.layer))
    real = contents(prefix)
    assert sorted(ours) == sorted(real)
    for key, value in real.items():
        np.testing.assert_array_equal(ours[key], value, err_msg=key)
        assert ours[key].dtype == value.dtype


@REAL_LAYER_HERE
@DEFERRED
@pytest.mark.filterwarnings("ignore:.*add_variable")
def test_a_checkpoint_of_ours_restores_into_the_real_layer(
    candidate: Candidate, deferred: bool, tmp_path: Path
) -> None:
    assert_restored(read(write(tmp_path / "saved", candidate.layer), real_layer().layer, deferred))


@REAL_LAYER_HERE
@DEFERRED
@pytest.mark.filterwarnings("ignore:.*add_variable")
def test_a_checkpoint_of_ours_from_the_newest_tf_restores_into_the_real_layer(
    deferred: bool,
) -> None:
    assert_restored(read(OURS, real_layer().layer, deferred))


@REAL_LAYER_HERE
@pytest.mark.filterwarnings("ignore:.*add_variable")
def test_a_module_finds_what_it_finds_of_the_real_layer(candidate: Candidate) -> None:
    tf, found = tensorflow(), []
    for layer in (candidate.layer, real_layer().layer):
        with tf.Graph().as_default():
            network = Network(layer)
            network.build()
            module = network.module
            of_own = (module.own.variables, module.own.trainable_variables)
            found.append(
                [
                    [v.op.name for v in variables]
                    for variables in (module.variables, module.trainable_variables, *of_own)
                ]
                + [[layer.name for layer in module.submodules]]
            )
    assert found[0] == found[1] and len(found[0][0]) == 25 and len(found[0][4]) == 5


def test_partitioned_weights_are_kept_too(candidate: Candidate, tmp_path: Path) -> None:
    tf, values = tensorflow(), {}
    for prefix in (None, str(tmp_path / "saved")):
        with tf.Graph().as_default() as graph, make_session(graph) as session:
            module = tf.Module()
            with tf.variable_scope("parts", partitioner=tf.fixed_size_partitioner(2)):
                module.layer = candidate.layer(name="bn")
                module.layer(tf.placeholder("float32", [None, 7]))
            session.run(tf.global_variables_initializer())
            assert [v.op.name[9:] for v in module.trainable_variables] == [
                "gamma/part_0",
                "gamma/part_1",
                "beta/part_0",
                "beta/part_1",
            ]
            if prefix is None:
                for index, v in enumerate(module.variables):
                    value = np.arange(v.shape.num_elements()) + 10.0 * index
                    session.run(v.assign(value.astype("float32")))
                values = {v.op.name: session.run(v) for v in module.variables}
                tf.train.Checkpoint(net=module).save(str(tmp_path / "saved"), session=session)
            else:
                status = tf.train.Checkpoint(net=module).restore(prefix + "-1")
                status.assert_consumed().run_restore_ops(session)
                for v in module.variables:
                    np.testing.assert_array_equal(session.run(v), values[v.op.name])
    assert len(values) == 6
