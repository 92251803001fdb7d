"""What the accounts say: of a node, of an instance, of a move."""

from __future__ import annotations

from objects import containers, fields, scalars, stocktake_object, words

_FIGURE = scalars.Integer(-scalars.REVISION_MAX, scalars.REVISION_MAX)
_COUNT = scalars.Integer(0, scalars.REVISION_MAX)


@stocktake_object.VersionedObjectRegistry.register
class NUMAPagesUsage(stocktake_object.StocktakeObject):
    """The pages of one size in a cell, and how many of them guests have."""

    fields = {
        "size_kb": fields.IntegerField(minimum=1),
        "total": fields.RevisionField(),
        "reserved": fields.RevisionField(),
        "used": fields.RevisionField(),
    }


@stocktake_object.VersionedObjectRegistry.register
class NUMACellUsage(stocktake_object.StocktakeObject):
    """One cell of a node with what is used of it; memory in MiB."""

    fields = {
        "id": fields.IntegerField(),
        "cpuset": fields.SetField(scalars.Integer()),
        "pcpuset": fields.SetField(scalars.Integer()),
        "memory": fields.IntegerField(),
        "siblings": fields.ListField(containers.Set(scalars.Integer())),
        "mempages": fields.ListOfObjectsField(NUMAPagesUsage),
        "socket": fields.IntegerField(nullable=True),
        "physnets": fields.SetField(scalars.String()),
        "tunneled": fields.BooleanField(),
        "cpu_usage": fields.FigureField(),
        "memory_usage": fields.FigureField(),
        "pinned_cpus": fields.SetField(scalars.Integer()),
    }


@stocktake_object.VersionedObjectRegistry.register
class NUMATopologyUsage(stocktake_object.StocktakeObject):
    """The cells of a node with what is used of them."""

    fields = {"cells": fields.ListOfObjectsField(NUMACellUsage, limit="cells")}


@stocktake_object.VersionedObjectRegistry.register
class InstanceNUMACellUsage(stocktake_object.StocktakeObject):
    """Where one cell of a guest is: ``id`` is the node's cell, ``cpu_pinning`` maps guest CPU to node CPU."""

    fields = {
        "id": fields.IntegerField(minimum=-1),
        "cpuset": fields.SetField(scalars.Integer()),
        "pcpuset": fields.SetField(scalars.Integer()),
        "memory": fields.IntegerField(),
        "pagesize": fields.IntegerField(minimum=-3, nullable=True),
        "cpu_policy": fields.EnumField(words.CPU_POLICIES, nullable=True),
        "cpu_thread_policy": fields.EnumField(words.CPU_THREAD_POLICIES, nullable=True),
        "cpu_pinning": fields.DictField(scalars.Integer()),
        "cpuset_reserved": fields.SetField(scalars.Integer()),
    }


@stocktake_object.VersionedObjectRegistry.register
class InstanceNUMATopologyUsage(stocktake_object.StocktakeObject):
    """Where the cells of a guest are."""

    fields = {
        "cells": fields.ListOfObjectsField(InstanceNUMACellUsage, limit="cells"),
        "emulator_threads_policy": fields.EnumField(words.EMULATOR_THREADS_POLICIES, nullable=True),
    }


@stocktake_object.VersionedObjectRegistry.register
class PciDevicePool(stocktake_object.StocktakeObject):
    """How many free devices of one kind a node has."""

    fields = {
        "vendor_id": fields.PciIdField(),
        "product_id": fields.PciIdField(),
        "numa_node": fields.IntegerField(nullable=True),
        "tags": fields.DictField(scalars.String("text_length")),
        "count": fields.IntegerField(),
    }


