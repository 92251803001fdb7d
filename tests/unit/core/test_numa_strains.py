"""What a report cannot mean, and what guests have and their host cells lost."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core import numa_cases
from worker.core import records, strains

PAGES = ((4, 524288, 0), (2048, 600, 10))


def _strains(host: records.HostCell, *placed: records.PlacedTopology) -> tuple[str, ...]:
    return strains.strains([host], iter(placed))


def test_a_host_that_carries_its_guests_has_no_strain() -> None:
    host = numa_cases.an_smt_host(mempages=PAGES)

    assert _strains(host) == ()
    assert _strains(host, numa_cases.a_placed(pins=(0, 4)), numa_cases.a_placed(pagesize=2048)) == ()


def test_a_pinned_cpu_that_left_the_pcpuset_is_a_strain() -> None:
    host = numa_cases.a_host(2, range(4))

    assert _strains(host, numa_cases.a_placed(2, (3, 4, 5, 7))) == (
        "NUMA cell 2: pinned CPUs 4-5, 7 are not in its pcpuset",
    )


def test_a_cpu_of_two_guests_is_a_strain_wherever_they_are_placed() -> None:
    host = numa_cases.an_smt_host()
    gone = numa_cases.a_placed(9, (3,))

    assert _strains(host, numa_cases.a_placed(pins=(1, 3)), gone) == (
        "NUMA cell 9: the host has it no more, used by 1 guest cells",
        "CPUs 3: pinned by more than one guest",
    )


def test_a_guest_on_a_core_that_another_one_isolates_is_a_strain() -> None:
    isolated = numa_cases.a_placed(pins=(0,), cpu_thread_policy="isolate")

    assert _strains(numa_cases.an_smt_host(), isolated, numa_cases.a_placed(pins=(4,))) == (
        "CPUs 4: pinned by more than one guest",
    )


def test_more_pages_than_the_guests_may_have_are_a_strain() -> None:
    guest = numa_cases.a_placed(pagesize=2048)
    pinned = numa_cases.a_placed(pins=(0,))

    assert _strains(numa_cases.a_host(mempages=[(4, 1, 0), (2048, 512, 1)]), guest, pinned) == (
        "NUMA cell 0: pages of 4 KiB used 262144, available 1",
        "NUMA cell 0: pages of 2048 KiB used 512, available 511",
    )


def test_pages_that_the_cell_has_no_more_are_a_strain() -> None:
    assert _strains(numa_cases.a_host(), numa_cases.a_placed(pagesize=2048)) == (
        "NUMA cell 0: pages of 2048 KiB used 512, available 0",
    )


def test_guests_that_may_be_overcommitted_are_no_strain_together() -> None:
    host = numa_cases.a_host(memory=1024, mempages=[(4, 262144, 0)])

    assert _strains(host, numa_cases.a_placed(), numa_cases.a_placed()) == ()


@pytest.mark.parametrize(("memory", "count"), [(1023, 1), (2047, 2)], ids=str)
def test_less_memory_than_the_guests_have_is_a_strain(memory: int, count: int) -> None:
    guests = [numa_cases.a_placed(pins=(number,)) for number in range(count)]

    assert _strains(numa_cases.a_host(memory=memory), *guests) == (
        f"NUMA cell 0: memory used {count * 1024} MiB, available {memory} MiB",
    )


def test_less_memory_than_one_floating_guest_has_is_a_strain() -> None:
    assert _strains(numa_cases.a_host(memory=1000), numa_cases.a_placed()) == (
        "NUMA cell 0: memory used 1024 MiB, available 1000 MiB",
    )


def test_a_possible_report_has_no_fault() -> None:
    hosts = [
        numa_cases.a_host(0, range(4), siblings=[(0, 1), (0, 1), (2, 3)], mempages=PAGES),
        numa_cases.a_host(1, range(4, 8), siblings=[(4, 5), (6, 7, 99)], mempages=PAGES),
    ]

    assert strains.faults(hosts) == ()


@pytest.mark.parametrize(
    ("changes", "path", "text"),
    [
        ({"number": 0}, "cells[1].id", "0 is the id of cells[0] too"),
        ({"cpuset": {3, 4}}, "cells[1].cpuset", "CPUs 3 are in another cell too"),
        ({"pcpuset": {0, 1, 4}}, "cells[1].pcpuset", "CPUs 0-1 are in another cell too"),
        ({"siblings": [(4,), (5, 2)]}, "cells[1].siblings[1]", "CPUs 2 are in another cell"),
        ({"siblings": [(4, 5), (5, 6)]}, "cells[1].siblings[1]", "CPUs 5 are in another sibling set too"),
        ({"siblings": [(4, 50)]}, "cells[1].siblings[0]", "CPUs 50 are in another sibling set too"),
        ({"mempages": [(4, 9, 0), (4, 1, 0)]}, "cells[1].mempages[1].size_kb", "pages of 4 KiB are listed twice"),
        ({"mempages": [(4, 9, 10)]}, "cells[1].mempages[0].reserved", "reserved 10 is more than total 9"),
    ],
    ids=str,
)
def test_an_impossible_report_has_a_fault_where_it_is(changes: dict[str, Any], path: str, text: str) -> None:
    first = numa_cases.a_host(0, range(4), siblings=[(0, 50)])
    values: dict[str, Any] = {"number": 1, "cpus": range(4, 8)}
    second = numa_cases.a_host(**values | changes)

    assert strains.faults([first, second]) == ((path, text),)
