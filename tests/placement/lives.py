"""What is cast about many instances: built, moved in every way, shelved, given up, deleted; a seed gives the same again."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from tests import plain

Cast = tuple[str, dict[str, Any]]

OPEN = 400
"""Instances whose lives are told at the same time."""
LARGE = {"vcpus": 100_000, "memory_mb": 100_000_000, "local_gb": 1_000_000}
"""Nodes on which everything fits: what Placement has no room for is another test's."""
ENDS = {
    "resize": ("confirmed", "reverted", "error"), "migration": ("confirmed", "reverted", "failed"),
    "live-migration": ("completed", "failed", "cancelled"), "evacuation": ("done", "failed", "error"),
}  # fmt: skip
"""How each kind of move ends: well first, then in the ways that leave the instance where it was."""
MOST_STEPS = 3
ABORTED, DELETED = 0.05, 1 / 6


def reports(nodes: int) -> Iterator[Cast]:
    """Yield a report of each node."""
    for number in range(nodes):
        yield "report_node", {"node": plain.node(number, **LARGE)}


def casts(instances: int, nodes: int, seed: int) -> Iterator[Cast]:
    """Yield what happens to a fifth more instances than are to be there in the end, many of them at a time."""
    chance = random.Random(seed)
    numbers = iter(range(1, instances + instances // 5 + 1))
    lives: list[Iterator[Cast]] = []
    while True:
        while len(lives) < OPEN and (number := next(numbers, None)) is not None:
            lives.append(Life(number, nodes, chance).casts())
        if not lives:
            return
        at = chance.randrange(len(lives))
        told = next(lives[at], None)
        if told is None:
            lives[at] = lives[-1]
            lives.pop()
        else:
            yield told


class Life:
    """One instance as a conductor knows it."""

    def __init__(self, number: int, nodes: int, chance: random.Random) -> None:
        self._number = number
        self._nodes = nodes
        self._chance = chance
        self._revision = 0
        self._moves = 0
        self._on: int | None = chance.randrange(nodes)
        self._flavor = plain.flavor(chance.choice(["small", "big"]))

    def casts(self) -> Iterator[Cast]:
        """Yield its life from the claim on; most of them are still there when it ends."""
        yield "claim_instance", {"instance": self._now(vm_state="building", task_state="spawning"), "limits": None}
        if self._chance.random() < ABORTED:
            yield "abort_claim", {"instance_uuid": plain.uid(self._number), "revision": self._next()}
            return
        yield "update_instance", {"instance": self._now()}
        steps: tuple[Callable[[], Iterator[Cast]], ...] = (self._move, self._move, self._move, self._shelve)
        for _ in range(self._chance.randrange(MOST_STEPS)):
            yield from self._chance.choice(steps)()
        if self._chance.random() < DELETED:
            yield "delete_instance", {"instance_uuid": plain.uid(self._number), "revision": self._next()}

    def _shelve(self) -> Iterator[Cast]:
        self._on = None
        yield "update_instance", {"instance": self._now(vm_state="shelved_offloaded")}
        self._on = self._chance.randrange(self._nodes)
        back = self._now(vm_state="shelved_offloaded", task_state="spawning")
        yield "claim_instance", {"instance": back, "limits": None}
        yield "update_instance", {"instance": self._now()}

    def _move(self) -> Iterator[Cast]:
        kind = self._chance.choice(list(ENDS))
        source, dest = self._on or 0, self._chance.randrange(self._nodes)
        if kind in {"live-migration", "evacuation"} and dest == source:
            dest = (dest + 1) % self._nodes
        new = plain.flavor("big" if self._flavor == plain.flavor() else "small") if kind == "resize" else self._flavor
        record = self._record(kind, (source, dest), new)
        claimed = self._now(task_state="migrating")
        yield "claim_migration", {"migration": record(1, "pre-migrating"), "instance": claimed, "limits": None}
        yield "update_migration", {"migration": record(2, "migrating"), "instance": self._now(task_state="migrating")}
        end = self._chance.choice([ENDS[kind][0], *ENDS[kind]])
        if end == ENDS[kind][0]:
            self._on, self._flavor = dest, new
        yield "update_migration", {"migration": record(3, end), "instance": self._now()}

    def _record(self, kind: str, way: tuple[int, int], new: plain.Primitive) -> Callable[[int, str], plain.Primitive]:
        self._moves += 1
        turn, changes = self._moves, kind in {"resize", "migration"}
        source, dest = map(plain.host, way)
        values = {
            "instance_uuid": plain.uid(self._number), "migration_type": kind,
            "source_compute": source, "source_node": source, "dest_compute": dest, "dest_node": dest,
            "created_at": f"2026-01-02T03:{turn:02}:05.000000+00:00",
            "old_flavor": self._flavor if changes else None, "new_flavor": new if changes else None,
        }  # fmt: skip
        return lambda revision, status: plain.migration(self._number * 10 + turn, revision, status, **values)

    def _now(self, **changes: Any) -> plain.Primitive:
        return plain.instance(self._number, self._next(), self._on, **{"flavor": self._flavor, **changes})

    def _next(self) -> int:
        self._revision += 1
        return self._revision
