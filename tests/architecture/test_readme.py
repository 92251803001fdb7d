"""The README's two commands are there for a newcomer, and for CI, which runs the very same."""

from __future__ import annotations

import re

import pytest

from tests.architecture import tree


def _block(mark: str) -> list[str]:
    readme = (tree.ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"^<!-- newcomer: {mark} -->\n```\w*\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    return found.group(1).splitlines() if found else []


@pytest.mark.parametrize(("mark", "does"), [("run", "stocktake demo"), ("test", "-m pytest")])
def test_the_readme_gives_a_newcomer_one_short_command(mark: str, does: str) -> None:
    lines = _block(mark)

    assert 1 <= len(lines) <= 2
    assert does in lines[-1]
    assert any("-c constraints.txt" in line for line in lines)


def test_ci_runs_the_test_command_of_the_readme() -> None:
    script = (tree.ROOT / ".ci/run").read_text(encoding="utf-8")

    assert "readme_command test" in script
    assert "newcomer: $1 -->" in script


def test_links_of_the_readme_lead_somewhere() -> None:
    readme = (tree.ROOT / "README.md").read_text(encoding="utf-8")

    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", readme)

    assert links
    assert [link for link in links if not (tree.ROOT / link).exists()] == []
