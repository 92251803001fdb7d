"""One provider at a time: made, named, its inventories and traits set, deleted if it is ours to delete.

What others did there stays: providers and traits that we did not set are never taken away. What is ours is written to
the memory before it is done, so that a process killed in between does not forget it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from worker.placement import client, desired, faults, memory, patience

CUSTOM = "CUSTOM_"
NAME_LENGTH = 200


class Providers:
    """Brings providers to what is wanted, and remembers in this process what needs no second look."""

    def __init__(self, placement: client.Placement, kept: memory.Memory, patient: patience.Patience) -> None:
        self._placement = placement
        self._memory = kept
        self._patience = patient
        self._applied: dict[str, desired.Provider] = {}
        self._marks: dict[str, memory.Mark] = {}
        self._traits: frozenset[str] = frozenset()
        self._classes: frozenset[str] = frozenset()

    def ours(self, uuids: Collection[str]) -> frozenset[str]:
        """Return those of these providers whose figures are ours to set."""
        unknown = [uuid for uuid in uuids if uuid not in self._marks]
        if unknown:
            self._marks |= self._memory.marks(unknown)
        return frozenset(uuid for uuid in uuids if uuid in self._marks)

    def ensure(self, wanted: desired.Provider, others: Mapping[str, desired.Provider]) -> faults.Finding | None:
        """Make a provider what it is to be; ``others`` is what is wanted of it and its neighbours at this moment."""
        if not wanted.doubtful and wanted.same(self._applied.get(wanted.uuid)):
            return None
        self._applied.pop(wanted.uuid, None)
        try:
            finding = self._patience.insist(lambda: self._bring(wanted, others))
        except faults.Refused as error:
            finding = faults.Finding(wanted.uuid, faults.REFUSED, f"provider {wanted.uuid} ({wanted.name}): {error}")
        if finding is not None:
            self._traits = self._classes = frozenset()  # somebody may have deleted one: the next try asks again
        return finding

    def look_again(self, uuids: Collection[str]) -> bool:
        """Bring those of these providers once more to what was wanted last that were taken for done; False for none.

        Somebody else may have deleted them, or their inventories.
        """
        known = [self._applied[uuid] for uuid in uuids if uuid in self._applied]
        if known:
            self._traits = self._classes = frozenset()
        for one in desired.top_down(known):
            try:
                self.ensure(dataclasses.replace(one, doubtful=True), {})
            except faults.Unavailable:
                self._applied[one.uuid] = one  # to be looked at when Placement is back
                raise
        return bool(known)

    def remove(self, wanted: desired.Provider) -> faults.Finding | None:
        """Delete a provider that we made, if nothing else sits on it."""
        return self._patience.insist(lambda: self._remove(wanted))

    def _remove(self, wanted: desired.Provider) -> faults.Finding | None:
        uuid = wanted.uuid
        self._applied.pop(uuid, None)
        mark = self._mark(uuid)
        if mark is None or not mark.made:
            there = self._placement.provider(uuid) is not None
            self._forget(uuid)
            text = f"provider {uuid} ({wanted.name}) was not made by us: it is left as it is"
            return faults.Finding(uuid, faults.NOT_OURS, text, final=True) if there else None
        try:
            self._placement.delete_provider(uuid)
        except faults.Refused as error:
            return faults.Finding(uuid, faults.IN_USE, f"provider {uuid} ({wanted.name}) cannot be deleted: {error}")
        self._forget(uuid)
        return None

    def known_class(self, name: str) -> bool:
        """Tell whether a resource class can be used; one of CUSTOM_ is made if it is missing."""
        if name not in self._classes:
            self._classes = self._placement.known_classes()
        if name not in self._classes and _made(self._placement.make_class, name):
            self._classes |= {name}
        return name in self._classes

    def _known_trait(self, name: str) -> bool:
        if name not in self._traits:
            self._traits = self._placement.known_traits()
        if name not in self._traits and _made(self._placement.make_trait, name):
            self._traits |= {name}
        return name in self._traits

    def _bring(self, wanted: desired.Provider, others: Mapping[str, desired.Provider]) -> faults.Finding | None:
        found = self._placement.provider(wanted.uuid)
        refused = self._create(wanted, others) if found is None else self._adopt(found, wanted, others)
        if refused is not None:
            return refused
        troubles = [*self._set_inventories(wanted, new=found is None), *self._set_traits(wanted, new=found is None)]
        if troubles:
            text = f"provider {wanted.uuid} ({wanted.name}): {'; '.join(troubles)}"
            return faults.Finding(wanted.uuid, faults.UNKNOWN, text)
        if self._placement.writes:
            self._applied[wanted.uuid] = wanted
        return None

    def _create(self, wanted: desired.Provider, others: Mapping[str, desired.Provider]) -> faults.Finding | None:
        self._note(wanted.uuid, memory.Mark(made=True))
        try:
            self._placement.create_provider(wanted.uuid, wanted.name, wanted.parent_uuid)
        except faults.Refused as error:
            self._forget(wanted.uuid)
            return self._refused(wanted, others, error)
        return None

    def _adopt(
        self, found: client.Known, wanted: desired.Provider, others: Mapping[str, desired.Provider]
    ) -> faults.Finding | None:
        """Take a provider that is there for the node's: its uuid says so, whoever made it."""
        if self._mark(wanted.uuid) is None:
            self._note(wanted.uuid, memory.Mark(made=False))
        if (found.name, found.parent_uuid) == (wanted.name, wanted.parent_uuid):
            return None
        try:
            self._placement.update_provider(wanted.uuid, wanted.name, wanted.parent_uuid)
        except faults.Refused as error:
            return self._refused(wanted, others, error)
        return None

    def _refused(
        self, wanted: desired.Provider, others: Mapping[str, desired.Provider], error: faults.Refused
    ) -> faults.Finding:
        """Explain why a provider cannot have its name or parent; one of ours that has the name and gives it up steps aside."""
        blockers = frozenset({wanted.parent_uuid} if wanted.parent_uuid else ())
        if error.code != faults.DUPLICATE_NAME:
            text = f"provider {wanted.uuid} ({wanted.name}): {error}"
            return faults.Finding(wanted.uuid, faults.REFUSED, text, blockers)
        owners = [one for one in self._placement.providers(wanted.name) if one.uuid != wanted.uuid]
        for owner in owners:
            if self._gives_up(owner, others):
                aside = f"{owner.uuid} {owner.name}"[:NAME_LENGTH]
                self._applied.pop(owner.uuid, None)
                self._placement.update_provider(owner.uuid, aside, owner.parent_uuid)
                raise faults.Stale(f"the name {wanted.name} was just freed")
        if not owners:
            raise faults.Stale(f"somebody else made provider {wanted.uuid}, or gave up its name, at this moment")
        uuids = ", ".join(owner.uuid for owner in owners)
        text = f"provider {wanted.uuid}: the name {wanted.name} is provider {uuids}'s"
        return faults.Finding(wanted.uuid, faults.NAME, text, blockers | {owner.uuid for owner in owners})

    def _gives_up(self, owner: client.Known, others: Mapping[str, desired.Provider]) -> bool:
        mark, next_ = self._mark(owner.uuid), others.get(owner.uuid)
        ours = mark is not None and mark.made
        return self._placement.writes and ours and next_ is not None and (next_.gone or next_.name != owner.name)

    def _set_inventories(self, wanted: desired.Provider, *, new: bool) -> Iterator[str]:
        """Replace the inventories if they differ; yield what is wrong with them."""
        usable = {name: one for name, one in wanted.inventories.items() if self.known_class(name)}
        for name in sorted(wanted.inventories.keys() - usable.keys()):
            yield f"Placement knows no resource class {name}"
        generation, current = (0, {}) if new else self._placement.inventories(wanted.uuid)
        if current == usable:
            return
        try:
            self._placement.set_inventories(wanted.uuid, generation, usable)
        except faults.Refused as error:
            yield f"inventories: {error}"
            if error.code == faults.INVENTORY_IN_USE:
                self._keep_what_is_held(wanted.uuid, generation, current, usable)

    def _keep_what_is_held(
        self, uuid: str, generation: int, current: dict[str, dict[str, Any]], usable: dict[str, desired.Record]
    ) -> None:
        """Set everything but the classes that others hold: those stay, with nothing free."""
        usages = self._placement.usages(uuid)
        kept = {
            name: {**one, "reserved": one["total"]}
            for name, one in current.items()
            if name not in usable and usages.get(name)
        }
        self._placement.set_inventories(uuid, generation, usable | kept)

    def _set_traits(self, wanted: desired.Provider, *, new: bool) -> Iterator[str]:
        """Set our traits, take away those that we set before and are wanted no more; yield the unknown ones."""
        usable = frozenset(name for name in wanted.traits if self._known_trait(name))
        for name in sorted(wanted.traits - usable):
            yield f"Placement knows no trait {name}"
        mark = self._mark(wanted.uuid) or memory.Mark(made=False)
        generation, current = self._placement.traits(wanted.uuid) if self._is_there(new) else (0, frozenset())
        added, given_up = usable - current, mark.traits - wanted.traits
        if added or given_up & current:
            self._note(wanted.uuid, memory.Mark(mark.made, mark.traits | added))
            self._placement.set_traits(wanted.uuid, generation, (current - given_up) | usable)
        self._note(wanted.uuid, memory.Mark(mark.made, (mark.traits - given_up) | added))

    def _is_there(self, new: bool) -> bool:
        """Tell whether Placement can be asked about a provider: in a dry run a new one was not made."""
        return self._placement.writes or not new

    def _mark(self, uuid: str) -> memory.Mark | None:
        self.ours([uuid])
        return self._marks.get(uuid)

    def _note(self, uuid: str, mark: memory.Mark) -> None:
        if self._mark(uuid) != mark:
            self._memory.mark(uuid, mark)
            self._marks[uuid] = mark

    def _forget(self, uuid: str) -> None:
        if self._mark(uuid) is not None:
            self._memory.forget(uuid)
            del self._marks[uuid]


def _made(make: Callable[[str], None], name: str) -> bool:
    """Make a class or trait of CUSTOM_; False for others, and for a name that Placement does not take."""
    if not name.startswith(CUSTOM):
        return False
    try:
        make(name)
    except faults.Refused:
        return False
    return True
