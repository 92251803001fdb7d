"""What a move is."""

from __future__ import annotations

from objects import fields, flavors, numa, pci, stocktake_object, words


@stocktake_object.VersionedObjectRegistry.register
class Migration(stocktake_object.StocktakeObject):
    """A move of an instance; a null new side means that the instance keeps what it has."""

    fields = {
        "uuid": fields.UUIDField(),
        "revision": fields.RevisionField(),
        "instance_uuid": fields.UUIDField(),
        "migration_type": fields.EnumField(words.MIGRATION_TYPES),
        "status": fields.EnumField(words.MIGRATION_STATUSES),
        "created_at": fields.DateTimeField(),
        "source_compute": fields.NameField(),
        "source_node": fields.NameField(),
        "dest_compute": fields.NameField(nullable=True),
        "dest_node": fields.NameField(nullable=True),
        "old_flavor": fields.ObjectField(flavors.Flavor, nullable=True),
        "new_flavor": fields.ObjectField(flavors.Flavor, nullable=True),
        "new_numa_topology": fields.ObjectField(numa.InstanceNUMATopology, nullable=True),
        "new_pci_requests": fields.ListOfObjectsField(pci.InstancePCIRequest, nullable=True),
    }
