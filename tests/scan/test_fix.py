"""`scan --fix`: the import and the call change, and no other character."""

from __future__ import annotations

import builtins
import errno
import importlib.util
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tf1_bn._src.cli.main import main
from tf1_bn._src.scan.fix import fixes_of, write_fix
from tf1_bn._src.scan.scan import scan

needs_libcst = pytest.mark.skipif(
    importlib.util.find_spec("libcst") is None, reason="pip install -e '.[fix]'"
)
TF = "import tensorflow as tf\n"
ODD = """\
# -*- coding: utf-8 -*-
\"\"\"A docstring.\"\"\"
from __future__ import print_function
import numpy as np
import tensorflow as tf   # the old one
from tensorflow.layers import batch_normalization as bn
from tensorflow.python.layers.normalization import BatchNorm, batch_norm


def net( x,is_training ):
    é = "é"; y = tf.layers.batch_normalization(x , training = is_training)  # keep  me
    y = (tf . layers.batch_normalization) ( y )
\ty = tf.layers.BatchNormalization( axis=1 )( y )
    z = tf.layers.batch_normalization(y)  # noqa: BN100
    f = {'norm':tf.layers.batch_normalization}
    return  bn(batch_norm(BatchNorm()(z)))
""".replace("\t", "    ")
MENDED = (
    ODD.replace("as tf   # the old one\n", "as tf   # the old one\nimport tf1_bn\n")
    .replace("from tensorflow.layers import", "from tf1_bn import")
    .replace(
        "from tensorflow.python.layers.normalization import BatchNorm, batch_norm",
        "from tf1_bn import BatchNormalization as BatchNorm, batch_normalization as batch_norm",
    )
    .replace("y = tf.layers.batch_normalization(x ", "y = tf1_bn.batch_normalization(x ")
    .replace("(tf . layers.batch_normalization)", "(tf1_bn.batch_normalization)")
    .replace("tf.layers.BatchNormalization(", "tf1_bn.BatchNormalization(")
    .replace("'norm':tf.layers.", "'norm':tf1_bn.")
)


def fixed(folder: Path, text: str, **how: Any) -> str:
    """Return what a file becomes."""
    path = folder / "program.py"
    path.write_bytes(text.encode(**how))
    (fix,) = fixes_of(scan([str(path)]))
    assert fix.trouble == ""
    return fix.after.decode(**how)


@needs_libcst
def test_no_other_character_is_touched(tmp_path: Path) -> None:
    assert fixed(tmp_path, ODD) == MENDED


@needs_libcst
@pytest.mark.parametrize(
    "before, after",
    [
        (TF, f"{TF}import tf1_bn\n"),
        (f"{TF}import tf1_bn\n", f"{TF}import tf1_bn\n"),
        (f"import os\n{TF}", f"import os\n{TF}import tf1_bn\n"),
        (
            "try:\n  import tensorflow.compat.v1 as tf\nexcept ImportError:\n  import none\n",
            "try:\n  import tensorflow.compat.v1 as tf\nexcept ImportError:\n  import none\n"
            "import tf1_bn\n",
        ),
    ],
)
def test_where_the_import_goes(tmp_path: Path, before: str, after: str) -> None:
    call = "y = {}.batch_normalization(x)\n"
    assert fixed(tmp_path, before + call.format("tf.layers")) == after + call.format("tf1_bn")


@needs_libcst
@pytest.mark.parametrize(
    "head", ["", '"""Doc."""\n', '"""Doc."""\nfrom __future__ import division\n']
)
def test_an_import_inside_of_a_function(tmp_path: Path, head: str) -> None:
    body = "def f(x):\n    import tensorflow as tf\n    return {}.batch_normalization(x)\n"
    expected = f"{head}import tf1_bn\n" + body.format("tf1_bn")
    assert fixed(tmp_path, head + body.format("tf.layers")) == expected


@needs_libcst
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encoding_and_ends_of_lines_stay(tmp_path: Path, encoding: str, end: str) -> None:
    cookie = "# -*- coding: latin-1 -*-\n" if encoding == "latin-1" else ""
    text = (
        f"{cookie}{TF}é = tf.layers.batch_normalization('é')\n\n# the end, without an end".replace(
            "\n", end
        )
    )
    expected = text.replace("tf.layers.", "tf1_bn.").replace(
        TF[:-1], f"{TF[:-1]}{end}import tf1_bn"
    )
    path = tmp_path / "program.py"
    path.write_bytes(text.encode(encoding))
    (fix,) = fixes_of(scan([str(path)]))
    assert fix.after == expected.encode(encoding)


@needs_libcst
def test_what_is_not_mechanical_is_left(tmp_path: Path, capsys: Any) -> None:
    text = (
        "import tensorflow as tf\nfrom tensorflow.layers import batch_normalization, dense\n"
        "tf.contrib.layers.batch_norm(batch_normalization(x))\n"
        "try:\n  from tensorflow.layers import BatchNormalization\nexcept ImportError:\n  pass\n"
        "BatchNormalization()\n"
    )
    (tmp_path / "a.py").write_text(text)
    (tmp_path / "b.py").write_text("import tf1_bn\ntf1_bn.batch_normalization(x)\n")
    assert main(["scan", "--fix", "--write", str(tmp_path)]) == 0
    assert (tmp_path / "a.py").read_text() == text
    assert "nothing to rewrite" in capsys.readouterr().err


