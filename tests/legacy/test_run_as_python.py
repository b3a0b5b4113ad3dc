"""`python -m tf1_bn run` against plain `python`: the same words, exit code and world.

None of these programs imports TensorFlow, so what differs is `run` alone.
"""

from __future__ import annotations

import signal
import zipfile
from pathlib import Path

import pytest

from tests.legacy.process import Ended, interrupted, python, under_run

SCRIPTS = {
    "facts": """
        "The doc."
        import sys
        x: int = 1
        print(sys.argv, sys.path[0], __name__, __file__, __doc__, __package__, __spec__, __cached__)
        print(sorted(globals()), type(__builtins__).__name__, type(__loader__).__name__)
        print(sys.modules["__main__"].__dict__ is globals(), __annotations__)
        """,
    "raises": """
        def inner(x):
            return 1 // x
        def outer(x):
            return inner(x - 1)
        print("before")
        outer(1)
        """,
    "raises from": """
        def fail():
            raise KeyError("first")
        try:
            fail()
        except KeyError as error:
            raise ValueError("second") from error
        """,
    "raises while handling": """
        try:
            1 // 0
        except ZeroDivisionError:
            import there_is_no_such_module
        """,
    "raises in a thread": """
        import threading, sys
        def fail():
            raise RuntimeError("in a thread")
        thread = threading.Thread(target=fail, name="worker")
        thread.start()
        thread.join()
        print("after")
        """,
    "prints its own traceback": """
        import traceback
        try:
            [][1]
        except IndexError:
            traceback.print_exc()
        traceback.print_stack(limit=1)
        """,
    "has a hook": """
        import sys, traceback
        def hook(kind, value, tb):
            print("hooked", kind.__name__, [f.name for f in traceback.extract_tb(tb)])
        sys.excepthook = hook
        def fail():
            raise OSError("hooked")
        fail()
        """,
    "has a hook that fails": """
        import sys
        def hook(kind, value, tb):
            raise OSError("the hook itself")
        sys.excepthook = hook
        def fail():
            raise KeyError("the program")
        fail()
        """,
    "has a hook that exits": """
        import sys
        sys.excepthook = lambda *given: sys.exit(7)
        1 // 0
        """,
    "closes its streams": "import sys\nsys.stdout.close()\nsys.stderr.close()\n",
    "looks back at the error": """
        import atexit, sys
        def look():
            frame, depth = sys.last_traceback, 0
            while frame:
                frame, depth = frame.tb_next, depth + 1
            print(sys.last_type, sys.last_value, depth, sys.excepthook is sys.__excepthook__)
        atexit.register(look)
        raise LookupError("back")
        """,
    "syntax error": "print('before')\nx = = 1\n",
    "exits with a number": "import sys\nprint('before')\nsys.exit(3)\n",
    "exits with words": "import sys\nsys.exit('some words')\n",
    "exits with nothing": "raise SystemExit\n",
    "exits with True": "raise SystemExit(True)\n",
    "exits at once": "import os\nprint('lost or not', flush=True)\nos._exit(7)\n",
    "exits in a handler": "import atexit, os\natexit.register(lambda: os._exit(9))\n",
    "interrupts itself": "print('before')\nraise KeyboardInterrupt\n",
    "reads": "print(input() + '!')\n",
    "pickles": """
        import pickle
        class Thing:
            pass
        print(pickle.loads(pickle.dumps(Thing)) is Thing, Thing.__module__)
        """,
    "inherits no future": "def f(x: undefined_name):\n    pass\n",
    "imports a sibling": "import sibling\nprint(sibling.__name__, sibling.__file__)\n",
    "is main to others": "import __main__\nprint(__main__.__file__)\n",
    "becomes another": """
        import os, sys
        print("first", sys.argv, flush=True)
        os.execl(sys.executable, sys.executable, "-c", "import sys; print('second'); sys.exit(4)")
        """,
    "goes elsewhere": """
        import os, sys
        os.chdir("/")
        print(sys.path[0], __file__)
        import sibling
        1 // 0
        """,
    "is empty": "",
}


