"""Which CPUs, pages and devices a holding has: what an instance needs of them, what it keeps, and what it is given.

A place is part of the holding. What a node has of these things is in its report, what is taken is the sum of the places
there: nothing else is kept, so nothing can leak. An instance keeps its place as long as it holds something on that
account and needs the same; a device stays until its request is detached or the instance leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from worker.core import cells, fitting, holdings, numa, pci, pci_choice, pci_pools, pci_states, records

SUCCEEDED = frozenset({"confirmed", "completed", "done"})
LIVE_MIGRATION = "live-migration"
ASKING = frozenset({numa.NODES, numa.PAGE_SIZE, numa.PERSISTENT_MEMORY, "resources:PCPU"})
"""Only a flavor with one of these extra specs, or with a policy of dedicated CPUs, asks for a topology."""

DEVICE = "device"
CELL = "cell"
KINDS = (DEVICE, CELL)
"""Kinds of ledger entries for what is given out one by one."""

Key = tuple[str, str]
"""Whose place it is: the instance's uuid and the side."""

Reasons = tuple[str, ...]


class Hardware(msgspec.Struct, frozen=True, gc=False):
    """What a report says a node has of the things that are given out one by one."""

    cells: tuple[records.HostCell, ...] = ()
    devices: tuple[records.Device, ...] = ()


NONE = Hardware()


class Ground(msgspec.Struct, frozen=True, gc=False):
    """One account with what its node has, and every place there."""

    hardware: Hardware
    places: Mapping[Key, records.Place]

    def others(self, uuid: str) -> dict[Key, records.Place]:
        """Return the places of all other instances."""
        return {key: place for key, place in self.places.items() if key[0] != uuid}


class Need(msgspec.Struct, frozen=True, gc=False):
    """What one side of an instance is to have; requests in ``detached`` are to have nothing any more."""

    topology: records.GuestTopology | None = None
    requests: tuple[records.DeviceRequest, ...] = ()
    detached: frozenset[str] = frozenset()


def of_report(report: records.ComputeNode) -> Hardware:
    """Return what a report says."""
    return Hardware(report.numa_topology or (), report.pci_devices)


def asked_by(record: records.Instance) -> bool:
    """Whether a record asks for a place."""
    return bool(record.numa_topology or record.pci_requests or _asks(record.flavor))


def _asks(flavor: records.Flavor) -> bool:
    specs = flavor.extra_specs
    return bool(specs) and (specs.get(numa.CPU_POLICY) in cells.PINNING or not ASKING.isdisjoint(specs))


def asked_by_move(move: records.Move) -> bool:
    """Whether a move asks for a place by itself."""
    flavors = (flavor for flavor in (move.old_flavor, move.new_flavor) if flavor is not None)
    return bool(move.new_numa_topology or move.new_pci_requests or any(map(_asks, flavors)))


def concerns(book: records.Book) -> bool:
    """Whether the instance has a place or asks for one."""
    record = book.record
    return (
        (record is not None and asked_by(record))
        or bool(book.attachments)
        or any(holding.place is not None for holding in book.holdings)
        or any(map(asked_by_move, book.moves))
    )


def topology(given: records.GuestTopology | None, flavor: records.Flavor) -> records.GuestTopology | None:
    """Return the topology that is given, or that the flavor asks for; None for extra specs that contradict each other."""
    if given is not None or not _asks(flavor):
        return given
    try:
        return numa.derived(flavor)
    except numa.Contradiction:
        return None


def contradiction(given: records.GuestTopology | None, flavor: records.Flavor) -> Reasons:
    """Return why no topology can be told from the flavor, where none is given."""
    if given is None and _asks(flavor):
        try:
            numa.derived(flavor)
        except numa.Contradiction as error:
            return (f"flavor {flavor.flavorid}: {error}",)
    return ()


def requests(book: records.Book) -> tuple[records.DeviceRequest, ...]:
    """Return the requests for devices that an instance has, its own and attached ones, less those detached."""
    own = book.record.pci_requests if book.record is not None else ()
    attached = (one.request for one in book.attachments if one.request is not None)
    gone = detached(book)
    found: dict[str, records.DeviceRequest] = {}
    for request in (*own, *attached):
        if request.request_id not in gone:
            found.setdefault(request.request_id, request)
    return tuple(found.values())


def detached(book: records.Book) -> frozenset[str]:
    """Return the ids of the requests that were detached."""
    return frozenset(one.request_id for one in book.attachments if one.request is None)


