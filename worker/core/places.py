"""Which CPUs, pages and devices a holding has: what an instance needs of them, what it keeps, and what it is given.

A place is part of the holding. What a node has of these things is in its report, what is taken is the sum of the places
there: nothing else is kept, so nothing can leak. An instance keeps its place as long as it holds something on that
account and needs the same; a device stays until its request is detached or the instance leaves.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from worker.core import cells, fitting, holdings, lifecycle, numa, pci, pci_choice, pci_pools, pci_states, records

LIVE_MIGRATION = "live-migration"
ASKING = frozenset({numa.NODES, numa.PAGE_SIZE, numa.PERSISTENT_MEMORY, "resources:PCPU"})
"""Only a flavor with one of these extra specs, or with a policy of dedicated CPUs, asks for a topology."""

DEVICE = "device"
CELL = "cell"
SHARE = "share"
KINDS = (DEVICE, CELL, SHARE)
"""Kinds of ledger entries for what is given out one by one, and for what is on other providers than the root."""

Key = tuple[str, str]
"""Whose place it is: the instance's uuid and the side."""

Reasons = tuple[str, ...]


class Hardware(msgspec.Struct, frozen=True, gc=False):
    """What a report says a node has of the things that are given out one by one."""

    cells: tuple[records.HostCell, ...] = ()
    stock: pci_pools.Stock = pci_pools.Stock()

    @property
    def devices(self) -> tuple[records.Device, ...]:
        """The PCI devices."""
        return self.stock.devices


NONE = Hardware()
NOTHING = records.Place()
NO_OFFER = pci_choice.offer((), ())


class Ground(msgspec.Struct, frozen=True, gc=False):
    """One account with what its node has, and every place there."""

    hardware: Hardware
    places: Mapping[Key, records.Place]

    def others(self, uuid: str) -> dict[Key, records.Place]:
        """Return the places of all other instances."""
        return {key: place for key, place in self.places.items() if key[0] != uuid}


class Need(msgspec.Struct, frozen=True, gc=False):
    """What one side of an instance is to have; requests in ``detached`` are to have nothing any more.

    ``stays``: it is to have what it has.
    """

    topology: records.GuestTopology | None = None
    requests: tuple[records.DeviceRequest, ...] = ()
    detached: frozenset[str] = frozenset()
    stays: bool = False


def of_report(report: records.ComputeNode) -> Hardware:
    """Return what a report says."""
    return hardware(report.numa_topology, report.pci_devices)


def hardware(host_cells: tuple[records.HostCell, ...] | None, devices: tuple[records.Device, ...]) -> Hardware:
    """Return cells and devices ready to be given out."""
    return Hardware(host_cells or (), pci_pools.stock(devices))


def asked_by(record: records.Instance) -> bool:
    """Whether a record asks for a place."""
    return bool(record.numa_topology or record.pci_requests or _asks(record.flavor))


def _asks(flavor: records.Flavor) -> bool:
    specs = flavor.extra_specs
    return bool(specs) and (specs.get(numa.CPU_POLICY) in cells.PINNING or not ASKING.isdisjoint(specs))


def asked_by_move(move: records.Move) -> bool:
    """Whether a move asks for a place by itself."""
    if move.new_numa_topology or move.new_pci_requests:
        return True
    old, new = move.old_flavor, move.new_flavor
    return (old is not None and _asks(old)) or (new is not None and _asks(new))


def concerns(book: records.Book) -> bool:
    """Whether the instance has a place or asks for one."""
    record = book.record
    if book.attachments or (record is not None and asked_by(record)):
        return True
    for holding in book.holdings:
        if _is_given(holding.place):
            return True
    return bool(book.moves) and any(map(asked_by_move, book.moves))


def _bare(place: records.Place | None) -> records.Place | None:
    """Return a place without its shares, which are another step's; None if nothing is left."""
    return _place(place.topology, place.grants) if place is not None else None


def _is_given(place: records.Place | None) -> bool:
    return place is not None and bool(place.topology or place.grants)


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


def destined(record: records.Instance, move: records.Move) -> tuple[records.GuestTopology | None, records.Flavor]:
    """Return the topology that is given for the destination of a move, if any, and the flavor there."""
    flavor = move.new_flavor or record.flavor
    same = flavor.flavorid == record.flavor.flavorid
    return move.new_numa_topology or (record.numa_topology if same else None), flavor


