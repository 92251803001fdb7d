"""Nodes with providers below their root, instances that hold something of these, and what must be so of them all."""

from __future__ import annotations

from typing import Any

import msgspec

from tests import builders
from tests.fakes import unit_of_work
from tests.unit.core import histories, place_cases
from worker.core import commands, holdings, names, node_tree, places, providers, records, resources

STANDARD = names.Names(frozenset({"VGPU", "SRIOV_NET_VF"}), frozenset({"HW_NIC_ACCEL_SSL"}))
PCI = node_tree.Rules(standard=STANDARD, pci=True)
GPU_A, GPU_B, NIC, PORT = (builders.uid(number) for number in range(610, 614))


def a_child(uuid: str, name: str, parent: str = builders.uid(501), **inventories: int) -> records.ChildProvider:
    """Return a provider below h1's root, or another ``parent``, with so much of each class."""
    had = {key: records.Inventory(total, max_unit=total) for key, total in inventories.items()}
    return records.ChildProvider(uuid, name, parent, had, ("CUSTOM_CHILD",))


GPUS = (a_child(GPU_A, "gpu_a", VGPU=4), a_child(GPU_B, "gpu_b", VGPU=2))
NICS = (a_child(NIC, "nic"), a_child(PORT, "port", NIC, CUSTOM_BANDWIDTH=1000))
"""A NIC that has nothing itself, with a port below it."""


def a_node(host: str = "h1", revision: int = 1, **changes: Any) -> records.ComputeNode:
    """Return a report of a node with two GPUs and a NIC; of another host than h1 the same with uuids of its own."""
    return place_cases.a_node(host, revision, **{"providers": of_host(host), "pci_devices": (), **changes})


def of_host(host: str, *children: records.ChildProvider) -> tuple[records.ChildProvider, ...]:
    """Return children as a host has them; all that there are if none are given."""
    step = 100 * (int(host[1:]) - 1)

    def own(uuid: str) -> str:
        number = int(uuid[-12:])
        return builders.uid(500 + int(host[1:]) if number == 501 else number + step)

    return tuple(
        msgspec.structs.replace(
            child,
            uuid=own(child.uuid),
            name=f"{host}_{child.name}",
            parent_provider_uuid=own(child.parent_provider_uuid),
        )
        for child in children or (*GPUS, *NICS)
    )


def a_worker(*hosts: str, rules: node_tree.Rules | None = None, policy: str = "all", **changes: Any) -> builders.Worker:
    """Return a worker that knows these hosts."""
    worker = builders.Worker(policy, trees=rules or node_tree.Rules(standard=STANDARD))
    for host in hosts or ("h1",):
        worker.tell(builders.a_report(a_node(host, **changes)))
    return worker


def a_flavor(**amounts: int) -> records.Flavor:
    """Return a flavor that asks for these classes besides the plain ones."""
    specs = {f"resources:{name}": str(amount) for name, amount in amounts.items()}
    return builders.a_flavor("of " + " ".join(sorted(specs)), extra_specs=specs)


def claim(uuid: str = builders.VM, revision: int = 1, **changes: Any) -> commands.ClaimInstance:
    """Return a claim of an instance with one virtual GPU."""
    return commands.ClaimInstance(builders.an_instance(uuid, revision, **{"flavor": a_flavor(VGPU=1), **changes}))


def fact(uuid: str = builders.VM, revision: int = 1, **changes: Any) -> commands.UpdateInstance:
    """Return what an instance with one virtual GPU is."""
    return commands.UpdateInstance(builders.an_instance(uuid, revision, **{"flavor": a_flavor(VGPU=1), **changes}))


def shares(worker: builders.Worker, uuid: str = builders.VM) -> dict[str, dict[str, resources.Amounts]]:
    """Return side -> child -> amounts of what an instance holds below the roots."""
    book = worker.store.books[uuid]
    return {one.side: found for one in book.holdings if (found := holdings.on_children(one))}


def views(worker: builders.Worker, host: str = "h1") -> dict[str, providers.View]:
    """Return the providers of a host by name."""
    seen = histories.loaded(worker.store)
    account = builders.account_of(host)
    speaker = seen.speaker(account)
    if speaker is None:
        return {}
    there = histories.places_on(worker.store, account)
    return {view.name: view for view in providers.views(speaker, seen.accounts[account], there)}


def used(worker: builders.Worker, host: str = "h1") -> dict[str, dict[str, int]]:
    """Return what is used of each provider below a host's root, by name; of those that nothing is used of nothing."""
    return {name: dict(view.used) for name, view in views(worker, host).items() if view.parent_uuid and view.used}


def check_trees(store: unit_of_work.Store) -> None:
    """Hold what must be so of every tree, and that who hears the notifications knows all of it."""
    seen = histories.loaded(store)
    for key, account in seen.accounts.items():
        there = [share for place in histories.places_on(store, key) for share in place.shares]
        entered = resources.total(
            one.amounts for one in store.entries if (one.account, one.kind) == (key, places.SHARE)
        )
        assert entered == resources.total({f"{one.provider_uuid}:{one.resource_class}": one.amount} for one in there)
        speaker = seen.speaker(key)
        if speaker is None:
            assert not there
            continue
        found = {view.uuid: view for view in providers.views(speaker, account, histories.places_on(store, key))}
        _check_sums(account, found, there)
        _check_parents(found, speaker.uuid)
        for book in store.books.values():
            for holding in book.holdings:
                if holding.account == key:
                    _check_holding(holding)
    histories.check_sequences(store)
    histories.check_hearer(store)


def _check_sums(account: records.Account, found: dict[str, providers.View], there: list[records.Share]) -> None:
    for figure in ("used", "settled"):
        counted = [share for share in there if figure == "used" or share.settled]
        devices = resources.total({one.resource_class: one.amount} for one in counted if one.device is not None)
        whole = resources.total(getattr(view, figure) for view in found.values())
        assert whole == resources.add(getattr(account, figure), devices), figure
        for view in found.values():
            if view.parent_uuid is not None:
                own = [share for share in counted if share.provider_uuid == view.uuid]
                assert getattr(view, figure) == resources.total({one.resource_class: one.amount} for one in own)
            assert all(amount > 0 for amount in getattr(view, figure).values())


def _check_parents(found: dict[str, providers.View], root: str) -> None:
    known: set[str] = set()
    for uuid, view in found.items():
        assert (view.parent_uuid is None) == (uuid == root)
        assert view.parent_uuid is None or view.parent_uuid in known, "a parent comes after its child, or never"
        known.add(uuid)


def _check_holding(holding: records.Holding) -> None:
    place = holding.place or places.NOTHING
    own = [share for share in place.shares if share.device is None]
    assert len({share.resource_class for share in own}) == len(own), "a class is on two children"
    assert all(share.amount == holding.amounts[share.resource_class] for share in own)
    assert all(share.settled == holding.settled for share in place.shares)
    assert {share.device for share in place.shares} <= {None, *(grant.address for grant in place.grants)}
