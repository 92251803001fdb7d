"""NUMA cells: which guests are placed on them, and what that uses of them.

Usage is derived from the placements of all guests at once; nothing is added up and taken off again. Memory is in MiB,
page sizes in KiB, CPUs are the host's or the guest's own numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from worker.core import records

DEDICATED = "dedicated"
MIXED = "mixed"
SHARED = "shared"
PINNING = (DEDICATED, MIXED)
"""CPU policies under which a guest has dedicated CPUs, and memory that is never overcommitted."""
ISOLATE = "isolate"
REQUIRE = "require"
KIB_PER_MIB = 1024
MOST_RANGES = 8


def pins(cell: records.PlacedCell) -> frozenset[int]:
    """Return the host CPUs that the cell itself is given, without the siblings that isolation takes."""
    return cell.cpuset_reserved.union(cell.cpu_pinning.values()) if cell.cpu_policy in PINNING else frozenset()


class CellUsage(msgspec.Struct, frozen=True, gc=False):
    """What all guests use of the host cell ``id``: floating CPUs, MiB, pinned host CPUs, pages by size in KiB."""

    id: int
    cpu_usage: int = 0
    memory_usage: int = 0
    pinned: frozenset[int] = frozenset()
    pages: Mapping[int, int] = msgspec.field(default_factory=dict)


class Room(msgspec.Struct, frozen=True, gc=False):
    """A host cell with what is used of it, its cores, and the CPUs that may still be pinned."""

    cell: records.HostCell
    usage: CellUsage
    cores: tuple[frozenset[int], ...]
    free: frozenset[int]

    @property
    def free_memory(self) -> int:
        """MiB that no guest has; negative under overcommitment."""
        return self.cell.memory - self.usage.memory_usage


def rooms(hosts: Sequence[records.HostCell], usage: Mapping[int, CellUsage]) -> tuple[Room, ...]:
    """Return the host cells with what is left of them.

    A CPU that is pinned in any cell is free in none: a report may have moved it since.
    """
    pinned = frozenset[int]().union(*(one.pinned for one in usage.values()))
    return tuple(
        Room(host, usage.get(host.id, CellUsage(host.id)), cores(host), host.pcpuset - pinned) for host in hosts
    )


def cores(host: records.HostCell) -> tuple[frozenset[int], ...]:
    """Return the cell's usable CPUs by core, in the report's order; what no sibling set names is a core of its own."""
    left = host.cpuset | host.pcpuset
    found = []
    for siblings in host.siblings:
        if siblings & left:
            found.append(siblings & left)
            left -= siblings
    return (*found, *(frozenset({cpu}) for cpu in sorted(left)))


def used(hosts: Sequence[records.HostCell], placed: Iterable[records.PlacedTopology]) -> Mapping[int, CellUsage]:
    """Return what the guests use of each host cell, by its id.

    Cells that the host does not have any more are there too while guests are on them: another cell may have their CPUs
    now. ``pages`` has every size of the cell, and any that a guest uses and the cell has lost.
    """
    guests = by_host_cell(placed)
    gone = (
        records.HostCell(number, frozenset(), frozenset(), 0) for number in guests.keys() - {one.id for one in hosts}
    )
    return {host.id: _usage(host, guests.get(host.id, ())) for host in (*hosts, *gone)}


def by_host_cell(placed: Iterable[records.PlacedTopology]) -> Mapping[int, Sequence[records.PlacedCell]]:
    """Return the guest cells by the id of the host cell they are on."""
    guests: dict[int, list[records.PlacedCell]] = {}
    for topology in placed:
        for cell in topology.cells:
            guests.setdefault(cell.id, []).append(cell)
    return guests


def _usage(host: records.HostCell, guests: Sequence[records.PlacedCell]) -> CellUsage:
    whole = cores(host) if guests else ()
    return CellUsage(
        host.id,
        sum(len(guest.cpuset) for guest in guests),
        sum(guest.memory for guest in guests),
        frozenset[int]().union(*(pinned_by(guest, whole) for guest in guests)),
        pages_used(host, guests),
    )


def pinned_by(guest: records.PlacedCell, whole: Sequence[frozenset[int]]) -> frozenset[int]:
    """Return the host CPUs that a guest cell keeps from others; under ``isolate`` all of each core of ``whole``."""
    if guest.cpu_thread_policy != ISOLATE:
        return pins(guest)
    return pins(guest).union(*(core for core in whole if core & pins(guest)))


def pages_used(host: records.HostCell, guests: Iterable[records.PlacedCell]) -> Mapping[int, int]:
    """Return pages used by size, rounded up for each guest cell; the smallest ones where none were asked for."""
    pages = {pool.size_kb: 0 for pool in host.mempages}
    smallest = min(pages, default=None)
    for guest in guests:
        size = guest.pagesize or smallest
        if size is not None:
            pages[size] = pages.get(size, 0) + -(-guest.memory * KIB_PER_MIB // size)
    return pages


def same_needs(guest: records.GuestTopology, placed: records.PlacedTopology) -> bool:
    """Whether a placement still serves what a record asks for; ids are not compared.

    A page size that the record says by a word (negative) agrees with any size that was chosen, none with none.
    """
    return (
        len(guest.cells) == len(placed.cells)
        and guest.emulator_threads_policy == placed.emulator_threads_policy
        and all(map(_same_cell, guest.cells, placed.cells))
    )


def _same_cell(guest: records.GuestCell, placed: records.PlacedCell) -> bool:
    if guest.pagesize and guest.pagesize < 0:
        same_pages = placed.pagesize is not None
    else:
        same_pages = (guest.pagesize or None) == placed.pagesize
    return same_pages and (
        (guest.cpuset, guest.pcpuset, guest.memory, guest.cpu_policy, guest.cpu_thread_policy)
        == (placed.cpuset, placed.pcpuset, placed.memory, placed.cpu_policy, placed.cpu_thread_policy)
    )  # fmt: skip


def cpu_text(cpus: Iterable[int]) -> str:
    """Return CPU numbers as people write them, ``0-3, 8``; many ranges are cut short."""
    ranges: list[tuple[int, int]] = []
    for cpu in sorted(cpus):
        if ranges and ranges[-1][1] == cpu - 1:
            ranges[-1] = (ranges[-1][0], cpu)
        else:
            ranges.append((cpu, cpu))
    texts = [str(first) if first == last else f"{first}-{last}" for first, last in ranges[:MOST_RANGES]]
    return ", ".join([*texts, "…"] if len(ranges) > MOST_RANGES else texts)


def plain_topology(place: records.Place | None) -> dict[str, object] | None:
    """Return where the cells of a guest are as plain data: sets sorted, guest CPUs as text, as JSON has them."""
    if place is None or place.topology is None:
        return None
    placed = place.topology
    return {
        "cells": [
            {
                **msgspec.structs.asdict(cell),
                "cpuset": sorted(cell.cpuset),
                "pcpuset": sorted(cell.pcpuset),
                "cpu_pinning": {str(guest): host for guest, host in sorted(cell.cpu_pinning.items())},
                "cpuset_reserved": sorted(cell.cpuset_reserved),
            }
            for cell in placed.cells
        ],
        "emulator_threads_policy": placed.emulator_threads_policy,
    }
