"""What is cast: the lives of many instances on many nodes, interleaved, the same for the same seed.

Each life is a claim, the updates of a build, for some a move with its claim and its confirmation, and for most an end.
The bodies are what oslo.messaging's client sends, with the keys of an oslo.context RequestContext.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
import uuid
from collections.abc import Iterator
from typing import Any

from objects import stocktake_object

SMALLEST, LARGEST = 512, 4096
"""Bytes of a body."""
OPEN = 400
"""Lives that are told at the same time."""
TOKEN = 183
"""Characters of a Fernet token."""
FLAVORS = (("m1.small", 1, 2048, 20), ("m1.medium", 2, 4096, 40), ("m1.large", 4, 8192, 80))
ROLES = ["member", "reader"]
CHANGED = ["revision"]
STARTED = "2026-03-14T09:26:53.589793+00:00"

Words = tuple[str, dict[str, Any]]
"""A method and its arguments."""


@dataclasses.dataclass(frozen=True, slots=True)
class Cast:
    """One cast as it lies in the queue."""

    message_id: str
    method: str
    body: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Cloud:
    """What is there before the casts: nodes, and instances, of which number i is on node i modulo ``nodes``.

    The casts are about ``used`` of the nodes, spread evenly; every other life is that of an instance that is there.
    """

    nodes: int
    instances: int = 0
    used: int = 0

    def node(self, chance: random.Random) -> int:
        """Return one of the nodes that the casts are about."""
        used = self.used or self.nodes
        return chance.randrange(used) * (self.nodes // used)

    def there(self) -> list[int]:
        """Return the numbers of the instances on these nodes."""
        apart = self.nodes // (self.used or self.nodes)
        return [number for number in range(self.instances) if number % self.nodes % apart == 0]


def casts(count: int, nodes: int, seed: int = 1) -> list[Cast]:
    """Return so many casts about so many nodes; all of them can be applied in this order."""
    return list(itertools.islice(stream(Cloud(nodes), seed), count))


def stream(cloud: Cloud, seed: int = 1) -> Iterator[Cast]:
    """Yield casts without end; all of them can be applied in this order."""
    chance = random.Random(seed)
    there = cloud.there()
    chance.shuffle(there)
    return (_cast(words, chance) for words in _interleaved(cloud, there, chance))


def claims(count: int, nodes: int, seed: int = 1) -> list[Cast]:
    """Return so many first claims on so many nodes."""
    chance = random.Random(seed)
    told = (_Instance(chance, number % nodes) for number in range(count))
    return [_cast(("claim_instance", {"instance": one.now("building", None), "limits": None}), chance) for one in told]


def reports(nodes: int, revision: int = 1) -> list[Cast]:
    """Return a report of each node; a later revision says nothing new."""
    chance = random.Random(f"reports {revision}")
    return [_cast(("report_node", {"node": _node(number, revision)}), chance) for number in range(nodes)]


def hello() -> Cast:
    """Return a cast that changes nothing but one node's revision: the first one of a worker that was just started."""
    return _cast(("report_node", {"node": _node(0, 2)}), random.Random("hello"))


def resident(number: int, cloud: Cloud) -> dict[str, Any]:
    """Return the first record of an instance that is there before the casts."""
    return _resident(number, cloud).now("active", None)


def _resident(number: int, cloud: Cloud) -> _Instance:
    return _Instance(random.Random(f"instance {number}"), number % cloud.nodes)


