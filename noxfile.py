"""The test suite on each pair of Python and TensorFlow that the project promises, and the linters.

`nox -s tests-tf1.15` runs one pair, `nox -s lint` the linters. On the newest TensorFlow the whole
suite runs: the quick tests by `nox -s readme`, the slow ones by `nox -s tests-newest`, a cluster's
by `nox -s tests-slim`; each other run leaves out what would only repeat it. Plain `nox` runs
everything but `nox -s mutations`, which takes a test process for each mistake of tests/mutations,
and `nox -s convert-peers`, which installs PyTorch.
Each run of the suite must reach the number of tests recorded in `.ci/minimum_tests.txt`.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable, Mapping, NamedTuple, Sequence

import nox
import nox.command

nox.options.error_on_missing_interpreters = True
nox.options.default_venv_backend = "venv"

REPORTS = Path(os.environ.get("TF1_BN_REPORTS", Path(".nox", "reports")))
# The parts of the suite whose graphs differ with the kind of variables and of control flow.
GRAPH_TESTS = ("tests/graph", "tests/conformance")


def without(*names: str) -> tuple[str, ...]:
    """Return pytest's arguments that leave files or folders of tests out."""
    return tuple(f"--ignore=tests/{name}" for name in names)


# What chooses its kernels or variables itself, or starts processes of its own, is the same in each
# of the later runs; so are XLA's kernels, whichever others are forced.
ONCE = without(*(f"graph/test_{name}.py" for name in ("gradient_ways", "interrupted")))
ONCE += without("graph/test_variable_kinds.py")
WITHOUT_XLA = (*ONCE, *without("graph/test_xla.py", "graph/test_functions.py"))
# Names, phases and errors, whatever oneDNN replaces once the graph runs.
WITHOUT_NUMBERS = without(
    *(f"graph/test_{name}.py" for name in ("calls", "failures", "graph_search", "layer_surface")),
    *(f"graph/test_{name}.py" for name in ("named_functions", "training_flag", "update_mode")),
)
FORCED = (*WITHOUT_XLA, *without("graph/test_kernels.py"))


def tenths(*names: str) -> tuple[str, ...]:
    """Return pytest's arguments that run a tenth of each file or folder."""
    return tuple(word for name in names for word in ("--tenth", f"tests/{name}"))


# Where the newest TensorFlow runs all of what XLA compiles, another one looks at every tenth.
TENTHS = tenths("graph/test_xla.py", "graph/test_functions.py")
# Cases by the hundred that the newest runs whole: numbers against NumPy, which are compared the
# same way everywhere, and the options of the examples, which no TensorFlow reads. What only an
# older TensorFlow can run, as the comparison with the real layer, is never left out.
TENTHS_OLDER = (
    *(*TENTHS, *tenths("contrib/test_conformance.py", "properties")),
    *tenths("testing/test_fuzz.py", "testing/test_parity.py"),
    *tenths("examples/test_small_examples.py", "examples/test_train_digits_options.py"),
)
# The newest runs every case with oneDNN and the folded kernels, the oldest every one without.
TENTHS_CASES = tenths(
    *(f"conformance/test_{name}.py" for name in ("gradients", "structure", "values"))
)
# Between the oldest and the newest, both of which run these whole.
TENTHS_BETWEEN = (
    *(*TENTHS_OLDER, *TENTHS_CASES),
    *tenths(
        *(f"distribute/test_{n}.py" for n in ("cross_replica", "merge_phases", "merge_places"))
    ),
    *tenths(*(f"graph/test_{n}.py" for n in ("empty_batch", "interrupted", "kernels"))),
    *tenths(*(f"legacy/test_{n}.py" for n in ("install_order", "run_as_python"))),
    *tenths("legacy/test_run_import_order.py", "legacy/test_run_tensorflow.py"),
    *tenths("doctor", "rescue", "graph/test_update_mode.py", "testing/test_endings.py"),
)
# A cluster's processes meet TensorFlow's servers: the newest runs it all, 1.15 one death.
CLUSTER = (
    "tests/distribute/test_cluster_counts.py",
    "tests/distribute/test_cluster_faults.py",
    "tests/examples/test_cluster_protocol.py",
    "tests/examples/test_train_digits_cluster.py",
)
WITHOUT_CLUSTER = tuple(f"--ignore={path}" for path in CLUSTER)
ONE_DEATH = (
    "tests/examples/test_train_digits_cluster.py"
    "::test_training_goes_on_after_a_kill[worker-worker 1]"
)
# What `install(contrib=True)` serves: most of it is TF-Slim's.
CONTRIB = tuple(f"tests/legacy/test_contrib_{name}.py" for name in ("imports", "names", "programs"))
# They read the project's files, which are the same on every TensorFlow: the newest runs them.
WITHOUT_TEXTS = without(
    *(f"meta/test_{name}.py" for name in ("ci", "packaging", "project_files", "public_api_only")),
    *("meta/test_rooms.py", "meta/test_tiers.py", "mutations"),
)
# The blocks of the guide that need the real tf.layers run on 1.15; what reads source files asks no
# TensorFlow, and runs on the oldest and the newest Python.
WITHOUT_COMMANDS = without("meta/test_documents.py", "testing/test_commands.py", "scan")
# TensorFlow's own layout pass for oneDNN ends the process ("Check failed: d < dims()") on a graph
# whose update ops each run alone; the real layer of 2.15.1 and of tf_keras 2.21 dies there as well.
WITHOUT_ONEDNN_CRASH = "not discriminator"
# The folds have them by elementary ops, which neither oneDNN nor a variable's kind changes; in
# every way of asking for them, and with control flow v2, they stand in test_gradient_ways.py.
WITHOUT_SECOND = "not test_second_derivatives_are_those_of_elementary_ops"


