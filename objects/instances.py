"""What an instance is."""

from __future__ import annotations

from objects import fields, flavors, numa, pci, scalars, stocktake_object, words


@stocktake_object.VersionedObjectRegistry.register
class Instance(stocktake_object.StocktakeObject):
    """An instance as its owner has it on record; ``resources`` are whole amounts that no flavor says."""

    fields = {
        "uuid": fields.UUIDField(),
        "revision": fields.RevisionField(),
        "project_id": fields.StringField(nullable=True),
        "user_id": fields.StringField(nullable=True),
        "display_name": fields.StringField(nullable=True),
        "host": fields.NameField(nullable=True),
        "node": fields.NameField(nullable=True),
        "vm_state": fields.EnumField(words.VM_STATES, nullable=True),
        "task_state": fields.StringField(nullable=True),
        "os_type": fields.StringField(nullable=True),
        "flavor": fields.ObjectField(flavors.Flavor),
        "volume_backed": fields.BooleanField(),
        "numa_topology": fields.ObjectField(numa.InstanceNUMATopology, nullable=True),
        "pci_requests": fields.ListOfObjectsField(pci.InstancePCIRequest),
        "resources": fields.DictField(scalars.Integer(), scalars.SymbolicName()),
    }
