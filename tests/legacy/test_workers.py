"""Workers that `multiprocessing` starts anew find what the program finds that starts them."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from tests.legacy.process import python
from tests.legacy.test_run_as_python import write
from tf1_bn._src.programs.workers import prepare_workers

PROGRAM = """
    import multiprocessing, sys
    def work(how):
        if how:
            with multiprocessing.get_context(how).Pool(1) as pool:
                return pool.map(work, [None])
        import tensorflow as tf, tf1_bn
        ours = tf.layers.batch_normalization is tf1_bn.batch_normalization
        return tf.__name__, ours, sys.argv[1:]
    if __name__ == "__main__":
        print("tensorflow" in sys.modules, work(sys.argv[1]))
    """


@pytest.mark.parametrize(
    "how", [how for how in multiprocessing.get_all_start_methods() if how != "fork"]
)
def test_workers_have_the_options_of_run(how: str, tmp_path: Path) -> None:
    """Also where something of our name stands in the folder that the worker looks in first."""
    write(tmp_path, "inner/program.py", PROGRAM)
    write(tmp_path, "tf1_bn.py", "raise AssertionError('this one is not meant')")
    starts = "import sys\nfrom tf1_bn.__main__ import start\nsys.exit(start())"
    script = str(write(tmp_path, "bin/tf1_bn", starts))
    ended = python(script, "run", "--force", "--tf1-alias", "inner/program.py", how, cwd=tmp_path)
    assert ended.code == 0, ended.err
    names = ("tensorflow.compat.v1", "tensorflow")
    assert ended.out in [f"False [({name!r}, True, [{how!r}])]\n" for name in names]


def test_the_server_does_not_import_the_program_first() -> None:
    from multiprocessing import spawn

    before = spawn.get_preparation_data
    end = prepare_workers("some.module", {"force": True})
    try:
        asked = {"__name__": "multiprocessing.forkserver", "ask": spawn.get_preparation_data}
        exec("asked = ask('ignore')", asked)
        told = spawn.get_preparation_data("ignore")
    finally:
        end()
    assert "tf1_bn" in told and "tf1_bn" not in asked["asked"]
    assert not [name for name in asked["asked"] if name.startswith("init_main")]
    assert asked["asked"]["sys_path"] == told["sys_path"]
    assert spawn.get_preparation_data is before
