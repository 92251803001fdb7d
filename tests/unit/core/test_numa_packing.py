"""Which CPUs a guest cell is pinned to: the tables that were observed on Nova, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from tests.unit.core import numa_cases
from tests.unit.core.numa_cases import a_cell, a_guest, a_placed
from worker.core import cells, records

LEGACY = numa_cases.an_smt_host()
NEW_STYLE = numa_cases.an_smt_host(cpuset=())
ISOLATED: dict[str, Any] = {"cpu_thread_policy": "isolate"}
REQUIRED: dict[str, Any] = {"cpu_thread_policy": "require"}
PREFERRED: dict[str, Any] = {"cpu_thread_policy": "prefer"}
TAKEN = [a_placed(pins=(0, 1))]


@pytest.mark.parametrize(
    ("count", "policy", "others", "pins"),
    [
        (3, PREFERRED, [], [0, 4, 1]),
        (3, REQUIRED, [], [0, 4, 1]),
        (3, {}, [], [0, 4, 1]),
        (5, PREFERRED, TAKEN, [4, 5, 2, 6, 3]),
        (4, REQUIRED, TAKEN, [2, 6, 3, 7]),
        (3, REQUIRED, TAKEN, [2, 6, 3]),
        (3, PREFERRED, [a_placed(pins=(0, 1, 2))], [4, 5, 6]),
        (8, PREFERRED, [], [0, 4, 1, 5, 2, 6, 3, 7]),
        (2, ISOLATED, [], [0, 1]),
        (2, ISOLATED, TAKEN, [2, 3]),
    ],
    ids=str,
)
def test_pinning_follows_the_thread_policy(count: int, policy: Any, others: Any, pins: list[int]) -> None:
    (cell,) = numa_cases.placed(a_guest(a_cell(count, **policy)), [LEGACY], others)

    assert numa_cases.pins(cell) == pins


@pytest.mark.parametrize(
    ("count", "policy", "pins", "reserved"),
    [(2, {}, [0, 4], {1}), (2, ISOLATED, [0, 1], {2}), (3, {}, [0, 4, 1], {5}), (2, REQUIRED, [0, 4], {1})],
    ids=str,
)
def test_the_emulator_cpu_is_the_next_free_one(count: int, policy: Any, pins: list[int], reserved: set[int]) -> None:
    (cell,) = numa_cases.placed(a_guest(a_cell(count, **policy), emulator="isolate"), [LEGACY])

    assert (numa_cases.pins(cell), set(cell.cpuset_reserved)) == (pins, reserved)


def test_isolated_cpus_keep_their_siblings_from_others() -> None:
    found = numa_cases.fit(a_guest(a_cell(2, **ISOLATED)), [LEGACY])

    assert isinstance(found, records.PlacedTopology)
    assert cells.used([LEGACY], [found])[0].pinned == {0, 1, 4, 5}


NEEDS_SAME_SETS = "thread policy isolate on cores with several threads needs cpuset and pcpuset to be the same"
NO_CPUS = "a guest cell without dedicated CPUs can have no isolated threads"


@pytest.mark.parametrize(
    ("host", "guest", "emulator", "others", "reason"),
    [
        (LEGACY, a_cell(5, **REQUIRED), None, TAKEN,
         "thread policy require: CPUs on cores with two free threads asked 5, available 4"),
        (numa_cases.a_host(), a_cell(2, **REQUIRED), None, [],
         "thread policy require: CPUs on cores with two free threads asked 2, available 0"),
        (NEW_STYLE, a_cell(2, **ISOLATED), None, [], NEEDS_SAME_SETS),
        (LEGACY, a_cell(3, **ISOLATED), None, TAKEN,
         "thread policy isolate: cores without other guests asked 3, available 2"),
        (LEGACY, a_cell(4, **ISOLATED), "isolate", [],
         "thread policy isolate: cores without other guests asked 5, available 4"),
        (LEGACY, a_cell(8), "isolate", [],
         "dedicated CPUs asked 9 (one for emulator threads), available 8"),
        (LEGACY, a_cell(0, 1, cpu_policy="mixed", **ISOLATED), None, [], NO_CPUS),
        (LEGACY, a_cell(0, 1, cpu_policy="mixed"), "isolate", [], NO_CPUS),
    ],
    ids=str,
)  # fmt: skip
def test_cores_that_lack_are_the_reason(host: Any, guest: Any, emulator: Any, others: Any, reason: str) -> None:
    assert numa_cases.refused(a_guest(guest, emulator=emulator), [host], others) == (f"NUMA cell 0: {reason}",)


def test_isolation_on_cores_of_one_thread_takes_any_host() -> None:
    host = numa_cases.a_host(cpuset=(), pcpuset=range(3))

    (cell,) = numa_cases.placed(a_guest(a_cell(2, **ISOLATED), emulator="isolate"), [host])

    assert (numa_cases.pins(cell), set(cell.cpuset_reserved)) == ([0, 1], {2})


def test_an_isolated_emulator_cpu_is_not_taken_from_the_core_of_another_guest() -> None:
    taken = [a_placed(pins=(2, 3))]

    assert numa_cases.refused(a_guest(a_cell(2, **ISOLATED), emulator="isolate"), [LEGACY], taken) == (
        "NUMA cell 0: thread policy isolate: cores without other guests asked 3, available 2",
    )


@pytest.mark.parametrize(
    ("policy", "others", "fits"),
    [({}, [], True), (PREFERRED, [a_placed(pins=range(8))], True), (REQUIRED, [], True),
     (REQUIRED, [a_placed(pins=range(4))], False)],
    ids=str,
)  # fmt: skip
def test_a_mixed_guest_may_have_a_cell_without_dedicated_cpus(policy: Any, others: Any, fits: bool) -> None:
    guest = a_guest(a_cell(0, 1, cpu_policy="mixed", **policy))

    assert isinstance(numa_cases.fit(guest, [LEGACY], others), records.PlacedTopology) is fits


def test_only_the_dedicated_cpus_of_a_mixed_guest_are_pinned() -> None:
    (cell,) = numa_cases.placed(a_guest(a_cell(1, 2)), [LEGACY])

    assert (cell.cpu_pinning, set(cell.cpuset)) == ({0: 0}, {1, 2})


@pytest.mark.parametrize(
    ("siblings", "pins"),
    [
        ([(0, 1, 2, 3), (4, 5), (6, 7)], [0, 1, 4, 5, 6]),
        ([(7, 6), (5, 4), (3, 2), (1, 0)], [6, 7, 4, 5, 2]),
        ([], [0, 1, 2, 3, 4]),
        ([(6, 7)], [6, 0, 1, 2, 3]),
    ],
    ids=str,
)
def test_cores_are_taken_in_the_order_of_the_report(siblings: Sequence[Sequence[int]], pins: list[int]) -> None:
    (cell,) = numa_cases.placed(a_guest(a_cell(5)), [numa_cases.a_host(siblings=siblings)])

    assert numa_cases.pins(cell) == pins


def test_isolation_wants_the_biggest_cores_whole() -> None:
    host = numa_cases.a_host(siblings=[(0,), (1, 2), (3, 4)])

    (cell,) = numa_cases.placed(a_guest(a_cell(2, **ISOLATED)), [host])

    assert numa_cases.pins(cell) == [1, 3]


def test_guest_cpus_are_pinned_in_ascending_order() -> None:
    guest = msgspec.structs.replace(a_cell(1), pcpuset=frozenset({9, 2, 5}))

    (cell,) = numa_cases.placed(a_guest(guest), [LEGACY])

    assert cell.cpu_pinning == {2: 0, 5: 4, 9: 1}
