"""Which tests are slow, by file or folder: these get the marker `slow`, as single tests have it.

Plain `pytest` leaves them out; `pytest --all` runs everything, and so does a path or a `-m`.
"""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).resolve().parent
# Each with what takes the time.
SLOW = {
    "contrib/test_conformance.py": "the recorded cases once more, by the function of contrib",
    "distribute": "towers, replicas and clusters of processes",
    "doctor/test_heard.py": "programs in processes of their own",
    "doctor/test_pitfalls.py": "a process for each example of the pages",
    "doctor/test_ran.py": "it runs every program of the zoo",
    "examples/test_cluster_protocol.py": "it starts processes",
    "examples/test_small_examples.py": "it trains five examples",
    "examples/test_train_digits_cluster.py": "it trains in clusters of processes",
    "examples/test_train_digits_options.py": "it trains with each option",
    "graph/test_empty_batch.py": "every kernel with no rows, and its gradients",
    "graph/test_functions.py": "a process for each test",
    "graph/test_gradient_ways.py": "second derivatives, in processes of their own",
    "graph/test_kernels.py": "every kernel in large, its gradients twice",
    "graph/test_update_mode.py": "every place of control flow, in both of its versions",
    "graph/test_xla.py": "XLA compiles each case",
    "legacy": "it starts processes",
    "meta/test_class_surface.py": "it starts processes",
    "meta/test_documents.py": "it runs every block of the guide",
    "meta/test_import.py": "it starts processes",
    "meta/test_signature.py": "it starts processes",
    "meta/test_tiers.py": "it starts processes",
    "properties": "second derivatives and many combinations",
    "rescue": "graphs of every library, and checkpoints",
    "testing": "it starts processes",
}


def is_slow(file: Path) -> bool:
    """Tell whether a file of tests stands in the table, or below a folder there."""
    path = file.resolve().relative_to(TESTS).as_posix()
    return any(path == slow or path.startswith(f"{slow}/") for slow in SLOW)


def tenth(items: list) -> list:
    """Return every tenth of `items`, from each ten another place, so that no parameter is lost."""
    return [item for place, item in enumerate(items) if place % 10 == place // 10 % 10]
