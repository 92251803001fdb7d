"""The simulated conductor's own view: what there is and where, so as to know what to send. No figure comes from here."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from objects import compute_nodes, instances, migrations, numa
from worker.core import records
from worker.replay import shapes

RESIZE = "resize"
LIVE = "live-migration"
EVACUATION = "evacuation"
COLD = "migration"


class Impossible(Exception):
    """The operation makes no sense in the state that things are in; ``kind`` is the class that is printed."""

    def __init__(self, message: str, kind: str = "ScenarioError") -> None:
        super().__init__(message)
        self.kind = kind


@dataclasses.dataclass(slots=True)
class Move:
    """A move of a guest; ``phase`` is claimed, sourced or finished, ``was`` the vm_state before it."""

    uuid: str
    guest: Guest
    kind: str
    created_at: datetime.datetime
    dest: records.Pair
    new: shapes.Size
    source: records.Pair = dataclasses.field(init=False)
    old: shapes.Size = dataclasses.field(init=False)
    was: str = dataclasses.field(init=False)
    revision: int = 0
    phase: str = "claimed"
    abortable: bool = True

    def __post_init__(self) -> None:
        """Remember how the guest is before the move."""
        self.source = self.guest.there()
        self.old = self.guest.size
        self.was = self.guest.vm_state

    @property
    def resizes(self) -> bool:
        """Whether it is a resize or a cold migration, which is confirmed or reverted in the end."""
        return self.kind in {RESIZE, COLD}

    def object(self, status: str) -> migrations.Migration:
        """Return the next version of the record."""
        self.revision += 1
        changes = self.resizes
        return migrations.Migration(
            uuid=self.uuid,
            revision=self.revision,
            instance_uuid=self.guest.uuid,
            migration_type=self.kind,
            status=status,
            created_at=self.created_at,
            source_compute=self.source.host,
            source_node=self.source.node,
            dest_compute=self.dest.host,
            dest_node=self.dest.node,
            old_flavor=self.old.flavor_object() if changes else None,
            new_flavor=self.new.flavor_object() if changes else None,
            new_numa_topology=self._topology() if changes else None,
            new_pci_requests=self.new.requests() if changes else None,
        )

    def _topology(self) -> numa.InstanceNUMATopology | None:
        """Null would mean that the guest keeps what it has, so that none at all is said with no cells."""
        lost = self.old.topology() is not None and self.new.topology() is None
        nothing = numa.InstanceNUMATopology(cells=[], emulator_threads_policy=None)
        return nothing if lost else self.new.topology()


@dataclasses.dataclass(slots=True)
class Guest:
    """An instance; ``abortable`` while its build, or unshelving, is claimed and not carried out."""

    label: str
    size: shapes.Size
    project_id: str | None = "project"
    os_type: str | None = None
    volume_backed: bool = False
    revision: int = 0
    pair: records.Pair | None = None
    vm_state: str = "building"
    task_state: str | None = None
    move: Move | None = None
    abortable: bool = False
    deleted: bool = False

    @property
    def uuid(self) -> str:
        """The uuid."""
        return shapes.instance_uuid(self.label)

    def there(self) -> records.Pair:
        """Return where it is; raises Impossible when it is nowhere."""
        if self.pair is None:
            raise Impossible("the instance is on no node")
        return self.pair

    def changed(self, **changes: Any) -> instances.Instance:
        """Change it and return the next version of its record."""
        for name, value in changes.items():
            setattr(self, name, value)
        self.revision += 1
        return self.object()

    def object(self) -> instances.Instance:
        """Return the record as it is."""
        return instances.Instance(
            uuid=self.uuid,
            revision=self.revision,
            project_id=self.project_id,
            user_id="user",
            display_name=self.label,
            host=None if self.pair is None else self.pair.host,
            node=None if self.pair is None else self.pair.node,
            vm_state=self.vm_state,
            task_state=self.task_state,
            os_type=self.os_type,
            flavor=self.size.flavor_object(),
            volume_backed=self.volume_backed,
            numa_topology=self.size.topology(),
            pci_requests=self.size.requests(),
            resources={},
        )


@dataclasses.dataclass(slots=True)
class Node:
    """A hypervisor that is reported; ``said`` are the keys of its last report."""

    uuid: str
    pair: records.Pair
    said: dict[str, Any]
    revision: int = 0
    gone: bool = False

    @property
    def name(self) -> str:
        """The name in the output: that of the hypervisor, with the host before it where the two differ."""
        return self.pair.node if self.pair.node == self.pair.host else str(self.pair)

    def report(self, configured: shapes.Settings) -> compute_nodes.ComputeNode:
        """Return the next report."""
        self.revision += 1
        self.gone = False
        names = {
            "uuid": self.uuid,
            "host": self.pair.host,
            "hypervisor_hostname": self.pair.node,
            "revision": self.revision,
        }
        return shapes.compute_node(names, self.said, configured)


class Cloud:
    """All there is: guests by uuid, nodes by their pair, the configuration of each service.

    ``evacuated`` has the moves that a dead service has yet to learn of, ``names`` what each consumer is called.
    """

    def __init__(self) -> None:
        self.guests: dict[str, Guest] = {}
        self.nodes: dict[records.Pair, Node] = {}
        self.services: dict[str, shapes.Settings] = {}
        self.evacuated: dict[str, list[Move]] = {}
        self.names: dict[str, str] = {}

    def guest(self, label: str) -> Guest:
        """Return a guest that is there; raises Impossible."""
        guest = self.guests.get(shapes.instance_uuid(label))
        if guest is None or guest.deleted:
            raise Impossible(f"instance {label} does not exist", "InstanceNotFound")
        return guest

    def node(self, host: str, name: str) -> Node:
        """Return a node that is there; raises Impossible."""
        node = self.nodes.get(records.Pair(host, name))
        if node is None or node.gone:
            raise Impossible(f"node {host}/{name} does not exist", "ComputeHostNotFound")
        return node

    def nodes_of(self, host: str) -> list[Node]:
        """Return the nodes of a service that are there; raises Impossible for a service that never reported one."""
        if host not in self.services:
            raise Impossible(f"service {host} does not exist", "ComputeHostNotFound")
        return [node for pair, node in self.nodes.items() if pair.host == host and not node.gone]

    def present(self) -> list[Node]:
        """Return every node that is there."""
        return [node for node in self.nodes.values() if not node.gone]

    def residents(self, pair: records.Pair) -> list[Guest]:
        """Return the guests that are on a node by their own record."""
        return [guest for guest in self.guests.values() if guest.pair == pair and not guest.deleted]

    def add(self, guest: Guest) -> None:
        """Take a new guest in."""
        self.guests[guest.uuid] = guest
        self.names[guest.uuid] = guest.label

    def end_claims(self, host: str) -> None:
        """Forget the claims of a service that were not carried out: they can no longer be aborted."""
        for guest in self.guests.values():
            if guest.pair is not None and guest.pair.host == host:
                guest.abortable = False
            if guest.move is not None and guest.move.dest.host == host:
                guest.move.abortable = False
