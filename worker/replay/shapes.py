"""What a scenario says of nodes and flavors, as the objects that a conductor sends."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping
from typing import Any

from objects import claims, compute_nodes, flavors, numa, pci
from worker.core import usage

NAMESPACE = uuid.UUID("6c1d4a0e-54c3-5b7e-9d55-3a1f0f2f6a10")
KIB_PER_MIB = 1024
SMALLEST_PAGE_KB = 4
_PAGE_WORDS = {"small": -1, "large": -2, "any": -3}
_UNPLACED = -1
_PINNING = ("dedicated", "mixed")


def instance_uuid(label: str) -> str:
    """Return the uuid of an instance by its label; a uuid is its own."""
    return _own(label) or str(uuid.uuid5(NAMESPACE, f"instance:{label}"))


def node_uuid(name: str) -> str:
    """Return the uuid of a node whose reports give none."""
    return str(uuid.uuid5(NAMESPACE, f"node:{name}"))


def _own(label: str) -> str | None:
    try:
        return str(uuid.UUID(label)) if len(label) == 36 else None
    except ValueError:
        return None


@dataclasses.dataclass(frozen=True, slots=True)
class Size:
    """A flavor as a scenario gives it, and what its device requests are told apart by."""

    flavor: Mapping[str, Any]
    seed: str

    @property
    def id(self) -> str:
        """The id of the flavor."""
        return str(self.flavor["id"])

    def flavor_object(self) -> flavors.Flavor:
        """Return the flavor."""
        said = self.flavor
        return flavors.Flavor(
            flavorid=said["id"],
            name=said["id"],
            vcpus=said["vcpus"],
            memory_mb=said["memory_mb"],
            root_gb=said["root_gb"],
            ephemeral_gb=said.get("ephemeral_gb", 0),
            swap=said.get("swap_mb", 0),
            extra_specs=_extra_specs(said.get("numa") or {}),
        )

    def topology(self) -> numa.InstanceNUMATopology | None:
        """Return the NUMA topology that the flavor gives an instance, if any."""
        said = self.flavor.get("numa") or {}
        wanted = said.get("nodes") or said.get("cells") or said.get("page_size") or said.get("cpu_policy") in _PINNING
        if not wanted:
            return None
        dedicated = _dedicated(self.flavor["vcpus"], said)
        cells = said.get("cells") or _even_cells(self.flavor, said.get("nodes") or 1)
        return numa.InstanceNUMATopology(
            cells=[_guest_cell(cell, dedicated, said) for cell in cells], emulator_threads_policy=None
        )

    def requests(self) -> list[pci.InstancePCIRequest]:
        """Return the requests for devices."""
        return [
            pci.InstancePCIRequest(
                request_id=str(uuid.uuid5(NAMESPACE, f"request:{self.seed}:{number}")),
                count=one["count"],
                spec=one["spec"],
                alias_name=f"{self.id}-{number}",
                numa_policy=one.get("numa_policy"),
                requester_id=None,
            )
            for number, one in enumerate(self.flavor.get("pci_requests") or [])
        ]


def _extra_specs(said: Mapping[str, Any]) -> dict[str, str]:
    specs = {
        "hw:numa_nodes": said.get("nodes"),
        "hw:cpu_policy": said.get("cpu_policy"),
        "hw:cpu_thread_policy": said.get("cpu_thread_policy"),
        "hw:mem_page_size": said.get("page_size"),
        "hw:cpu_dedicated_mask": said.get("dedicated_cpus"),
    }
    for number, cell in enumerate(said.get("cells") or []):
        specs[f"hw:numa_cpus.{number}"] = ",".join(map(str, cell["cpus"]))
        specs[f"hw:numa_mem.{number}"] = cell["memory_mb"]
    return {name: str(value) for name, value in specs.items() if value is not None}


def _dedicated(vcpus: int, said: Mapping[str, Any]) -> frozenset[int]:
    if said.get("cpu_policy") == "dedicated":
        return frozenset(range(vcpus))
    if said.get("cpu_policy") == "mixed":
        return usage.cpu_list(said.get("dedicated_cpus") or "", vcpus)
    return frozenset()


def _even_cells(flavor: Mapping[str, Any], nodes: int) -> list[dict[str, Any]]:
    cpus, memory_mb = flavor["vcpus"] // nodes, flavor["memory_mb"] // nodes
    return [{"cpus": list(range(cpus * at, cpus * (at + 1))), "memory_mb": memory_mb} for at in range(nodes)]


def _guest_cell(cell: Mapping[str, Any], dedicated: frozenset[int], said: Mapping[str, Any]) -> numa.InstanceNUMACell:
    cpus, page_size = set(cell["cpus"]), said.get("page_size")
    return numa.InstanceNUMACell(
        id=_UNPLACED,
        cpuset=cpus - dedicated,
        pcpuset=cpus & dedicated,
        memory=cell["memory_mb"],
        pagesize=_PAGE_WORDS.get(page_size, page_size) if page_size is not None else None,
        cpu_policy=said.get("cpu_policy"),
        cpu_thread_policy=said.get("cpu_thread_policy"),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """The part of a report that is the configuration of the service."""

    reserved: Mapping[str, int] = dataclasses.field(default_factory=dict)
    ratios: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    device_spec: tuple[Mapping[str, str], ...] = ()


def settings(keys: Mapping[str, Any]) -> Settings | None:
    """Return what a report says of the configuration: all of it as soon as it says something, else None."""
    if not {"reserved", "allocation_ratio", "pci_device_spec"} & keys.keys():
        return None
    return Settings(keys.get("reserved", {}), keys.get("allocation_ratio", {}), tuple(keys.get("pci_device_spec", ())))


def compute_node(names: Mapping[str, Any], said: Mapping[str, Any], configured: Settings) -> compute_nodes.ComputeNode:
    """Return a report; ``names`` are uuid, host, hypervisor_hostname and revision, ``said`` the keys of the operation."""
    has, reserved, ratios = said["resources"], configured.reserved, configured.ratios
    return compute_nodes.ComputeNode(
        **names,
        vcpus=has["vcpus"],
        memory_mb=has["memory_mb"],
        local_gb=has["local_gb"],
        reserved_host_cpus=reserved.get("vcpus", 0),
        reserved_host_memory_mb=reserved.get("memory_mb", 0),
        reserved_host_disk_mb=reserved.get("disk_mb", 0),
        cpu_allocation_ratio=ratios.get("vcpus"),
        ram_allocation_ratio=ratios.get("memory_mb"),
        disk_allocation_ratio=ratios.get("disk"),
        hypervisor_type=None,
        hypervisor_version=None,
        host_ip=None,
        disabled=False,
        numa_topology=_host_topology(said.get("numa_cells") or []),
        pci_devices=[_device(one) for one in said.get("pci_devices") or [] if _allowed(one, configured.device_spec)],
        inventories={},
        traits=[],
        stats={},
        providers=[],
    )


def _host_topology(cells: list[Any]) -> numa.NUMATopology | None:
    return numa.NUMATopology(cells=[_host_cell(cell) for cell in cells]) if cells else None


def _host_cell(cell: Mapping[str, Any]) -> numa.NUMACell:
    cpus, pcpus, memory_mb = set(cell.get("cpus", ())), set(cell.get("pcpus", ())), cell["memory_mb"]
    plain = [{"size_kb": SMALLEST_PAGE_KB, "total": memory_mb * KIB_PER_MIB // SMALLEST_PAGE_KB}]
    return numa.NUMACell(
        id=cell["id"],
        cpuset=cpus,
        pcpuset=pcpus,
        memory=memory_mb,
        siblings=[set(one) for one in cell.get("siblings") or [[cpu] for cpu in sorted(cpus | pcpus)]],
        mempages=[
            numa.NUMAPagesTopology(size_kb=one["size_kb"], total=one["total"], reserved=one.get("reserved", 0))
            for one in cell.get("pages") or plain
        ],
        socket=None,
        physnets=set(),
        tunneled=False,
    )


def _allowed(device: Mapping[str, Any], spec: tuple[Mapping[str, str], ...]) -> bool:
    return any(all(device.get(key) == value for key, value in entry.items()) for entry in spec)


def _device(said: Mapping[str, Any]) -> pci.PciDevice:
    return pci.PciDevice(
        address=said["address"],
        vendor_id=said["vendor_id"],
        product_id=said["product_id"],
        dev_type=said["dev_type"],
        parent_addr=said.get("parent_addr"),
        numa_node=said.get("numa_node"),
        label=None,
        tags={},
    )


def limits(keys: Mapping[str, Any]) -> claims.Limits | None:
    """Return the limits of a claim: None, the node's own ratios, when none are given; null is no limit."""
    if "limits" not in keys:
        return None
    said = keys["limits"] or {}
    return claims.Limits(
        cpu_allocation_ratio=said.get("cpu_allocation_ratio"), ram_allocation_ratio=said.get("ram_allocation_ratio")
    )