def requests(book: records.Book, own: Iterable[records.DeviceRequest]) -> tuple[records.DeviceRequest, ...]:
    """Return the instance's ``own`` requests for devices and those attached to it, less the detached ones."""
    attached = (one.request for one in book.attachments if one.request is not None)
    found = {request.request_id: request for request in (*own, *attached)}
    gone = detached(book)
    return tuple(request for request_id, request in found.items() if request_id not in gone)


def detached(book: records.Book) -> frozenset[str]:
    """Return the ids of the requests that were detached."""
    return frozenset(one.request_id for one in book.attachments if one.request is None)


def need(book: records.Book, record: records.Instance, holding: records.Holding, *, has_place: bool) -> Need:
    """Return what this side is to have; the source of an instance that has gone on stays as it was."""
    move, gone = holdings.deciding_move(book), detached(book)
    own = Need(topology(record.numa_topology, record.flavor), requests(book, record.pci_requests), gone)
    if move is None:
        return own
    if holding.side == holdings.SOURCE:
        flavor = move.old_flavor or record.flavor
        if has_place and not holding.settled:
            return Need(detached=gone, stays=True)
        same = holding.settled or flavor.flavorid == record.flavor.flavorid
        return own if same else Need(topology(None, flavor), (), gone)
    wanted = own.requests if move.new_pci_requests is None else requests(book, move.new_pci_requests)
    return Need(topology(*destined(record, move)), wanted, gone)


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
    record = new.record
    if record is None:
        return (), {}
    placed = [_with_place(holding, _bare(place)) for holding, place in inherited(old, new)]
    lacks = {}
    for index, holding in enumerate(placed):
        here = ground(holding.account)
        own = {
            (new.uuid, other.side): other.place
            for other in placed
            if other is not holding and other.place is not None and other.account == holding.account
        }
        seeker = Seeker((new.uuid, holding.side), here.hardware, here.others(new.uuid) | own, limits(holding.account))
        wanted = need(new, record, holding, has_place=holding.place is not None)
        place, lacks[holding.side] = seeker.place(wanted, holding.place or NOTHING)
        if place is not None:
            place = msgspec.structs.replace(place, claimed=_claimed(new, holding))
        placed[index] = _with_place(holding, place)
    return tuple(placed), lacks


def _with_place(holding: records.Holding, place: records.Place | None) -> records.Holding:
    return msgspec.structs.replace(holding, place=place)


def _claimed(book: records.Book, holding: records.Holding) -> bool:
    """Whether devices are only promised: a guest that is migrated live has none of them before it is there."""
    move = holdings.deciding_move(book)
    live = move is not None and move.migration_type == LIVE_MIGRATION
    return live and holding.side == holdings.DESTINATION and not holding.settled


def inherited(old: records.Book, new: records.Book) -> list[tuple[records.Holding, records.Place | None]]:
    """Return each new holding with the place that goes on as its own.

    The sides of one move keep what they had. When another move decides, or none, only the place where the instance is
    goes on.
    """
    before, after = holdings.deciding_move(old), holdings.deciding_move(new)
    if (before and before.uuid) == (after and after.uuid):
        known = {(one.side, one.account): one.place for one in old.holdings}
        return [(one, known.get((one.side, one.account))) for one in new.holdings]
    heirs = sorted(new.holdings, key=lambda one: not one.settled)
    pairs = itertools.product(heirs, _whereabouts(old, new, before))
    heir, left = next(((heir, was) for heir, was in pairs if heir.account == was.account), (None, None))
    return [(one, left.place if left is not None and one is heir else None) for one in new.holdings]


def _whereabouts(old: records.Book, new: records.Book, move: records.Move | None) -> Sequence[records.Holding]:
    """Return what was held, first of all where the instance is now; on one node with one flavor the move's end tells."""
    if move is None or new.record is None:
        return old.holdings
    side = holdings.settled_side(new.record, move)
    if move.source == move.dest and holdings.one_flavor(new.record, move):
        ended = any(one.uuid == move.uuid and one.status in lifecycle.ARRIVED for one in new.moves)
        side = holdings.DESTINATION if ended else holdings.SOURCE
    return sorted(old.holdings, key=lambda one: one.side != side)


