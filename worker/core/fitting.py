"""Which host cells the cells of a guest go to, or what they lack."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from worker.core import cells, matching, pairing, records

MOST_REASONS = 20


class FitAsk(msgspec.Struct, frozen=True, gc=False):
    """What bears on a fit besides the cells.

    ``limits`` None: floating CPUs and memory are not limited. ``accepts`` says whether a set of host cell ids has the
    affinity that the guest's devices and networks need. ``free_devices`` counts free PCI devices by host cell id;
    empty, the host has no pools of them.
    """

    accepts: Callable[[frozenset[int]], bool]
    limits: records.Limits | None = None
    free_devices: Mapping[int, int] = msgspec.field(default_factory=dict)
    devices_requested: bool = False


class Misfit(msgspec.Struct, frozen=True, gc=False):
    """Why a guest does not fit: what each host cell lacks, with asked and available, then what they lack together."""

    reasons: tuple[str, ...]


def fit(
    guest: records.GuestTopology,
    hosts: Sequence[records.HostCell],
    usage: Mapping[int, cells.CellUsage],
    ask: FitAsk,
) -> records.PlacedTopology | Misfit:
    """Return where the guest's cells go: the first combination of host cells in order that fits and is accepted.

    Bounded as ``matching`` says. Nothing that is passed in is changed.
    """
    if len(hosts) < len(guest.cells):
        return Misfit((f"NUMA cells asked {len(guest.cells)}, available {len(hosts)}",))
    rooms = _ordered(cells.rooms(hosts, usage), guest, ask)
    pairs = [_pairs(rooms, cell, emulator_cpus, ask) for cell, emulator_cpus in _asked(guest)]
    fits = [sum(1 << position for position in row.placed) for row in pairs]
    found = matching.first(
        fits, lambda mask: ask.accepts(frozenset(room.cell.id for at, room in enumerate(rooms) if mask >> at & 1))
    )
    if isinstance(found, str):
        return Misfit(_reasons(pairs, found))
    placed = tuple(row.placed[position] for row, position in zip(pairs, found, strict=True))
    return records.PlacedTopology(placed, guest.emulator_threads_policy)


def _ordered(rooms: Sequence[cells.Room], guest: records.GuestTopology, ask: FitAsk) -> Sequence[cells.Room]:
    """Return the host cells in the order in which they are tried: the emptiest first, if there are any to spare."""
    if len(rooms) == len(guest.cells) or not guest.cells:
        return rooms
    pinning = guest.cells[0].cpu_policy in cells.PINNING

    def key(room: cells.Room) -> tuple[int, int, int]:
        devices = ask.free_devices.get(room.cell.id, 0)
        busy = -len(room.free) if pinning else room.usage.cpu_usage
        return -devices if ask.devices_requested else devices, busy, -room.free_memory

    return sorted(rooms, key=key)


def _asked(guest: records.GuestTopology) -> Iterator[tuple[records.GuestCell, int]]:
    """Yield each guest cell with the host CPUs that it needs for emulator threads: the first one has them all."""
    isolated = guest.emulator_threads_policy == cells.ISOLATE
    for index, cell in enumerate(guest.cells):
        yield cell, 1 if isolated and index == 0 else 0


class _Pairs(msgspec.Struct, frozen=True, gc=False):
    """One guest cell against every host cell: by position where it fits, texts of what lacks elsewhere."""

    placed: Mapping[int, records.PlacedCell]
    lacks: tuple[str, ...]


def _pairs(rooms: Sequence[cells.Room], guest: records.GuestCell, emulator_cpus: int, ask: FitAsk) -> _Pairs:
    placed: dict[int, records.PlacedCell] = {}
    lacks: list[str] = []
    for position, room in enumerate(rooms):
        outcome = pairing.pair(room, guest, emulator_cpus, ask.limits)
        if isinstance(outcome, records.PlacedCell):
            placed[position] = outcome
        else:
            lacks.extend(f"NUMA cell {room.cell.id}: {text}" for text in outcome)
    return _Pairs(placed, tuple(lacks))


def _reasons(pairs: Sequence[_Pairs], together: str) -> tuple[str, ...]:
    """Return the texts once each, cut short; ``together`` only where every guest cell fits somewhere."""
    last = [together] if all(row.placed for row in pairs) else []
    lacks = list(dict.fromkeys(text for row in pairs for text in row.lacks))
    more = len(lacks) - (MOST_REASONS - len(last))
    if more > 0:
        kept = lacks[: -(more + 1)]
        lacks = [*kept, f"and {more + 1} more like these"]
    return (*lacks, *last)
