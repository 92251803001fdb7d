"""Habits that no linter holds."""

from __future__ import annotations

import ast
import pathlib
import re
import sys

import pytest

from tests.architecture import tree

SOURCES = tree.modules(*tree.PACKAGES)
TESTS = tree.modules("tests")
LEFT_OVER = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
# of all broad excepts of the project; each stands at the edge of the bus and says why
# the fourth is the relay's: one outbox row or chore that fails would else end the process after each start
BROAD_EXCEPTS = 4


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=tree.name)
def test_nothing_is_left_for_later(path: pathlib.Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert LEFT_OVER.findall(text) == []


@pytest.mark.parametrize("path", TESTS, ids=tree.name)
def test_tests_use_fakes_and_no_mocks(path: pathlib.Path) -> None:
    mocks = [module for module, _ in tree.imports(path) if re.match(r"(unittest\.)?mock\b", module)]

    assert mocks == [], "a fake of tests/fakes keeps the interface's contract"


@pytest.mark.parametrize("path", TESTS, ids=tree.name)
def test_tests_wait_for_a_condition_and_never_for_a_time(path: pathlib.Path) -> None:
    sleeps = [
        node.lineno for node in ast.walk(tree.parsed(path)) if isinstance(node, ast.Attribute) and node.attr == "sleep"
    ]
    imported = [module for module, _ in tree.imports(path) if module == "time.sleep"]

    assert [*sleeps, *imported] == []


@pytest.mark.parametrize("path", SOURCES, ids=tree.name)
def test_imports_stand_at_the_top(path: pathlib.Path) -> None:
    inside = {
        node.lineno
        for function in tree.functions(path)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }

    assert inside == set()


@pytest.mark.parametrize("path", SOURCES, ids=tree.name)
def test_no_function_changes_a_global(path: pathlib.Path) -> None:
    globals_ = [node.names for node in ast.walk(tree.parsed(path)) if isinstance(node, ast.Global)]

    assert globals_ == []


def test_the_core_needs_only_the_standard_library_and_the_base_of_its_values() -> None:
    allowed = sys.stdlib_module_names | {"worker", "msgspec"}

    foreign = {
        f"{tree.name(path)}: {module}"
        for path in tree.modules("worker/core")
        for module, _ in tree.imports(path)
        if module.split(".")[0] not in allowed
    }

    assert foreign == set()


def _is_broad(node: ast.AST) -> bool:
    """Tell a handler that swallows whatever comes from one that cleans up and raises again."""
    if not isinstance(node, ast.ExceptHandler):
        return False
    last = node.body[-1]
    if isinstance(last, ast.Raise) and last.exc is None:
        return False
    return node.type is None or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"})


def test_broad_excepts_are_few() -> None:
    broad = [
        f"{tree.name(path)}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(tree.parsed(path))
        if isinstance(node, ast.ExceptHandler) and _is_broad(node)
    ]

    assert len(broad) <= BROAD_EXCEPTS, broad
