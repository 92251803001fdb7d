"""A long history of mixed facts about many instances, for the wire and for the model at once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from tests import model, plain

NODES = 20
OPEN = 300
"""Instances whose lives are told at the same time."""


def facts(count: int, seed: int = 1, nodes: int = NODES, lives: int = OPEN, **size: int) -> list[model.Fact]:
    """Return so many casts as method and arguments with the objects' primitives; a report of each node among them.

    ``lives`` are told at the same time, ``size`` are fields of every node's report.
    """
    chance = random.Random(seed)
    found: list[model.Fact] = [("report_node", {"node": plain.node(number, **size)}) for number in range(nodes)]
    told = {number: _life(number, chance, nodes) for number in range(1, lives + 1)}
    newest = lives
    while len(found) < count:
        number = chance.choice(list(told))
        fact = next(told[number], None)
        if fact is None:
            newest += 1
            del told[number]
            told[newest] = _life(newest, chance, nodes)
        else:
            found.append(fact)
            if chance.random() < 0.01:
                found.append(("report_node", {"node": _grown(chance, len(found), nodes, size)}))
    return found[:count]


def fields(of: Any) -> Any:
    """Return the fields of primitives, those of the objects in them likewise: the form that the model takes."""
    if isinstance(of, dict):
        return {name: fields(value) for name, value in of.get("stocktake_object.data", of).items()}
    return [fields(one) for one in of] if isinstance(of, list) else of


def _grown(chance: random.Random, revision: int, nodes: int, size: dict[str, int]) -> plain.Primitive:
    vcpus = size.get("vcpus", 8) + chance.randrange(8)
    return plain.node(chance.randrange(nodes), revision, **size | {"vcpus": vcpus})


def _life(number: int, chance: random.Random, nodes: int) -> Iterator[model.Fact]:
    """Yield what is cast about one instance: it is built, may be moved, and mostly goes in the end."""
    revisions = iter(range(1, 1000))
    on = chance.randrange(nodes)
    flavor = plain.flavor(chance.choice(["small", "big"]))

    def now(**changes: Any) -> plain.Primitive:
        return plain.instance(number, next(revisions), on, **{"flavor": flavor, **changes})

    yield "claim_instance", {"instance": now(vm_state="building", task_state="spawning"), "limits": None}
    yield "update_instance", {"instance": now()}
    for move in range(chance.randrange(3)):
        to, bigger = chance.randrange(nodes), plain.flavor("big")
        kind = chance.choice(["resize", "live-migration", "evacuation"])
        new = bigger if kind == "resize" else flavor
        about = _Move(number, move, kind, (on, to), (flavor, new))
        moving = now(task_state="migrating")
        yield "claim_migration", {"migration": about.now("accepted"), "instance": moving, "limits": None}
        yield "update_migration", {"migration": about.now("migrating"), "instance": now(task_state="migrating")}
        if chance.random() < 0.3:
            yield "update_migration", {"migration": about.now("error"), "instance": now()}
            continue
        on, flavor = to, new
        yield "update_migration", {"migration": about.now(about.end), "instance": now()}
    if chance.random() < 0.7:
        yield "delete_instance", {"instance_uuid": plain.uid(number), "revision": next(revisions)}


class _Move:
    """A migration record whose revision grows with every word about it."""

    def __init__(
        self,
        number: int,
        turn: int,
        kind: str,
        way: tuple[int, int],
        flavors: tuple[plain.Primitive, plain.Primitive],
    ) -> None:
        self._number = number * 10 + turn
        self._revision = 0
        source, dest = map(plain.host, way)
        self._values: dict[str, Any] = {
            "instance_uuid": plain.uid(number), "migration_type": kind, "source_compute": source, "source_node": source,
            "dest_compute": dest, "dest_node": dest, "created_at": f"2026-01-02T03:{turn:02}:05.000000+00:00",
            "old_flavor": flavors[0] if kind == "resize" else None,
            "new_flavor": flavors[1] if kind == "resize" else None,
        }  # fmt: skip
        self.end = {"resize": "confirmed", "live-migration": "completed", "evacuation": "done"}[kind]

    def now(self, status: str) -> plain.Primitive:
        self._revision += 1
        return plain.migration(self._number, self._revision, status, **self._values)
