"""Our accounts against Placement: what differs, and the intent that would make it equal.

Placement is read before our side is asked again about strangers: what is there and unknown to us by then was not ours
to begin with, or is held no more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping

from worker.placement import client, desired, memory

PROVIDER, NAME, PARENT, INVENTORY, TRAIT = "provider", "name", "parent", "inventory", "trait"
ALLOCATION, FOREIGN = "allocation", "foreign allocation"

Standing = Callable[[Collection[str]], Mapping[str, desired.Consumer]]
"""Returns what these consumers hold by our accounts, perhaps nothing; those that we do not know are left out."""


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same on both sides; ``consumer`` is set where it is about an allocation."""

    provider: str
    what: str
    subject: str
    ours: object
    theirs: object
    consumer: str | None = None

    @property
    def fixable(self) -> bool:
        """Whether it is ours to change."""
        return self.what != FOREIGN


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """Every difference, and what to apply to be rid of those that are ours; ``others``: providers that are not ours."""

    differences: tuple[Difference, ...]
    remedy: desired.Wanted
    providers: int
    others: int


class Check:
    """Compares; ``wanted`` is everything by our accounts, or everything about some nodes if ``whole`` is false."""

    def __init__(self, placement: client.Placement, kept: memory.Memory, standing: Standing) -> None:
        self._placement = placement
        self._memory = kept
        self._standing = standing

    def compare(self, wanted: desired.Wanted, *, whole: bool = True) -> Report:
        """Return what differs; raises Unavailable, Stale (a provider vanished meanwhile) or DatabaseUnavailable."""
        theirs = {one.uuid: one for one in self._placement.providers()}
        marks = self._memory.marks(list(wanted.providers))
        found = list(_unplaced(wanted, whole=whole))
        for uuid, ours in wanted.providers.items():
            known = theirs.get(uuid)
            if known is None:
                found.append(Difference(uuid, PROVIDER, ours.name, "exists", "missing"))
                found += _held_nowhere(wanted, uuid)
            else:
                found += self._provider(ours, known, marks.get(uuid))
                found += self._holders(wanted, uuid)
        extra = sorted(set(self._memory.made()) & theirs.keys() - wanted.providers.keys()) if whole else []
        found += [Difference(uuid, PROVIDER, theirs[uuid].name, "missing", "exists") for uuid in extra]
        found, known_consumers = self._strangers(found, wanted)
        remedy = _remedy(found, wanted, known_consumers, {uuid: theirs[uuid] for uuid in extra})
        others = len(theirs.keys() - wanted.providers.keys() - set(extra))
        return Report(tuple(found), remedy, len(wanted.providers), others)

    def _provider(self, ours: desired.Provider, theirs: client.Known, mark: memory.Mark | None) -> Iterator[Difference]:
        uuid = ours.uuid
        if ours.name != theirs.name:
            yield Difference(uuid, NAME, ours.name, ours.name, theirs.name)
        if ours.parent_uuid != theirs.parent_uuid:
            yield Difference(uuid, PARENT, ours.name, ours.parent_uuid, theirs.parent_uuid)
        _, inventories = self._placement.inventories(uuid)
        for name in sorted(ours.inventories.keys() | inventories.keys()):
            if ours.inventories.get(name) != inventories.get(name):
                yield Difference(uuid, INVENTORY, name, ours.inventories.get(name), inventories.get(name))
        _, traits = self._placement.traits(uuid)
        set_before = mark.traits if mark is not None else frozenset()
        for name in sorted(ours.traits - traits):
            yield Difference(uuid, TRAIT, name, "set", "missing")
        for name in sorted((traits & set_before) - ours.traits):
            yield Difference(uuid, TRAIT, name, "missing", "set")

    def _holders(self, wanted: desired.Wanted, uuid: str) -> Iterator[Difference]:
        theirs = self._placement.holders(uuid)
        ours = _holders_of(wanted, uuid)
        for consumer in sorted(ours.keys() | theirs.keys()):
            if ours.get(consumer) != theirs.get(consumer):
                yield Difference(uuid, ALLOCATION, consumer, ours.get(consumer), theirs.get(consumer), consumer)

    def _strangers(
        self, found: list[Difference], wanted: desired.Wanted
    ) -> tuple[list[Difference], Mapping[str, desired.Consumer]]:
        """Ask our side about consumers that hold something in Placement only: ours without right, or somebody else's."""
        asked = {one.consumer for one in found if one.consumer is not None and one.consumer not in wanted.consumers}
        known = self._standing(asked) if asked else {}
        foreign = asked - known.keys()
        marked = [dataclasses.replace(one, what=FOREIGN) if one.consumer in foreign else one for one in found]
        return marked, known


def _unplaced(wanted: desired.Wanted, *, whole: bool) -> Iterator[Difference]:
    """Yield what is held where we have no provider: on a pair that nobody has reported yet."""
    if whole:
        places = {uuid for one in wanted.consumers.values() for uuid in one.allocations}
        for uuid in sorted(places - wanted.providers.keys()):
            yield from _held_nowhere(wanted, uuid)


def _held_nowhere(wanted: desired.Wanted, uuid: str) -> Iterator[Difference]:
    for consumer, held in sorted(_holders_of(wanted, uuid).items()):
        yield Difference(uuid, ALLOCATION, consumer, held, None, consumer)


def _holders_of(wanted: desired.Wanted, uuid: str) -> dict[str, desired.Resources]:
    return {one.uuid: one.allocations[uuid] for one in wanted.consumers.values() if uuid in one.allocations}


def _remedy(
    found: list[Difference],
    wanted: desired.Wanted,
    known: Mapping[str, desired.Consumer],
    extra: Mapping[str, client.Known],
) -> desired.Wanted:
    uuids = {one.provider for one in found if one.consumer is None}
    providers = {
        uuid: dataclasses.replace(one, doubtful=True) for uuid, one in wanted.providers.items() if uuid in uuids
    }
    providers |= {uuid: _gone(one) for uuid, one in extra.items()}
    instances = {
        one.instance_uuid
        for difference in found
        if (one := wanted.consumers.get(difference.consumer or "") or known.get(difference.consumer or "")) is not None
    }
    everybody = {**known, **wanted.consumers}
    consumers = {uuid: one for uuid, one in everybody.items() if one.instance_uuid in instances}
    return desired.Wanted(providers, consumers)


def _gone(known: client.Known) -> desired.Provider:
    return desired.Provider(
        known.uuid, known.name, known.parent_uuid, known.uuid, known.uuid, 0, {}, frozenset(), gone=True
    )
