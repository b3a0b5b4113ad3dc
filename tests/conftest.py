"""Process state every test relies on: TF1 behaviour, CPU, one thread, a fresh graph and seeds."""

from __future__ import annotations

import importlib.util
import os
import platform
from pathlib import Path
from typing import Any, Iterator

import pytest

from tests.tiers import is_slow, tenth

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

TESTS = Path(__file__).resolve().parent
SEED = 20170210
V2_MODE = os.environ.get("TF1_BN_TEST_V2", "0") not in ("", "0")
# Which kernel to force where several give the same numbers: "" (as the package chooses), "fused",
# or "columns" (elementary ops on rows of columns). The cases are too small to get them.
KERNEL = os.environ.get("TF1_BN_TEST_KERNEL", "")
# TensorFlow's rewriting of a graph takes a third of a test's time.
GRAPPLER = os.environ.get("TF1_BN_TEST_GRAPPLER", "1") not in ("", "0")
MARKERS = (
    "tf_min(version, reason): the test needs this TensorFlow or a newer one",
    "tf_max(version, reason): the test needs this TensorFlow or an older one",
    "slow: plain `pytest` leaves the test out, `pytest --all` runs it (see tests/tiers.py)",
    "needs_gpu(reason): the test needs a GPU that TensorFlow can see",
)

_configured = False


def tensorflow() -> Any:
    """Import `tensorflow.compat.v1` and switch the process to graph mode, once.

    Normally that is `disable_v2_behavior()`: ref variables and control flow v1, as in TF 1.15.
    With TF1_BN_TEST_V2=1 only eager execution goes, so variables are resource variables and
    conditionals are control flow v2, from TF 2 on.
    """
    global _configured
    import tensorflow.compat.v1 as tf

    if not _configured:
        _configured = True
        if V2_MODE:
            tf.disable_eager_execution()
        else:
            tf.disable_v2_behavior()
        if KERNEL:
            _force_kernel(KERNEL)
    return tf


def _force_kernel(kernel: str) -> None:
    """Forces one kernel for the whole process."""
    from tests.forced_kernel import KERNELS, forced

    if kernel not in KERNELS:
        raise pytest.UsageError(f"TF1_BN_TEST_KERNEL must be one of {KERNELS} (got {kernel!r})")
    forced(kernel).__enter__()


def tf_version() -> tuple[int, ...]:
    return tuple(int(part) for part in tensorflow().__version__.split("-")[0].split(".")[:3])


def make_session(graph: Any = None) -> Any:
    """A session that runs one op at a time on one thread, so that sums have one order."""
    tf = tensorflow()
    config = tf.ConfigProto(
        intra_op_parallelism_threads=1, inter_op_parallelism_threads=1, device_count={"GPU": 0}
    )
    config.graph_options.rewrite_options.disable_meta_optimizer = not GRAPPLER
    return tf.Session(graph=graph, config=config)


def _is_pure(item: Any) -> bool:
    """Tests of these folders need no TensorFlow in their process; one of tests/unit holds that."""
    pure = {TESTS / name for name in ("unit", "meta", "mutations", "scan")}
    return not pure.isdisjoint(_file(item).parents)


def _installed_tensorflow() -> str:
    """TensorFlow's version as its metadata says it, because the header must not import it."""
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or not spec.submodule_search_locations:
        return "not installed"
    site = Path(next(iter(spec.submodule_search_locations))).parent
    names = ("tensorflow", "tensorflow_cpu", "tensorflow_gpu", "tensorflow_intel")
    found = {
        info.name.split("-")[1] for name in names for info in site.glob(name + "-[0-9]*.dist-info")
    }
    return " or ".join(sorted(found)) or "of unknown version"


def pytest_addoption(parser: Any) -> None:
    group = parser.getgroup("tf1_bn")
    group.addoption("--all", action="store_true", help="run the slow tests too")
    group.addoption(
        "--tenth",
        action="append",
        default=[],
        metavar="PATH",
        help="run a tenth of the tests there",
    )


def pytest_make_parametrize_id(val: Any) -> str | None:
    """Keep long names whole, where pytest 9.2 only counts: the kill list asks for parts of them."""
    return val if isinstance(val, str) and 100 < len(val) < 1000 and val.isascii() else None


def pytest_configure(config: Any) -> None:
    for line in MARKERS:
        config.addinivalue_line("markers", line)


def pytest_report_header(config: Any) -> list[str]:
    numpy = importlib.import_module("numpy")
    mode = "v2 (resource variables, control flow v2)" if V2_MODE else "v1 (disable_v2_behavior)"
    onednn = os.environ["TF_ENABLE_ONEDNN_OPTS"]
    kernel = KERNEL or "as chosen"
    return [
        f"TensorFlow {_installed_tensorflow()}, NumPy {numpy.__version__}, "
        f"Python {platform.python_version()}, behaviour {mode}, oneDNN {onednn}, kernel {kernel}"
    ]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Choose the tests; pure ones run first, while TensorFlow is not imported yet."""
    left_out = []
    for item in items:
        if is_slow(_file(item)):
            item.add_marker("slow")
        if _is_quick_tier(config) and item.get_closest_marker("slow"):
            left_out.append(item)
    for name in config.getoption("tenth"):
        path = Path(name).resolve()
        there = [item for item in items if path in (_file(item), *_file(item).parents)]
        if not there:
            raise pytest.UsageError(f"--tenth: no test of {name} is collected")
        # What few TensorFlows run is run where it can be.
        anywhere = [item for item in there if not item.get_closest_marker("tf_max")]
        left_out += set(anywhere).difference(tenth(anywhere))
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = set(left_out)
        items[:] = [item for item in items if item not in gone]
    items.sort(key=lambda item: not _is_pure(item))


def _file(item: Any) -> Path:
    return Path(str(item.fspath)).resolve()


def _is_quick_tier(config: Any) -> bool:
    """Tell whether nothing was asked for but `pytest`, perhaps with options."""
    named = config.args_source is config.ArgsSource.ARGS
    return not (named or config.getoption("all") or config.getoption("markexpr"))


def pytest_terminal_summary(terminalreporter: Any, config: Any) -> None:
    if _is_quick_tier(config):
        terminalreporter.write_line(
            "These were the quick tests. `pytest --all` runs the slow ones too;"
            " `pytest PATH` runs everything there."
        )


def pytest_runtest_setup(item: Any) -> None:
    for name, allowed in (("tf_min", lambda v, w: v >= w), ("tf_max", lambda v, w: v <= w)):
        for marker in item.iter_markers(name):
            wanted = tuple(int(part) for part in marker.args[0].split("."))
            reason = marker.kwargs["reason"]
            if not allowed(tf_version()[: len(wanted)], wanted):
                pytest.skip(f"{name} {marker.args[0]}: {reason}")
    for marker in item.iter_markers("needs_gpu"):
        if not tensorflow().test.is_gpu_available():
            pytest.skip("needs_gpu: " + marker.kwargs["reason"])


@pytest.fixture(autouse=True)
def fresh_graph(request: Any) -> Iterator[Any]:
    """Give each test an empty default graph and the same seeds."""
    if _is_pure(request.node):
        yield None
        return
    import numpy as np

    tf = tensorflow()
    with tf.Graph().as_default() as graph:
        tf.set_random_seed(SEED)
        np.random.seed(SEED)
        yield graph


@pytest.fixture
def session(fresh_graph: Any) -> Iterator[Any]:
    """A single-thread session on the test's graph."""
    with make_session(fresh_graph) as opened:
        yield opened