def need(book: records.Book, holding: records.Holding) -> Need:
    """Return what this side is to have."""
    record, move = book.record, holdings.deciding_move(book)
    if record is None:
        return Need(detached=detached(book))
    own = Need(topology(record.numa_topology, record.flavor), requests(book), detached(book))
    if move is None or holding.side == holdings.INSTANCE:
        return own
    flavor = (move.old_flavor if holding.side == holdings.SOURCE else move.new_flavor) or record.flavor
    same = flavor.flavorid == record.flavor.flavorid
    if holding.side == holdings.SOURCE:
        return own if holding.settled or same else Need(topology(None, flavor), (), own.detached)
    if move.new_numa_topology is not None or not same:
        own = msgspec.structs.replace(own, topology=topology(move.new_numa_topology, flavor))
    if move.new_pci_requests is not None:
        wanted = tuple(one for one in move.new_pci_requests if one.request_id not in own.detached)
        own = msgspec.structs.replace(own, requests=wanted)
    return own


def assigned(
    old: records.Book,
    new: records.Book,
    ground: Callable[[str], Ground],
    limits: Callable[[str], records.Limits | None],
) -> tuple[tuple[records.Holding, ...], Mapping[str, Reasons]]:
    """Return the holdings of ``new`` with their places, and by side what could not be had.

    ``old`` is what was before: what it had is kept where it still serves. ``limits`` of an account hold for a place that
    is new.
    """
    placed: list[records.Holding] = []
    lacks = {}
    before = {holding.side: holding for holding in old.holdings if holding.place is not None}
    for holding in new.holdings:
        kept = _inherited(new, holding, before)
        here = ground(holding.account)
        taken = here.others(new.uuid) | {
            (new.uuid, one.side): one.place
            for one in placed
            if one.place is not None and one.account == holding.account
        }
        seeker = Seeker((new.uuid, holding.side), here.hardware, taken, limits(holding.account))
        place, reasons = seeker.place(_need(new, holding, kept), kept or records.Place(claimed=_claimed(new, holding)))
        if place is not None:
            place = msgspec.structs.replace(place, claimed=_claimed(new, holding))
        placed.append(msgspec.structs.replace(holding, place=place))
        lacks[holding.side] = reasons
    return tuple(placed), lacks


def _need(book: records.Book, holding: records.Holding, kept: records.Place | None) -> Need | None:
    """Return what a side is to have; None leaves the source of an instance that has gone on as it was."""
    gone_on = holding.side == holdings.SOURCE and not holding.settled
    return None if gone_on and kept is not None else need(book, holding)


def _claimed(book: records.Book, holding: records.Holding) -> bool:
    """Whether devices are only promised: a guest that is migrated live has none of them before it is there."""
    move = holdings.deciding_move(book)
    live = move is not None and move.migration_type == LIVE_MIGRATION
    return live and holding.side == holdings.DESTINATION and not holding.settled


def _inherited(
    book: records.Book, holding: records.Holding, before: dict[str, records.Holding]
) -> records.Place | None:
    """Return the place that the instance had on this account and that goes on as this side's; each goes on once."""
    for side in _predecessors(book, holding.side):
        if side in before and before[side].account == holding.account:
            return before.pop(side).place
    return None


def _predecessors(book: records.Book, side: str) -> Sequence[str]:
    """Return whose place a side takes over, the likeliest first; after a move on one node its end tells."""
    if side == holdings.SOURCE:
        return holdings.SOURCE, holdings.INSTANCE, holdings.DESTINATION
    if side == holdings.DESTINATION:
        return holdings.DESTINATION, holdings.INSTANCE, holdings.SOURCE
    move = holdings.newest_move(book)
    well = move is not None and move.status in SUCCEEDED
    ends = (holdings.DESTINATION, holdings.SOURCE) if well else (holdings.SOURCE, holdings.DESTINATION)
    return holdings.INSTANCE, *ends


