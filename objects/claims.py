"""What a claim may overcommit."""

from __future__ import annotations

from objects import fields, stocktake_object


@stocktake_object.VersionedObjectRegistry.register
class Limits(stocktake_object.StocktakeObject):
    """Overcommit of shared CPUs and memory of a NUMA cell; null is no limit."""

    fields = {
        "cpu_allocation_ratio": fields.RatioField(nullable=True),
        "ram_allocation_ratio": fields.RatioField(nullable=True),
    }
