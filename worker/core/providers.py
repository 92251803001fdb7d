"""From a node's account to its resource provider: inventories, traits, usages, and the difference of two states."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from worker.core import records, resources

CPU_RATIO = 4.0
RAM_RATIO = 1.0
DISK_RATIO = 1.0
MIB_PER_GIB = 1024
ALWAYS = ("COMPUTE_NODE", "OWNER_NOVA")
DISABLED = "COMPUTE_STATUS_DISABLED"


class View(msgspec.Struct, frozen=True, gc=False):
    """What the world outside sees of one node's root provider."""

    name: str
    inventories: Mapping[str, records.Inventory]
    traits: tuple[str, ...]
    used: resources.Amounts
    settled: resources.Amounts


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


def view(node: records.Node, account: records.Account | None) -> View | None:
    """Return the root provider of a node that speaks for the account, or None while there is none.

    There is one while the node is reported, and after its removal as long as something is held there.
    """
    if account is None or node.capacity is None or not (node.live or account.used):
        return None
    inventories = node.capacity.inventories if node.live else {}
    return View(str(account.pair.node), inventories, traits(node), account.used, account.settled)


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