class Seeker(msgspec.Struct, frozen=True, gc=False):
    """Looks for a place for ``key`` among what is taken."""

    key: Key
    hardware: Hardware
    taken: Mapping[Key, records.Place]
    limits: records.Limits | None

    def place(self, wanted: Need, kept: records.Place) -> tuple[records.Place | None, Reasons]:
        """Return what of ``wanted`` can be had, beginning with what is kept already, and what cannot; None is nothing."""
        grants = tuple(grant for grant in kept.grants if grant.request_id not in wanted.detached)
        if wanted.stays:
            return _place(kept.topology, grants), ()
        missing = tuple(unserved(wanted.requests, grants))
        stays = self._stays(wanted.topology, kept.topology)
        if stays and not missing:
            return _place(kept.topology if wanted.topology is not None else None, grants), ()
        free = self._free(grants)
        offered = pci_choice.offer(free, missing) if missing else NO_OFFER
        found = kept.topology if stays and wanted.topology else self._topology(wanted.topology, offered, free)
        if isinstance(found, fitting.Misfit):
            return self._rest(grants, offered, found, self._topology(wanted.topology, NO_OFFER, free))
        chosen = pci_choice.choose(offered, self._affinity(found))
        if isinstance(chosen, pci_choice.Shortage):
            return _place(found, grants), chosen.reasons
        return _place(found, grants + chosen), ()

    @staticmethod
    def _rest(
        grants: tuple[records.Grant, ...],
        offered: pci_choice.Offer,
        misfit: fitting.Misfit,
        alone: records.PlacedTopology | fitting.Misfit | None,
    ) -> tuple[records.Place | None, Reasons]:
        """Return what can be had where the cells do not go with the devices: the cells alone; and all that lacks."""
        chosen = pci_choice.choose(offered, None)
        if not isinstance(chosen, pci_choice.Shortage):
            reasons = misfit.reasons
        else:
            reasons = (alone.reasons if isinstance(alone, fitting.Misfit) else ()) + chosen.reasons
        return _place(None if isinstance(alone, fitting.Misfit) else alone, grants), reasons

    def _stays(self, wanted: records.GuestTopology | None, kept: records.PlacedTopology | None) -> bool:
        """Whether the cells are where they are to be: where they were while they need the same, or nowhere."""
        if wanted is None:
            return True
        return cells.same_needs(wanted, kept) if kept is not None else not self.hardware.cells

    def _topology(
        self, wanted: records.GuestTopology | None, offered: pci_choice.Offer, free: Sequence[pci_pools.Pool]
    ) -> records.PlacedTopology | fitting.Misfit | None:
        """Return where the cells fit; nowhere on a node without cells."""
        if wanted is None or not self.hardware.cells:
            return None
        placed = (place.topology for place in self.taken.values() if place.topology is not None)
        usage = cells.used(self.hardware.cells, placed)
        sockets = {cell.id: cell.socket for cell in self.hardware.cells}
        counts: dict[int, int] = {}
        for pool in free:
            if pool.numa_node is not None:
                counts[pool.numa_node] = counts.get(pool.numa_node, 0) + pool.count

        def accepts(chosen: frozenset[int]) -> bool:
            return pci_choice.supports(offered, pci_choice.Affinity(chosen, sockets))

        ask = fitting.FitAsk(accepts, self.limits, counts, bool(offered.matches))
        return fitting.fit(wanted, self.hardware.cells, usage, ask)

    def _free(self, grants: tuple[records.Grant, ...]) -> Sequence[pci_pools.Pool]:
        """Return the pools of free devices; what is kept is not free."""
        if not self.hardware.devices:
            return ()
        own = records.Place(grants=grants)
        states = pci_states.states(self.hardware.devices, granted({**self.taken, self.key: own}))
        return pci_pools.pools(self.hardware.stock, states)

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


def lacking(book: records.Book, account: str, hardware: Hardware) -> bool:
    """Whether an instance has not all that it needs on an account and that the node there could have."""
    record = book.record
    return record is not None and any(
        _lacks(need(book, record, one, has_place=_is_given(one.place)), one.place or NOTHING, hardware)
        for one in book.holdings
        if one.account == account
    )


def _lacks(wanted: Need, place: records.Place, hardware: Hardware) -> bool:
    homeless = wanted.topology is not None and place.topology is None and bool(hardware.cells)
    return homeless or any(unserved(wanted.requests, place.grants))


def figures(place: records.Place) -> dict[str, dict[str, int]]:
    """Return what a place takes, by kind of ledger entry.

    ``device`` is by address, ``cell`` by cell and figure, ``share`` by PROVIDER_UUID:CLASS.
    """
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
    shared: dict[str, int] = {}
    for share in place.shares:
        name = f"{share.provider_uuid}:{share.resource_class}"
        shared[name] = shared.get(name, 0) + share.amount
    return {DEVICE: {grant.address: 1 for grant in place.grants}, CELL: taken, SHARE: shared}
