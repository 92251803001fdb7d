"""Imports point inwards: the contracts of setup.cfg, on the tree as it is."""

from __future__ import annotations

import subprocess
import sys

from tests.architecture import tree

LINT = (
    "import sys; from importlinter import cli; sys.exit(cli.lint_imports(config_filename='setup.cfg', no_cache=True))"
)


def test_imports_point_inwards() -> None:
    # a process of its own: import-linter switches every logger off that is there already
    done = subprocess.run([sys.executable, "-c", LINT], cwd=tree.ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
