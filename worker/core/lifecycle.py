"""Which states hold resources and which ends are final: tables, with the contract's section 3 as their source."""

from __future__ import annotations

from worker.core import records

DELETED = "deleted"
SHELVED_OFFLOADED = "shelved_offloaded"
SPAWNING = "spawning"

VM_STATES = frozenset({
    "active", "building", "paused", "suspended", "stopped", "rescued", "resized", "soft-delete", "deleted", "error",
    "shelved", "shelved_offloaded",
})  # fmt: skip

MIGRATION_TYPES = frozenset({"migration", "resize", "live-migration", "evacuation"})

IN_PROGRESS = frozenset({
    "accepted", "pre-migrating", "queued", "preparing", "running", "running (post-copy)", "migrating",
    "post-migrating", "finished", "confirming", "reverting",
})  # fmt: skip
FAILED = frozenset({"error", "failed", "cancelled"})
ARRIVED = frozenset({"confirmed", "completed", "done"})
TERMINAL = FAILED | ARRIVED | {"reverted"}


def releases(record: records.Instance) -> bool:
    """Whether an instance in this state holds nothing, wherever it is."""
    if record.vm_state == DELETED or not (record.host and record.node):
        return True
    return record.vm_state == SHELVED_OFFLOADED and record.task_state != SPAWNING


def supersedes(new: records.Move, old: records.Move | None) -> bool:
    """Whether ``new`` is newer knowledge of one move: a terminal status beats the others, then the revision decides."""
    if old is None:
        return True
    return (new.status in TERMINAL, new.revision) > (old.status in TERMINAL, old.revision)
