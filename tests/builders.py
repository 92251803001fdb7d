"""A whole value with one thing changed: what every test starts from.

Names are small on purpose: ``uid(7)`` is a uuid that ends in 7, a pair is ``pair("h1")`` = ``h1/h1``.
"""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from tests.fakes import unit_of_work
from worker import handler
from worker.core import claims, commands, holdings, records

NOW = 1_700_000_000_000_000
"""The time at which tests happen, in microseconds since 1970."""
MINUTE = 60_000_000

METHODS: dict[type, str] = {
    commands.ReportNode: "report_node",
    commands.RemoveNode: "remove_node",
    commands.SetNodeDisabled: "set_node_disabled",
    commands.RecordBuild: "record_build",
    commands.ClaimInstance: "claim_instance",
    commands.AbortClaim: "abort_claim",
    commands.UpdateInstance: "update_instance",
    commands.DeleteInstance: "delete_instance",
    commands.ClaimMigration: "claim_migration",
    commands.UpdateMigration: "update_migration",
    commands.AttachDevices: "attach_devices",
    commands.DetachDevices: "detach_devices",
    commands.AuditNode: "audit_node",
}


def uid(number: int) -> str:
    """Return a uuid that is easy to tell apart."""
    return f"00000000-0000-4000-8000-{number:012d}"


VM = uid(1)
MIGRATION = uid(900)
NODE = uid(500)


def pair(host: str | None = "h1", node: str | None = None) -> records.Pair:
    """Return the pair of a host whose hypervisor has the same name."""
    return records.Pair(str(host), str(node or host))


def account_of(host: str = "h1", node: str | None = None) -> str:
    """Return the id of a pair's account."""
    return records.account_id(host, node or host)


def a_flavor(flavorid: str = "small", **changes: Any) -> records.Flavor:
    """Return a flavor: 1 CPU, 512 MiB, 10 GiB."""
    values: dict[str, Any] = {
        "name": flavorid, "vcpus": 1, "memory_mb": 512, "root_gb": 10, "ephemeral_gb": 0, "swap": 0, "extra_specs": {},
    }  # fmt: skip
    return records.Flavor(flavorid=flavorid, **values | changes)


def a_big_flavor(**changes: Any) -> records.Flavor:
    """Return another flavor: 2 CPUs, 1024 MiB, 20 GiB."""
    values: dict[str, Any] = {"vcpus": 2, "memory_mb": 1024, "root_gb": 20}
    return a_flavor("big", **values | changes)


def an_instance(instance_uuid: str = VM, revision: int = 1, **changes: Any) -> records.Instance:
    """Return an active instance on h1; ``host`` alone changes the pair, ``host=None`` is on no node."""
    host = changes.pop("host", "h1")
    values: dict[str, Any] = {
        "flavor": a_flavor(), "project_id": "p1", "user_id": "u1", "display_name": "vm", "host": host, "node": host,
        "vm_state": "active", "os_type": "linux",
    }  # fmt: skip
    return records.Instance(uuid=instance_uuid, revision=revision, **values | changes)


def a_node(node_uuid: str = NODE, revision: int = 1, **changes: Any) -> records.ComputeNode:
    """Return a report: 8 CPUs, 16 GiB, 100 GiB, nothing reserved, ratios 1."""
    host = changes.pop("host", "h1")
    values: dict[str, Any] = {
        "host": host, "hypervisor_hostname": host, "vcpus": 8, "memory_mb": 16384, "local_gb": 100,
        "reserved_host_cpus": 0, "reserved_host_memory_mb": 0, "reserved_host_disk_mb": 0, "cpu_allocation_ratio": 1.0,
    }  # fmt: skip
    return records.ComputeNode(uuid=node_uuid, revision=revision, **values | changes)


