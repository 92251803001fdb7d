"""A simulated conductor: a seeded stream of builds, state changes, moves and deletions, cast as a real one would.

It never looks at the accounts. What it is told of its claims comes from the notifications, as a scheduler would hear.
Now and then it sends a cast twice, or holds one back until later ones have gone, as an unlucky network does.
"""

from __future__ import annotations

import dataclasses
import datetime
import random
import uuid
from collections.abc import Callable
from typing import Any

from objects import compute_nodes, flavors, instances, migrations, pci
from worker import client
from worker.demo import hardware

CONTEXT = {"user": "demo", "project": "demo", "is_admin": True}
PINNED = "pinned"
SIZES = (
    ("small", 1, 2048, 10),
    ("medium", 2, 4096, 20),
    ("large", 4, 8192, 40),
    (PINNED, 2, 4096, 20),
    ("huge", 16, 32768, 200),
)
FLAVORS = {
    name: flavors.Flavor(
        flavorid=name,
        name=name,
        vcpus=vcpus,
        memory_mb=memory_mb,
        root_gb=root_gb,
        ephemeral_gb=0,
        swap=0,
        extra_specs={"hw:cpu_policy": "dedicated"} if name == PINNED else {},
    )
    for name, vcpus, memory_mb, root_gb in SIZES
}
MEMORY_MB = 65536
PROJECTS = ("blue", "green", "red")
RESENT, HELD_BACK = 0.05, 0.05
MOST_INSTANCES_A_NODE = 12


@dataclasses.dataclass(slots=True)
class Guest:
    """An instance as the conductor knows it; ``next`` is what it does with it when its turn comes."""

    uuid: str
    project: str
    flavor: str
    host: str
    next: Callable[[Guest], None]
    revision: int = 0
    vm_state: str = "building"
    task_state: str | None = None
    move: Move | None = None
    requests: list[pci.InstancePCIRequest] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True)
class Move:
    """A move under way."""

    uuid: str
    kind: str
    source: str
    dest: str
    old: str
    new: str
    created_at: datetime.datetime
    revision: int = 0


