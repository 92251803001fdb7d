"""Imports point inwards: the contracts of setup.cfg, on the tree as it is."""

from __future__ import annotations

import pytest
from importlinter import cli

from tests.architecture import tree


def test_imports_point_inwards(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tree.ROOT)

    result = cli.lint_imports(config_filename="setup.cfg", no_cache=True)

    assert result == cli.EXIT_STATUS_SUCCESS, capsys.readouterr().out
