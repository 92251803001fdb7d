"""The wheel holds the tree's packages, whole, and nothing else."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

from tests.architecture import tree

DATA = {"py.typed", ".mako", ".ini", ".sql"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    source = tmp_path_factory.mktemp("source")
    for folder in tree.PACKAGES:
        shutil.copytree(tree.ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(tree.ROOT / file, source)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation", "-w", ".", "."],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (built,) = source.glob("*.whl")
    return zipfile.ZipFile(built)


def _shipped(path: pathlib.Path) -> bool:
    return path.suffix == ".py" or path.name in DATA or path.suffix in DATA


def test_the_wheel_holds_every_file_of_the_tree_s_packages(wheel: zipfile.ZipFile) -> None:
    ours = {tree.name(path) for folder in tree.PACKAGES for path in (tree.ROOT / folder).rglob("*") if _shipped(path)}

    held = {name for name in wheel.namelist() if ".dist-info/" not in name}

    assert held == ours


def test_the_wheel_says_stocktake_outwards(wheel: zipfile.ZipFile) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith("/entry_points.txt")]

    said = wheel.read(name).decode()

    assert name.startswith("stocktake-")
    assert "stocktake = worker.cli.main:main" in said
    assert "stocktake-worker = worker.cli.daemon:main" in said
    assert "stocktake-placement = worker.cli.placement_daemon:main" in said
    assert "stocktake = worker.conf:list_opts" in said