def node_uuid(number: int) -> str:
    """Return the uuid of a node."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"node {number}"))


def host(number: int) -> str:
    """Return the name of a node and of its host."""
    return f"compute-{number:05d}.example.org"


def _interleaved(cloud: Cloud, there: list[int], chance: random.Random) -> Iterator[Words]:
    """Yield the next word of one of the lives, drawn anew each time; a life that is over makes room for another."""

    def another() -> Iterator[Words]:
        own = random.Random(chance.getrandbits(64))
        if there and own.random() < 0.5:
            return _rest(_known(there.pop(), cloud), cloud, own)
        return _life(cloud, own)

    lives = [another() for _ in range(OPEN)]
    while True:
        place = chance.randrange(OPEN)
        words = next(lives[place], None)
        if words is None:
            lives[place] = another()
        else:
            yield words


def _known(number: int, cloud: Cloud) -> _Instance:
    """Return an instance that is there, as it was told of last."""
    told = _resident(number, cloud)
    told.now("active", None)
    return told


def _life(cloud: Cloud, chance: random.Random) -> Iterator[Words]:
    """Yield what is cast about one instance, from its claim to its end."""
    told = _Instance(chance, cloud.node(chance))
    yield "claim_instance", {"instance": told.now("building", None), "limits": None}
    yield "update_instance", {"instance": told.now("building", "networking")}
    yield "update_instance", {"instance": told.now("building", "spawning")}
    yield "update_instance", {"instance": told.now("active", None)}
    yield from _rest(told, cloud, chance)


def _rest(told: _Instance, cloud: Cloud, chance: random.Random) -> Iterator[Words]:
    """Yield what is cast about an instance that is built, to its end."""
    if chance.random() < 0.45:
        yield from _move(told, cloud, chance)
    for task in ("powering-off", None)[: chance.randrange(3)]:
        yield "update_instance", {"instance": told.now("active" if task else "stopped", task)}
    if chance.random() < 0.7:
        yield "delete_instance", {"instance_uuid": told.uuid, "revision": told.revision + 1}


def _move(told: _Instance, cloud: Cloud, chance: random.Random) -> Iterator[Words]:
    """Yield a resize to another node, or a live migration."""
    resize = chance.random() < 0.5
    move = _Move(told, chance, cloud.node(chance), resize)
    yield (
        "claim_migration",
        {"migration": move.now("accepted"), "instance": told.now("active", move.tasks[0]), "limits": None},
    )
    yield _moved(move, move.statuses[0], told.now("active", move.tasks[1]))
    move.arrive()
    yield _moved(move, move.statuses[1], told.now("resized" if resize else "active", None))
    yield _moved(move, move.statuses[2], told.now("active", None))


def _moved(move: _Move, status: str, instance: dict[str, Any]) -> Words:
    return "update_migration", {"migration": move.now(status), "instance": instance}


class _Instance:
    """An instance as its owner has it on record; each word about it raises the revision."""

    def __init__(self, chance: random.Random, node: int) -> None:
        self.uuid = _uuid(chance)
        self.revision = 0
        self.node = node
        self.flavor = _flavor(chance)
        self.project, self.user = f"{chance.randrange(50):032x}", f"{chance.randrange(500):032x}"

    def now(self, vm_state: str, task_state: str | None) -> dict[str, Any]:
        self.revision += 1
        return _primitive(
            "Instance",
            uuid=self.uuid, revision=self.revision, project_id=self.project, user_id=self.user,
            display_name=f"vm-{self.uuid[:8]}", host=host(self.node), node=host(self.node),
            vm_state=vm_state, task_state=task_state, os_type="linux", flavor=self.flavor, volume_backed=False,
            numa_topology=None, pci_requests=[], resources={},
        )  # fmt: skip


class _Move:
    """A move of an instance to another node."""

    def __init__(self, told: _Instance, chance: random.Random, dest: int, resize: bool) -> None:
        self._told = told
        self._uuid = _uuid(chance)
        self._revision = 0
        self._source, self._dest = told.node, dest
        self._old, self._new = told.flavor, _flavor(chance) if resize else told.flavor
        self._resize = resize
        self.tasks = ("resize_prep", "resize_migrating") if resize else ("migrating", "migrating")
        last = "confirmed" if resize else "completed"
        self.statuses = ("migrating", "finished", last) if resize else ("running", "post-migrating", last)

    def arrive(self) -> None:
        """From now on the instance is on its destination."""
        self._told.node, self._told.flavor = self._dest, self._new

    def now(self, status: str) -> dict[str, Any]:
        self._revision += 1
        return _primitive(
            "Migration",
            uuid=self._uuid, revision=self._revision, instance_uuid=self._told.uuid, status=status,
            migration_type="resize" if self._resize else "live-migration", created_at=STARTED,
            source_compute=host(self._source), source_node=host(self._source),
            dest_compute=host(self._dest), dest_node=host(self._dest),
            old_flavor=self._old if self._resize else None, new_flavor=self._new if self._resize else None,
            new_numa_topology=None, new_pci_requests=None,
        )  # fmt: skip


def _flavor(chance: random.Random) -> dict[str, Any]:
    name, vcpus, memory_mb, root_gb = chance.choice(FLAVORS)
    specs = {"hw:cpu_policy": "shared", "quota:disk_read_iops_sec": "5000"}
    return _primitive(
        "Flavor", flavorid=name, name=name, vcpus=vcpus, memory_mb=memory_mb, root_gb=root_gb, ephemeral_gb=0, swap=0,
        extra_specs=dict(list(specs.items())[: chance.randrange(3)]),
    )  # fmt: skip


def _node(number: int, revision: int) -> dict[str, Any]:
    return _primitive(
        "ComputeNode",
        uuid=node_uuid(number), host=host(number), hypervisor_hostname=host(number), revision=revision, vcpus=128,
        memory_mb=1048576, local_gb=20000, reserved_host_cpus=0, reserved_host_memory_mb=4096, reserved_host_disk_mb=0,
        cpu_allocation_ratio=16.0, ram_allocation_ratio=1.5, disk_allocation_ratio=1.0, hypervisor_type="QEMU",
        hypervisor_version=8002002, host_ip="192.0.2.7", disabled=False, numa_topology=None, pci_devices=[],
        inventories={}, traits=["HW_CPU_X86_AVX2"], stats={}, providers=[],
    )  # fmt: skip


def _primitive(kind: str, /, **data: Any) -> dict[str, Any]:
    """Return a versioned object as its sender serializes it."""
    return {
        stocktake_object.KEY_NAME: kind,
        stocktake_object.KEY_NAMESPACE: stocktake_object.NAMESPACE,
        stocktake_object.KEY_VERSION: "1.0",
        stocktake_object.KEY_DATA: data,
        stocktake_object.KEY_CHANGES: CHANGED,
    }


def _context(chance: random.Random) -> dict[str, Any]:
    """Return the items of a RequestContext; every other one is a service's own, without a user's token."""
    user, project = f"{chance.randrange(500):032x}", f"{chance.randrange(50):032x}"
    token = "g" * TOKEN if chance.random() < 0.5 else None
    return {
        "user": user, "project": project, "project_id": project, "system_scope": None, "domain": None,
        "user_domain": "default", "project_domain": "default", "is_admin": False, "read_only": False,
        "show_deleted": False, "auth_token": token, "request_id": f"req-{_uuid(chance)}", "global_request_id": None,
        "resource_uuid": None, "roles": ROLES, "user_identity": f"{user} {project} - default default",
        "is_admin_project": True,
    }  # fmt: skip


def _cast(words: Words, chance: random.Random) -> Cast:
    method, arguments = words
    message_id = _uuid(chance).replace("-", "")
    message = {"method": method, "args": arguments, "version": "1.0", "_unique_id": message_id}
    message |= {f"_context_{name}": value for name, value in _context(chance).items()}
    body = json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(message)}).encode()
    if method != "report_node" and not SMALLEST <= len(body) <= LARGEST:
        raise ValueError(f"a {method} of {len(body)} bytes is not one of {SMALLEST} to {LARGEST}")
    return Cast(message_id, method, body)


def _uuid(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))
