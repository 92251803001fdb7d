"""What placements use of host cells, and whether one still serves its record."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.unit.core import numa_cases
from worker.core import cells, records

PAGES = ((4, 524288, 0), (2048, 600, 10))


def _used(host: records.HostCell, *placed: records.PlacedTopology) -> cells.CellUsage:
    return cells.used([host], placed)[host.id]


def test_a_cell_without_guests_has_every_page_size_at_nothing() -> None:
    assert _used(numa_cases.a_host(3, mempages=PAGES)) == cells.CellUsage(3, 0, 0, frozenset(), {4: 0, 2048: 0})


def test_all_guests_of_a_cell_are_added_up() -> None:
    host = numa_cases.a_host(mempages=PAGES)
    floating = numa_cases.a_placed(cpuset=frozenset({0, 1}), pagesize=2048)
    mixed = numa_cases.a_placed(pins=(3, 5), cpuset=frozenset({2}), cpu_policy="mixed", cpuset_reserved=frozenset({7}))

    used = _used(host, floating, mixed)

    assert used == cells.CellUsage(0, 3, 2048, frozenset({3, 5, 7}), {4: 262144, 2048: 512})


def test_each_cell_has_its_own_usage() -> None:
    hosts = [numa_cases.a_host(0, range(4)), numa_cases.a_host(1, range(4, 8))]
    both = records.PlacedTopology((*numa_cases.a_placed(0, (1,)).cells, *numa_cases.a_placed(1, (5,)).cells))

    used = cells.used(hosts, [both])

    assert {number: one.pinned for number, one in used.items()} == {0: {1}, 1: {5}}


def test_pages_are_rounded_up_for_each_guest() -> None:
    odd = numa_cases.a_placed(memory=3, pagesize=2048)

    assert _used(numa_cases.a_host(mempages=PAGES), odd, odd).pages == {4: 0, 2048: 4}


def test_a_guest_without_page_size_on_a_cell_without_pages_has_no_page_figure() -> None:
    assert _used(numa_cases.a_host(), numa_cases.a_placed()).pages == {}


def test_pages_of_a_size_that_the_cell_has_lost_stay_counted() -> None:
    assert _used(numa_cases.a_host(), numa_cases.a_placed(pagesize=2048)).pages == {2048: 512}


def test_a_placement_on_a_cell_that_is_gone_is_left_out() -> None:
    assert _used(numa_cases.a_host(0), numa_cases.a_placed(1, (3,))) == cells.CellUsage(0)


def test_an_isolated_guest_takes_whole_cores() -> None:
    isolated = numa_cases.a_placed(pins=(0, 1), cpu_thread_policy="isolate", cpuset_reserved=frozenset({6}))

    assert _used(numa_cases.an_smt_host(), isolated).pinned == {0, 4, 1, 5, 2, 6}


def test_a_pinned_cpu_that_the_cell_has_lost_stays_counted() -> None:
    assert _used(numa_cases.a_host(), numa_cases.a_placed(pins=(99,), cpu_thread_policy="isolate")).pinned == {99}


def test_a_guest_of_shared_cpus_pins_nothing() -> None:
    odd = numa_cases.a_placed(pins=(0,), cpu_policy=None)

    assert _used(numa_cases.a_host(), odd).pinned == frozenset()


@pytest.mark.parametrize(
    ("changes", "cores"),
    [
        ({}, [{0}, {1}, {2}, {3}]),
        ({"siblings": [(0, 2), (1, 3)]}, [{0, 2}, {1, 3}]),
        ({"siblings": [(1, 9), (8,)]}, [{1}, {0}, {2}, {3}]),
        ({"siblings": [(0, 2), (0, 2), (2, 3)]}, [{0, 2}, {3}, {1}]),
        ({"cpuset": {0}, "pcpuset": {2}, "siblings": [(0, 2), (1, 3)]}, [{0, 2}]),
    ],
    ids=str,
)
def test_cores_are_made_of_usable_cpus_only(changes: dict[str, Any], cores: list[set[int]]) -> None:
    assert cells.cores(numa_cases.a_host(0, range(4), **changes)) == tuple(cores)


def test_a_cpu_that_is_pinned_in_one_cell_is_free_in_no_other() -> None:
    hosts = [numa_cases.a_host(0, range(2)), numa_cases.a_host(1, range(2, 4))]
    usage = cells.used(hosts, [numa_cases.a_placed(0, (2,))])

    assert [room.free for room in cells.rooms(hosts, usage)] == [{0, 1}, {3}]


def test_a_cell_that_the_usage_does_not_name_is_free() -> None:
    (room,) = cells.rooms([numa_cases.a_host(5, range(2))], {})

    assert (set(room.free), room.usage, room.free_memory) == ({0, 1}, cells.CellUsage(5), 16384)


GUEST = numa_cases.a_guest(numa_cases.a_cell(1, 1, cpu_thread_policy="prefer"))
PLACED = records.PlacedTopology(numa_cases.placed(GUEST, [numa_cases.a_host(7)]))


def test_a_placement_serves_the_guest_it_was_made_for() -> None:
    assert cells.same_needs(GUEST, PLACED)
    assert cells.same_needs(records.GuestTopology((msgspec.structs.replace(GUEST.cells[0], id=7),)), PLACED)


@pytest.mark.parametrize(
    "changes",
    [
        {"cpuset": frozenset({5})},
        {"pcpuset": frozenset()},
        {"memory": 1},
        {"cpu_policy": "dedicated"},
        {"cpu_thread_policy": None},
        {"pagesize": 4},
        {"pagesize": -3},
    ],
    ids=str,
)
def test_a_placement_does_not_serve_other_needs(changes: dict[str, Any]) -> None:
    changed = msgspec.structs.replace(GUEST.cells[0], **changes)

    assert not cells.same_needs(records.GuestTopology((changed,)), PLACED)


def test_a_placement_does_not_serve_more_cells_or_another_emulator_policy() -> None:
    assert not cells.same_needs(records.GuestTopology(GUEST.cells * 2), PLACED)
    assert not cells.same_needs(records.GuestTopology(GUEST.cells, "isolate"), PLACED)


@pytest.mark.parametrize(
    ("asked", "chosen", "same"),
    [(None, None, True), (0, None, True), (None, 4, False), (-1, 4, True), (-2, 2048, True), (-3, 4, True),
     (-2, None, False), (2048, 2048, True), (2048, 4, False), (2048, None, False)],
)  # fmt: skip
def test_a_page_size_agrees_with_what_was_chosen_for_it(asked: int | None, chosen: int | None, same: bool) -> None:
    guest = records.GuestTopology((msgspec.structs.replace(GUEST.cells[0], pagesize=asked),))
    placed = records.PlacedTopology((msgspec.structs.replace(PLACED.cells[0], pagesize=chosen),))

    assert cells.same_needs(guest, placed) is same


@pytest.mark.parametrize(
    ("cpus", "text"),
    [((), ""), ((3,), "3"), ((8, 0, 2, 1), "0-2, 8"), (range(0, 40, 2), "0, 2, 4, 6, 8, 10, 12, 14, …")],
    ids=str,
)
def test_cpus_are_written_as_ranges(cpus: tuple[int, ...], text: str) -> None:
    assert cells.cpu_text(cpus) == text
