"""Inventories, and the child providers that a hypervisor reports."""

from __future__ import annotations

from objects import containers, fields, scalars, stocktake_object


@stocktake_object.VersionedObjectRegistry.register
class Inventory(stocktake_object.StocktakeObject):
    """How much of one resource class a provider has, and in which portions."""

    fields = {
        "total": fields.IntegerField(),
        "reserved": fields.IntegerField(),
        "min_unit": fields.IntegerField(minimum=1),
        "max_unit": fields.IntegerField(minimum=1),
        "step_size": fields.IntegerField(minimum=1),
        "allocation_ratio": fields.RatioField(),
    }


@stocktake_object.VersionedObjectRegistry.register
class ResourceProvider(stocktake_object.StocktakeObject):
    """A provider below the node's own one, as the hypervisor reports it."""

    fields = {
        "uuid": fields.UUIDField(),
        "name": fields.NameField(),
        "parent_provider_uuid": fields.UUIDField(),
        "inventories": fields.DictField(containers.Object(Inventory), scalars.SymbolicName()),
        "traits": fields.ListField(scalars.SymbolicName()),
    }
