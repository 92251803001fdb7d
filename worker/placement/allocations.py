"""What consumers hold: many of them in one request, all of one instance always in the same one.

Theory: Placement takes a set of consumers or none of it, and refuses a consumer whose generation is not the one it has.
So a set is sent on what is remembered of the generations, a new consumer with none. If that is not what Placement has
(an answer was lost, an earlier life had written it, somebody else did), the consumers of the set are looked up and it is
sent again; a set that is refused all the same is halved, down to the one instance that is at fault. What somebody else
put under the same consumer on a provider that is not ours is read then, and sent back as it was.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from worker.placement import client, desired, faults, patience, providers

FIRST_GENERATION = 1
"""That of a consumer of which nothing was ever told before."""
BAD_REQUEST = 400


class Allocations:
    """Brings consumers to what is wanted; ``size`` is the most consumers in one request."""

    def __init__(
        self, placement: client.Placement, ours: providers.Providers, patient: patience.Patience, size: int
    ) -> None:
        self._placement = placement
        self._providers = ours
        self._patience = patient
        self._size = size
        self._known: dict[str, client.Held] = {}
        self._looked: set[str] = set()
        self._suspects: set[str] = set()
        self._done: dict[str, desired.Group] = {}
        self._sure: set[str] = set()

    def begin(self) -> None:
        """Start on something new: what was sent before is not taken for done any more, nor what was looked at for sure."""
        self._done.clear()
        self._sure.clear()

    def apply(self, groups: Sequence[desired.Group]) -> dict[str, faults.Finding]:
        """Apply groups in this order; return what is refused, by instance uuid.

        After an error it can be called with the same again, and goes on where it was.
        """
        findings: dict[str, faults.Finding] = {}
        left = [group for group in groups if self._done.get(group[0].instance_uuid) != group]
        for chunk in _chunks(left, self._size):
            findings |= self._post(chunk)
        return findings

    def _post(self, groups: Sequence[desired.Group]) -> dict[str, faults.Finding]:
        try:
            self._send(groups)
        except (faults.Stale, faults.Refused) as error:
            if len(groups) == 1:
                return self._alone(groups[0])
            if isinstance(error, faults.Stale) and self._suspected(groups):
                return self._post(groups)
            middle = len(groups) // 2
            return self._post(groups[:middle]) | self._post(groups[middle:])
        return {}

    def _suspected(self, groups: Sequence[desired.Group]) -> bool:
        """Have those consumers looked up next that were taken on trust; False if there are none.

        What has been looked up is kept if Placement goes away in between: each try has less to look up than the last one.
        """
        trusted = {one.uuid for group in groups for one in group} - self._suspects
        self._distrust(trusted)
        return bool(trusted)

    def _alone(self, group: desired.Group) -> dict[str, faults.Finding]:
        """Look one instance's consumers up and send them until nobody is faster.

        What is refused is tried once more when its providers have been looked at, each once for what is applied.
        """
        last: faults.Stale | None = None
        for number in self._patience.tries():
            self._distrust([one.uuid for one in group])
            try:
                self._send([group], guess=number)
            except faults.Stale as error:
                last = error
            except faults.Refused as error:
                if self._looked_again(desired.providers_of(group)):
                    return self._alone(group)
                return {group[0].instance_uuid: self._explain(group, error)}
            else:
                return {}
        raise self._patience.exhausted(last)

    def _looked_again(self, uuids: frozenset[str]) -> bool:
        doubtful = uuids - self._sure
        found = self._providers.look_again(doubtful)
        self._sure |= doubtful
        return found

    def _send(self, groups: Sequence[desired.Group], *, guess: int = 0) -> None:
        """Send groups in one request; afterwards what is remembered of them is true, or nothing is."""
        consumers = [one for group in groups for one in group]
        held = {one.uuid: self._held(one) for one in consumers}
        for place, one in enumerate(consumers):
            if one.uuid in self._looked and held[one.uuid].generation is None and guess >> place & 1:
                held[one.uuid] = client.Held(0, {})  # see _held
        now: dict[str, client.Held] = {}
        bodies: dict[str, Any] = {}
        for one in consumers:
            known, target = held[one.uuid], self._target(one, held[one.uuid])
            if one.uuid not in self._looked or known.allocations != target or not self._owned(one, known):
                bodies[one.uuid] = self._body(one, known, target)
                now[one.uuid] = client.Held((known.generation or 0) + 1, target)
        if bodies:
            self._post_all(bodies)
        self._looked -= held.keys()
        self._suspects -= held.keys()
        for uuid in bodies:
            self._known.pop(uuid, None)
        if self._placement.writes:
            self._known |= {uuid: one for uuid, one in now.items() if one.allocations}
            self._done |= {group[0].instance_uuid: group for group in groups}

    def _post_all(self, bodies: dict[str, Any]) -> None:
        """Send one request; after a failure nobody knows whether it was carried out."""
        try:
            self._placement.set_allocations(bodies)
        except faults.Unavailable:
            self._distrust(bodies.keys())
            raise

    def _held(self, one: desired.Consumer) -> client.Held:
        """Return what a consumer holds in Placement, as it is remembered or else looked up.

        Placement shows none for a consumer that it has with generation 0 and without allocations, left behind when it was
        killed between the two; only a try tells that from one that it does not have.
        """
        if one.uuid in self._known:
            return self._known[one.uuid]
        if one.uuid not in self._suspects and one.generation <= FIRST_GENERATION and one.allocations:
            return client.Held(None, {})
        self._known[one.uuid] = self._placement.held(one.uuid)
        self._looked.add(one.uuid)
        return self._known[one.uuid]

    def _target(self, one: desired.Consumer, held: client.Held) -> dict[str, Mapping[str, int]]:
        ours = self._providers.ours(held.allocations.keys())
        kept = {uuid: amounts for uuid, amounts in held.allocations.items() if uuid not in ours}
        return kept | dict(one.allocations)

    def _body(self, one: desired.Consumer, held: client.Held, target: Mapping[str, Mapping[str, int]]) -> Any:
        body: dict[str, Any] = {
            "allocations": {uuid: {"resources": dict(amounts)} for uuid, amounts in target.items()},
            "consumer_generation": held.generation,
            "project_id": one.project_id or held.project_id or client.NOBODY,
            "user_id": one.user_id or held.user_id or client.NOBODY,
        }
        if self._placement.negotiate() >= client.CONSUMER_TYPES:
            body["consumer_type"] = one.consumer_type
        return body

    def _owned(self, one: desired.Consumer, held: client.Held) -> bool:
        """Tell whether Placement has the project, user and type of a consumer that holds something."""
        typed = self._placement.negotiate() < client.CONSUMER_TYPES or held.consumer_type == one.consumer_type
        same = one.project_id in {None, held.project_id} and one.user_id in {None, held.user_id}
        return not held.allocations or (same and typed)

    def _distrust(self, uuids: Collection[str]) -> None:
        """Forget what is remembered of consumers, and have them looked up."""
        for uuid in uuids:
            self._known.pop(uuid, None)
            self._looked.discard(uuid)
        self._suspects.update(uuids)

    def _explain(self, group: desired.Group, error: faults.Refused) -> faults.Finding:
        """Say what is wrong with a group; if only a part of it cannot be, apply the rest."""
        blockers = desired.providers_of(group)
        subject = group[0].instance_uuid
        usable, troubles = self._usable(group) if error.status == BAD_REQUEST else (group, [])
        if not troubles:
            kind = faults.REFUSED if error.status == BAD_REQUEST else faults.CAPACITY
            return faults.Finding(subject, kind, f"allocations of instance {subject}: {error}", blockers)
        rest = self._alone(usable)
        text = "; ".join([*troubles, *(other.text for other in rest.values())])
        return faults.Finding(subject, faults.UNKNOWN, f"allocations of instance {subject}: {text}", blockers)

    def _usable(self, group: desired.Group) -> tuple[desired.Group, list[str]]:
        """Return a group without what Placement has no provider or resource class for, and what that is."""
        missing = [uuid for uuid in sorted(desired.providers_of(group)) if self._placement.provider(uuid) is None]
        classes = {name for one in group for amounts in one.allocations.values() for name in amounts}
        unknown = [name for name in sorted(classes) if not self._providers.known_class(name)]
        left = tuple(dataclasses.replace(one, allocations=_without(one, missing, unknown)) for one in group)
        troubles = [f"there is no provider {uuid} yet" for uuid in missing]
        return left, troubles + [f"Placement knows no resource class {name}" for name in unknown]


def _without(one: desired.Consumer, missing: Sequence[str], unknown: Sequence[str]) -> dict[str, desired.Resources]:
    found = {
        uuid: {name: amount for name, amount in amounts.items() if name not in unknown}
        for uuid, amounts in one.allocations.items()
        if uuid not in missing
    }
    return {uuid: amounts for uuid, amounts in found.items() if amounts}


def _chunks(groups: Sequence[desired.Group], size: int) -> Iterator[list[desired.Group]]:
    """Yield groups in lists of no more than so many consumers, or of one group."""
    chunk: list[desired.Group] = []
    count = 0
    for group in groups:
        if chunk and count + len(group) > size:
            yield chunk
            chunk, count = [], 0
        chunk.append(group)
        count += len(group)
    if chunk:
        yield chunk
