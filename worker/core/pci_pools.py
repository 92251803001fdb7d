"""Pools: the free PCI devices of a node, grouped by what requests can ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from worker.core import pci, pci_states, records

IGNORED = frozenset({"resource_class", "traits", "rp_uuid", "rp_uuids"})
"""Names that are Placement's matter: as tags they split no pool, in a request they exclude none."""

FACTS = frozenset({"vendor_id", "product_id", "numa_node"})
"""Names that a pool tells beside its tags; a tag cannot contradict them."""


class Pool(msgspec.Struct, frozen=True, gc=False):
    """Free devices that are alike: the VFs of one PF, or one other device.

    ``tags`` have besides what was reported ``dev_type``, ``address`` (the parent's, or its own for want of one) and,
    where it can be asked for, ``remote_managed``.
    """

    vendor_id: str
    product_id: str
    numa_node: int | None
    dev_type: str
    tags: Mapping[str, str]
    devices: tuple[records.Device, ...]

    @property
    def count(self) -> int:
        """How many devices are free."""
        return len(self.devices)


class Stock(msgspec.Struct, frozen=True, gc=False):
    """The devices of a report, and the pools that they would be in if all of them were free: worked out once a report."""

    devices: tuple[records.Device, ...] = ()
    groups: tuple[Pool, ...] = ()


def stock(devices: Sequence[records.Device]) -> Stock:
    """Return the devices in groups: those with fewer tags first, so that the plainest devices go first."""
    groups: dict[tuple[object, ...], list[records.Device]] = {}
    for device in devices:
        key = (device.vendor_id, device.product_id, device.numa_node, tuple(sorted(_tags(device).items())))
        groups.setdefault(key, []).append(device)
    found = [_pool(members) for members in groups.values()]
    return Stock(tuple(devices), tuple(sorted(found, key=lambda pool: len(pool.tags))))


def pools(stocked: Stock, states: Mapping[str, pci_states.State]) -> tuple[Pool, ...]:
    """Return the pools of what is free: with fewer tags first, else as reported.

    Functions of a device of which some are held already come before those of a whole one, which is kept whole so.
    """
    found, broken = [], set()
    for group in stocked.groups:
        free = tuple(device for device in group.devices if states[device.address].status == pci_states.AVAILABLE)
        above = pci.parent(group.devices[0])
        if above is not None and len(free) < len(group.devices):
            broken.add(above)
        if free:
            found.append(msgspec.structs.replace(group, devices=free))
    return tuple(sorted(found, key=lambda pool: (len(pool.tags), pci.parent(pool.devices[0]) not in broken)))


def _pool(members: Sequence[records.Device]) -> Pool:
    first = members[0]
    return Pool(first.vendor_id, first.product_id, first.numa_node, first.dev_type, _tags(first), tuple(members))


def _tags(device: records.Device) -> dict[str, str]:
    tags = {name: value for name, value in device.tags.items() if name not in IGNORED and name not in FACTS}
    if device.dev_type == pci.PF or device.dev_type in pci.FUNCTIONS:
        tags.setdefault("remote_managed", "false")
    return tags | {"dev_type": device.dev_type, "address": device.parent_addr or device.address}