class Conductor:
    """Casts through ``api``; what it does is drawn from ``seed``, how much of it is done is a matter of time."""

    def __init__(self, api: client.UsageAPI, nodes: int, seed: int) -> None:
        self._api = api
        self._random = random.Random(seed)  # noqa: S311 - a demonstration is to be repeatable, not secret
        self._hosts = [f"node-{number:02}" for number in range(1, nodes + 1)]
        self._guests: dict[str, Guest] = {}
        self._held_back: list[Callable[[], None]] = []
        self.cast = 0
        self.kinds: dict[str, int] = {}

    def report(self) -> list[str]:
        """Report every node and return their uuids."""
        reports = [self._node(host, equipped=not index % 2) for index, host in enumerate(self._hosts)]
        for report in reports:
            self._send(self._api.report_node, report)
        return [report.uuid for report in reports]

    def step(self, refused: set[str]) -> None:
        """Do one thing; ``refused`` are the instances and moves whose claims have been refused since."""
        for uuid_ in sorted(refused):
            self._take_back(uuid_)
        full = len(self._guests) >= MOST_INSTANCES_A_NODE * len(self._hosts)
        if not self._guests or (not full and self._random.random() < 0.25):
            self._build()
        else:
            guest = self._random.choice(list(self._guests.values()))
            guest.next(guest)
        if self._held_back and self._random.random() < 0.3:
            self._held_back.pop(0)()

    def finish(self) -> None:
        """Send what was held back."""
        while self._held_back:
            self._held_back.pop(0)()

    def _take_back(self, uuid_: str) -> None:
        """Forget a build that was refused; of a move that was, say that it failed."""
        self._guests.pop(uuid_, None)
        for guest in self._guests.values():
            if guest.move is not None and guest.move.uuid == uuid_:
                self._update_move(guest, "failed", task_state=None, move=None, next=self._live_on)

    def _build(self) -> None:
        name = self._random.choices([size[0] for size in SIZES], [8, 5, 3, 4, 1])[0]
        wanted = self._random.choices([(), (False,), (True,)], [8, 2, 1])[0]
        requests = [hardware.request(self._uuid(), gpu=gpu) for gpu in wanted]
        hosts = self._hosts[::2] if requests or name == PINNED else self._hosts
        guest = Guest(
            self._uuid(),
            self._random.choice(PROJECTS),
            name,
            self._random.choice(hosts),
            self._started,
            requests=requests,
        )
        self._guests[guest.uuid] = guest
        self._send(self._api.claim_instance, self._changed(guest), note="build")

    def _started(self, guest: Guest) -> None:
        if self._random.random() < 0.1:
            guest.revision += 1
            self._send(self._api.abort_claim, guest.uuid, guest.revision, note="abort")
            del self._guests[guest.uuid]
        else:
            self._update(guest, "update", vm_state="active", next=self._live_on)

    def _live_on(self, guest: Guest) -> None:
        choices = (self._delete, self._rename, self._resize, self._migrate, self._evacuate)
        self._random.choices(choices, [5, 4, 4, 3, 1])[0](guest)

    def _delete(self, guest: Guest) -> None:
        guest.revision += 1
        self._send(self._api.delete_instance, guest.uuid, guest.revision, note="delete")
        del self._guests[guest.uuid]

    def _rename(self, guest: Guest) -> None:
        state = self._random.choice(("active", "stopped", "paused"))
        self._update(guest, "update", vm_state=state, task_state=None)

    def _resize(self, guest: Guest) -> None:
        other = self._random.choice([size[0] for size in SIZES[:3] if size[0] != guest.flavor])
        self._claim_move(guest, "resize", other, "resize_prep")

    def _migrate(self, guest: Guest) -> None:
        self._claim_move(guest, "live-migration", guest.flavor, "migrating")

    def _evacuate(self, guest: Guest) -> None:
        self._claim_move(guest, "evacuation", guest.flavor, "rebuilding")

    def _claim_move(self, guest: Guest, kind: str, flavor: str, task_state: str) -> None:
        dest = self._random.choice([host for host in self._hosts if host != guest.host] or self._hosts)
        now = datetime.datetime.now(datetime.UTC)
        guest.move = Move(self._uuid(), kind, guest.host, dest, guest.flavor, flavor, now)
        record = self._migration(guest, "pre-migrating")
        changed = self._changed(guest, task_state=task_state, next=self._arrive if kind == "resize" else self._end)
        self._send(self._api.claim_migration, record, changed, note=kind)

    def _arrive(self, guest: Guest) -> None:
        move = self._move(guest)
        there = {"host": move.dest, "flavor": move.new, "vm_state": "resized", "task_state": None}
        self._update_move(guest, "finished", **there, next=self._end)

    def _end(self, guest: Guest) -> None:
        """End the move, well or not."""
        move = self._move(guest)
        well = self._random.random() < 0.7
        words = {"resize": ("confirmed", "reverted"), "live-migration": ("completed", "failed")}
        status = words.get(move.kind, ("done", "failed"))[0 if well else 1]
        host, flavor = (move.dest, move.new) if well else (move.source, move.old)
        self._update_move(
            guest, status, host=host, flavor=flavor, vm_state="active", task_state=None, next=self._live_on
        )
        guest.move = None

    def _update(self, guest: Guest, note: str, **changes: Any) -> None:
        self._send(self._api.update_instance, self._changed(guest, **changes), note=note)

    def _update_move(self, guest: Guest, status: str, **changes: Any) -> None:
        record = self._migration(guest, status)
        self._send(self._api.update_migration, record, self._changed(guest, **changes), note="move")

    def _send(self, method: Callable[..., None], *arguments: Any, note: str = "report") -> None:
        """Cast now, twice, or later."""
        context = {**CONTEXT, "request_id": f"req-{uuid.uuid4()}"}
        self.kinds[note] = self.kinds.get(note, 0) + 1
        luck = self._random.random()

        def go() -> None:
            self.cast += 1
            method(context, *arguments)

        if note != "report" and luck < HELD_BACK:
            self._held_back.append(go)
            return
        go()
        if luck > 1 - RESENT:
            go()

    def _changed(self, guest: Guest, **changes: Any) -> instances.Instance:
        for name, value in changes.items():
            setattr(guest, name, value)
        guest.revision += 1
        return instances.Instance(
            uuid=guest.uuid,
            revision=guest.revision,
            project_id=guest.project,
            user_id="demo",
            display_name=f"vm-{guest.uuid[:8]}",
            host=guest.host,
            node=guest.host,
            vm_state=guest.vm_state,
            task_state=guest.task_state,
            os_type="linux",
            flavor=FLAVORS[guest.flavor],
            volume_backed=False,
            numa_topology=None,
            pci_requests=guest.requests,
            resources={},
        )

    def _move(self, guest: Guest) -> Move:
        if guest.move is None:
            raise LookupError(f"instance {guest.uuid} has no move")
        return guest.move

    def _migration(self, guest: Guest, status: str) -> migrations.Migration:
        move = self._move(guest)
        move.revision += 1
        return migrations.Migration(
            uuid=move.uuid,
            revision=move.revision,
            instance_uuid=guest.uuid,
            migration_type=move.kind,
            status=status,
            created_at=move.created_at,
            source_compute=move.source,
            source_node=move.source,
            dest_compute=move.dest,
            dest_node=move.dest,
            old_flavor=FLAVORS[move.old],
            new_flavor=FLAVORS[move.new],
            new_numa_topology=None,
            new_pci_requests=None,
        )

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def _node(self, host: str, *, equipped: bool) -> compute_nodes.ComputeNode:
        return compute_nodes.ComputeNode(
            uuid=self._uuid(),
            host=host,
            hypervisor_hostname=host,
            revision=1,
            vcpus=hardware.SHARED_CPUS if equipped else 16,
            memory_mb=MEMORY_MB,
            local_gb=500,
            reserved_host_cpus=0,
            reserved_host_memory_mb=1024,
            reserved_host_disk_mb=0,
            cpu_allocation_ratio=2.0,
            ram_allocation_ratio=None,
            disk_allocation_ratio=None,
            hypervisor_type=None,
            hypervisor_version=None,
            host_ip=None,
            disabled=False,
            numa_topology=hardware.cells(MEMORY_MB) if equipped else None,
            pci_devices=hardware.devices() if equipped else [],
            inventories={},
            traits=[],
            stats={},
            providers=[],
        )
