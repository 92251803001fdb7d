"""What happened: one frozen class per fact that leaves the worker as a notification."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from worker.core import commands, providers, records, resources

CREATE = "create"
UPDATE = "update"
DELETE = "delete"
EXISTS = "exists"


class ProviderChanged(msgspec.Struct, frozen=True, gc=False):
    """A transaction changed a provider; ``change`` is create, update, delete, or exists for a mere snapshot.

    ``node`` has the sequence of this notification, ``generation`` is that of its row once it is stored.
    """

    change: str
    node: records.Node
    generation: int
    host: str
    view: providers.View
    delta: resources.Amounts
    causes: tuple[commands.Cause, ...]


class AllocationChanged(msgspec.Struct, frozen=True, gc=False):
    """What a consumer holds is now this, by provider uuid; nothing at all when it is empty."""

    consumer_uuid: str
    consumer_type: str
    instance_uuid: str
    project_id: str | None
    user_id: str | None
    consumer_generation: int
    allocations: Mapping[str, resources.Amounts]
    host: str
    causes: tuple[commands.Cause, ...]


class ClaimDecided(msgspec.Struct, frozen=True, gc=False):
    """A claim was accepted or refused; ``place`` is what it was given of things that are given out one by one."""

    accepted: bool
    instance_uuid: str
    migration_uuid: str | None
    node_uuid: str | None
    host: str
    method: str
    reason: str | None
    requested: resources.Amounts
    allocations: Mapping[str, resources.Amounts]
    causes: tuple[commands.Cause, ...]
    place: records.Place | None = None


class Found(msgspec.Struct, frozen=True, gc=False):
    """Something does not add up, or a move is overdue."""

    kind: str
    text: str
    host: str
    node_uuid: str | None
    instance_uuid: str | None = None
    migration_uuid: str | None = None
    detail: Mapping[str, str] = msgspec.field(default_factory=dict)
    causes: tuple[commands.Cause, ...] = ()


class Parked(msgspec.Struct, frozen=True, gc=False):
    """A message was parked."""

    message_id: str | None
    method: str | None
    reason: str
    field: str | None
    attempts: int
    queue: str
    host: str = ""
    causes: tuple[commands.Cause, ...] = ()


Event = ProviderChanged | AllocationChanged | ClaimDecided | Found | Parked


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line of the ledger: by how much one message changed one figure of one account.

    ``kind`` is holding, reserved (what the host keeps for itself), capacity (what the node has), recount, or what is
    given out one by one: device (by address), cell (by NUMA cell and figure), share (by child provider and class).
    """

    kind: str
    account: str
    node_uuid: str | None
    instance_uuid: str | None
    amounts: resources.Amounts
    settled: resources.Amounts
    cause: commands.Cause


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The answer to one cast or call (contract, section 4)."""

    outcome: str
    message_id: str
    account: str | None = None
    node_uuid: str | None = None
    sequence: int | None = None
    reason: str | None = None
    detail: Mapping[str, object] = msgspec.field(default_factory=dict)


APPLIED = "applied"
ACCEPTED = "accepted"
REFUSED = "refused"
STALE = "stale"
DUPLICATE = "duplicate"
PARKED = "parked"