@needs_libcst
def test_a_diff_first_and_files_only_when_asked(
    tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.py"
    text = f"{TF}y = tf.layers.batch_normalization(x)"
    path.write_text(text)
    path.chmod(0o750)
    (tmp_path / "old.py").write_text("print 'a'\n")
    assert main(["scan", "--fix", "."]) == 2
    told = capsys.readouterr()
    assert told.out == (
        "--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,3 @@\n import tensorflow as tf\n"
        "-y = tf.layers.batch_normalization(x)\n\\ No newline at end of file\n"
        "+import tf1_bn\n+y = tf1_bn.batch_normalization(x)\n\\ No newline at end of file\n"
    )
    assert "old.py: BN002" in told.err and path.read_text() == text
    assert main(["scan", "--fix", "a.py"]) == 1
    assert main(["scan", "--fix", "--write", "a.py"]) == 0
    assert path.read_text() == f"{TF}import tf1_bn\ny = tf1_bn.batch_normalization(x)"
    assert stat.S_IMODE(path.stat().st_mode) == 0o750
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    assert main(["scan", "--fix", "a.py"]) == 0


@needs_libcst
def test_a_file_that_changed_meanwhile_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(f"{TF}y = tf.layers.batch_normalization(x)\n")
    (fix,) = fixes_of(scan([str(path)]))
    path.write_text("other = 1\n")
    assert "changed" in write_fix(fix) and path.read_text() == "other = 1\n"
    os.unlink(str(path))
    assert "No such file" in write_fix(fix)


def test_without_libcst_one_sentence(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    (tmp_path / "a.py").write_text(f"{TF}y = tf.layers.batch_normalization(x)\n")
    real = builtins.__import__

    def refuse(name: str, *given: Any, **named: Any) -> Any:
        if name.split(".")[0] == "libcst":
            raise ModuleNotFoundError("No module named 'libcst'", name="libcst")
        return real(name, *given, **named)

    monkeypatch.delitem(sys.modules, "tf1_bn._src.scan.rewriting", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    assert main(["scan", "--fix", str(tmp_path)]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert "pip install 'libcst>=1.0'" in told.err


# What patch, git and difflib count as the end of a line differs; the file has its own encoding.
HARD = {
    "form_feed.py": f"{TF}\f\ns = '\x1c\u2028'\ny = tf.layers.batch_normalization(x)\n".encode(),
    "marked.py": f"\ufeff{TF}y = tf.layers.batch_normalization(x)\n".encode(),
    "latin.py": f"# coding: latin-1\n{TF}'é'; y = tf.layers.batch_normalization(x)".encode(
        "latin-1"
    ),
    "sub/name with spaces.py": f"{TF}y = tf.layers.batch_normalization(x)\r\n".encode(),
    'new\n"line\\.py': f"{TF}y = tf.layers.batch_normalization(x)\n".encode(),
}


@needs_libcst
@pytest.mark.parametrize("tool", [["patch", "--binary", "-s", "-p1"], ["git", "apply", "-"]])
def test_the_diff_is_taken_by_tools(tmp_path: Path, tool: list[str], capsysbinary: Any) -> None:
    if shutil.which(tool[0]) is None:
        pytest.skip(f"no {tool[0]} on this machine")
    for name, raw in HARD.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(raw)
    before = os.getcwd()
    os.chdir(str(tmp_path))
    try:
        wanted = {fix.path: fix.after for fix in fixes_of(scan(["."]))}
        assert main(["scan", "--fix", "."]) == 1
        diff = capsysbinary.readouterr().out
        subprocess.run(tool, input=diff, check=True)
    finally:
        os.chdir(before)
    assert set(wanted) == set(HARD)
    assert {name: (tmp_path / name).read_bytes() for name in HARD} == wanted


@needs_libcst
@pytest.mark.parametrize(
    "text, trouble",
    [
        (f"{TF}tf1_bn = 3\ny = tf.layers.batch_normalization(x)\n", "name of something else"),
        (f"{TF}tf.layers.batch_normalization(x)\nx = {'+'.join('a' * 900)}\n", "LibCST cannot"),
        (
            f"{TF}tf.layers.batch_normalization(x)\nif a: pass\n" + "elif a: pass\n" * 800,
            "LibCST cannot",
        ),
        (f"{TF}def f(tf1_bn): tf.layers.batch_normalization(x)\n", "name of something else"),
    ],
    ids=["taken", "a long sum", "many branches", "a parameter"],
)
def test_what_is_left_alone(tmp_path: Path, text: str, trouble: str) -> None:
    (tmp_path / "a.py").write_text(text)
    (fix,) = fixes_of(scan([str(tmp_path)]))
    assert trouble in fix.trouble and fix.after == fix.before


@needs_libcst
def test_the_import_stands_before_the_first_use(tmp_path: Path) -> None:
    text = "import tensorflow as tf; y = tf.layers.batch_normalization(x)\n"
    expected = "import tf1_bn\nimport tensorflow as tf; y = tf1_bn.batch_normalization(x)\n"
    assert fixed(tmp_path, text) == expected


@needs_libcst
@pytest.mark.parametrize("trouble", ["write-protected", "full disk"])
def test_a_file_that_cannot_be_written_is_as_it_was(
    tmp_path: Path, trouble: str, monkeypatch: Any
) -> None:
    path = tmp_path / "a.py"
    path.write_text(f"{TF}y = tf.layers.batch_normalization(x)\n")
    (fix,) = fixes_of(scan([str(path)]))
    if trouble == "full disk":

        def refuse(old: str, new: str) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "replace", refuse)
    else:
        path.chmod(0o444)
    assert ("No space" if trouble == "full disk" else trouble) in write_fix(fix)
    assert path.read_bytes() == fix.before
    assert [each.name for each in tmp_path.iterdir()] == ["a.py"]
