"""From payloads to the state that Placement is to have: pure, the newest word on each provider and consumer wins."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from worker import listening

DELETE = "resource_provider.delete"
EXISTS = "resource_provider.exists"

Resources = Mapping[str, int]
Record = Mapping[str, Any]
"""An inventory as Placement takes it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Provider:
    """What a resource provider is to be; ``gone``: it is to be no more. ``doubtful``: look, whatever was done before."""

    uuid: str
    name: str
    parent_uuid: str | None
    root_uuid: str
    node_uuid: str
    sequence: int
    inventories: Mapping[str, Record]
    traits: frozenset[str]
    gone: bool = False
    doubtful: bool = False

    def same(self, other: Provider | None) -> bool:
        """Tell whether another one asks the same of Placement."""
        return other is not None and (
            (self.name, self.parent_uuid, self.inventories, self.traits, self.gone)
            == (other.name, other.parent_uuid, other.inventories, other.traits, other.gone)
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Consumer:
    """What a consumer is to hold: provider uuid -> resource class -> amount; nothing at all when it is empty."""

    uuid: str
    consumer_type: str
    instance_uuid: str
    project_id: str | None
    user_id: str | None
    generation: int
    allocations: Mapping[str, Resources]


Group = tuple[Consumer, ...]
"""The consumers of one instance: they are changed together, for one transaction may have moved them."""


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """The newest word on some providers and consumers, by uuid."""

    providers: Mapping[str, Provider] = dataclasses.field(default_factory=dict)
    consumers: Mapping[str, Consumer] = dataclasses.field(default_factory=dict)

    def __bool__(self) -> bool:
        """Tell whether anything is wanted at all."""
        return bool(self.providers or self.consumers)


def coalesced(notifications: Iterable[listening.Notification]) -> Wanted:
    """Return what these notifications ask for, the newest word on each; those of other kinds ask for nothing."""
    providers: dict[str, Provider] = {}
    consumers: dict[str, Consumer] = {}
    for told in notifications:
        if told.event_type.startswith(listening.PROVIDER):
            _keep_provider(providers, provider(told))
        elif told.event_type == listening.ALLOCATION:
            _keep_consumer(consumers, consumer(told))
    return Wanted(providers, consumers)


def joined(older: Wanted, newer: Wanted) -> Wanted:
    """Return the newest word of both on each provider and consumer."""
    providers, consumers = dict(older.providers), dict(older.consumers)
    for one in newer.providers.values():
        _keep_provider(providers, one)
    for other in newer.consumers.values():
        _keep_consumer(consumers, other)
    return Wanted(providers, consumers)


def provider(told: listening.Notification) -> Provider:
    """Return what a notification asks of a provider."""
    payload = told.payload
    return Provider(
        uuid=payload["uuid"],
        name=payload["name"],
        parent_uuid=payload["parent_provider_uuid"],
        root_uuid=payload["root_provider_uuid"],
        node_uuid=payload["node_uuid"],
        sequence=payload["sequence"],
        inventories=inventories(payload["inventories"], payload["usages"]),
        traits=frozenset(payload["traits"]),
        gone=told.event_type == DELETE,
        doubtful=told.event_type == EXISTS,
    )


def consumer(told: listening.Notification) -> Consumer:
    """Return what a notification asks of a consumer."""
    payload = told.payload
    return Consumer(
        uuid=payload["consumer_uuid"],
        consumer_type=payload["consumer_type"],
        instance_uuid=payload["instance_uuid"],
        project_id=payload["project_id"],
        user_id=payload["user_id"],
        generation=payload["consumer_generation"],
        allocations=_without_zeros(payload["allocations"]),
    )


def inventories(said: Mapping[str, Record], usages: Mapping[str, Mapping[str, int]]) -> dict[str, Record]:
    """Return inventories as Placement can have them.

    A class of which there is nothing is left out, and never more is reserved than there is. A class that is held and of
    which there is nothing (the node was removed, or lost it) stays with what is held, all of it reserved: Placement
    does not let go of a class in use, and nothing more can be placed there.
    """
    found: dict[str, Record] = {
        name: {**one, "reserved": min(one["reserved"], one["total"])} for name, one in said.items() if one["total"] > 0
    }
    for name, figures in usages.items():
        held = figures["used"]
        if name not in found and held > 0:
            found[name] = {
                "total": held, "reserved": held, "min_unit": 1, "max_unit": held, "step_size": 1,
                "allocation_ratio": 1.0,
            }  # fmt: skip
    return found


def top_down(providers: Iterable[Provider]) -> list[Provider]:
    """Return providers with every parent before its children."""
    known = {one.uuid: one for one in providers}
    return sorted(known.values(), key=lambda one: (_depth(one, known), one.uuid))


def _depth(one: Provider, known: Mapping[str, Provider]) -> int:
    depth, seen = 0, {one.uuid}
    parent = known.get(one.parent_uuid or "")
    while parent is not None and parent.uuid not in seen:
        seen.add(parent.uuid)
        depth += 1
        parent = known.get(parent.parent_uuid or "")
    return depth


def groups(consumers: Iterable[Consumer]) -> list[Group]:
    """Return consumers by instance: first those that give everything back, then the others as they came."""
    found: dict[str, list[Consumer]] = {}
    for one in consumers:
        found.setdefault(one.instance_uuid, []).append(one)
    return sorted(map(tuple, found.values()), key=lambda group: any(one.allocations for one in group))


def providers_of(group: Group) -> frozenset[str]:
    """Return the providers on which the consumers of a group are to hold something."""
    return frozenset(uuid for one in group for uuid in one.allocations)


def _keep_provider(kept: dict[str, Provider], new: Provider) -> None:
    old = kept.get(new.uuid)
    if old is None or new.sequence >= old.sequence:
        doubtful = new.doubtful or (old is not None and old.doubtful)
        kept[new.uuid] = dataclasses.replace(new, doubtful=doubtful)


def _keep_consumer(kept: dict[str, Consumer], new: Consumer) -> None:
    old = kept.get(new.uuid)
    if old is None or new.generation >= old.generation:
        kept[new.uuid] = new


def _without_zeros(allocations: Mapping[str, Resources]) -> dict[str, Resources]:
    plain = {uuid: {name: amount for name, amount in held.items() if amount} for uuid, held in allocations.items()}
    return {uuid: held for uuid, held in plain.items() if held}
