"""What a report of NUMA cells cannot mean, and what the cells of a host cannot carry any more."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator, Mapping, Sequence

from worker.core import cells, records

Fault = tuple[str, str]


def strains(hosts: Sequence[records.HostCell], placed: Iterable[records.PlacedTopology]) -> tuple[str, ...]:
    """Return a text for each thing that the guests have and the present host cells cannot carry.

    Memory of guests that may be overcommitted counts one guest at a time: how far is the claim's matter.
    """
    topologies = tuple(placed)
    known = {host.id: host for host in hosts}
    guests = cells.by_host_cell(topologies)
    gone = (f"NUMA cell {cell}: the host has it no more, used by {len(guests[cell])} guest cells"
            for cell in sorted(guests.keys() - known.keys()))  # fmt: skip
    carried = (text for host in hosts for text in _of_cell(host, guests.get(host.id, ())))
    return (*gone, *_pinned_twice(known, topologies), *carried)


def _pinned_twice(known: Mapping[int, records.HostCell], topologies: Sequence[records.PlacedTopology]) -> Iterator[str]:
    whole = {number: cells.cores(host) for number, host in known.items()}
    holders = collections.Counter[int]()
    for topology in topologies:
        holders.update(
            frozenset[int]().union(*(cells.pinned_by(cell, whole.get(cell.id, ())) for cell in topology.cells))
        )
    twice = [cpu for cpu, count in holders.items() if count > 1]
    if twice:
        yield f"CPUs {cells.cpu_text(twice)}: pinned by more than one guest"


def _of_cell(host: records.HostCell, guests: Sequence[records.PlacedCell]) -> Iterator[str]:
    lost = frozenset[int]().union(*(cells.pins(guest) for guest in guests)) - host.pcpuset
    if lost:
        yield f"NUMA cell {host.id}: pinned CPUs {cells.cpu_text(lost)} are not in its pcpuset"
    firm = [guest for guest in guests if guest.pagesize or guest.cpu_policy in cells.PINNING]
    for size, used in sorted(cells.pages_used(host, firm).items()):
        available = sum(pool.total - pool.reserved for pool in host.mempages if pool.size_kb == size)
        if used > available:
            yield f"NUMA cell {host.id}: pages of {size} KiB used {used}, available {max(available, 0)}"
    memory = max([sum(guest.memory for guest in firm), *(guest.memory for guest in guests)])
    if memory > host.memory:
        yield f"NUMA cell {host.id}: memory used {memory} MiB, available {host.memory} MiB"


def faults(hosts: Sequence[records.HostCell]) -> tuple[Fault, ...]:
    """Return (path such as ``cells[1].pcpuset``, text) for each thing that makes a reported topology impossible."""
    return (*_ids(hosts), *_cpus(hosts), *_siblings(hosts), *_pages(hosts))


def _ids(hosts: Sequence[records.HostCell]) -> Iterator[Fault]:
    first: dict[int, int] = {}
    for index, host in enumerate(hosts):
        if first.setdefault(host.id, index) != index:
            yield f"cells[{index}].id", f"{host.id} is the id of cells[{first[host.id]}] too"


def _cpus(hosts: Sequence[records.HostCell]) -> Iterator[Fault]:
    seen: frozenset[int] = frozenset()
    for index, host in enumerate(hosts):
        for name, cpus in (("cpuset", host.cpuset), ("pcpuset", host.pcpuset)):
            if cpus & seen:
                yield f"cells[{index}].{name}", f"CPUs {cells.cpu_text(cpus & seen)} are in another cell too"
        seen |= host.cpuset | host.pcpuset


def _siblings(hosts: Sequence[records.HostCell]) -> Iterator[Fault]:
    every = frozenset[int]().union(*(host.cpuset | host.pcpuset for host in hosts))
    seen: frozenset[int] = frozenset()
    for index, host in enumerate(hosts):
        elsewhere = every - host.cpuset - host.pcpuset
        told: set[frozenset[int]] = set()
        for position, siblings in enumerate(host.siblings):
            path = f"cells[{index}].siblings[{position}]"
            if siblings & elsewhere:
                yield path, f"CPUs {cells.cpu_text(siblings & elsewhere)} are in another cell"
            # a set that is told once for each of its CPUs says nothing wrong
            if siblings & seen and siblings not in told:
                yield path, f"CPUs {cells.cpu_text(siblings & seen)} are in another sibling set too"
            told.add(siblings)
            seen |= siblings


def _pages(hosts: Sequence[records.HostCell]) -> Iterator[Fault]:
    for index, host in enumerate(hosts):
        sizes: set[int] = set()
        for position, pool in enumerate(host.mempages):
            path = f"cells[{index}].mempages[{position}]"
            if pool.size_kb in sizes:
                yield f"{path}.size_kb", f"pages of {pool.size_kb} KiB are listed twice"
            if pool.reserved > pool.total:
                yield f"{path}.reserved", f"reserved {pool.reserved} is more than total {pool.total}"
            sizes.add(pool.size_kb)
