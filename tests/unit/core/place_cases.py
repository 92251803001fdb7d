"""Nodes with NUMA cells and PCI devices, guests that ask for some, and what is held of them afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tests import builders
from tests.fakes import unit_of_work
from tests.unit.core import devices, histories, numa_cases
from worker.core import cells, commands, events, pci_pools, pci_states, places, records, resources, strains

GIB = numa_cases.GIB
PAGES = ((4, 4 * GIB * 256, 0), (2048, 2 * GIB + 5, 5))
CELLS = tuple(
    numa_cases.a_host(number, range(4 * number, 4 * number + 4), memory=8 * GIB, mempages=PAGES, socket=number)
    for number in range(2)
)
"""Two cells of 4 CPUs: of 8 GiB 4 GiB are large pages."""
DEVICES = (
    devices.pf(1, numa_node=0),
    devices.vf(1, 0, numa_node=0),
    devices.vf(1, 1, numa_node=0),
    devices.plain(2, numa_node=0),
    devices.plain(3, numa_node=1),
)
"""A PF with two functions and a GPU near cell 0, a GPU near cell 1."""
PF, VF0, VF1, GPU0, GPU1 = (device.address for device in DEVICES)


def a_node(host: str = "h1", revision: int = 1, **changes: Any) -> records.ComputeNode:
    """Return a report of a node with cells and devices, named by its host: uid(501) is h1."""
    values: dict[str, Any] = {"numa_topology": CELLS, "pci_devices": DEVICES}
    return builders.a_node(builders.uid(500 + int(host[1:])), revision, host=host, **values | changes)


def a_worker(*hosts: str, policy: str = "all", **changes: Any) -> builders.Worker:
    """Return a worker that knows these hosts."""
    worker = builders.Worker(policy)
    for host in hosts or ("h1",):
        worker.tell(builders.a_report(a_node(host, **changes)))
    worker.forget_events()
    return worker


def gpus(count: int = 1, number: int = 700, **changes: Any) -> records.DeviceRequest:
    """Return a request for GPUs; ``number`` makes its id."""
    return devices.a_request(devices.GPU, count=count, request_id=builders.uid(number), **changes)


def vfs(count: int = 1, number: int = 700, **changes: Any) -> records.DeviceRequest:
    """Return a request for virtual functions."""
    return devices.a_request(devices.ANY_VF, count=count, request_id=builders.uid(number), **changes)


def pfs(number: int = 700, **changes: Any) -> records.DeviceRequest:
    """Return a request for a physical function."""
    return devices.a_request(devices.ANY_PF, request_id=builders.uid(number), **changes)


def pinned(cpus: int = 2, **changes: Any) -> records.GuestTopology:
    """Return a guest of one cell of 1 GiB with so many dedicated CPUs."""
    return numa_cases.a_guest(numa_cases.a_cell(cpus, **changes))


def claim(uuid: str = builders.VM, limits: records.Limits | None = None, **changes: Any) -> commands.ClaimInstance:
    """Return a claim of an instance."""
    return commands.ClaimInstance(builders.an_instance(uuid, **changes), limits)


def fact(uuid: str = builders.VM, revision: int = 1, **changes: Any) -> commands.UpdateInstance:
    """Return what an instance is."""
    return commands.UpdateInstance(builders.an_instance(uuid, revision, **changes))


def attach(*requests: records.DeviceRequest, revision: int = 1, uuid: str = builders.VM) -> commands.AttachDevices:
    """Return a claim for more devices."""
    return commands.AttachDevices(uuid, requests, revision)


def detach(*numbers: int, revision: int = 2, uuid: str = builders.VM) -> commands.DetachDevices:
    """Return the end of requests."""
    return commands.DetachDevices(uuid, tuple(map(builders.uid, numbers)), revision)


def audit(host: str = "h1", taken_at: int = builders.NOW) -> commands.AuditNode:
    """Return a recount of a host."""
    return commands.AuditNode(builders.uid(500 + int(host[1:])), None, taken_at)


def held(worker: builders.Worker, uuid: str = builders.VM) -> dict[str, tuple[list[str], list[int], bool]]:
    """Return by side the devices, the pinned host CPUs, and whether the devices are only claimed."""
    found = {}
    for holding in worker.store.books[uuid].holdings:
        if holding.place is not None:
            grants = sorted(grant.address for grant in holding.place.grants)
            found[holding.side] = grants, cpus(holding.place), holding.place.claimed
    return found


def cpus(place: records.Place) -> list[int]:
    """Return the host CPUs that a place has pinned."""
    placed = place.topology.cells if place.topology is not None else ()
    return sorted(cpu for cell in placed for cpu in cells.pins(cell))


def kinds(worker: builders.Worker) -> list[tuple[str, str | None]]:
    """Return the kinds of findings with the instances they are about, and forget them."""
    found = [(event.kind, event.instance_uuid) for event in worker.events(events.Found)]
    worker.forget_events()
    return found


def states(worker: builders.Worker, host: str = "h1") -> dict[str, str]:
    """Return the state of every device of a host."""
    ground = ground_of(worker.store, builders.account_of(host))
    found = pci_states.states(ground.hardware.devices, places.granted(ground.places))
    return {address: state.status for address, state in found.items()}


def ground_of(store: unit_of_work.Store, account: str) -> places.Ground:
    """Return what an account has and who has it, from the books alone."""
    seen = histories.loaded(store)
    books = unit_of_work.Books(store, [])
    seen.add_places(books.hardware_of(store.nodes), books.places_on([account]))
    return seen.ground(account)


def check_places(store: unit_of_work.Store, changed: Sequence[str] = ()) -> None:
    """Hold what must be so of every account; ``changed`` are those whose cells changed under their guests."""
    for account in store.accounts:
        ground = ground_of(store, account)
        _check_devices(ground)
        _check_cells(ground, strained=account in changed)
        _check_ledger(store, account, ground)


def _check_devices(ground: places.Ground) -> None:
    held = [grant.address for place in ground.places.values() for grant in place.grants]
    assert len(held) == len(set(held)), "a device has two owners"
    assert not (PF in held and {VF0, VF1} & set(held)), "a PF and one of its functions are held"
    reported = ground.hardware.devices
    found = pci_states.states(reported, places.granted(ground.places))
    pools = [one.address for pool in pci_pools.pools(ground.hardware.stock, found) for one in pool.devices]
    dependent = [
        address for address, state in found.items() if state.status in {pci_states.UNCLAIMABLE, pci_states.UNAVAILABLE}
    ]
    missing = [address for address, state in found.items() if state.missing]
    assert sorted([*pools, *held, *dependent]) == sorted([*(one.address for one in reported), *missing])


def _check_cells(ground: places.Ground, *, strained: bool) -> None:
    pins = [cpu for place in ground.places.values() for cpu in cpus(place)]
    assert len(pins) == len(set(pins)), "a CPU is pinned twice"
    placed = [place.topology for place in ground.places.values() if place.topology is not None]
    usage = cells.used(ground.hardware.cells, placed)
    assert frozenset(pins) <= frozenset[int]().union(*(one.pinned for one in usage.values()))
    if ground.hardware.cells and not strained:
        assert strains.strains(ground.hardware.cells, placed) == ()


def _check_ledger(store: unit_of_work.Store, account: str, ground: places.Ground) -> None:
    for kind in places.KINDS:
        entered = resources.total(one.amounts for one in store.entries if (one.account, one.kind) == (account, kind))
        assert entered == resources.total(places.figures(place)[kind] for place in ground.places.values())


def check_settled(store: unit_of_work.Store) -> None:
    """Hold that who has all it needs gets nothing else when it is worked out anew from the books."""
    seen = histories.loaded(store)
    books = unit_of_work.Books(store, [])
    seen.add_places(books.hardware_of(store.nodes), books.places_on(store.accounts))
    for book in store.books.values():
        on = {holding.account for holding in book.holdings}
        if not any(places.lacking(book, account, seen.ground(account).hardware) for account in on):
            drafted, lacks = seen.draft(book)
            assert drafted.holdings == book.holdings
            assert not any(lacks.values())


def with_place(holding: records.Holding, place: records.Place | None) -> records.Holding:
    """Return a holding with another place."""
    return msgspec.structs.replace(holding, place=place)
