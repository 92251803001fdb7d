"""The fixed sets of words: states, types, policies, kinds."""

from __future__ import annotations

VM_STATES = (
    "active",
    "building",
    "deleted",
    "error",
    "paused",
    "rescued",
    "resized",
    "shelved",
    "shelved_offloaded",
    "soft-delete",
    "stopped",
    "suspended",
)
MIGRATION_TYPES = ("evacuation", "live-migration", "migration", "resize")
MIGRATION_STATUSES = (
    "accepted",
    "cancelled",
    "completed",
    "confirmed",
    "confirming",
    "done",
    "error",
    "failed",
    "finished",
    "migrating",
    "post-migrating",
    "pre-migrating",
    "preparing",
    "queued",
    "reverted",
    "reverting",
    "running",
    "running (post-copy)",
)
DEVICE_TYPES = ("type-PCI", "type-PF", "type-VF", "vdpa")
DEVICE_NUMA_POLICIES = ("legacy", "preferred", "required", "socket")
CPU_POLICIES = ("dedicated", "mixed", "shared")
CPU_THREAD_POLICIES = ("isolate", "prefer", "require")
EMULATOR_THREADS_POLICIES = ("isolate", "share")
CONSUMER_TYPES = ("INSTANCE", "MIGRATION")
CLAIM_OUTCOMES = ("accepted", "refused")
FINDING_KINDS = (
    "device_differs",
    "device_missing",
    "duplicate_report",
    "missing_instance",
    "numa_strained",
    "overdue_move",
    "provider_conflict",
    "provider_strained",
    "recount_differs",
    "removed_node_in_use",
    "superseded_move",
    "unknown_instance",
    "unplaced_instance",
)
