"""Counters of a node's instances by state, and the workloads derived from them (contract, section 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from worker.core import lifecycle, records

NUM_INSTANCES = "num_instances"
TASK_PREFIX = "num_task_"
NO_TASK = "num_task_None"
BUSY = (
    "num_vm_building", "num_task_resize_migrating", "num_task_rebuilding", "num_task_resize_prep",
    "num_task_image_snapshot", "num_task_image_backup", "num_task_rescuing", "num_task_unshelving",
)  # fmt: skip


def counted_on(book: records.Book) -> records.Pair | None:
    """Return the pair on which the instance is counted: where its record says it is, unless it is released."""
    record = book.record
    if book.deleted or record is None or lifecycle.releases(record):
        return None
    return record.pair


def keys(record: records.Instance | None) -> tuple[str, ...]:
    """Return the counters in which an instance counts 1; a value that is not set has the key text ``None``."""
    if record is None:
        return ()
    return (
        NUM_INSTANCES,
        f"num_vm_{record.vm_state}",
        f"num_task_{record.task_state}",
        f"num_os_type_{record.os_type}",
        f"num_proj_{record.project_id}",
    )


def counted(counters: Mapping[str, int], gone: Sequence[str], come: Sequence[str]) -> Mapping[str, int]:
    """Return the counters less 1 in each that is gone, and 1 more in each that has come; those at 0 are left out."""
    changed = dict(counters)
    steps = [(name, -1) for name in gone if name not in come]
    steps += [(name, 1) for name in come if name not in gone]
    for name, step in steps:
        changed[name] = changed.get(name, 0) + step
        if not changed[name]:
            del changed[name]
    return changed


def running_vms(counters: Mapping[str, int]) -> int:
    """Return the number of instances on the node, whatever their power state."""
    return counters.get(NUM_INSTANCES, 0)


def current_workload(counters: Mapping[str, int]) -> int:
    """Return the number of instances that have a task."""
    return sum(value for name, value in counters.items() if name.startswith(TASK_PREFIX) and name != NO_TASK)


def io_workload(counters: Mapping[str, int]) -> int:
    """Return the number of instances in states that load the node's disks."""
    return sum(counters.get(name, 0) for name in BUSY)
