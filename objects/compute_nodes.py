"""What a node reports."""

from __future__ import annotations

from objects import containers, fields, numa, pci, providers, scalars, stocktake_object


@stocktake_object.VersionedObjectRegistry.register
class ComputeNode(stocktake_object.StocktakeObject):
    """A node and what it has: memory in MiB, local disk in GiB, reserved disk in MiB."""

    fields = {
        "uuid": fields.UUIDField(),
        "host": fields.NameField(),
        "hypervisor_hostname": fields.NameField(),
        "revision": fields.RevisionField(),
        "vcpus": fields.IntegerField(),
        "memory_mb": fields.IntegerField(),
        "local_gb": fields.IntegerField(),
        "reserved_host_cpus": fields.IntegerField(),
        "reserved_host_memory_mb": fields.IntegerField(),
        "reserved_host_disk_mb": fields.IntegerField(),
        "cpu_allocation_ratio": fields.RatioField(nullable=True),
        "ram_allocation_ratio": fields.RatioField(nullable=True),
        "disk_allocation_ratio": fields.RatioField(nullable=True),
        "hypervisor_type": fields.StringField(nullable=True),
        "hypervisor_version": fields.IntegerField(nullable=True),
        "host_ip": fields.StringField(nullable=True),
        "disabled": fields.BooleanField(),
        "numa_topology": fields.ObjectField(numa.NUMATopology, nullable=True),
        "pci_devices": fields.ListOfObjectsField(pci.PciDevice),
        "inventories": fields.DictField(containers.Object(providers.Inventory), scalars.SymbolicName()),
        "traits": fields.ListField(scalars.SymbolicName()),
        "stats": fields.DictField(scalars.Scalar(), scalars.String("text_length")),
        "providers": fields.ListOfObjectsField(providers.ResourceProvider),
    }
