"""Whether and where a guest fits: one guest cell on one host cell, the order of host cells, reasons."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core import numa_cases
from tests.unit.core.numa_cases import a_cell, a_guest, a_host, a_placed
from worker.core import fitting, records

PAGES = ((4, 524288, 0), (2048, 600, 10))
GIB_PAGE = 1048576


@pytest.mark.parametrize(
    ("asked", "chosen"), [(-1, 4), (-2, 2048), (-3, 2048), (2048, 2048), (4, 4), (None, None), (0, None)], ids=str
)
def test_the_page_size_is_the_biggest_of_those_asked_for(asked: int | None, chosen: int | None) -> None:
    (cell,) = numa_cases.placed(a_guest(a_cell(0, 1, pagesize=asked)), [a_host(mempages=PAGES)])

    assert cell.pagesize == chosen


@pytest.mark.parametrize(
    ("asked", "memory", "reasons"),
    [
        (GIB_PAGE, 1024, ["pages of 1048576 KiB asked for 1024 MiB, available 0 (the cell has none)"]),
        (2048, 1025, ["memory asked 1025 MiB is not whole pages of 2048 KiB"]),
        (2048, 1182, ["pages of 2048 KiB asked 591, available 590"]),
        (-2, 1182, ["pages of 2048 KiB asked 591, available 590"]),
        (-3, 2050, ["pages of 2048 KiB asked 1025, available 590", "pages of 4 KiB asked 524800, available 524288"]),
        (-1, 2049, ["pages of 4 KiB asked 524544, available 524288"]),
        (None, 2049, ["pages of 4 KiB asked 524544, available 524288"]),
    ],
    ids=str,
)
def test_pages_that_lack_are_named_with_their_size(asked: int | None, memory: int, reasons: list[str]) -> None:
    guest = a_guest(a_cell(0, 1, memory, pagesize=asked))

    assert numa_cases.refused(guest, [a_host(mempages=PAGES)]) == tuple(f"NUMA cell 0: {text}" for text in reasons)


def test_any_page_size_falls_back_to_smaller_pages() -> None:
    (cell,) = numa_cases.placed(a_guest(a_cell(0, 1, 1182, pagesize=-3)), [a_host(mempages=PAGES)])

    assert cell.pagesize == 4


@pytest.mark.parametrize("mempages", [(), PAGES[:1]], ids=str)
def test_a_cell_with_at_most_one_page_size_has_no_large_pages(mempages: Any) -> None:
    (reason,) = numa_cases.refused(a_guest(a_cell(0, 1, pagesize=-2)), [a_host(mempages=mempages)])

    assert reason == "NUMA cell 0: large pages asked for 1024 MiB, available 0"


@pytest.mark.parametrize(
    ("guest", "mempages", "available"),
    [
        (a_cell(1), (), "memory asked 1024 MiB, available 500 MiB"),
        (a_cell(1, 1), (), "memory asked 1024 MiB, available 500 MiB"),
        (a_cell(1), ((4, 262144, 4),), "pages of 4 KiB asked 262144, available 128000"),
    ],
    ids=str,
)
def test_memory_of_pinned_guests_is_not_overcommitted(guest: records.GuestCell, mempages: Any, available: str) -> None:
    host = a_host(memory=1024, mempages=[(4, 262144, 3072)] if mempages else ())

    reasons = numa_cases.refused(a_guest(guest), [host], [a_placed(memory=524 if not mempages else 512)])

    assert reasons == (f"NUMA cell 0: {available}",)


@pytest.mark.parametrize("mempages", [(), ((4, 262144, 9),)], ids=str)
def test_a_floating_guest_may_overcommit_but_not_all_by_itself(mempages: Any) -> None:
    host = a_host(memory=1024, mempages=mempages)

    assert numa_cases.placed(a_guest(a_cell(0, 1)), [host], [a_placed()])
    assert numa_cases.refused(a_guest(a_cell(0, 1, 1025)), [host])


def test_dedicated_cpus_that_lack_are_counted_with_those_of_the_emulator() -> None:
    host = a_host(pcpuset=range(4))

    assert numa_cases.refused(a_guest(a_cell(4)), [host], [a_placed(pins=(0, 1))]) == (
        "NUMA cell 0: dedicated CPUs asked 4, available 2",
    )
    assert numa_cases.refused(a_guest(a_cell(4), emulator="isolate"), [host]) == (
        "NUMA cell 0: dedicated CPUs asked 5 (one for emulator threads), available 4",
    )


@pytest.mark.parametrize("policy", ["shared", "mixed", None], ids=str)
def test_floating_cpus_need_as_many_cpus_of_the_host(policy: str | None) -> None:
    host = a_host(cpuset=range(2), pcpuset=range(2, 8))

    assert numa_cases.placed(a_guest(a_cell(0, 2, cpu_policy=policy)), [host])
    assert numa_cases.refused(a_guest(a_cell(0, 3, cpu_policy=policy)), [host]) == (
        "NUMA cell 0: shared CPUs asked 3, available 2",
    )


def test_the_floating_cpus_of_a_dedicated_guest_are_not_tested() -> None:
    assert numa_cases.placed(a_guest(a_cell(1, 1, cpu_policy="dedicated")), [a_host(cpuset=())])


LIMITS = records.Limits(1.5, 2.0)
BUSY = [a_placed(cpuset=frozenset(range(10)), memory=30000)]


@pytest.mark.parametrize(
    ("guest", "limits", "reasons"),
    [
        (a_cell(0, 2), LIMITS, []),
        (a_cell(0, 3), LIMITS, ["shared CPUs asked 3, available 2 (ratio 1.5, used 10)"]),
        (a_cell(0, 1, 4000), LIMITS, ["memory asked 4000 MiB, available 2768 MiB (ratio 2.0, used 30000)"]),
        (a_cell(0, 1, 2768), LIMITS, []),
        (a_cell(0, 8, 4000), None, []),
        (a_cell(0, 8, 4000), records.Limits(None, None), []),
        (a_cell(0, 1), records.Limits(1.0, None), ["shared CPUs asked 1, available 0 (ratio 1.0, used 10)"]),
        (a_cell(0, 8, 4000), records.Limits(None, 2.0),
         ["memory asked 4000 MiB, available 2768 MiB (ratio 2.0, used 30000)"]),
    ],
    ids=str,
)  # fmt: skip
def test_floating_guests_are_held_to_the_limits(
    guest: records.GuestCell, limits: records.Limits | None, reasons: list[str]
) -> None:
    found = numa_cases.fit(a_guest(guest), [a_host()], BUSY, limits=limits)

    assert list(found.reasons if isinstance(found, fitting.Misfit) else ()) == [
        f"NUMA cell 0: {text}" for text in reasons
    ]


def test_limits_are_nothing_to_a_dedicated_guest() -> None:
    crowded = [a_placed(cpuset=frozenset(range(10)))]

    assert numa_cases.placed(a_guest(a_cell(1)), [a_host()], crowded, limits=records.Limits(0.1, 0.1))


def test_a_refusal_names_all_that_lacks() -> None:
    guest = a_guest(a_cell(3, 5, 20000))

    assert numa_cases.refused(guest, [a_host(0, range(2)), a_host(1, range(2, 20))]) == (
        "NUMA cell 1: memory asked 20000 MiB, available 16384 MiB",
        "NUMA cell 0: memory asked 20000 MiB, available 16384 MiB",
        "NUMA cell 0: shared CPUs asked 5, available 2",
        "NUMA cell 0: dedicated CPUs asked 3, available 2",
    )


def test_reasons_are_cut_short() -> None:
    hosts = [a_host(number, [number]) for number in range(30)]

    reasons = numa_cases.refused(a_guest(a_cell(2)), hosts)

    assert len(reasons) == 20
    assert reasons[-1] == "and 11 more like these"


def test_a_guest_with_more_cells_than_the_host_is_refused() -> None:
    assert numa_cases.refused(a_guest(a_cell(1), a_cell(1)), [a_host()]) == ("NUMA cells asked 2, available 1",)
    assert numa_cases.refused(a_guest(), []) == ("NUMA cells asked 1, available 0",)


def test_a_guest_without_cells_fits_anywhere() -> None:
    assert numa_cases.fit(records.GuestTopology(()), [a_host()]) == records.PlacedTopology(())


def _two_rooms(**changes: Any) -> list[records.HostCell]:
    return [a_host(0, range(4)), a_host(1, range(4, 8), **changes)]


ONE_EACH = [a_placed(0, (0,)), a_placed(1, cpuset=frozenset({9}))]


@pytest.mark.parametrize(
    ("guest", "others", "changes", "chosen"),
    [
        (a_cell(1), [], {}, 0),
        (a_cell(1), [a_placed(0)], {}, 1),
        (a_cell(0, 1), [a_placed(0)], {}, 1),
        (a_cell(1), [a_placed(0, (0,), memory=1), a_placed(1, memory=2)], {}, 1),
        (a_cell(0, 1), [a_placed(0, cpuset=frozenset({1}), memory=1), a_placed(1, memory=2)], {}, 1),
        (a_cell(0, 1, cpu_policy=None), ONE_EACH, {}, 0),
        (a_cell(1, 1), ONE_EACH, {}, 1),
        (a_cell(1), [], {"free_devices": {0: 1}}, 1),
        (a_cell(1), [], {"free_devices": {1: 1}}, 0),
        (a_cell(1), ONE_EACH, {"free_devices": {1: 1}}, 0),
        (a_cell(1), [], {"free_devices": {0: 1, 1: 2}, "devices_requested": True}, 1),
        (a_cell(1), ONE_EACH, {"free_devices": {0: 1}, "devices_requested": True}, 0),
    ],
    ids=str,
)
def test_the_emptiest_cell_is_tried_first(
    guest: records.GuestCell, others: Any, changes: dict[str, Any], chosen: int
) -> None:
    assert numa_cases.placed(a_guest(guest), _two_rooms(), others, **changes)[0].id == chosen


def test_a_host_with_no_cell_to_spare_is_tried_in_its_own_order() -> None:
    found = numa_cases.placed(a_guest(a_cell(1), a_cell(1)), _two_rooms(), [a_placed(0, (0, 1))])

    assert [cell.id for cell in found] == [0, 1]


def test_a_guest_is_not_refused_because_its_first_cell_took_what_the_second_one_needs() -> None:
    hosts = [a_host(0, range(2)), a_host(1, range(2, 6)), a_host(2, range(6, 8))]

    found = numa_cases.placed(a_guest(a_cell(2), a_cell(4)), hosts)

    assert [(cell.id, numa_cases.pins(cell)) for cell in found] == [(0, [0, 1]), (1, [2, 3, 4, 5])]


def test_cells_that_fit_one_by_one_may_fit_no_combination() -> None:
    hosts = [a_host(0, range(4)), a_host(1, range(4, 5))]

    assert numa_cases.refused(a_guest(a_cell(2), a_cell(2)), hosts) == (
        "NUMA cell 1: dedicated CPUs asked 2, available 1",
        "no combination of NUMA cells fits all cells of the guest",
    )


def test_the_emulator_cpu_is_taken_where_the_first_guest_cell_is() -> None:
    found = numa_cases.placed(a_guest(a_cell(1), a_cell(1), emulator="isolate"), _two_rooms())

    assert [cell.cpuset_reserved for cell in found] == [{1}, frozenset()]


def test_the_emulator_policy_stays_with_the_placement() -> None:
    found = numa_cases.fit(a_guest(a_cell(0, 1), emulator="share"), [a_host()])

    assert isinstance(found, records.PlacedTopology)
    assert found.emulator_threads_policy == "share"


def test_affinity_chooses_among_what_fits() -> None:
    assert numa_cases.placed(a_guest(), _two_rooms(), accepts=lambda chosen: chosen == {1})[0].id == 1


def test_affinity_that_no_combination_has_is_the_reason() -> None:
    assert numa_cases.refused(a_guest(), _two_rooms(), accepts=lambda chosen: chosen == {0, 1}) == (
        "no combination of NUMA cells that fits has the affinity asked for",
    )
    assert numa_cases.refused(a_guest(), _two_rooms(), [a_placed(0, (0, 1, 2))], accepts=lambda at: at == {0}) == (
        "NUMA cell 0: dedicated CPUs asked 2, available 1",
        "no combination of NUMA cells that fits has the affinity asked for",
    )