class Run(NamedTuple):
    """One run of pytest inside a pair's environment."""

    name: str
    environment: Mapping[str, str]
    arguments: Sequence[str] = ()


class Pair(NamedTuple):
    """A Python and a TensorFlow: the first of `pythons` that this machine has is taken."""

    name: str
    pythons: Sequence[str]
    requirements: Sequence[str]
    runs: Sequence[Run]


ONEDNN_OFF = {"TF_ENABLE_ONEDNN_OPTS": "0"}
# All ways to a derivative, through the kernels of tests/graph/ways_cases.py that stand for all.
OLDER = {**ONEDNN_OFF, "TF1_BN_TEST_WAYS": "few"}
ONEDNN_ON = {"TF_ENABLE_ONEDNN_OPTS": "1"}
# TensorFlow rewrites the graphs of each pair's first run; its other runs meet them as they are.
AS_BUILT = {"TF1_BN_TEST_GRAPPLER": "0"}
V2_VARIABLES = {**ONEDNN_OFF, **AS_BUILT, "TF1_BN_TEST_V2": "1"}
# The recorded cases are too small to get the folded kernels, so these runs force them.
FOLDED = {**ONEDNN_ON, **AS_BUILT, "TF1_BN_TEST_KERNEL": "fused"}
COLUMNS = {**ONEDNN_OFF, **AS_BUILT, "TF1_BN_TEST_KERNEL": "columns"}
# Two cases look at the kernel itself.
WITHOUT_THE_KERNEL = ("-k", "not discriminator and not frozen-7x5 and not still_needed")

# The newest first; TensorFlow has no wheel for a Python above these.
NEWEST_PYTHONS = ("3.13", "3.12", "3.11")

