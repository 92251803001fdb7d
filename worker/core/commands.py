"""What the worker is told to do: one frozen class per RPC method, and which records each of them touches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from worker.core import places, records


class ReportNode(msgspec.Struct, frozen=True, gc=False):
    """The node exists and has this much; ``digest`` identifies the report's content without its revision."""

    node: records.ComputeNode
    digest: str


class RemoveNode(msgspec.Struct, frozen=True, gc=False):
    """The node is gone."""

    node_uuid: str
    revision: int


class SetNodeDisabled(msgspec.Struct, frozen=True, gc=False):
    """No new instances are to be placed there, or they may be again."""

    node_uuid: str
    disabled: bool
    revision: int


class RecordBuild(msgspec.Struct, frozen=True, gc=False):
    """A build on the node succeeded or failed."""

    node_uuid: str
    succeeded: bool


class ClaimInstance(msgspec.Struct, frozen=True, gc=False):
    """Admit a new or unshelved instance on the node it names."""

    instance: records.Instance
    limits: records.Limits | None = None


class AbortClaim(msgspec.Struct, frozen=True, gc=False):
    """Withdraw a build's claim, or with ``migration_uuid`` a move's."""

    instance_uuid: str
    revision: int
    migration_uuid: str | None = None


class UpdateInstance(msgspec.Struct, frozen=True, gc=False):
    """What the instance is now: a fact."""

    instance: records.Instance


class DeleteInstance(msgspec.Struct, frozen=True, gc=False):
    """The instance is gone for good."""

    instance_uuid: str
    revision: int


class ClaimMigration(msgspec.Struct, frozen=True, gc=False):
    """Admit a move at its destination; the instance in it is a fact."""

    migration: records.Move
    instance: records.Instance
    limits: records.Limits | None = None


class UpdateMigration(msgspec.Struct, frozen=True, gc=False):
    """What the move, and the instance, are now: facts."""

    migration: records.Move
    instance: records.Instance | None = None


class AttachDevices(msgspec.Struct, frozen=True, gc=False):
    """Claim PCI devices for a running instance."""

    instance_uuid: str
    requests: tuple[records.DeviceRequest, ...]
    revision: int


class DetachDevices(msgspec.Struct, frozen=True, gc=False):
    """Give the devices of these requests back."""

    instance_uuid: str
    request_ids: tuple[str, ...]
    revision: int


class AuditNode(msgspec.Struct, frozen=True, gc=False):
    """Recount the node; with the sender's full list of its instances, compare; ``taken_at`` in microseconds."""

    node_uuid: str
    instances: tuple[records.Instance, ...] | None
    taken_at: int
    authoritative: bool = False


Command = (
    ReportNode | RemoveNode | SetNodeDisabled | RecordBuild | ClaimInstance | AbortClaim | UpdateInstance
    | DeleteInstance | ClaimMigration | UpdateMigration | AttachDevices | DetachDevices | AuditNode
)  # fmt: skip


class Cause(msgspec.Struct, frozen=True, gc=False):
    """Which message changed a figure, and on whose behalf."""

    message_id: str
    method: str
    request_id: str | None = None
    global_request_id: str | None = None
    user_id: str | None = None
    project_id: str | None = None
    consumer_uuid: str | None = None
    revision: int | None = None


class Task(msgspec.Struct, frozen=True, gc=False):
    """One message's command with its cause; ``wants_reply`` for a call, whose outcome is kept for a redelivery."""

    message_id: str
    cause: Cause
    command: Command
    wants_reply: bool = False


class Touch(msgspec.Struct, frozen=True, gc=False):
    """What a command reads: instances and nodes by uuid, pairs by name."""

    instances: frozenset[str] = frozenset()
    nodes: frozenset[str] = frozenset()
    pairs: frozenset[records.Pair] = frozenset()


def touches(command: Command) -> Touch:
    """Return which records a command reads."""
    return _TOUCHES[type(command)](command)


def asks_for_a_place(command: Command) -> bool:
    """Whether a command may give an instance CPUs, pages or devices, or take them."""
    asks = _ASKS.get(type(command))
    return asks is not None and asks(command)


def _listed_ask(command: Any) -> bool:
    return any(map(places.asked_by, command.instances or ()))


def _instance_asks(command: Any) -> bool:
    return places.asked_by(command.instance)


def _move_asks(command: Any) -> bool:
    record = command.instance
    return (record is not None and places.asked_by(record)) or places.asked_by_move(command.migration)


def _asks(_command: Any) -> bool:
    return True


_ASKS: Mapping[type, Callable[[Any], bool]] = {
    ClaimInstance: _instance_asks,
    UpdateInstance: _instance_asks,
    ClaimMigration: _move_asks,
    UpdateMigration: _move_asks,
    AttachDevices: _asks,
    DetachDevices: _asks,
    AuditNode: _listed_ask,
}


def _instance(record: records.Instance | None) -> tuple[records.Pair, ...]:
    return () if record is None or record.pair is None else (record.pair,)


def _of_record(command: Any) -> Touch:
    return Touch(frozenset({command.instance.uuid}), pairs=frozenset(_instance(command.instance)))


def _of_move(command: Any) -> Touch:
    ends = tuple(pair for pair in (command.migration.source, command.migration.dest) if pair is not None)
    return Touch(frozenset({command.migration.instance_uuid}), pairs=frozenset(ends + _instance(command.instance)))


def _of_instance(command: Any) -> Touch:
    return Touch(frozenset({command.instance_uuid}))


def _of_node(command: Any) -> Touch:
    return Touch(nodes=frozenset({command.node_uuid}))


def _of_report(command: Any) -> Touch:
    uuid = command.node.uuid
    return Touch(nodes=frozenset({uuid}), pairs=frozenset({command.node.pair}))


def _of_audit(command: Any) -> Touch:
    listed = command.instances or ()
    uuids = frozenset(record.uuid for record in listed)
    pairs = frozenset(pair for record in listed for pair in _instance(record))
    return Touch(uuids, frozenset({command.node_uuid}), pairs)


_TOUCHES: Mapping[type, Callable[[Any], Touch]] = {
    ReportNode: _of_report,
    RemoveNode: _of_node,
    SetNodeDisabled: _of_node,
    RecordBuild: _of_node,
    ClaimInstance: _of_record,
    AbortClaim: _of_instance,
    UpdateInstance: _of_record,
    DeleteInstance: _of_instance,
    ClaimMigration: _of_move,
    UpdateMigration: _of_move,
    AttachDevices: _of_instance,
    DetachDevices: _of_instance,
    AuditNode: _of_audit,
}
