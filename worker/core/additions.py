"""What the operator's provider.yaml files add to providers that exist without them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from worker.core import records


class Addition(msgspec.Struct, frozen=True, gc=False):
    """What a provider.yaml adds to providers.

    Exactly one of ``uuid`` and ``name`` says to which; neither: to every compute node ($COMPUTE_NODE) that no other
    addition names. ``origin`` is "FILE: providers[N]", for findings and logs; classes and traits are of CUSTOM_.
    """

    origin: str
    uuid: str | None = None
    name: str | None = None
    inventories: Mapping[str, records.Inventory] = msgspec.field(default_factory=dict)
    traits: tuple[str, ...] = ()