class Seeker(msgspec.Struct, frozen=True, gc=False):
    """Looks for a place for ``key`` among what is taken."""

    key: Key
    hardware: Hardware
    taken: Mapping[Key, records.Place]
    limits: records.Limits | None

    def place(self, wanted: Need | None, kept: records.Place) -> tuple[records.Place | None, Reasons]:
        """Return what of ``wanted`` can be had, beginning with what is kept already, and what cannot; None is nothing."""
        if wanted is None:
            return kept, ()
        grants = tuple(grant for grant in kept.grants if grant.request_id not in wanted.detached)
        missing = tuple(unserved(wanted.requests, grants))
        offered = self._offer(grants, missing)
        found: records.PlacedTopology | fitting.Misfit | None = None
        if wanted.topology is not None and self.hardware.cells:
            same = kept.topology is not None and cells.same_needs(wanted.topology, kept.topology)
            found = kept.topology if same else self._fit(wanted.topology, offered, bool(missing))
        if isinstance(found, fitting.Misfit):
            return _place(None, grants), found.reasons
        chosen = pci_choice.choose(offered, self._affinity(found))
        if isinstance(chosen, pci_choice.Shortage):
            return _place(found, grants), chosen.reasons
        return _place(found, grants + chosen), ()

    def _offer(self, grants: Sequence[records.Grant], missing: Sequence[records.DeviceRequest]) -> pci_choice.Offer:
        if not missing:
            return pci_choice.offer((), ())
        own = records.Place(grants=tuple(grants))
        states = pci_states.states(self.hardware.devices, granted({**self.taken, self.key: own}))
        return pci_choice.offer(pci_pools.pools(self.hardware.devices, states), missing)

    def _fit(
        self, guest: records.GuestTopology, offered: pci_choice.Offer, asks_devices: bool
    ) -> records.PlacedTopology | fitting.Misfit:
        placed = (place.topology for place in self.taken.values() if place.topology is not None)
        usage = cells.used(self.hardware.cells, placed)
        sockets = {cell.id: cell.socket for cell in self.hardware.cells}

        def accepts(chosen: frozenset[int]) -> bool:
            return pci_choice.supports(offered, pci_choice.Affinity(chosen, sockets))

        ask = fitting.FitAsk(accepts, self.limits, self._free_devices(), asks_devices)
        return fitting.fit(guest, self.hardware.cells, usage, ask)

    def _free_devices(self) -> Mapping[int, int]:
        states = pci_states.states(self.hardware.devices, granted(self.taken))
        counts: dict[int, int] = {}
        for device in self.hardware.devices:
            if device.numa_node is not None and states[device.address].status == pci_states.AVAILABLE:
                counts[device.numa_node] = counts.get(device.numa_node, 0) + 1
        return counts

    def _affinity(self, found: records.PlacedTopology | None) -> pci_choice.Affinity | None:
        if found is None:
            return None
        sockets = {cell.id: cell.socket for cell in self.hardware.cells}
        return pci_choice.Affinity(frozenset(cell.id for cell in found.cells), sockets)


def _place(found: records.PlacedTopology | None, grants: tuple[records.Grant, ...]) -> records.Place | None:
    return records.Place(found, grants) if found is not None or grants else None


def unserved(
    wanted: Sequence[records.DeviceRequest], grants: Sequence[records.Grant]
) -> Iterable[records.DeviceRequest]:
    """Yield what the requests still lack."""
    for request in wanted:
        have = sum(1 for grant in grants if grant.request_id == request.request_id)
        if have < request.count:
            yield msgspec.structs.replace(request, count=request.count - have)


def granted(places: Mapping[Key, records.Place]) -> pci.Grants:
    """Return every device that is held, with its owner, by address."""
    return {
        grant.address: (grant, pci.Owner(key[0], grant.request_id, not place.claimed))
        for key, place in places.items()
        for grant in place.grants
    }


def lacking(book: records.Book, holding: records.Holding, hardware: Hardware) -> bool:
    """Whether a side has not all that it needs and that its node could have."""
    place = holding.place or records.Place()
    wanted = _need(book, holding, holding.place)
    if wanted is None:
        return False
    homeless = wanted.topology is not None and place.topology is None and bool(hardware.cells)
    return homeless or any(unserved(wanted.requests, place.grants))


def figures(place: records.Place) -> dict[str, dict[str, int]]:
    """Return what a place takes, by kind of ledger entry: ``device`` by address, ``cell`` by cell and figure."""
    taken: dict[str, int] = {}
    for cell in place.topology.cells if place.topology is not None else ():
        pages = (
            {}
            if cell.pagesize is None
            else {f"pages_{cell.pagesize}": -(-cell.memory * cells.KIB_PER_MIB // cell.pagesize)}
        )
        own = {"shared_cpus": len(cell.cpuset), "pinned_cpus": len(cells.pins(cell)), "memory_mb": cell.memory}
        for name, amount in (own | pages).items():
            if amount:
                taken[f"cell_{cell.id}_{name}"] = taken.get(f"cell_{cell.id}_{name}", 0) + amount
    return {DEVICE: {grant.address: 1 for grant in place.grants}, CELL: taken}


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