PAIRS = (
    Pair(
        "tf1.15",
        ("3.7",),
        # TensorFlow 1.15 does not cap protobuf, and cannot import the newer one.
        ("tensorflow==1.15.5", "protobuf<3.21"),
        (
            Run(
                "tf1.15",
                OLDER,
                ("tests", *WITHOUT_CLUSTER, *WITHOUT_TEXTS, *TENTHS_OLDER, "-k", WITHOUT_SECOND),
            ),
            Run("tf1.15-death", ONEDNN_OFF, (ONE_DEATH,)),
            Run("tf1.15-columns", COLUMNS, ("tests/conformance", *WITHOUT_THE_KERNEL)),
        ),
    ),
    Pair(
        "tf2.15",
        ("3.11",),
        ("tensorflow-cpu==2.15.1",),
        (
            Run(
                "tf2.15",
                OLDER,
                ("tests", *WITHOUT_CLUSTER, *WITHOUT_TEXTS, *WITHOUT_COMMANDS, *TENTHS_BETWEEN),
            ),
            Run(
                "tf2.15-folded",
                FOLDED,
                ("tests/conformance", *TENTHS_CASES, *WITHOUT_THE_KERNEL),
            ),
        ),
    ),
    Pair(
        "newest",
        NEWEST_PYTHONS,
        ("tensorflow-cpu>=2.21",),
        # The quick tests run as the README has them, on the same Python and TensorFlow.
        (Run("newest", ONEDNN_OFF, ("-m", "slow", "tests", *WITHOUT_CLUSTER)),),
    ),
    Pair(
        # The same pair in other settings, apart so that both can run at once.
        "newest-settings",
        NEWEST_PYTHONS,
        ("tensorflow-cpu>=2.21",),
        (
            Run("newest-folded", FOLDED, (*GRAPH_TESTS, *FORCED, *WITHOUT_THE_KERNEL)),
            Run("newest-v2", V2_VARIABLES, (*GRAPH_TESTS, *ONCE, *TENTHS, "-k", WITHOUT_SECOND)),
            Run(
                "newest-onednn",
                ONEDNN_ON,
                (
                    *(*GRAPH_TESTS, *WITHOUT_XLA, *WITHOUT_NUMBERS, *TENTHS_CASES),
                    *("-k", f"{WITHOUT_ONEDNN_CRASH} and {WITHOUT_SECOND}"),
                ),
            ),
        ),
    ),
    Pair(
        "slim",
        NEWEST_PYTHONS,
        # TF-Slim's own tests are in its wheel; elsewhere the tests that need it are skipped.
        ("tensorflow-cpu>=2.21", "tf-slim==1.1.0", "numpy<2.4"),
        (
            # A cluster's processes wait most of the time, so this pair runs beside the others.
            Run("newest-cluster", ONEDNN_OFF, CLUSTER),
            Run("slim", ONEDNN_OFF, ("tests/legacy/test_slim.py", *CONTRIB)),
        ),
    ),
)
# An index of wheels for the CPU alone saves two gigabytes of others.
TORCH_REQUIREMENTS = ("torch>=2.0",)
PUBLIC_PACKAGES = ("deepxde", "scikit-learn", "pandas", "pyyaml", "tqdm", "retrying", "requests")
LINT_REQUIREMENTS = ("ruff==0.17.6", "mypy==2.4.1", "numpy", "pytest")
# The rule of imports, read from the source; the rest of the file starts processes.
IMPORT_RULE = ("python", "-m", "pytest", "-q", "-k", "not pure_file", "tests/meta/test_rooms.py")
LINTERS = (("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",), IMPORT_RULE)


def interpreter(version: str) -> str | None:
    """Return a Python of `version` from PATH or pyenv, which keeps most of its own off PATH."""
    roots = [os.environ.get("PYENV_ROOT"), os.path.expanduser("~/.pyenv")]
    if shutil.which("pyenv"):
        asked = subprocess.run(["pyenv", "root"], stdout=subprocess.PIPE, text=True)
        roots.append(asked.stdout.strip())
    installed = {
        path
        for root in roots
        if root
        for path in Path(root, "versions").glob(f"{version}*/bin/python{version}")
    }
    candidates = [shutil.which(f"python{version}"), *map(str, sorted(installed, reverse=True))]
    return next((path for path in candidates if path and works(path, version)), None)