@stocktake_object.VersionedObjectRegistry.register
class PciDeviceUsage(stocktake_object.StocktakeObject):
    """A device that an instance holds, and the request it serves."""

    fields = {
        "node_uuid": fields.UUIDField(),
        "address": fields.PciAddressField(),
        "vendor_id": fields.PciIdField(),
        "product_id": fields.PciIdField(),
        "dev_type": fields.EnumField(words.DEVICE_TYPES),
        "numa_node": fields.IntegerField(nullable=True),
        "request_id": fields.UUIDField(nullable=True),
    }


@stocktake_object.VersionedObjectRegistry.register
class NodeUsage(stocktake_object.StocktakeObject):
    """The account of a node: what it has, what is reserved, what is held; free figures may be negative."""

    fields = {
        "uuid": fields.UUIDField(),
        "host": fields.NameField(),
        "hypervisor_hostname": fields.NameField(),
        "generation": fields.RevisionField(),
        "sequence": fields.RevisionField(),
        "reported": fields.BooleanField(),
        "disabled": fields.BooleanField(),
        "vcpus": fields.IntegerField(),
        "memory_mb": fields.IntegerField(),
        "local_gb": fields.IntegerField(),
        "reserved_host_cpus": fields.IntegerField(),
        "reserved_host_memory_mb": fields.IntegerField(),
        "reserved_host_disk_mb": fields.IntegerField(),
        "usages": fields.DictField(
            containers.Struct(used=_FIGURE, settled=_FIGURE, in_move=_FIGURE, capacity=_FIGURE), scalars.SymbolicName()
        ),
        "vcpus_used": fields.FigureField(),
        "memory_mb_used": fields.FigureField(),
        "local_gb_used": fields.FigureField(),
        "free_ram_mb": fields.FigureField(),
        "free_disk_gb": fields.FigureField(),
        "running_vms": fields.RevisionField(),
        "current_workload": fields.RevisionField(),
        "stats": fields.DictField(_COUNT, scalars.String("text_length"), limit="list_length"),
        "numa_topology": fields.ObjectField(NUMATopologyUsage, nullable=True),
        "pci_device_pools": fields.ListOfObjectsField(PciDevicePool),
    }


@stocktake_object.VersionedObjectRegistry.register
class MigrationUsage(stocktake_object.StocktakeObject):
    """A move and what each side of it holds: provider uuid to resource class to amount."""

    fields = {
        "uuid": fields.UUIDField(),
        "instance_uuid": fields.UUIDField(),
        "revision": fields.RevisionField(),
        "migration_type": fields.EnumField(words.MIGRATION_TYPES),
        "status": fields.EnumField(words.MIGRATION_STATUSES),
        "source_node": fields.NameField(),
        "dest_node": fields.NameField(nullable=True),
        "source_allocations": fields.DictField(containers.Dict(_COUNT, scalars.SymbolicName()), scalars.UUID()),
        "destination_allocations": fields.DictField(containers.Dict(_COUNT, scalars.SymbolicName()), scalars.UUID()),
        "started_at": fields.DateTimeField(),
        "overdue": fields.BooleanField(),
    }


@stocktake_object.VersionedObjectRegistry.register
class InstanceUsage(stocktake_object.StocktakeObject):
    """The account of an instance: provider uuid to resource class to what it holds there."""

    fields = {
        "uuid": fields.UUIDField(),
        "revision": fields.RevisionField(),
        "generation": fields.RevisionField(),
        "vm_state": fields.EnumField(words.VM_STATES, nullable=True),
        "task_state": fields.StringField(nullable=True),
        "host": fields.NameField(nullable=True),
        "node": fields.NameField(nullable=True),
        "allocations": fields.DictField(
            containers.Dict(containers.Struct(amount=_COUNT, settled=_COUNT), scalars.SymbolicName()), scalars.UUID()
        ),
        "pci_devices": fields.ListOfObjectsField(PciDeviceUsage),
        "numa_topology": fields.ObjectField(InstanceNUMATopologyUsage, nullable=True),
        "migrations": fields.ListOfObjectsField(MigrationUsage),
    }
