"""What is given out one by one, as the fields of usage objects: cells, pools, devices, and where a guest is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from worker.core import cells, pci, pci_pools, pci_states, places, records

Places = Mapping[places.Key, records.Place]


class DeviceRow(msgspec.Struct, frozen=True):
    """A device of a node with its state; ``request_id`` and ``owner`` of one that is held."""

    address: str
    vendor_id: str
    product_id: str
    dev_type: str
    numa_node: int | None
    parent_addr: str | None
    status: str
    missing: bool
    owner: str | None
    request_id: str | None

    @property
    def part_of(self) -> str | None:
        """The address of the device that this one is a function of, or None."""
        return self.parent_addr if self.dev_type in pci.FUNCTIONS else None

    def is_relative(self, other: DeviceRow) -> bool:
        """Whether one of the two is a function of the other."""
        return self.part_of == other.address or other.part_of == self.address


def host_cells(hosts: tuple[records.HostCell, ...], held: Places) -> dict[str, Any]:
    """Return the fields of a NUMATopologyUsage."""
    used = cells.used(hosts, [place.topology for place in held.values() if place.topology is not None])
    return {"cells": [_host_cell(cell, used[cell.id]) for cell in hosts]}


def _host_cell(cell: records.HostCell, used: cells.CellUsage) -> dict[str, Any]:
    return {
        "id": cell.id,
        "cpuset": sorted(cell.cpuset),
        "pcpuset": sorted(cell.pcpuset),
        "memory": cell.memory,
        "siblings": [sorted(threads) for threads in cell.siblings],
        "mempages": [
            {
                "size_kb": one.size_kb,
                "total": one.total,
                "reserved": one.reserved,
                "used": used.pages.get(one.size_kb, 0),
            }
            for one in cell.mempages
        ],
        "socket": cell.socket,
        "physnets": sorted(cell.physnets),
        "tunneled": cell.tunneled,
        "cpu_usage": used.cpu_usage,
        "memory_usage": used.memory_usage,
        "pinned_cpus": sorted(used.pinned),
    }


def pools(devices: tuple[records.Device, ...], held: Places) -> list[dict[str, Any]]:
    """Return the fields of a node's PciDevicePools."""
    states = pci_states.states(devices, places.granted(held))
    return [
        {
            "vendor_id": pool.vendor_id,
            "product_id": pool.product_id,
            "numa_node": pool.numa_node,
            "tags": dict(pool.tags),
            "count": pool.count,
        }
        for pool in pci_pools.pools(pci_pools.stock(devices), states)
    ]


def devices(reported: tuple[records.Device, ...], held: Places) -> Iterator[DeviceRow]:
    """Yield every device of a node, in the report's order; those that are held and no longer reported come last."""
    grants = places.granted(held)
    known: dict[str, records.Device | records.Grant] = {address: grant for address, (grant, _) in grants.items()}
    known |= {device.address: device for device in reported}
    for address, state in pci_states.states(reported, grants).items():
        of = known[address]
        yield DeviceRow(
            address=address,
            vendor_id=of.vendor_id,
            product_id=of.product_id,
            dev_type=of.dev_type,
            numa_node=of.numa_node,
            parent_addr=of.parent_addr,
            status=state.status,
            missing=state.missing,
            owner=state.owner.instance_uuid if state.owner is not None else None,
            request_id=state.owner.request_id if state.owner is not None else None,
        )


def grants(place: records.Place | None, node_uuid: str) -> list[dict[str, Any]]:
    """Return the fields of the PciDeviceUsages of a place."""
    return [
        {
            "node_uuid": node_uuid,
            "address": grant.address,
            "vendor_id": grant.vendor_id,
            "product_id": grant.product_id,
            "dev_type": grant.dev_type,
            "numa_node": grant.numa_node,
            "request_id": grant.request_id,
        }
        for grant in (place.grants if place is not None else ())
    ]
