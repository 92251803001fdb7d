"""What is cast: the lives of many instances on a few nodes, every kind of cast, out of order and repeated, from a seed.

The revisions of one record are never used twice, so that the winner among its facts does not depend on the order.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from typing import Any

from tests import plain, stands

NODES = 16
BUILDERS = 8
"""Nodes up to this number are told failed builds, the others are removed and come back."""
LIVES = 150
"""Instances whose lives are told at the same time."""
WINDOW = 40
"""A cast may be overtaken by so many."""
REPEATED, SPOILT, NODE_TOLD = 0.03, 0.005, 0.05
CPUS = 14
DEVICES = 4
BAD = "bad"
"""What the id of a cast begins with that must be parked."""
ENDS = {"resize": "confirmed", "live-migration": "completed", "evacuation": "done", "migration": "reverted"}


@dataclasses.dataclass(frozen=True)
class Cast:
    """A message: its id, its method and its arguments, or, without a method, nothing that can be read."""

    id: str
    method: str | None
    arguments: dict[str, Any]

    @property
    def good(self) -> bool:
        """Whether it must not be parked."""
        return not self.id.startswith(BAD)

    @property
    def body(self) -> bytes:
        """The bytes of the message, the same each time."""
        if self.method is None:
            return f"neither JSON nor anything else {self.id}".encode()
        return stands.body(self.method, self.arguments, _unique_id=self.id)


def first() -> list[Cast]:
    """Return the first report of each node."""
    return [Cast(f"node-{number}", "report_node", {"node": _node(number, 1)}) for number in range(NODES)]


def casts(seed: int) -> Iterator[Cast]:
    """Yield casts without an end, the same for the same seed; a repeated one is the same message."""
    chance = random.Random(seed)
    told, held = _Conversation(chance).casts(), list[Cast]()
    while True:
        while len(held) < WINDOW:
            held.append(next(told))
        one = held.pop(chance.randrange(len(held)))
        if chance.random() < REPEATED:
            held.append(one)
        yield one


class _Conversation:
    """The lives of instances and the reports of nodes, told by turns."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._revision = 1
        self._newest = 0

    def casts(self) -> Iterator[Cast]:
        lives = [self._next_life() for _ in range(LIVES)]
        for number in range(1 << 62):
            if self._chance.random() < SPOILT:
                yield self._spoilt(number)
            elif self._chance.random() < NODE_TOLD:
                yield Cast(f"cast-{number}", *self._about_a_node())
            else:
                yield Cast(f"cast-{number}", *self._fact(lives))

    def _fact(self, lives: list[Iterator[tuple[str, dict[str, Any]]]]) -> tuple[str, dict[str, Any]]:
        while True:
            place = self._chance.randrange(len(lives))
            told = next(lives[place], None)
            if told is not None:
                return told
            lives[place] = self._next_life()

    def _next_life(self) -> Iterator[tuple[str, dict[str, Any]]]:
        self._newest += 1
        return _Life(self._newest, self._chance).facts()

    def _spoilt(self, number: int) -> Cast:
        name = f"{BAD}-{number}"
        wrong = plain.instance(1, 1, flavor=plain.flavor(vcpus=-1))
        return self._chance.choice([
            Cast(name, None, {}), Cast(name, "brew_coffee", {}), Cast(name, "update_instance", {"instance": wrong}),
        ])  # fmt: skip

    def _about_a_node(self) -> tuple[str, dict[str, Any]]:
        self._revision += 1
        number, revision = self._chance.randrange(NODES), self._revision
        named = {"node_uuid": plain.node_uuid(number)}
        kind = self._chance.choice(["report", "disable", "audit", "build" if number < BUILDERS else "remove"])
        if kind == "report":
            return "report_node", {"node": _node(number, revision, CPUS + self._chance.randrange(6))}
        if kind == "disable":
            return "set_node_disabled", named | {"disabled": self._chance.random() < 0.5, "revision": revision}
        if kind == "audit":
            return "audit_node", named | {"instances": None, "taken_at": "2026-01-02T03:04:05.000000+00:00"}
        if kind == "build":
            return "record_build", named | {"succeeded": False}
        return "remove_node", named | {"revision": revision}