def write(folder: Path, name: str, source: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = source.strip("\n").splitlines()
    indent = len(lines[0]) - len(lines[0].lstrip()) if lines else 0
    path.write_text("".join(f"{line[indent:]}\n" for line in lines), encoding="utf-8")
    return path


def assert_same(*arguments: str, cwd: Path, text: str = "") -> Ended:
    plain = python(*arguments, cwd=cwd, text=text)
    ours = under_run("--no-report", *arguments, cwd=cwd, text=text)
    assert ours == plain
    return plain


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_script(name: str, tmp_path: Path) -> None:
    write(tmp_path, "inner/sibling.py", "")
    write(tmp_path, "inner/script.py", SCRIPTS[name])
    arguments = ("inner/script.py", "--neighbours", "-m", "--", "x y")
    ended = assert_same(*arguments, cwd=tmp_path, text="line\n")
    assert "tf1_bn" not in ended.out + ended.err


def test_script_by_link_and_by_full_path(tmp_path: Path) -> None:
    script = write(tmp_path, "real/script.py", SCRIPTS["facts"])
    (tmp_path / "link.py").symlink_to(script)
    assert "real" in assert_same("link.py", cwd=tmp_path).out
    assert_same(str(script), "a", cwd=tmp_path)


def test_script_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_bytes(b"# -*- coding: latin-1 -*-\nprint(ascii('\xe9\xff'))\n")
    assert assert_same("script.py", cwd=tmp_path).out == "'\\xe9\\xff'\n"


def test_folder_and_zip_with_a_main(tmp_path: Path) -> None:
    write(tmp_path, "app/sibling.py", "")
    facts = "import sys, sibling\nprint(sys.argv, sys.path[0], __package__)"
    write(tmp_path, "app/__main__.py", f"{facts}\nif sys.argv[1:] == ['fail']:\n    1 // 0")
    with zipfile.ZipFile(str(tmp_path / "app.zip"), "w") as packed:
        packed.write(str(tmp_path / "app" / "__main__.py"), "__main__.py")
        packed.write(str(tmp_path / "app" / "sibling.py"), "sibling.py")
    for name in ("app", "app.zip"):
        assert assert_same(name, "x", cwd=tmp_path).code == 0
        assert "ZeroDivisionError" in assert_same(name, "fail", cwd=tmp_path).err


FROM_STDIN = {
    "facts": """
        "The doc."
        import sibling, sys
        x: int = 1
        print(sys.argv, repr(sys.path[0]), __name__, __file__, __doc__, __package__, __spec__)
        print(sorted(globals()), __loader__, __cached__, __annotations__, repr(sys.stdin.read()))
        """,
    "raises": SCRIPTS["raises"],
    "syntax error": SCRIPTS["syntax error"],
    "exits with a number": SCRIPTS["exits with a number"],
    "is empty": "",
}


@pytest.mark.parametrize("name", sorted(FROM_STDIN))
def test_program_from_standard_input(name: str, tmp_path: Path) -> None:
    write(tmp_path, "sibling.py", "")
    text = write(tmp_path, "never_read.py", FROM_STDIN[name]).read_text()
    ended = assert_same("-", "a", "--force", cwd=tmp_path, text=text)
    assert ("The doc." in ended.out) == (name == "facts")


@pytest.mark.parametrize("name", ["missing.py", "missing/missing.py", "empty"])
def test_nothing_to_run(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert assert_same(name, cwd=tmp_path).code != 0


@pytest.mark.parametrize(
    "name",
    [
        "package",
        "package.module",
        "package.fails",
        "package.broken",
        "package.no_main",
        "package.missing",
        "package.module.deeper",
        "missing",
        "missing.deeper",
        "json.tool",
    ],
)
def test_module(name: str, tmp_path: Path) -> None:
    facts = (
        "import sys\nprint(sys.argv, sys.path[0], __name__, __package__, __spec__.name, __file__)"
    )
    write(tmp_path, "package/__init__.py", "print('parent')")
    write(tmp_path, "package/__main__.py", facts)
    write(tmp_path, "package/module.py", facts)
    write(tmp_path, "package/fails.py", "from . import module\ndef f():\n    1 // 0\nf()")
    write(tmp_path, "package/broken/__init__.py", "import not_there_at_all")
    write(tmp_path, "package/broken/__main__.py", "")
    write(tmp_path, "package/no_main/__init__.py", "")
    plain = python("-m", name, "--", "-x", cwd=tmp_path, text="{}")
    ours = under_run("--no-report", "-m", name, "--", "-x", cwd=tmp_path, text="{}")
    assert (ours.code, ours.out) == (plain.code, plain.out)
    if name != "package.broken":
        # There plain python shows what it is doing inside runpy.
        assert ours.err == plain.err
    assert ours.err.splitlines()[-1:] == plain.err.splitlines()[-1:]


def test_module_joined_to_its_option(tmp_path: Path) -> None:
    write(tmp_path, "module.py", "import sys\nprint(sys.argv, __name__, __spec__.name)")
    assert "module" in assert_same("-mmodule", "-m", "x", cwd=tmp_path).out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal(number: int, tmp_path: Path) -> None:
    source = "import time\nprint('ready', flush=True)\ntime.sleep(100)"
    write(tmp_path, "waits.py", source)
    plain = interrupted(["waits.py"], tmp_path, number)
    ours = interrupted(["-m", "tf1_bn", "run", "--no-report", "waits.py"], tmp_path, number)
    assert ours == plain
    # Python 3.7 ends with 1 after Ctrl-C; later ones die of the signal.
    assert plain.code in (1, -number)


def test_handled_signal(tmp_path: Path) -> None:
    write(
        tmp_path,
        "handles.py",
        """
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
        print("ready", flush=True)
        time.sleep(100)
        """,
    )
    ended = interrupted(["-m", "tf1_bn", "run", "handles.py"], tmp_path, signal.SIGTERM)
    assert ended == (5, "ready\n", "tf1_bn: TensorFlow was not imported.\n")


def test_report_comes_once_and_last(tmp_path: Path) -> None:
    write(
        tmp_path,
        "forks.py",
        """
        import atexit, os, sys
        atexit.register(lambda: print("handler", file=sys.stderr, flush=True))
        child = os.fork()
        if child:
            os.waitpid(child, 0)
        """,
    )
    ended = under_run("forks.py", cwd=tmp_path)
    assert ended == (0, "", "handler\nhandler\ntf1_bn: TensorFlow was not imported.\n")


def test_report_to_a_closed_stderr(tmp_path: Path) -> None:
    write(tmp_path, "closes.py", "import sys\nsys.stderr.close()")
    assert under_run("closes.py", cwd=tmp_path) == (0, "", "")


@pytest.mark.parametrize(
    "arguments, said",
    [
        ((), "a SCRIPT or -m MODULE is required"),
        (("-m",), "a SCRIPT or -m MODULE is required"),
        (
            ("--neighbors", "x.py"),
            "unrecognized arguments: --neighbors; did you mean --neighbours?",
        ),
        (("--steps", "x.py"), "unrecognized arguments: --steps\n"),
    ],
)
def test_wrong_command_line(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    ended = under_run(*arguments, cwd=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


def test_help(tmp_path: Path) -> None:
    ended = under_run("--help", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert "--tf1-alias" in ended.out
    assert python("-m", "tf1_bn", cwd=tmp_path).code == 2
    assert "run" in python("-m", "tf1_bn", "-h", cwd=tmp_path).out
