"""Watches that Placement loses no allocation at any moment, by its database and by what was told; it writes nothing.

Theory: an instance goes through the states that our notifications tell, one for each transaction: what each of its
consumers holds, and where. Placement lags behind, as long as it is stopped for example, but at any moment it must show
one of these states, never a mixture of two (a move that has left the source and not reached the destination), never
one that is older than what it showed before, and nothing at all only where nothing was told. A look reads all of
Placement in one statement, and after it what was told: so whatever it has seen had been told. No time enters into it.
"""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from worker import listening
from worker.db import tables

State = frozenset[tuple[str, str, str, int]]
"""Consumer, provider, resource class and amount of everything that an instance's consumers hold."""
NOTHING: State = frozenset()
OVERLAP = 5000
"""Numbers of notifications that are read a second time: a transaction that began earlier may be committed later."""
HELD = sa.text(
    "SELECT allocations.consumer_id, resource_providers.uuid, resource_classes.name, allocations.used FROM allocations "
    "JOIN resource_providers ON resource_providers.id = allocations.resource_provider_id "
    "JOIN resource_classes ON resource_classes.id = allocations.resource_class_id"
)
_ROW = tables.outbox.c


@dataclasses.dataclass(slots=True)
class Told:
    """What was told of an instance: by generation what each consumer was said to hold; ``seen`` is where Placement is."""

    said: dict[int, dict[str, State]] = dataclasses.field(default_factory=dict)
    seen: int = 0

    def states(self) -> list[State]:
        """Return the states in order, from that of nothing on."""
        found, now = [NOTHING], dict[str, State]()
        for generation in sorted(self.said):
            now |= self.said[generation]
            found.append(frozenset().union(*now.values()))
        return found


class Witness:
    """Looks at Placement through its database ``theirs``, and at what was told through ours."""

    def __init__(self, ours: sa.Engine, theirs: sa.Engine) -> None:
        self._ours = ours
        self._theirs = theirs
        self._told: dict[str, Told] = collections.defaultdict(Told)
        self._instance_of: dict[str, str] = {}
        self._newest = 0
        self._ids: set[int] = set()
        self.looks = 0
        self.judged = 0
        self.most_behind = 0
        self.wrong: list[str] = []

    def look(self) -> None:
        """Compare once; what is wrong is added to ``wrong``."""
        held = self._held()
        self._read()
        self.looks += 1
        shown: dict[str, set[tuple[str, str, str, int]]] = collections.defaultdict(set)
        for one in held:
            instance = self._instance_of.get(one[0])
            if instance is None:
                self.wrong.append(f"look {self.looks}: consumer {one[0]} is in Placement, and nobody told of it")
            else:
                shown[instance].add(one)
        behind = 0
        for instance, told in self._told.items():
            behind += self._judge(instance, told, frozenset(shown[instance]))
        self.most_behind = max(self.most_behind, behind)

    def _judge(self, instance: str, told: Told, shown: State) -> bool:
        """Return whether Placement is behind with an instance."""
        states = told.states()
        self.judged += 1
        found = next((at for at in range(told.seen, len(states)) if states[at] == shown), None)
        if found is None:
            kind = "an older state" if shown in states[: told.seen] else "a state that nobody told"
            kind = "nothing, it is lost" if not shown and told.seen else kind
            self.wrong.append(
                f"look {self.looks}: of instance {instance} Placement shows {kind}: {sorted(shown)}; it was at "
                f"{told.seen} of {len(states) - 1}: {sorted(states[told.seen])}"
            )
            return True
        told.seen = found
        return states[found] != states[-1]

    def _held(self) -> list[tuple[str, str, str, int]]:
        with self._theirs.connect() as connection:
            return [(row[0], row[1], row[2], row[3]) for row in connection.execute(HELD)]

    def _read(self) -> None:
        for number, payload in self._fresh():
            self._ids.add(number)
            self._newest = max(self._newest, number)
            said = listening.fields(payload)
            consumer, instance = said["consumer_uuid"], said["instance_uuid"]
            self._instance_of[consumer] = instance
            self._told[instance].said.setdefault(said["consumer_generation"], {})[consumer] = frozenset(
                (consumer, provider, name, amount)
                for provider, amounts in said["allocations"].items()
                for name, amount in amounts.items()
                if amount
            )

    def _fresh(self) -> Iterator[tuple[int, Any]]:
        query = sa.select(_ROW.id, _ROW.payload).where(
            _ROW.id > self._newest - OVERLAP, _ROW.event_type == "allocation.update"
        )
        with self._ours.connect() as connection:
            rows = connection.execute(query).all()
        yield from ((number, json.loads(text)) for number, text in rows if number not in self._ids)
