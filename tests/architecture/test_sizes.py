"""Functions and modules stay small enough to be read at once."""

from __future__ import annotations

import ast
import pathlib

import pytest

from tests.architecture import tree

FUNCTION_LINES = 60
MODULE_LINES = 400
PARAMETERS = 5

# alembic's versions are written once, in one function each, and never grow
SOURCES = [path for path in tree.modules(*tree.PACKAGES) if "versions" not in path.parts]
EVERYTHING = [*SOURCES, *tree.modules("tests")]


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1


@pytest.mark.parametrize("path", EVERYTHING, ids=tree.name)
def test_no_function_is_longer_than_a_screen(path: pathlib.Path) -> None:
    long = {function.name: _lines(function) for function in tree.functions(path) if _lines(function) > FUNCTION_LINES}

    assert long == {}, f"{tree.name(path)}: at most {FUNCTION_LINES} lines"


@pytest.mark.parametrize("path", EVERYTHING, ids=tree.name)
def test_no_module_has_grown_beyond_one_subject(path: pathlib.Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())

    assert lines <= MODULE_LINES, f"{tree.name(path)}: at most {MODULE_LINES} lines"


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    said = function.args
    named = [arg.arg for arg in [*said.posonlyargs, *said.args, *said.kwonlyargs]]
    return len([arg for arg in named if arg not in {"self", "cls"}])


@pytest.mark.parametrize("path", SOURCES, ids=tree.name)
def test_no_function_takes_more_than_five_parameters(path: pathlib.Path) -> None:
    wide = {function.name for function in tree.functions(path) if _parameters(function) > PARAMETERS}

    assert wide == set(), tree.name(path)
