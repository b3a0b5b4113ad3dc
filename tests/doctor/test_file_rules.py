"""Rules of files, on graphs of both sides of TensorFlow 2.2 and on names alone."""

from __future__ import annotations

from typing import Any, Iterable

import pytest

from tests.meta.project import ROOT
from tf1_bn._src.discovery.layers import read
from tf1_bn._src.doctor.facts.finding import Finding
from tf1_bn._src.doctor.rules.files.families import affine_alone, renorm_in_part
from tf1_bn._src.doctor.rules.files.refused import refused_nodes
from tf1_bn._src.repair import repair_graph_def
from tf1_bn._src.runtime.tensorflow_v1 import tf

OLD_META = ROOT / "migration_guide" / "data" / "old_model.meta"
OLD, NEW = (1, 15), (2, 21)
PLAIN = ("bn/gamma", "bn/beta", "bn/moving_mean", "bn/moving_variance")
RENORM = ("bn/moving_stddev", "bn/renorm_mean", "bn/renorm_stddev")
WEIGHTS = ("bn/renorm_mean_weight", "bn/renorm_stddev_weight")


def told(findings: Iterable[Finding]) -> list[tuple[str, tuple[str, ...]]]:
    return [(each.code, each.layers) for each in findings]


def refused(graph: Any, version: tuple[int, int]) -> list[Finding]:
    return list(refused_nodes(read(graph)[0], version))


def test_an_old_graph_is_refused_by_a_new_tensorflow_until_it_is_repaired() -> None:
    graph = tf.MetaGraphDef.FromString(OLD_META.read_bytes()).graph_def
    assert told(refused(graph, NEW)) == [
        ("BN407", ("gradients/bn/cond/FusedBatchNormV3_1_grad/FusedBatchNormGradV3",))
    ]
    assert refused(graph, OLD) == refused(repair_graph_def(graph), NEW) == []
    # As a new TensorFlow writes it.
    for node in graph.node:
        if node.op == "FusedBatchNormGradV3":
            for shape in node.attr["_output_shapes"].list.shape[3:]:
                shape.dim[0].size = 0
    assert refused(graph, NEW) == []


def test_a_new_graph_is_refused_by_an_old_tensorflow_until_it_is_repaired() -> None:
    graph = tf.GraphDef()
    node = graph.node.add(name="bn", op="FusedBatchNormV3")
    node.input.extend(["x", "gamma", "beta", "mean", "variance"])
    node.attr["is_training"].b = True
    node.attr["exponential_avg_factor"].f = 1.0
    (finding,) = refused(graph, OLD)
    assert (finding.code, finding.layers) == ("BN407", ("bn",))
    assert finding.mend == "python -m tf1_bn repair --old-runtime SOURCE TARGET"
    assert refused(graph, NEW) == refused(repair_graph_def(graph, old_runtime=True), OLD) == []


@pytest.mark.parametrize(
    "names, scopes",
    [
        (PLAIN, ()),
        (PLAIN[:2], ("bn",)),
        (PLAIN[:2] + PLAIN[3:], ()),
        (("gamma",), ("",)),
        (("block/LayerNorm/gamma", "ln_1/beta", "instance_norm/gamma"), ()),
        (("bn/gamma/Momentum",), ()),
    ],
)
def test_gamma_and_beta_alone(names: tuple[str, ...], scopes: tuple[str, ...]) -> None:
    assert told(affine_alone(names)) == ([("BN405", scopes)] if scopes else [])


@pytest.mark.parametrize(
    "names, wanted, lacking",
    [
        (PLAIN, (), None),
        ((*PLAIN, *RENORM), RENORM, None),
        ((*PLAIN, *RENORM[1:]), (), "moving_stddev"),
        ((*PLAIN, *RENORM[1:], *WEIGHTS), (), "moving_stddev"),
        (PLAIN, RENORM, "moving_stddev, renorm_mean, renorm_stddev"),
        # Nothing of the layer is there, which is another finding.
        (("other/gamma",), RENORM, None),
    ],
)
def test_averages_of_renorm(
    names: tuple[str, ...], wanted: tuple[str, ...], lacking: str | None
) -> None:
    found = list(renorm_in_part(names, wanted))
    assert told(found) == ([] if lacking is None else [("BN406", ("bn",))])
    assert all(each.wrong.endswith(f"lacks {lacking}") for each in found)
