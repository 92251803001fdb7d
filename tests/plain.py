"""The objects on the wire as a party writes them that has none of our code: plain dictionaries (contract, section 2).

``uid(7)`` is a uuid that ends in 7; node number 1 is ``compute-1``, and instance number 1 is on it unless told otherwise.
"""

from __future__ import annotations

from typing import Any

Primitive = dict[str, Any]


def uid(number: int) -> str:
    """Return a uuid that is easy to tell apart."""
    return f"00000000-0000-4000-8000-{number:012d}"


def node_uuid(number: int = 1) -> str:
    """Return the uuid of a node."""
    return uid(500_000 + number)


def host(number: int = 1) -> str:
    """Return the name of a host, which is its hypervisor's, too."""
    return f"compute-{number}"


def primitive(name: str, data: Primitive) -> Primitive:
    """Return an object of that name."""
    return {
        "stocktake_object.name": name,
        "stocktake_object.namespace": "stocktake",
        "stocktake_object.version": "1.0",
        "stocktake_object.data": data,
        "stocktake_object.changes": sorted(data),
    }


def data(of: Primitive) -> Any:
    """Return the fields of an object."""
    return of["stocktake_object.data"]


def flavor(flavorid: str = "small", **changes: Any) -> Primitive:
    """Return a flavor: 1 CPU, 512 MiB, 10 GiB; ``big`` is twice as much."""
    times = 2 if flavorid == "big" else 1
    values = {
        "flavorid": flavorid, "name": flavorid, "vcpus": times, "memory_mb": 512 * times, "root_gb": 10 * times,
        "ephemeral_gb": 0, "swap": 0, "extra_specs": {},
    }  # fmt: skip
    return primitive("Flavor", values | changes)


def node(number: int = 1, revision: int = 1, **changes: Any) -> Primitive:
    """Return a report: 8 CPUs, 16 GiB, 100 GiB, ratios 1, 512 MiB of it reserved."""
    values = {
        "uuid": node_uuid(number), "host": host(number), "hypervisor_hostname": host(number), "revision": revision,
        "vcpus": 8, "memory_mb": 16384, "local_gb": 100,
        "reserved_host_cpus": 0, "reserved_host_memory_mb": 512, "reserved_host_disk_mb": 0,
        "cpu_allocation_ratio": 1.0, "ram_allocation_ratio": 1.0, "disk_allocation_ratio": 1.0,
        "hypervisor_type": "QEMU", "hypervisor_version": 8002000, "host_ip": "192.0.2.1", "disabled": False,
        "numa_topology": None, "pci_devices": [], "inventories": {}, "traits": [], "stats": {}, "providers": [],
    }  # fmt: skip
    return primitive("ComputeNode", values | changes)


def instance(number: int = 1, revision: int = 1, on: int | None = 1, **changes: Any) -> Primitive:
    """Return an active instance of the small flavor on a node; ``on=None`` is on no node."""
    name = None if on is None else host(on)
    values = {
        "uuid": uid(number), "revision": revision, "project_id": "p1", "user_id": "u1", "display_name": f"vm-{number}",
        "host": name, "node": name, "vm_state": "active", "task_state": None, "os_type": "linux",
        "flavor": flavor(), "volume_backed": False, "numa_topology": None, "pci_requests": [], "resources": {},
    }  # fmt: skip
    return primitive("Instance", values | changes)


def migration(number: int = 1, revision: int = 1, status: str = "migrating", **changes: Any) -> Primitive:
    """Return a resize of instance 1 from node 1 to node 2, small to big."""
    values = {
        "uuid": uid(900_000 + number), "revision": revision, "instance_uuid": uid(1), "migration_type": "resize",
        "status": status, "created_at": "2026-01-02T03:04:05.000000+00:00",
        "source_compute": host(1), "source_node": host(1), "dest_compute": host(2), "dest_node": host(2),
        "old_flavor": flavor(), "new_flavor": flavor("big"), "new_numa_topology": None, "new_pci_requests": None,
    }  # fmt: skip
    return primitive("Migration", values | changes)


def request(number: int = 1) -> Primitive:
    """Return a request for one device of Intel's."""
    values = {
        "request_id": uid(800_000 + number), "count": 1, "spec": [{"vendor_id": "8086"}], "alias_name": None,
        "numa_policy": None, "requester_id": None,
    }  # fmt: skip
    return primitive("InstancePCIRequest", values)


def limits(cpu: float | None = None, ram: float | None = None) -> Primitive:
    """Return limits; null is no limit."""
    return primitive("Limits", {"cpu_allocation_ratio": cpu, "ram_allocation_ratio": ram})


SMALL = {"VCPU": 1, "MEMORY_MB": 512, "DISK_GB": 10}
BIG = {"VCPU": 2, "MEMORY_MB": 1024, "DISK_GB": 20}
