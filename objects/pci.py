"""PCI devices of a node, and what an instance asks for."""

from __future__ import annotations

from objects import containers, fields, scalars, stocktake_object, words


@stocktake_object.VersionedObjectRegistry.register
class PciDevice(stocktake_object.StocktakeObject):
    """One device that the node offers; ``tags`` say what else is known of it."""

    fields = {
        "address": fields.PciAddressField(),
        "vendor_id": fields.PciIdField(),
        "product_id": fields.PciIdField(),
        "dev_type": fields.EnumField(words.DEVICE_TYPES),
        "parent_addr": fields.PciAddressField(nullable=True),
        "numa_node": fields.IntegerField(nullable=True),
        "label": fields.StringField(nullable=True),
        "tags": fields.DictField(scalars.String("text_length")),
    }


@stocktake_object.VersionedObjectRegistry.register
class InstancePCIRequest(stocktake_object.StocktakeObject):
    """So many devices that match one of the alternatives in ``spec``."""

    fields = {
        "request_id": fields.UUIDField(),
        "count": fields.IntegerField(),
        "spec": fields.ListField(containers.Dict(scalars.String("text_length"), nullable=True)),
        "alias_name": fields.StringField(nullable=True),
        "numa_policy": fields.EnumField(words.DEVICE_NUMA_POLICIES, nullable=True),
        "requester_id": fields.StringField(nullable=True),
    }
