"""Nodes with trees as a party writes them that has none of our code: GPUs, a NIC with a port, PCI devices."""

from __future__ import annotations

import uuid
from typing import Any

from tests import plain

GPU_A, GPU_B, NIC, PORT = range(610, 614)
VF_CLASS, CARD_CLASS = "CUSTOM_PCI_8086_154C", "CUSTOM_PCI_10DE_1DB6"
CARD, PF = "0000:02:00.0", "0000:01:00.0"
VFS = ("0000:01:02.0", "0000:01:02.1")
GOLD = """\
meta: {schema_version: "1.0"}
providers:
  - identification: {uuid: $COMPUTE_NODE}
    inventories: {additional: [CUSTOM_GOLD: {total: 3}]}
    traits: {additional: [CUSTOM_FAST]}
"""


def child_uuid(child: int, node: int = 1) -> str:
    """Return the uuid of a child of a node."""
    return plain.uid(600_000 + 1000 * node + child)


def device_provider(address: str, node: int = 1) -> str:
    """Return the uuid of the provider of a device."""
    return str(uuid.uuid5(uuid.UUID(plain.node_uuid(node)), address))


def inventory(total: int) -> plain.Primitive:
    """Return an inventory of so much."""
    values = {"total": total, "reserved": 0, "min_unit": 1, "max_unit": total, "step_size": 1, "allocation_ratio": 1.0}
    return plain.primitive("Inventory", values)


def child(number: int, node: int = 1, parent: int | None = None, **classes: int) -> plain.Primitive:
    """Return a child of a node, or of one of its children."""
    values = {
        "uuid": child_uuid(number, node), "name": f"{plain.host(node)}_{number}",
        "parent_provider_uuid": plain.node_uuid(node) if parent is None else child_uuid(parent, node),
        "inventories": {name: inventory(total) for name, total in classes.items()}, "traits": ["CUSTOM_CHILD"],
    }  # fmt: skip
    return plain.primitive("ResourceProvider", values)


def children(node: int = 1, *left_out: int) -> list[plain.Primitive]:
    """Return two GPUs and a NIC with a port, less those that are left out."""
    found = {
        GPU_A: child(GPU_A, node, VGPU=4),
        GPU_B: child(GPU_B, node, VGPU=2),
        NIC: child(NIC, node),
        PORT: child(PORT, node, NIC, CUSTOM_BANDWIDTH=1000),
    }
    return [one for number, one in found.items() if number not in left_out]


def devices(*left_out: str) -> list[plain.Primitive]:
    """Return a card and two virtual functions, less those that are left out."""
    values: list[dict[str, Any]] = [
        {"address": CARD, "vendor_id": "10de", "product_id": "1db6", "dev_type": "type-PCI", "parent_addr": None},
        *({"address": one, "vendor_id": "8086", "product_id": "154c", "dev_type": "type-VF", "parent_addr": PF} for one in VFS),
    ]  # fmt: skip
    rest = {"numa_node": None, "label": None, "tags": {"traits": "blue"}}
    return [plain.primitive("PciDevice", one | rest) for one in values if one["address"] not in left_out]


def node(number: int = 1, revision: int = 1, **changes: Any) -> plain.Primitive:
    """Return the report of a node with all of it."""
    return plain.node(number, revision, **{"providers": children(number), "pci_devices": devices(), **changes})


def gpu_flavor(amount: int = 1) -> plain.Primitive:
    """Return a flavor with so many virtual GPUs."""
    return plain.flavor(f"gpu-{amount}", extra_specs={"resources:VGPU": str(amount)})


def request(number: int, vendor_id: str) -> plain.Primitive:
    """Return a request for one device of a vendor."""
    made = plain.request(number)
    plain.data(made)["spec"] = [{"vendor_id": vendor_id}]
    return made
