"""Bars and other columns, for people and for programs."""

from __future__ import annotations

import io

import pytest

from worker.cli import bars


class _Terminal(io.TextIOWrapper):
    """A terminal of some encoding."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("used", "capacity", "drawn"),
    [
        (0, 10, ".......... 0/10"),
        (1, 100, "#......... 1/100"),
        (5, 10, "#####..... 5/10"),
        (10, 10, "########## 10/10"),
        (12, 10, "########## 12/10!"),
        (0, 0, ".......... 0/0"),
        (3, 0, "########## 3/0!"),
        (3, -2, "########## 3/-2!"),
    ],
)
def test_a_bar_shows_the_share_that_is_used(used: int, capacity: int, drawn: str) -> None:
    assert bars.drawn(used, capacity, bars.ASCII) == drawn


def test_a_terminal_that_can_show_blocks_gets_them() -> None:
    assert bars.glyphs(_Terminal(io.BytesIO(), encoding="UTF-8")) == bars.BLOCKS


def test_a_terminal_without_utf_8_gets_plain_characters() -> None:
    assert bars.glyphs(_Terminal(io.BytesIO(), encoding="latin-1")) == bars.ASCII


def test_a_file_gets_plain_characters() -> None:
    assert bars.glyphs(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")) == bars.ASCII


def test_a_stream_that_names_no_encoding_gets_plain_characters() -> None:
    assert bars.glyphs(io.StringIO()) == bars.ASCII


def test_programs_get_the_figures_and_no_bar() -> None:
    figures = {"used": 1, "settled": 1, "in_move": 0, "capacity": 4}

    bar = bars.Bar(figures, bars.ASCII)

    assert bar.machine_readable() == figures


def test_what_is_in_move_is_said_beside_the_bar() -> None:
    bar = bars.Bar({"used": 2, "settled": 1, "in_move": 1, "capacity": 4}, bars.ASCII)

    assert str(bar) == "#####..... 2/4 (1 in move)"


def test_bars_sort_by_share_and_not_by_amount() -> None:
    full = bars.Bar({"used": 1, "capacity": 1}, bars.ASCII)
    empty = bars.Bar({"used": 5, "capacity": 100}, bars.ASCII)

    assert empty < full
    assert not full < empty
    assert not full < object()


def test_several_bars_stand_below_each_other() -> None:
    column = bars.Bars({"VCPU": {"used": 0, "capacity": 1}, "MEMORY_MB": {"used": 1, "capacity": 1}}, bars.ASCII)

    assert str(column).splitlines() == ["MEMORY_MB ########## 1/1", "VCPU      .......... 0/1"]


@pytest.mark.parametrize(
    ("column", "shown"),
    [
        (bars.Amounts({"VCPU": 1, "DISK_GB": 2}), "DISK_GB 2, VCPU 1"),
        (bars.Amounts({}), "-"),
        (bars.Changes({"VCPU": 1, "DISK_GB": -2}), "DISK_GB -2, VCPU +1"),
        (bars.Changes({}), "-"),
        (bars.Lines({"a": {"b": 1, "e": None}, "c": [2, {"d": 3}]}), "a: b 1, e None\nc[0]: 2\nc[1]: d 3"),
        (bars.Lines({"n": {"VCPU": {"amount": 1, "settled": 0}}}), "n.VCPU: amount 1, settled 0"),
        (bars.Lines(["COMPUTE_NODE", "OWNER_NOVA"]), "COMPUTE_NODE, OWNER_NOVA"),
        (bars.Lines(None), "-"),
        (bars.Lines([]), "-"),
    ],
)
def test_nested_values_read_as_lines(column: object, shown: str) -> None:
    assert str(column) == shown


def test_what_may_be_overcommitted_is_not_marked() -> None:
    assert bars.drawn(12, 10, bars.ASCII, firm=False) == "########## 12/10"


def test_what_may_be_missing_is_a_dash_for_people_and_sorts_first() -> None:
    told = [bars.Maybe(value) for value in ("b", None, 0, True, False)]

    assert [str(one) for one in told] == ["b", "-", "0", "yes", "-"]
    assert [one.machine_readable() for one in told] == ["b", None, 0, True, False]
    assert [str(one) for one in sorted(told[:3])] == ["-", "0", "b"]