class _Life:
    """What is cast about one instance: it is built, may get devices, may be moved, and mostly goes in the end."""

    def __init__(self, number: int, chance: random.Random) -> None:
        self._number = number
        self._chance = chance
        self._revision = 0
        self._on = chance.randrange(NODES)
        self._flavor = plain.flavor(chance.choice(["small", "big"]))

    def _next(self) -> int:
        self._revision += 1
        return self._revision

    def _now(self, **changes: Any) -> plain.Primitive:
        return plain.instance(self._number, self._next(), self._on, **{"flavor": self._flavor, **changes})

    def _maybe(self, share: float) -> bool:
        return self._chance.random() < share

    def facts(self) -> Iterator[tuple[str, dict[str, Any]]]:
        named = {"instance_uuid": plain.uid(self._number)}
        yield "claim_instance", {"instance": self._now(vm_state="building", task_state="spawning"), "limits": None}
        if self._maybe(0.1):
            yield "abort_claim", named | {"revision": self._next()}
        if self._maybe(0.9):
            yield from self._use()
        if self._maybe(0.98):
            yield "delete_instance", named | {"revision": self._next()}

    def _use(self) -> Iterator[tuple[str, dict[str, Any]]]:
        yield "update_instance", {"instance": self._now()}
        if self._maybe(0.2):
            yield from self._devices()
        for turn in range(self._chance.randrange(3)):
            yield from self._move(turn)
        if self._maybe(0.1):
            yield "update_instance", {"instance": self._now(vm_state="shelved_offloaded", host=None, node=None)}
            yield "claim_instance", {"instance": self._now(vm_state="shelved_offloaded", task_state="spawning"),
                                     "limits": plain.limits(16.0, 1.5)}  # fmt: skip

    def _devices(self) -> Iterator[tuple[str, dict[str, Any]]]:
        named = {"instance_uuid": plain.uid(self._number)}
        request = plain.request(self._number)
        yield "attach_devices", named | {"requests": [request], "revision": 1}
        if self._maybe(0.5):
            yield "detach_devices", named | {"request_ids": [plain.data(request)["request_id"]], "revision": 2}

    def _move(self, turn: int) -> Iterator[tuple[str, dict[str, Any]]]:
        to, kind = self._chance.randrange(NODES), self._chance.choice(list(ENDS))
        new = plain.flavor("big") if kind == "resize" else self._flavor
        revisions = iter(range(1, 10))
        named = {
            "instance_uuid": plain.uid(self._number), "migration_type": kind,
            "source_compute": plain.host(self._on), "source_node": plain.host(self._on),
            "dest_compute": plain.host(to), "dest_node": plain.host(to),
            "created_at": f"2026-01-02T03:{turn:02}:05.000000+00:00",
            "old_flavor": self._flavor if kind == "resize" else None, "new_flavor": new if kind == "resize" else None,
        }  # fmt: skip

        def told(status: str) -> plain.Primitive:
            return plain.migration(self._number * 10 + turn, next(revisions), status, **named)

        yield "claim_migration", {
            "migration": told("accepted"), "instance": self._now(task_state="migrating"), "limits": None,
        }  # fmt: skip
        if self._maybe(0.1):
            yield "abort_claim", {"instance_uuid": plain.uid(self._number), "revision": next(revisions),
                                  "migration_uuid": plain.uid(900_000 + self._number * 10 + turn)}  # fmt: skip
            return
        yield "update_migration", {"migration": told("migrating"), "instance": self._now(task_state="migrating")}
        if self._maybe(0.3):
            yield "update_migration", {"migration": told("error"), "instance": self._now()}
            return
        if ENDS[kind] != "reverted":
            self._on, self._flavor = to, new
        yield "update_migration", {"migration": told(ENDS[kind]), "instance": self._now()}


def _node(number: int, revision: int, vcpus: int = CPUS) -> plain.Primitive:
    devices = [
        plain.primitive("PciDevice", {
            "address": f"0000:81:00.{place}", "vendor_id": "8086", "product_id": "154c", "dev_type": "type-PCI",
            "parent_addr": None, "numa_node": None, "label": None, "tags": {},
        })
        for place in range(DEVICES)
    ]  # fmt: skip
    return plain.node(number, revision, vcpus=vcpus, local_gb=400, pci_devices=devices)
