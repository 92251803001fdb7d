"""One realistic value for every field: what the samples beside the schemas are made of."""

from __future__ import annotations

from typing import Any

from oslo_versionedobjects import base as ovo

from objects import containers, fields

_NODE = "0f3a1c9e-6d0b-4a57-9d0c-2b7f1f6f9a01"
_INSTANCE = "5b8c7a44-12de-4d0f-8a39-6f1f0c2d7e02"
_MIGRATION = "c2a94c1b-7e35-4f6a-b1d4-93a5e8d0b703"
_REQUEST = "7d1e5f60-3c2b-4b8e-9f14-08c6a2e4d904"
_EVENT = "e4f0b2d8-95a1-4c3d-8e67-1a2b3c4d5e05"
_CHILD = "a91d3e57-0b6c-4f82-97d5-4c8e1f2a3b06"
_HELD = {"VCPU": 4, "MEMORY_MB": 8192, "DISK_GB": 41}

# By "Class.field", or by the name of the field alone.
_VALUES: dict[str, Any] = {
    "Inventory.reserved": 0,
    "ResourceProvider.name": "compute-7_fpga_0",
    "ResourceProvider.uuid": _CHILD,
    "ResourceProvider.parent_provider_uuid": _NODE,
    "ResourceProviderPayload.parent_provider_uuid": None,
    "ResourceProviderPayload.uuid": _NODE,
    "ResourceProviderPayload.name": "compute-7.example.org",
    "ResourceProviderPayload.usages": {
        "VCPU": {"used": 12, "settled": 8, "in_move": 4},
        "MEMORY_MB": {"used": 24576, "settled": 16384, "in_move": 8192},
        "DISK_GB": {"used": 123, "settled": 82, "in_move": 41},
    },
    "Flavor.name": "m1.large",
    "ComputeNode.stats": {"num_vm_active": "2"},
    "ComputeNode.uuid": _NODE,
    "NodeUsage.uuid": _NODE,
    "Instance.uuid": _INSTANCE,
    "InstanceUsage.uuid": _INSTANCE,
    "InstanceUsage.allocations": {_NODE: {name: {"amount": n, "settled": n} for name, n in _HELD.items()}},
    "Migration.uuid": _MIGRATION,
    "MigrationUsage.uuid": _MIGRATION,
    "PciDevice.tags": {"physical_network": "physnet1", "trusted": "true"},
    "PciDevicePool.tags": {"dev_type": "type-VF", "physical_network": "physnet1"},
    "NUMAPagesTopology.total": 2048,
    "NUMAPagesUsage.total": 2048,
    "NUMAPagesTopology.reserved": 64,
    "NUMAPagesUsage.reserved": 64,
    "InstanceNUMACell.cpuset": [],
    "InstanceNUMACellUsage.cpuset": [],
    "InstanceNUMACell.pcpuset": [0, 1, 2, 3],
    "InstanceNUMACellUsage.pcpuset": [0, 1, 2, 3],
    "InstanceNUMACell.memory": 8192,
    "InstanceNUMACellUsage.memory": 8192,
    "ClaimPayload.reason": None,
    "ClaimPayload.method": "claim_migration",
    "ParkedPayload.method": "update_instance",
    "ParkedPayload.message_id": "9c1f0d6be5a84c5f8d9f0e7a6b5c4d06",
    "ParkedPayload.reason": "args.instance.flavor.vcpus: must be an integer from 0 to 2147483647, not -1",
    "address": "0000:81:00.2",
    "alias_name": "nic",
    "allocation_ratio": 4.0,
    "allocations": {_NODE: _HELD},
    "attempts": 1,
    "consumer_generation": 2,
    "consumer_type": "INSTANCE",
    "consumer_uuid": _INSTANCE,
    "count": 1,
    "cpu_allocation_ratio": 4.0,
    "cpu_pinning": {"0": 4, "1": 5, "2": 6, "3": 7},
    "cpu_policy": "dedicated",
    "cpu_thread_policy": "prefer",
    "cpu_usage": 4,
    "cpuset": [0, 1, 2, 3],
    "cpuset_reserved": [],
    "created_at": "2026-03-14T09:26:53.589793+00:00",
    "current_workload": 1,
    "delta": {"VCPU": 4, "MEMORY_MB": 8192, "DISK_GB": 41},
    "dest_compute": "compute-7",
    "dest_node": "compute-7.example.org",
    "destination_allocations": {_NODE: _HELD},
    "detail": {"class": "VCPU", "recorded": "12", "recounted": "8"},
    "dev_type": "type-VF",
    "disabled": False,
    "disk_allocation_ratio": 1.0,
    "display_name": "web-1",
    "effective_at": "2026-03-14T09:26:54.120000+00:00",
    "emitted_at": "2026-03-14T09:26:54.180000+00:00",
    "emulator_threads_policy": "share",
    "ephemeral_gb": 0,
    "event_id": _EVENT,
    "extra_specs": {"hw:cpu_policy": "dedicated"},
    "field": "args.instance.flavor.vcpus",
    "flavorid": "4",
    "free_disk_gb": 877,
    "free_ram_mb": 40448,
    "generation": 17,
    "global_request_id": "req-3f8e2d1c-0b9a-4876-a5b4-c3d2e1f0a908",
    "host": "compute-7",
    "host_ip": "192.0.2.7",
    "hypervisor_hostname": "compute-7.example.org",
    "hypervisor_type": "QEMU",
    "hypervisor_version": 8002002,
    "id": 0,
    "instance_uuid": _INSTANCE,
    "kind": "recount_differs",
    "label": "ens3f0v2",
    "local_gb": 1000,
    "local_gb_used": 123,
    "max_unit": 16,
    "memory": 32768,
    "memory_mb": 65536,
    "memory_mb_used": 25088,
    "memory_usage": 8192,
    "message_id": "4d7a1b2c3e5f60718293a4b5c6d7e8f9",
    "method": "update_instance",
    "migration_type": "live-migration",
    "migration_uuid": _MIGRATION,
    "min_unit": 1,
    "name": "m1.large",
    "node": "compute-7.example.org",
    "node_uuid": _NODE,
    "numa_node": 0,
    "numa_policy": "preferred",
    "os_type": "linux",
    "outcome": "accepted",
    "overdue": False,
    "pagesize": 2048,
    "parent_addr": "0000:81:00.0",
    "parked_at": "2026-03-14T09:27:01.000000+00:00",
    "pcpuset": [4, 5, 6, 7],
    "physnets": ["physnet1"],
    "pinned_cpus": [4, 5, 6, 7],
    "product_id": "154c",
    "project_id": "1c9a3f5e7b2d4860a1b2c3d4e5f60718",
    "queue": "accounts",
    "ram_allocation_ratio": 1.0,
    "reported": True,
    "request_id": _REQUEST,
    "Cause.request_id": "req-6a5b4c3d-2e1f-4a0b-9c8d-7e6f5a4b3c09",
    "requested": _HELD,
    "requester_id": "b3c4d5e6-f7a8-4b9c-8d0e-1f2a3b4c5d0a",
    "reserved_host_cpus": 0,
    "reserved_host_disk_mb": 0,
    "reserved_host_memory_mb": 512,
    "resources": {"CUSTOM_PMEM_NAMESPACE_4GB": 1},
    "revision": 1773480413589793,
    "root_gb": 40,
    "root_provider_uuid": _NODE,
    "running_vms": 3,
    "sequence": 42,
    "siblings": [[0, 4], [1, 5], [2, 6], [3, 7]],
    "size_kb": 2048,
    "socket": 0,
    "source_allocations": {_CHILD: _HELD},
    "source_compute": "compute-3",
    "source_node": "compute-3.example.org",
    "spec": [{"vendor_id": "8086", "product_id": "154c"}],
    "started_at": "2026-03-14T09:26:53.589793+00:00",
    "stats": {"num_instances": 3, "num_vm_active": 3, "failed_builds": 0},
    "status": "running",
    "step_size": 1,
    "swap": 1024,
    "task_state": "migrating",
    "text": "VCPU: 12 on record, 8 recounted",
    "total": 16,
    "traits": ["COMPUTE_NODE", "HW_CPU_X86_AVX2"],
    "tunneled": False,
    "usages": {
        "VCPU": {"used": 12, "settled": 8, "in_move": 4, "capacity": 64},
        "MEMORY_MB": {"used": 24576, "settled": 16384, "in_move": 8192, "capacity": 65024},
        "DISK_GB": {"used": 123, "settled": 82, "in_move": 41, "capacity": 1000},
    },
    "used": 512,
    "user_id": "8f7e6d5c4b3a29180716f5e4d3c2b1a0",
    "vcpus": 16,
    "Flavor.vcpus": 4,
    "Flavor.memory_mb": 8192,
    "vcpus_used": 12,
    "vendor_id": "8086",
    "vm_state": "active",
    "volume_backed": False,
}


def data(cls: type[ovo.VersionedObject]) -> dict[str, Any]:
    """Return sample data of a class, plain and JSON-ready; a field without a sample value is a KeyError."""
    return {name: _value(cls, name, field.field_type) for name, field in fields.of(cls).items()}


def _value(cls: type[ovo.VersionedObject], name: str, field_type: Any) -> Any:
    if isinstance(field_type, containers.Object):
        return data(field_type.cls)
    if isinstance(field_type, containers.List) and isinstance(field_type.entry, containers.Object):
        return [data(field_type.entry.cls)]
    if isinstance(field_type, containers.Dict) and isinstance(field_type.entry, containers.Object):
        return {"VCPU": data(field_type.entry.cls)}
    own = f"{cls.obj_name()}.{name}"
    return _VALUES[own if own in _VALUES else name]
