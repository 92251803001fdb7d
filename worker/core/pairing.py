"""Whether one cell of a guest fits one cell of a host: memory, dedicated CPUs, floating CPUs, limits of overcommitment.

Every check is made, so that a refusal names all that lacks, with asked and available.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from worker.core import cells, packing, records

SMALL = -1
LARGE = -2
ANY = -3


def pair(
    room: cells.Room, guest: records.GuestCell, emulator_cpus: int, limits: records.Limits | None
) -> records.PlacedCell | tuple[str, ...]:
    """Return the guest cell as it would be placed there, or a text for each thing that lacks."""
    pagesize, lacks_memory = _pagesize(room, guest) if guest.pagesize else (None, _memory(room, guest))
    packed = _dedicated(room, guest, emulator_cpus)
    lacks = [*lacks_memory, *_floating(room, guest, limits), *_overcommitted_memory(room, guest, limits)]
    if isinstance(packed, str):
        return (*lacks, packed)
    if lacks:
        return tuple(lacks)
    return records.PlacedCell(
        room.cell.id, guest.cpuset, guest.pcpuset, guest.memory, pagesize, guest.cpu_policy, guest.cpu_thread_policy,
        packed.pinning, packed.reserved,
    )  # fmt: skip


def _pagesize(room: cells.Room, guest: records.GuestCell) -> tuple[int | None, Sequence[str]]:
    """Return the first page size asked for that has the pages, the biggest first, or what each lacks."""
    sizes = sorted((pool.size_kb for pool in room.cell.mempages), reverse=True)
    asked = {SMALL: sizes[-1:], LARGE: sizes[:-1], ANY: sizes}.get(guest.pagesize or ANY, [guest.pagesize or ANY])
    lacks = []
    for size in asked:
        lack = _lacks_pages(guest.memory, size, _free_pages(room, size))
        if lack is None:
            return size, ()
        lacks.append(lack)
    return None, lacks or [f"large pages asked for {guest.memory} MiB, available 0"]


def _free_pages(room: cells.Room, size: int) -> int | None:
    """Return the pages of a size that neither a guest nor the host has, or None if the cell has no such pages."""
    for pool in room.cell.mempages:
        if pool.size_kb == size:
            return pool.total - pool.reserved - room.usage.pages.get(size, 0)
    return None


def _lacks_pages(memory: int, size: int, available: int | None) -> str | None:
    if available is None:
        return f"pages of {size} KiB asked for {memory} MiB, available 0 (the cell has none)"
    asked, rest = divmod(memory * cells.KIB_PER_MIB, size)
    if rest:
        return f"memory asked {memory} MiB is not whole pages of {size} KiB"
    if asked > available:
        return f"pages of {size} KiB asked {asked}, available {max(available, 0)}"
    return None


def _memory(room: cells.Room, guest: records.GuestCell) -> Sequence[str]:
    """Return what memory without a page size lacks: a guest that floats may overcommit, but not all by itself."""
    firm = guest.cpu_policy in cells.PINNING
    if room.cell.mempages:
        pool = min(room.cell.mempages, key=lambda one: one.size_kb)
        lack = _lacks_pages(guest.memory, pool.size_kb, _free_pages(room, pool.size_kb) if firm else pool.total)
        return (lack,) if lack else ()
    available = room.free_memory if firm else room.cell.memory
    if guest.memory > available:
        return (f"memory asked {guest.memory} MiB, available {max(available, 0)} MiB",)
    return ()


def _dedicated(room: cells.Room, guest: records.GuestCell, emulator_cpus: int) -> packing.Packed | str:
    if guest.cpu_policy not in cells.PINNING:
        return packing.Packed({}, frozenset())
    asked = len(guest.pcpuset) + emulator_cpus
    if asked > len(room.free):
        extra = " (one for emulator threads)" if emulator_cpus else ""
        return f"dedicated CPUs asked {asked}{extra}, available {len(room.free)}"
    return packing.pack(room, guest, emulator_cpus)


def _floating(room: cells.Room, guest: records.GuestCell, limits: records.Limits | None) -> Iterator[str]:
    """Say which floating CPUs lack; no guest may overcommit all by itself."""
    if guest.cpu_policy == cells.DEDICATED:
        return
    asked, have, used = len(guest.cpuset), len(room.cell.cpuset), room.usage.cpu_usage
    ratio = limits.cpu_allocation_ratio if limits else None
    if asked > have:
        yield f"shared CPUs asked {asked}, available {have}"
    elif ratio is not None and used + asked > have * ratio:
        yield f"shared CPUs asked {asked}, available {_left(have, ratio, used)} (ratio {ratio}, used {used})"


def _overcommitted_memory(room: cells.Room, guest: records.GuestCell, limits: records.Limits | None) -> Iterator[str]:
    ratio = limits.ram_allocation_ratio if limits else None
    if guest.cpu_policy == cells.DEDICATED or ratio is None:
        return
    have, used = room.cell.memory, room.usage.memory_usage
    if used + guest.memory > have * ratio:
        left = _left(have, ratio, used)
        yield f"memory asked {guest.memory} MiB, available {left} MiB (ratio {ratio}, used {used})"


def _left(have: int, ratio: float, used: int) -> int:
    return max(int(have * ratio) - used, 0)
