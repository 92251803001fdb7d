"""Sums of the ledger against what is kept."""

from __future__ import annotations

from worker.cli import explain


def _explanation(summed: dict[str, dict[str, int]], kept: dict[str, dict[str, int]]) -> explain.Explanation:
    return explain.Explanation("node n", explain.NODE_COLUMNS, (), summed, kept)


def test_equal_sums_add_up() -> None:
    verdict = _explanation({"held": {"VCPU": 1}}, {"held": {"VCPU": 1}}).verdict()

    assert verdict == ("node n adds up: held VCPU 1", True)


def test_each_figure_that_differs_is_named_with_both_values() -> None:
    summed = {"held": {"VCPU": 1}, "reserved": {}, "capacity": {"VCPU": 8}}
    kept = {"held": {"VCPU": 2}, "reserved": {"VCPU": 1}, "capacity": {"VCPU": 8}}

    line, good = _explanation(summed, kept).verdict()

    assert not good
    assert line == (
        "node n does not add up: held is VCPU 2, but the ledger sums up to VCPU 1 (VCPU +1); "
        "reserved is VCPU 1, but the ledger sums up to - (VCPU +1)"
    )


def test_what_the_ledger_has_and_nothing_else_is_a_difference() -> None:
    line, good = _explanation({"h1": {"VCPU": 1}}, {}).verdict()

    assert not good
    assert "h1 is -, but the ledger sums up to VCPU 1 (VCPU -1)" in line
