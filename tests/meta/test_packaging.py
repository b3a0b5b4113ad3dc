"""What `pip` sees: the metadata that is built, and the files in the wheel and the sdist."""

from __future__ import annotations

import configparser
import email
import importlib
import re
import shutil
import tarfile
import zipfile
from email.message import Message

import pytest

from tests.meta.markdown import links
from tests.meta.project import (
    PACKAGE,
    ROOT,
    package_files,
    project_files,
    relative,
    run_python,
    version,
)

# Straight to the build back end: no index is asked.
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
PACK = BUILD.replace("build_wheel", "build_sdist")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build the wheel from a copy: the checkout stays clean, and no old build leaks in."""
    source = tmp_path_factory.mktemp("source")
    target = tmp_path_factory.mktemp("wheel")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(str(ROOT / name), str(source))
    shutil.copytree(
        str(PACKAGE), str(source / "tf1_bn"), ignore=shutil.ignore_patterns("__pycache__")
    )
    done = run_python("-W", "ignore", "-c", BUILD, str(target), cwd=source)
    assert done.returncode == 0, done.stderr
    (built,) = target.glob("*.whl")
    return zipfile.ZipFile(str(built))


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in the source distribution, which is packed from a copy."""
    source = tmp_path_factory.mktemp("checkout")
    target = tmp_path_factory.mktemp("sdist")
    for path in project_files():
        copy = source / relative(path)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(str(path), str(copy))
    done = run_python("-W", "ignore", "-c", PACK, str(target), cwd=source)
    assert done.returncode == 0, done.stderr
    (built,) = target.glob("*.tar.gz")
    with tarfile.open(str(built)) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return email.message_from_string(wheel.read(name).decode("utf-8"))


def test_name_version_and_python(metadata: Message) -> None:
    assert metadata["Name"].replace("-", "_") == "tf1_bn"
    assert metadata["Version"] == version()
    assert metadata["Requires-Python"] == ">=3.7"


def test_version_is_the_same_everywhere() -> None:
    cited = re.findall(r"(?m)^version: (\S+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited == [version()]
    sections = re.findall(r"(?m)^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert version() in sections


def test_author_and_licence_are_those_of_the_citation(metadata: Message) -> None:
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^  - name: (.+)$", cited) == [metadata["Author"]]
    licence = metadata["License"] or metadata["License-Expression"]
    assert re.findall(r"(?m)^license: (.+)$", cited) == [licence]
    assert "License :: OSI Approved :: Apache Software License" in metadata.get_all("Classifier")


def test_the_pythons_of_the_tests_are_classified(metadata: Message) -> None:
    named = {c.split(" :: ")[-1] for c in metadata.get_all("Classifier") if "Python :: 3." in c}
    noxfile = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    tested = set(re.findall(r'"(3\.\d+)"', noxfile))
    assert {"3.7", "3.13"} <= tested <= named


def test_sdist_holds_every_file_of_the_project(packed: set[str]) -> None:
    """Without git's own files; so that tests, examples and guide work in it as in a checkout."""
    wanted = {relative(path) for path in project_files()} - {".gitignore"}
    assert wanted - packed == set()
    assert [name for name in packed if "__pycache__" in name or name.endswith(".pyc")] == []


def test_links_of_the_readme_lead_somewhere_in_the_sdist(packed: set[str]) -> None:
    readme = ROOT / "README.md"
    local = {t.partition("#")[0] for t in links(readme.read_text(encoding="utf-8"))}
    wanted = {target for target in local if target and "://" not in target}
    assert "migration_guide/from_tf_layers.md" in wanted
    assert wanted - packed == set()


def test_numpy_is_required_and_tensorflow_is_an_extra(metadata: Message) -> None:
    requirements = metadata.get_all("Requires-Dist")
    plain = [re.match(r"\w+", line).group() for line in requirements if "extra ==" not in line]
    assert plain == ["numpy"]
    assert set(metadata.get_all("Provides-Extra")) == {
        "tensorflow",
        "contrib",
        "benchmarks",
        "fix",
        "plot",
        "test",
    }
    extra = [line for line in requirements if re.search(r"extra == .tensorflow", line)]
    assert [re.match(r"\w+", line).group() for line in extra] == ["tensorflow", "protobuf"]


def test_wheel_holds_every_source_file_and_the_typing_marker(wheel: zipfile.ZipFile) -> None:
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == {relative(path) for path in package_files()} | {"tf1_bn/py.typed"}


def test_the_console_script_is_a_function_of_the_package(wheel: zipfile.ZipFile) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    entries = configparser.ConfigParser()
    entries.read_string(wheel.read(name).decode("utf-8"))
    assert dict(entries["console_scripts"]) == {"tf1_bn": "tf1_bn.__main__:start"}
    assert callable(importlib.import_module("tf1_bn.__main__").start)


def test_licence_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith("LICENSE")]
    assert b"Apache License" in wheel.read(name)


def test_setup_cfg_has_no_key_that_setuptools_ignores() -> None:
    """A misspelt key is dropped in silence: each must be one that setuptools documents."""
    config = configparser.ConfigParser()
    config.read(str(ROOT / "setup.cfg"), encoding="utf-8")
    known = {
        "metadata": "name version description long_description long_description_content_type"
        " license license_files keywords classifiers url project_urls author",
        "options": "packages python_requires install_requires zip_safe",
    }
    for section, keys in known.items():
        assert set(config[section]) - set(keys.split()) == set()