def a_move(move_uuid: str = MIGRATION, revision: int = 1, **changes: Any) -> records.Move:
    """Return a resize of the instance from h1 to h2, small to big, that is migrating."""
    values: dict[str, Any] = {
        "instance_uuid": VM, "status": "migrating", "migration_type": "resize", "created_at": NOW - MINUTE,
        "source": pair("h1"), "dest": pair("h2"), "old_flavor": a_flavor(), "new_flavor": a_big_flavor(),
    }  # fmt: skip
    return records.Move(uuid=move_uuid, revision=revision, **values | changes)


def a_book(record: records.Instance | None = None, *moves: records.Move, **changes: Any) -> records.Book:
    """Return the book of an instance without holdings worked out."""
    record = an_instance() if record is None else record
    values: dict[str, Any] = {"revision": record.revision, "record": record, "moves": moves}
    return records.Book(record.uuid, **values | changes)


def holding(book: records.Book) -> records.Book:
    """Return the book with what the instance holds."""
    return msgspec.structs.replace(book, holdings=holdings.held(book))


def a_request(count: int = 1, **changes: Any) -> records.DeviceRequest:
    """Return a request for any device of one kind."""
    values: dict[str, Any] = {"request_id": uid(800), "spec": ({"vendor_id": "8086"},)}
    return records.DeviceRequest(count=count, **values | changes)


def a_cause(message_id: str = "m1", method: str = "update_instance", **changes: Any) -> commands.Cause:
    """Return a cause that names nobody."""
    return commands.Cause(message_id, method, **changes)


def a_report(node: records.ComputeNode | None = None, **changes: Any) -> commands.ReportNode:
    """Return a report's command; its digest is made of everything but the revision."""
    node = node or a_node(**changes)
    digest = msgspec.json.encode(msgspec.structs.replace(node, revision=0), order="deterministic").decode()
    return commands.ReportNode(node, digest)


def a_task(command: commands.Command, message_id: str | None = None, wants_reply: bool = False) -> commands.Task:
    """Return a message's task; without an id, one that is made of the command."""
    message_id = message_id or str(uuid.uuid5(uuid.NAMESPACE_OID, repr(command)))
    return commands.Task(message_id, a_cause(message_id, METHODS[type(command)]), command, wants_reply)


class Worker:
    """A worker on a fake store: gives each command a message id of its own and keeps the outcomes."""

    def __init__(self, policy: str = claims.ALL, **changes: Any) -> None:
        self.policy = claims.Policy(claims=policy, **changes)
        self.store = unit_of_work.Store()
        self.now = NOW
        self._count = 0

    def tell(self, *orders: commands.Command) -> Any:
        """Carry these commands out in one transaction; return the outcome of the last one."""
        tasks = [a_task(order, self.next_id()) for order in orders]
        return self.handle(tasks)[-1]

    def handle(self, tasks: list[commands.Task]) -> tuple[Any, ...]:
        """Carry tasks out in one transaction."""
        unit = unit_of_work.UnitOfWork(self.store)
        return handler.handle(handler.Batch(tasks), unit, self.now, self.policy)

    def next_id(self) -> str:
        """Return a message id that was not used yet."""
        self._count += 1
        return f"m{self._count}"

    def used(self, host: str = "h1", node: str | None = None) -> dict[str, int]:
        """Return what is held on a pair."""
        return dict(self.store.account(host, node or host).used)

    def settled(self, host: str = "h1", node: str | None = None) -> dict[str, int]:
        """Return the settled part of what is held on a pair."""
        return dict(self.store.account(host, node or host).settled)

    def counters(self, host: str = "h1") -> dict[str, int]:
        """Return the counters of a pair."""
        return dict(self.store.account(host, host).counters)

    def events(self, kind: type) -> list[Any]:
        """Return the events of one kind, oldest first."""
        return [event for event in self.store.events if isinstance(event, kind)]

    def forget_events(self) -> None:
        """Start the list of events anew, to look at what comes next only."""
        self.store.events = []


SMALL = {"VCPU": 1, "MEMORY_MB": 512, "DISK_GB": 10}
BIG = {"VCPU": 2, "MEMORY_MB": 1024, "DISK_GB": 20}
BOTH = {"VCPU": 3, "MEMORY_MB": 1536, "DISK_GB": 30}
