"""From a node's account to its resource provider: inventories, traits, usages, and the difference of two states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from worker.core import records, resources

CPU_RATIO = 4.0
RAM_RATIO = 1.0
DISK_RATIO = 1.0
MIB_PER_GIB = 1024
ALWAYS = ("COMPUTE_NODE", "OWNER_NOVA")
DISABLED = "COMPUTE_STATUS_DISABLED"


class View(msgspec.Struct, frozen=True, gc=False):
    """What the world outside sees of one provider of a node; without ``parent_uuid`` it is the root."""

    name: str
    inventories: Mapping[str, records.Inventory]
    traits: tuple[str, ...]
    used: resources.Amounts
    settled: resources.Amounts
    uuid: str = ""
    parent_uuid: str | None = None


def capacity(report: records.ComputeNode) -> records.Capacity:
    """Return what the hot path needs of a report: totals, reserved amounts and inventories by the standard formula.

    An inventory that the report gives itself takes the place of the standard one, in every figure.
    """
    standard = _standard(report)
    inventories = {name: one for name, one in standard.items() if one.total > 0} | dict(report.inventories)
    figures = standard | dict(report.inventories)
    return records.Capacity(
        vcpus=figures[resources.VCPU].total,
        memory_mb=figures[resources.MEMORY_MB].total,
        local_gb=figures[resources.DISK_GB].total,
        inventories=inventories,
        reserved={name: one.reserved for name, one in figures.items() if one.reserved},
        traits=report.traits,
        stats=report.stats,
    )


def _standard(report: records.ComputeNode) -> dict[str, records.Inventory]:
    cells = report.numa_topology or ()
    dedicated = len(frozenset().union(*(cell.pcpuset for cell in cells)))
    reserved_gb = -(-report.reserved_host_disk_mb // MIB_PER_GIB)
    standard = (
        (resources.VCPU, report.vcpus, report.reserved_host_cpus, report.cpu_allocation_ratio or CPU_RATIO),
        (resources.PCPU, dedicated, 0, 1.0),
        (resources.MEMORY_MB, report.memory_mb, report.reserved_host_memory_mb,
         report.ram_allocation_ratio or RAM_RATIO),
        (resources.DISK_GB, report.local_gb, reserved_gb, report.disk_allocation_ratio or DISK_RATIO),
    )  # fmt: skip
    return {
        name: records.Inventory(total, reserved, max_unit=total, allocation_ratio=ratio)
        for name, total, reserved, ratio in standard
    }


def reserved(node: records.Node | None) -> resources.Amounts:
    """Return what the host keeps for itself, by class; also of a class of which it has nothing to give."""
    if node is None or node.capacity is None or not node.live:
        return resources.NOTHING
    return node.capacity.reserved


def totals(node: records.Node | None) -> resources.Amounts:
    """Return what the node has, by class."""
    if node is None or node.capacity is None or not node.live:
        return resources.NOTHING
    return {name: inventory.total for name, inventory in node.capacity.inventories.items() if inventory.total}


def views(node: records.Node, account: records.Account | None, there: Iterable[records.Place] = ()) -> tuple[View, ...]:
    """Return the providers of a node that speaks for the account, parents first: the root, then what is below it.

    There are some while the node is reported, and after its removal as long as something is held there: the root, and
    those children on or below which something is. So are those that the newest report lacks. ``there`` are the places
    on the account.
    """
    if account is None or node.capacity is None:
        return ()
    found = [share for place in there for share in place.shares]
    if not (node.live or account.used or found):
        return ()
    inventories = node.capacity.inventories if node.live else {}
    used, settled = account.used, account.settled
    if found:
        away = [share for share in found if share.device is None]
        used = resources.subtract(used, _sum(away))
        settled = resources.subtract(settled, _sum(share for share in away if share.settled))
    root = View(account.pair.node, inventories, traits(node), used, settled, node.uuid)
    if not node.capacity.children:
        return (root,)
    return (root, *_below(node, node.capacity.children, found))


def _below(node: records.Node, children: Sequence[records.Child], found: Sequence[records.Share]) -> Iterator[View]:
    """Yield the children that are there, parents first."""
    held: dict[str, list[records.Share]] = {}
    for share in found:
        held.setdefault(share.provider_uuid, []).append(share)
    needed: set[str] = set()
    for child in reversed(children):
        if child.uuid in held or child.uuid in needed or (node.live and not child.gone):
            needed |= {child.uuid, child.parent_uuid}
    for child in children:
        if child.uuid in needed:
            own = held.get(child.uuid, [])
            yield View(
                child.name,
                child.inventories if node.live else {},
                child.traits,
                _sum(own),
                _sum(share for share in own if share.settled),
                child.uuid,
                child.parent_uuid,
            )


def _sum(found: Iterable[records.Share]) -> resources.Amounts:
    return resources.total({share.resource_class: share.amount} for share in found)


def _inventories(known: records.Capacity) -> Iterator[Mapping[str, records.Inventory]]:
    yield known.inventories
    for child in known.children:
        yield child.inventories


def over_the_tree(
    node: records.Node | None, account: records.Account, there: Iterable[records.Place]
) -> tuple[dict[str, int], resources.Amounts, resources.Amounts]:
    """Return capacity, used and settled of every class, summed over all providers of a node."""
    capacities: dict[str, int] = {}
    known = node.capacity if node is not None and node.live else None
    for inventories in _inventories(known) if known is not None else ():
        for name, inventory in inventories.items():
            capacities[name] = capacities.get(name, 0) + inventory.capacity
    devices = [share for place in there for share in place.shares if share.device is not None]
    used = resources.add(account.used, _sum(devices))
    return capacities, used, resources.add(account.settled, _sum(share for share in devices if share.settled))


def traits(node: records.Node) -> tuple[str, ...]:
    """Return the traits of the root provider, sorted."""
    reported = node.capacity.traits if node.capacity is not None else ()
    status = (DISABLED,) if node.disabled else ()
    return tuple(sorted({*reported, *ALWAYS, *status}))


def usages(seen: View) -> dict[str, dict[str, int]]:
    """Return used, settled and in_move for each class that the provider has or that is held there."""
    return {
        name: {
            "used": seen.used.get(name, 0),
            "settled": seen.settled.get(name, 0),
            "in_move": seen.used.get(name, 0) - seen.settled.get(name, 0),
        }
        for name in sorted({*seen.inventories, *seen.used})
    }
