"""Which host CPUs the dedicated CPUs of one guest cell are pinned to."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import msgspec

from worker.core import cells, records

Threads = Sequence[Sequence[int]]
"""Free host CPUs by core, each core's ascending."""


class Packed(msgspec.Struct, frozen=True, gc=False):
    """Guest CPU -> host CPU, and the host CPUs kept for emulator threads."""

    pinning: Mapping[int, int]
    reserved: frozenset[int]


def pack(room: cells.Room, guest: records.GuestCell, emulator_cpus: int) -> Packed | str:
    """Return where the guest's dedicated CPUs go, or what the cores of the cell lack for its thread policy.

    The cell has as many free CPUs as are asked for; ``emulator_cpus`` (0 or 1) of them are for emulator threads.
    Lower CPUs of the guest and earlier cores of the host come first.
    """
    free = [sorted(core & room.free) for core in room.cores if core & room.free]
    most = max(map(len, room.cores), default=1)
    isolated = guest.cpu_thread_policy == cells.ISOLATE
    if not guest.pcpuset and (isolated or emulator_cpus):
        return "a guest cell without dedicated CPUs can have no isolated threads"
    if not isolated:
        return _together(free, most, guest, emulator_cpus)
    if most > 1 and room.cell.pcpuset != room.cell.cpuset:
        return "thread policy isolate on cores with several threads needs cpuset and pcpuset to be the same"
    return _isolated([core for core in free if len(core) == most], guest, emulator_cpus)


def _isolated(whole: Threads, guest: records.GuestCell, emulator_cpus: int) -> Packed | str:
    """Pin to one thread of each of the cores in ``whole``, on which no other guest is."""
    asked = len(guest.pcpuset) + emulator_cpus
    if len(whole) < asked:
        return f"thread policy isolate: cores without other guests asked {asked}, available {len(whole)}"
    firsts = [core[0] for core in whole[:asked]]
    return _packed(guest, firsts, firsts[len(guest.pcpuset) :])


def _together(free: Threads, most: int, guest: records.GuestCell, emulator_cpus: int) -> Packed | str:
    """Pin to as many threads of each core as possible, the same number on each; ``require`` takes at least two."""
    asked = len(guest.pcpuset)
    require = guest.cpu_thread_policy == cells.REQUIRE
    every = list(itertools.chain(*free))
    chosen = None if require else every
    available = 0
    for count in range(most, 1 if require else 0, -1):
        threads = list(itertools.chain(*(core[:count] for core in free if len(core) >= count)))
        available = max(available, len(threads))
        if threads and len(threads) >= asked:
            chosen = threads
            break
    if chosen is None:
        return f"thread policy require: CPUs on cores with two free threads asked {asked}, available {available}"
    pinned = set(chosen[:asked])
    return _packed(guest, chosen, [cpu for cpu in every if cpu not in pinned][:emulator_cpus])


def _packed(guest: records.GuestCell, threads: Sequence[int], reserved: Sequence[int]) -> Packed:
    return Packed(dict(zip(sorted(guest.pcpuset), threads, strict=False)), frozenset(reserved))
