"""What a user orders."""

from __future__ import annotations

from objects import fields, scalars, stocktake_object


@stocktake_object.VersionedObjectRegistry.register
class Flavor(stocktake_object.StocktakeObject):
    """The size of an instance: memory and swap in MiB, disks in GiB."""

    fields = {
        "flavorid": fields.StringField(),
        "name": fields.StringField(nullable=True),
        "vcpus": fields.IntegerField(),
        "memory_mb": fields.IntegerField(),
        "root_gb": fields.IntegerField(),
        "ephemeral_gb": fields.IntegerField(),
        "swap": fields.IntegerField(),
        "extra_specs": fields.DictField(scalars.String()),
    }