def works(path: str, version: str) -> bool:
    """Tell whether `path` runs, is of `version` and has venv: a pyenv shim may refuse."""
    code = "import ensurepip, sys, venv; print('{}.{}'.format(*sys.version_info))"
    done = subprocess.run(
        [path, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return done.stdout.strip() == version


def first_interpreter(versions: Sequence[str]) -> str | None:
    return next((path for path in map(interpreter, versions) if path), None)


def add_session(
    name: str,
    versions: Sequence[str],
    effect: str,
    body: Callable[[nox.Session], None],
    default: bool = True,
    own_environment: bool = False,
) -> None:
    """Register `body` on the first interpreter found; without one the session says so and fails."""
    python = first_interpreter(versions)

    def session_body(session: nox.Session) -> None:
        if python is None:
            # A pair that cannot run is no pair that passes.
            session.error(
                f"no Python {' or '.join(versions)} with venv was found on PATH or under pyenv;"
                f" install one, for example with `pyenv install {versions[0]}`"
            )
        body(session)

    session_body.__doc__ = effect
    if python is None or own_environment:
        nox.session(name=name, venv_backend="none", default=default)(session_body)
    else:
        nox.session(name=name, python=python, default=default)(session_body)


def run_pair(pair: Pair, session: nox.Session) -> None:
    """Install the pair and make its runs; a failed one does not hide the next."""
    session.install("-e", ".[test]", *pair.requirements)
    session.run("python", "-m", "pip", "check")
    REPORTS.mkdir(parents=True, exist_ok=True)
    failed = [run.name for run in pair.runs if not run_tests(run, session)]
    if failed:
        session.error(f"failed: {', '.join(failed)}")


def run_tests(run: Run, session: nox.Session) -> bool:
    """Run pytest once and count what ran; return whether both are as they should be."""
    report = (REPORTS / f"{run.name}.xml").resolve()
    # A report of an earlier run must not be counted if this one dies.
    if report.exists():
        report.unlink()
    session.log(f"run {run.name}: {dict(run.environment)} {' '.join(run.arguments)}")
    arguments = ["--all", *session.posargs] if session.posargs else run.arguments
    pytest = ("python", "-m", "pytest", "-q", f"--junitxml={report}", *arguments)
    # A selection by hand (`nox -s tests-newest -- -k name`) is not counted.
    count = [] if session.posargs else [("python", ".ci/count_tests.py", run.name, str(report))]
    return run_all(session, pytest, *count, env=run.environment)


def run_all(
    session: nox.Session, *commands: Sequence[str], env: Mapping[str, str] | None = None
) -> bool:
    """Run every command, failed ones before it or not; return whether all succeeded."""
    passed = True
    for command in commands:
        try:
            session.run(*command, env=env)
        except nox.command.CommandFailed:
            passed = False
    return passed


def readme(session: nox.Session) -> None:
    """Run the README's line as it is; from outside come its `python3` and the wish for a report."""
    python, report = first_interpreter(NEWEST_PYTHONS), (REPORTS / "readme.xml").resolve()
    command = subprocess.run(
        [sys.executable, ".ci/readme_command.py", "README.md"], stdout=subprocess.PIPE, text=True
    ).stdout
    REPORTS.mkdir(parents=True, exist_ok=True)
    if report.exists():
        report.unlink()
    bash = ("bash", "-euo", "pipefail", "-c", command)
    count = (sys.executable, ".ci/count_tests.py", "readme", str(report))
    with tempfile.TemporaryDirectory() as folder:
        python3 = Path(folder, "python3")
        # No link: a virtual environment looks for its Python where the link stands.
        python3.write_text(f'#!/bin/sh\nexec "{python}" "$@"\n')
        python3.chmod(0o755)
        path = os.pathsep.join([folder, os.environ["PATH"]])
        environment = {"PATH": path, "PYTEST_ADDOPTS": f"--junitxml={report}"}
        if not run_all(session, bash, count, env=environment):
            session.error("the README's test command failed")


def public_packages(session: nox.Session) -> None:
    # recommenders asks for far more than its xDeepFM imports, so its requirements are named here.
    session.install("-e", ".[test]", "tensorflow-cpu>=2.21", *PUBLIC_PACKAGES)
    session.install("--no-deps", "recommenders")
    session.run("python", "-m", "pytest", "-q", "tests/legacy/test_public_packages.py")


def lint(session: nox.Session) -> None:
    session.install(*LINT_REQUIREMENTS)
    if not run_all(session, *LINTERS):
        session.error("ruff, mypy or the rule of imports found something")


def convert_peers(session: nox.Session) -> None:
    # What `convert` writes for others, and reads of them, by the real Keras 3 and PyTorch.
    session.install("-e", ".[test]", "tensorflow-cpu>=2.21", *TORCH_REQUIREMENTS)
    tests = [f"tests/rescue/test_convert_{peer}.py" for peer in ("keras", "torch")]
    session.run("python", "-m", "pytest", "-q", *tests, *session.posargs)


def mutations(session: nox.Session) -> None:
    session.install("-e", ".[test]", "tensorflow-cpu>=2.21")
    session.run("python", "-m", "tests.mutations", *session.posargs, env=ONEDNN_OFF)


for _pair in PAIRS:
    add_session(
        f"tests-{_pair.name}",
        _pair.pythons,
        f"Run the suite with {_pair.requirements[0]}.",
        functools.partial(run_pair, _pair),
    )
add_session(
    "readme", NEWEST_PYTHONS, "Run the README's test command.", readme, own_environment=True
)
add_session("lint", NEWEST_PYTHONS, "Run ruff, mypy and the rule of imports.", lint)
add_session(
    "packages", ("3.11",), "Train DeepXDE and recommenders models with tf1_bn.", public_packages
)
# By name only (`nox -s convert-peers`): PyTorch is large.
add_session(
    "convert-peers",
    NEWEST_PYTHONS,
    "Compare what `convert` writes with the real Keras 3 and PyTorch.",
    convert_peers,
    default=False,
)
# By name only (`nox -s mutations`): it runs the tests once for each mistake of the kill list.
add_session(
    "mutations",
    NEWEST_PYTHONS,
    "Show that each mutation of tests/mutations/table.py is caught.",
    mutations,
    default=False,
)
