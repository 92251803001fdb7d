"""What holds for every host, every crowd of guests on it and every guest that comes."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence

import hypothesis
from hypothesis import strategies as st

from tests.unit.core import numa_cases
from worker.core import cells, fitting, pairing, records, strains

EXAMPLES = hypothesis.settings(
    max_examples=100, suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large]
)
Case = tuple[
    records.GuestTopology, Sequence[records.HostCell], list[records.PlacedTopology], fitting.FitAsk,
]  # fmt: skip


@st.composite
def _cases(draw: st.DrawFn) -> Case:
    hosts = draw(numa_cases.hosts())
    crowd = draw(numa_cases.crowds(hosts))
    return draw(numa_cases.guests()), hosts, crowd, draw(numa_cases.asks(hosts))


@st.composite
def _placements(draw: st.DrawFn) -> tuple[Case, records.PlacedTopology]:
    """Draw a guest that fits, with where it goes."""
    _, hosts, crowd, ask = draw(_cases())
    for guest in draw(st.lists(numa_cases.guests(), min_size=5, max_size=5)):
        found = _fit((guest, hosts, crowd, ask))
        if isinstance(found, records.PlacedTopology):
            return (guest, hosts, crowd, ask), found
    return hypothesis.reject()


def _fit(case: Case) -> records.PlacedTopology | fitting.Misfit:
    guest, hosts, crowd, ask = case
    return fitting.fit(guest, hosts, cells.used(hosts, crowd), ask)


@EXAMPLES
@hypothesis.given(_cases())
def test_nothing_is_changed_and_the_same_question_has_the_same_answer(case: Case) -> None:
    guest, hosts, crowd, ask = case
    usage = cells.used(hosts, crowd)
    before = copy.deepcopy((guest, hosts, crowd, usage, ask.free_devices))

    first = fitting.fit(guest, hosts, usage, ask)

    assert (guest, hosts, crowd, usage, ask.free_devices) == before
    assert fitting.fit(*copy.deepcopy((guest, hosts, usage)), ask) == first


@EXAMPLES
@hypothesis.given(_placements())
def test_a_fit_pins_each_cpu_once_and_only_free_ones(drawn: tuple[Case, records.PlacedTopology]) -> None:
    (guest, hosts, crowd, _), found = drawn

    given = [cpu for cell in found.cells for cpu in (*cell.cpu_pinning.values(), *cell.cpuset_reserved)]
    by_id = {host.id: host for host in hosts}

    assert len(given) == len(set(given))
    assert all(cells.pins(cell) <= by_id[cell.id].pcpuset for cell in found.cells)
    assert not set(given) & set().union(*(one.pinned for one in cells.used(hosts, crowd).values()))
    if guest.cells[0].cpu_policy in cells.PINNING:
        assert [set(cell.cpu_pinning) for cell in found.cells] == [set(cell.pcpuset) for cell in guest.cells]


def _needs(hosts: Sequence[records.HostCell], found: records.PlacedTopology) -> Mapping[int, cells.CellUsage]:
    """Return what a guest alone adds to each host cell, said in another way than the core does."""
    needs = {}
    for host in hosts:
        guests = [cell for cell in found.cells if cell.id == host.id]
        pinned = {cpu for cell in guests for cpu in (*cell.cpu_pinning.values(), *cell.cpuset_reserved)}
        if any(cell.cpu_thread_policy == "isolate" for cell in guests):
            usable = host.cpuset | host.pcpuset
            pinned |= {cpu for core in host.siblings if core & pinned for cpu in core & usable}
        pages = {pool.size_kb: 0 for pool in host.mempages}
        for cell in guests:
            size = cell.pagesize or min(pages, default=None)
            if size:
                pages[size] += (cell.memory * 1024 + size - 1) // size
        cpus, memory = sum(len(cell.cpuset) for cell in guests), sum(cell.memory for cell in guests)
        needs[host.id] = cells.CellUsage(host.id, cpus, memory, frozenset(pinned), pages)
    return needs


@EXAMPLES
@hypothesis.given(_placements())
def test_the_usage_after_a_fit_is_that_before_and_the_guests_needs(drawn: tuple[Case, records.PlacedTopology]) -> None:
    (_, hosts, crowd, _), found = drawn

    before, after, needs = cells.used(hosts, crowd), cells.used(hosts, [*crowd, found]), _needs(hosts, found)

    for number, one in after.items():
        assert one.cpu_usage == before[number].cpu_usage + needs[number].cpu_usage
        assert one.memory_usage == before[number].memory_usage + needs[number].memory_usage
        assert one.pages == {size: before[number].pages[size] + more for size, more in needs[number].pages.items()}
        assert one.pinned == before[number].pinned | needs[number].pinned
        assert not before[number].pinned & needs[number].pinned


@EXAMPLES
@hypothesis.given(_cases())
def test_a_guest_is_refused_only_if_no_permutation_of_host_cells_takes_it(case: Case) -> None:
    guest, hosts, crowd, ask = case
    found = _fit(case)
    rooms = cells.rooms(hosts, cells.used(hosts, crowd))

    possible = [
        frozenset(room.cell.id for room in some)
        for some in itertools.permutations(rooms, len(guest.cells))
        if ask.accepts(frozenset(room.cell.id for room in some))
        and all(
            isinstance(
                pairing.pair(room, cell, int(guest.emulator_threads_policy == "isolate" and not number), ask.limits),
                records.PlacedCell,
            )
            for number, (room, cell) in enumerate(zip(some, guest.cells, strict=True))
        )
    ]

    if isinstance(found, fitting.Misfit):
        assert possible == []
        assert 0 < len(found.reasons) <= fitting.MOST_REASONS
    else:
        assert frozenset(cell.id for cell in found.cells) in possible


@EXAMPLES
@hypothesis.given(_placements())
def test_a_placement_serves_the_guest_and_strains_nothing(drawn: tuple[Case, records.PlacedTopology]) -> None:
    (guest, hosts, crowd, _), found = drawn

    assert cells.same_needs(guest, found)
    assert strains.strains(hosts, [*crowd, found]) == ()
    assert strains.faults(hosts) == ()


@EXAMPLES
@hypothesis.given(_cases(), numa_cases.hosts())
def test_whatever_a_host_becomes_its_guests_stay_counted(case: Case, changed: Sequence[records.HostCell]) -> None:
    _, _, crowd, _ = case

    after = cells.used(changed, crowd)

    memory = sum(cell.memory for guest in crowd for cell in guest.cells if cell.id in after)
    assert sum(one.memory_usage for one in after.values()) == memory
    assert all(isinstance(text, str) for text in strains.strains(changed, crowd))
