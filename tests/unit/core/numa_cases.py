"""NUMA cells with one thing changed, as tests start from them, and random small ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from worker.core import cells, fitting, records

GIB = 1024
SMT = ((0, 4), (1, 5), (2, 6), (3, 7))


def a_host(number: int = 0, cpus: Iterable[int] = range(8), **changes: Any) -> records.HostCell:
    """Return a host cell of 16 GiB without page figures; ``cpus`` may float or be pinned."""
    every = frozenset(cpus)
    values: dict[str, Any] = {"cpuset": every, "pcpuset": every, "memory": 16 * GIB}
    values |= {key: frozenset(changes.pop(key)) for key in ("cpuset", "pcpuset") if key in changes}
    changes["siblings"] = tuple(map(frozenset, changes.get("siblings", ())))
    changes["mempages"] = tuple(records.Pages(*pool) for pool in changes.get("mempages", ()))
    return records.HostCell(number, **values | changes)


def an_smt_host(number: int = 0, **changes: Any) -> records.HostCell:
    """Return a host cell of four cores with two threads each."""
    return a_host(number, siblings=SMT, **changes)


def a_cell(dedicated: int = 0, shared: int = 0, memory: int = GIB, **changes: Any) -> records.GuestCell:
    """Return a guest cell with so many CPUs; its policy follows from them."""
    policy = "mixed" if dedicated and shared else "dedicated" if dedicated else "shared"
    values: dict[str, Any] = {"id": 0, "cpu_policy": policy}
    pinned = frozenset(range(dedicated))
    floating = frozenset(range(dedicated, dedicated + shared))
    return records.GuestCell(cpuset=floating, pcpuset=pinned, memory=memory, **values | changes)


def a_guest(*guest_cells: records.GuestCell, emulator: str | None = None) -> records.GuestTopology:
    """Return a guest of these cells."""
    return records.GuestTopology(guest_cells or (a_cell(2),), emulator)


def a_placed(number: int = 0, pins: Sequence[int] = (), **changes: Any) -> records.PlacedTopology:
    """Return a guest of one cell of 1 GiB that is placed there and pinned to these host CPUs."""
    pinning = dict(enumerate(pins))
    values: dict[str, Any] = {
        "cpuset": frozenset(), "pcpuset": frozenset(pinning), "memory": GIB, "cpu_pinning": pinning,
        "cpu_policy": "dedicated" if pins else "shared",
    }  # fmt: skip
    return records.PlacedTopology((records.PlacedCell(number, **values | changes),))


def yes(chosen: frozenset[int]) -> bool:
    """Accept every set of host cells."""
    return True


def an_ask(**changes: Any) -> fitting.FitAsk:
    """Return a question without devices or limits."""
    return fitting.FitAsk(**{"accepts": yes, **changes})


def fit(
    guest: records.GuestTopology,
    hosts: Sequence[records.HostCell],
    others: Iterable[records.PlacedTopology] = (),
    **changes: Any,
) -> records.PlacedTopology | fitting.Misfit:
    """Return where the guest goes beside the others."""
    return fitting.fit(guest, hosts, cells.used(hosts, others), an_ask(**changes))


def placed(*asked: Any, **changes: Any) -> tuple[records.PlacedCell, ...]:
    """Return the placed cells of a fit that must be."""
    found = fit(*asked, **changes)
    assert isinstance(found, records.PlacedTopology), found
    return found.cells


def refused(*asked: Any, **changes: Any) -> tuple[str, ...]:
    """Return the reasons of a fit that must not be."""
    found = fit(*asked, **changes)
    assert isinstance(found, fitting.Misfit), found
    return found.reasons


def pins(cell: records.PlacedCell) -> list[int]:
    """Return the host CPUs in the order of the guest's."""
    return [cell.cpu_pinning[cpu] for cpu in sorted(cell.cpu_pinning)]


@st.composite
def hosts(draw: st.DrawFn, most: int = 4) -> tuple[records.HostCell, ...]:
    """Draw up to ``most`` host cells of 4 CPUs, some with threads, some with pages."""
    found = []
    for number in range(draw(st.integers(1, most))):
        cpus = range(number * 4, number * 4 + 4)
        pcpuset = draw(st.sampled_from([cpus, cpus[:2], cpus[1:], ()]))
        cpuset = draw(st.sampled_from([cpus, [cpu for cpu in cpus if cpu not in pcpuset]]))
        siblings = draw(st.sampled_from([(), (cpus[::2], cpus[1::2]), (cpus,)]))
        mempages = draw(st.sampled_from([(), ((4, 1048576, 0),), ((4, 786432, 0), (2048, 1025, 1))]))
        found.append(a_host(number, cpuset=cpuset, pcpuset=pcpuset, memory=4096, siblings=siblings, mempages=mempages))
    return tuple(draw(st.permutations(found)))


@st.composite
def guests(draw: st.DrawFn, most: int = 3) -> records.GuestTopology:
    """Draw a guest of up to ``most`` cells, all with one policy."""
    policy = draw(st.sampled_from([None, "shared", "dedicated", "dedicated", "mixed"]))
    threads = draw(st.sampled_from([None, "prefer", "require", "isolate"])) if policy in cells.PINNING else None
    pagesize = draw(st.sampled_from([None, None, -1, -2, -3, 4, 2048]))
    emulator = draw(st.sampled_from([None, "share", "isolate"]))
    found, start = [], 0
    for number in range(draw(st.integers(1, most))):
        cpus = range(start, start + draw(st.integers(1, 4)))
        start = cpus.stop
        split = {"dedicated": len(cpus), "mixed": draw(st.integers(0, len(cpus)))}.get(str(policy), 0)
        memory = draw(st.sampled_from([512, 1024, 1025, 2048]))
        sets = frozenset(cpus[split:]), frozenset(cpus[:split])
        found.append(records.GuestCell(number, *sets, memory, pagesize, policy, threads))
    return records.GuestTopology(tuple(found), emulator)


@st.composite
def crowds(draw: st.DrawFn, cells_of_host: Sequence[records.HostCell]) -> list[records.PlacedTopology]:
    """Draw guests that were placed on the host one after the other."""
    crowd: list[records.PlacedTopology] = []
    for guest in draw(st.lists(guests(2), max_size=4)):
        found = fit(guest, cells_of_host, crowd)
        if isinstance(found, records.PlacedTopology):
            crowd.append(found)
    return crowd


@st.composite
def asks(draw: st.DrawFn, cells_of_host: Sequence[records.HostCell]) -> fitting.FitAsk:
    """Draw limits, devices and an affinity; two of three have none."""
    numbers = sorted(host.id for host in cells_of_host)
    sets = st.sets(st.frozensets(st.sampled_from(numbers)), max_size=6)
    liked: set[frozenset[int]] | None = draw(st.none() | st.none() | sets)
    ratio = st.sampled_from([None, 1.0, 2.5])
    limits = draw(st.none() | st.builds(records.Limits, ratio, ratio))
    devices: Mapping[int, int] = draw(st.dictionaries(st.sampled_from(numbers), st.integers(0, 2)))
    accepts = yes if liked is None else liked.__contains__
    return fitting.FitAsk(accepts, limits, devices, draw(st.booleans()))
