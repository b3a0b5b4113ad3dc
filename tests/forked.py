"""Programs in forks of one process that has imported TensorFlow, which takes seconds.

`python(...)` runs what `sys.executable` would run with the same arguments. To the program it looks
as if nobody had imported TensorFlow yet: its modules are set aside, and the first import of
`tensorflow`, which finds it by the same finders, puts them back where it would execute the file.
What is about that execution itself needs a process of its own (`tests.legacy.process`).

The program's own `sys.executable` is a stand-in, which asks for a fork as well.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib.machinery
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import types
from pathlib import Path
from typing import IO, Any, Callable, NamedTuple, NoReturn

from tests.forked_client import SOCKET, ask

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 900


class Ended(NamedTuple):
    """How a process ended and what it said."""

    code: int
    out: str
    err: str


def environment(**changes: str) -> dict[str, str]:
    """This process' environment, the project importable and TensorFlow's Keras as it comes."""
    kept = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    paths = [str(ROOT), kept.get("PYTHONPATH", "")]
    kept.update(PYTHONPATH=os.pathsep.join(filter(None, paths)), PYTHONWARNINGS="ignore")
    kept.update(changes)
    return kept


def python(*arguments: str, cwd: Path, text: str = "", **changes: str) -> Ended:
    """Run `-m MODULE`, `-c CODE` or a script in `cwd`, by a fork; `text` is what it reads."""
    where = server()
    with contextlib.ExitStack() as stack:
        given, out, err = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(3))
        given.write(text.encode("utf-8"))
        given.seek(0)
        files = [file.fileno() for file in (given, out, err)]
        told = {**environment(**changes), SOCKET: where}
        code = ask(where, arguments, str(cwd), told, files)
        return Ended(code, _text(out), _text(err))


def under_run(*arguments: str, cwd: Path, text: str = "", **changes: str) -> Ended:
    return python("-m", "tf1_bn", "run", *arguments, cwd=cwd, text=text, **changes)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


@functools.lru_cache(maxsize=None)
def server() -> str:
    """Where the process that forks listens, one for all tests; it ends with this one."""
    folder = tempfile.TemporaryDirectory()
    where = os.path.join(folder.name, "forks")
    source = Path(__file__).with_name("forked_client.py").read_text(encoding="utf-8")
    Path(stand_in(where)).write_text(f"#!{sys.executable} -SE\n{source}", encoding="utf-8")
    os.chmod(stand_in(where), 0o755)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.forked_server", where],
        cwd=str(ROOT),
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Ctrl-C is for the tests, which then end it.
        start_new_session=True,
    )
    atexit.register(_end, process, folder)
    assert process.stdout is not None and process.stdout.readline(), "it could not start"
    return where


def stand_in(where: str) -> str:
    """What to start instead of `sys.executable` where the environment tells `where`."""
    return where + ".python"


def _end(process: subprocess.Popen[bytes], folder: tempfile.TemporaryDirectory[str]) -> None:
    process.kill()
    process.communicate()
    folder.cleanup()


# -- in the fork ---------------------------------------------------------------------------------


def end(run: Callable[[dict[str, Any]], None], request: dict[str, Any]) -> NoReturn:
    """Run to the end and end as Python does, but for the freeing of what it has loaded."""
    code = 0
    try:
        run(request)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if not isinstance(stop.code, (int, type(None))):
            print(stop.code, file=sys.stderr)
    except BaseException as error:
        code = 1
        error.with_traceback(_of_the_program(error.__traceback__))
        sys.excepthook(type(error), error, error.__traceback__)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code & 255)


def _of_the_program(traceback: Any) -> Any:
    """A traceback without the frames of this file, which come first."""
    while traceback is not None and traceback.tb_frame.f_code.co_filename == __file__:
        traceback = traceback.tb_next
    return traceback


def become(request: dict[str, Any]) -> None:
    """Be the program: its folder, its environment, its `__main__`."""
    signal.alarm(SECONDS)
    sys.stdin = os.fdopen(0, "r", closefd=False)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.executable = stand_in(os.environ[SOCKET])
    if "tensorflow" in sys.modules:
        _set_tensorflow_aside()
    main_module = types.ModuleType("__main__")
    sys.modules["__main__"] = main_module
    option, *rest = request["arguments"]
    if option == "-m":
        sys.path[0], sys.argv = request["cwd"], ["-m", *rest[1:]]
        runpy._run_module_as_main(rest[0])  # type: ignore[attr-defined]
        return
    if option == "-c":
        code, name = rest.pop(0), "<string>"
        sys.path[0], sys.argv = "", ["-c", *rest]
    else:
        # Python makes the path absolute since 3.9.
        name = os.path.abspath(option) if sys.version_info >= (3, 9) else option
        code = Path(option).read_text(encoding="utf-8")
        sys.path[0], sys.argv = os.path.dirname(os.path.realpath(option)), [option, *rest]
        main_module.__file__ = name
    exec(compile(code, name, "exec", dont_inherit=True), vars(main_module))


def _set_tensorflow_aside() -> None:
    """Let the next import of TensorFlow put back what is loaded, instead of executing its file."""
    names = [name for name in sys.modules if name.split(".")[0] == "tensorflow"]
    aside = {name: sys.modules.pop(name) for name in names}
    path = aside["tensorflow"].__file__
    execute = importlib.machinery.SourceFileLoader.exec_module

    def put_back(self: Any, module: types.ModuleType) -> None:
        if module.__name__ == "tensorflow" and self.path == path and aside:
            sys.modules.update(aside)
            aside.clear()
        else:
            execute(self, module)

    importlib.machinery.SourceFileLoader.exec_module = put_back  # type: ignore[method-assign]


def load() -> None:
    """What the process that forks does before."""
    import tensorflow.compat.v1 as tf

    assert tf.__version__
    # Forks need not look through, and so copy, what is there before them.
    gc.collect()
    gc.freeze()
