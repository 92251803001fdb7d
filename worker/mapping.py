"""From core values to versioned objects: notifications, and the usage objects that reads return.

Primitives are written directly, without building the objects; the tests hold them to the objects' own form.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Mapping
from typing import Any

from objects import limits, payloads, primitives, usages
from objects import providers as object_providers
from worker import interfaces, place_mapping
from worker.core import cells, claims, commands, events, holdings, lifecycle, providers, records, resources, stats

SERVICE = "stocktake"
INFO = "INFO"
WARN = "WARN"
ERROR = "ERROR"
TEXT_LENGTH = limits.DEFAULT.text_length
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


@functools.lru_cache(maxsize=64)
def moment(microseconds: int) -> str:
    """Return a time in microseconds since 1970 as the wire's text, UTC to the microsecond."""
    return (EPOCH + datetime.timedelta(microseconds=microseconds)).isoformat(timespec="microseconds")


@functools.lru_cache(maxsize=64)
def timestamp(microseconds: int) -> str:
    """Return a time in microseconds since 1970 as notification frames give it."""
    return (EPOCH + datetime.timedelta(microseconds=microseconds)).strftime("%Y-%m-%d %H:%M:%S.%f")


def _shown(text: str | None) -> str | None:
    """Return text as long as a payload takes it."""
    return text if text is None or len(text) <= TEXT_LENGTH else text[: TEXT_LENGTH - 3] + "..."


def cause(of: commands.Cause) -> dict[str, Any]:
    """Return the fields of a Cause."""
    return {
        "message_id": of.message_id,
        "method": of.method,
        "request_id": of.request_id,
        "global_request_id": of.global_request_id,
        "user_id": of.user_id,
        "project_id": of.project_id,
        "consumer_uuid": of.consumer_uuid,
        "revision": of.revision,
    }


def inventory(of: records.Inventory) -> dict[str, Any]:
    """Return the fields of an Inventory."""
    return {
        "total": of.total,
        "reserved": of.reserved,
        "min_unit": of.min_unit,
        "max_unit": of.max_unit,
        "step_size": of.step_size,
        "allocation_ratio": of.allocation_ratio,
    }


def notification(event: events.Event, event_id: str, now: int) -> interfaces.Frame:
    """Return the notification of an event that took effect ``now`` (microseconds since 1970)."""
    event_type, priority, host, cls, data = _WRITERS[type(event)](event, now)
    data["event_id"] = event_id
    data["causes"] = [cause(one) for one in event.causes]
    return interfaces.Frame(
        event_id=event_id,
        event_type=event_type,
        priority=priority,
        publisher_id=f"{SERVICE}:{host}",
        payload=primitives.primitive(cls, data),
        timestamp=timestamp(now),
    )


Written = tuple[str, str, str, Any, dict[str, Any]]


@functools.lru_cache(maxsize=4096)
def _inventories(found: tuple[tuple[str, records.Inventory], ...]) -> primitives.Ready:
    """Return what a provider has, made once for all that have the same; what comes out is never changed."""
    return primitives.Ready(
        (name, primitives.primitive(object_providers.Inventory, inventory(one))) for name, one in found
    )


def _provider(event: events.ProviderChanged, now: int) -> Written:
    node, seen = event.node, event.view
    data = {
        "uuid": node.uuid if seen.parent_uuid is None else seen.uuid,
        "name": seen.name,
        "parent_provider_uuid": seen.parent_uuid,
        "root_provider_uuid": node.uuid,
        "node_uuid": node.uuid,
        "generation": event.generation,
        "sequence": node.sequence,
        "inventories": _inventories(tuple(seen.inventories.items())),
        "usages": providers.usages(seen),
        "traits": list(seen.traits),
        "delta": dict(event.delta),
        "effective_at": moment(now),
        "emitted_at": moment(now),
    }
    return f"resource_provider.{event.change}", INFO, event.host, payloads.ResourceProviderPayload, data


def _allocation(event: events.AllocationChanged, now: int) -> Written:
    data = {
        "consumer_uuid": event.consumer_uuid,
        "consumer_type": event.consumer_type,
        "instance_uuid": event.instance_uuid,
        "project_id": event.project_id,
        "user_id": event.user_id,
        "consumer_generation": event.consumer_generation,
        "allocations": {uuid: dict(amounts) for uuid, amounts in event.allocations.items()},
        "effective_at": moment(now),
    }
    return "allocation.update", INFO, event.host, payloads.AllocationPayload, data


def _claim(event: events.ClaimDecided, now: int) -> Written:
    data: dict[str, Any] = {
        "instance_uuid": event.instance_uuid,
        "migration_uuid": event.migration_uuid,
        "node_uuid": event.node_uuid,
        "method": event.method,
        "outcome": events.ACCEPTED if event.accepted else events.REFUSED,
        "reason": _shown(event.reason),
        "requested": dict(event.requested),
        "allocations": {uuid: dict(amounts) for uuid, amounts in event.allocations.items()},
        "pci_devices": place_mapping.grants(event.place, event.node_uuid or ""),
        "numa_topology": cells.plain_topology(event.place),
        "effective_at": moment(now),
    }
    event_type, priority = ("claim.accept", INFO) if event.accepted else ("claim.refuse", WARN)
    return event_type, priority, event.host, payloads.ClaimPayload, data


def _finding(event: events.Found, now: int) -> Written:
    data = {
        "node_uuid": event.node_uuid,
        "kind": event.kind,
        "instance_uuid": event.instance_uuid,
        "migration_uuid": event.migration_uuid,
        "text": _shown(event.text),
        "detail": {name: _shown(text) for name, text in event.detail.items()},
        "effective_at": moment(now),
    }
    return "audit.finding", WARN, event.host, payloads.FindingPayload, data


def _parked(event: events.Parked, now: int) -> Written:
    data: dict[str, Any] = {
        "message_id": event.message_id,
        "method": event.method,
        "reason": _shown(event.reason),
        "field": _shown(event.field),
        "attempts": event.attempts,
        "queue": event.queue,
        "parked_at": moment(now),
    }
    return "cast.park", ERROR, event.host, payloads.ParkedPayload, data


_WRITERS: Mapping[type, Callable[[Any, int], Written]] = {
    events.ProviderChanged: _provider,
    events.AllocationChanged: _allocation,
    events.ClaimDecided: _claim,
    events.Found: _finding,
    events.Parked: _parked,
}


def node_usage(
    node: records.Node | None,
    account: records.Account,
    report: records.ComputeNode | None,
    there: place_mapping.Places,
) -> dict[str, Any]:
    """Return the primitive of a NodeUsage: of a node that speaks for the account, or of the account by itself.

    ``there`` are the places on that account.
    """
    live = node is not None and node.live
    capacity = node.capacity if node is not None and live else None
    shown = report if live else None
    reserved = providers.reserved(node)
    held = _held(account.used)
    memory_mb_used = reserved.get(resources.MEMORY_MB, 0) + held[resources.MEMORY_MB]
    local_gb_used = reserved.get(resources.DISK_GB, 0) + held[resources.DISK_GB]
    data = {
        "uuid": node.uuid if node is not None else account.id,
        "host": account.pair.host,
        "hypervisor_hostname": account.pair.node,
        "generation": account.generation,
        "sequence": node.sequence if node is not None else 0,
        "reported": live,
        "disabled": node is not None and node.disabled,
        "vcpus": capacity.vcpus if capacity is not None else 0,
        "memory_mb": capacity.memory_mb if capacity is not None else 0,
        "local_gb": capacity.local_gb if capacity is not None else 0,
        "reserved_host_cpus": reserved.get(resources.VCPU, 0),
        "reserved_host_memory_mb": reserved.get(resources.MEMORY_MB, 0),
        "reserved_host_disk_mb": _reserved_disk_mb(shown),
        "usages": _usages(*providers.over_the_tree(node, account, there.values())),
        "vcpus_used": reserved.get(resources.VCPU, 0) + held[resources.VCPU] + held[resources.PCPU],
        "memory_mb_used": memory_mb_used,
        "local_gb_used": local_gb_used,
        "free_ram_mb": (capacity.memory_mb if capacity is not None else 0) - memory_mb_used,
        "free_disk_gb": (capacity.local_gb if capacity is not None else 0) - local_gb_used,
        "running_vms": stats.running_vms(account.counters),
        "current_workload": stats.current_workload(account.counters),
        "stats": _stats(node, account),
        "numa_topology": None
        if shown is None or shown.numa_topology is None
        else place_mapping.host_cells(shown.numa_topology, there),
        "pci_device_pools": [] if shown is None else place_mapping.pools(shown.pci_devices, there),
    }
    return primitives.primitive(usages.NodeUsage, data)


def _reserved_disk_mb(report: records.ComputeNode | None) -> int:
    if report is None:
        return 0
    given = report.inventories.get(resources.DISK_GB)
    return report.reserved_host_disk_mb if given is None else given.reserved * providers.MIB_PER_GIB


def _held(used: resources.Amounts) -> dict[str, int]:
    names = (resources.VCPU, resources.PCPU, resources.MEMORY_MB, resources.DISK_GB)
    return {name: used.get(name, 0) for name in names}


def _usages(
    capacities: Mapping[str, int], used: resources.Amounts, settled: resources.Amounts
) -> dict[str, dict[str, int]]:
    return {
        name: {
            "used": used.get(name, 0),
            "settled": settled.get(name, 0),
            "in_move": used.get(name, 0) - settled.get(name, 0),
            "capacity": capacities.get(name, 0),
        }
        for name in sorted({*capacities, *used})
    }


def _stats(node: records.Node | None, account: records.Account) -> dict[str, int]:
    counters = dict(account.counters)
    counters["io_workload"] = stats.io_workload(account.counters)
    counters["failed_builds"] = node.failed_builds if node is not None else 0
    return counters


Naming = Callable[[str], str]


def instance_usage(book: records.Book, provider_uuid: Naming, now: int, policy: claims.Policy) -> dict[str, Any]:
    """Return the primitive of an InstanceUsage; ``provider_uuid`` names the provider of an account."""
    record = None if book.deleted else book.record
    data = {
        "uuid": book.uuid,
        "revision": max(book.revision, 0),
        "generation": book.generation,
        "vm_state": "deleted" if book.deleted else record.vm_state if record is not None else None,
        "task_state": record.task_state if record is not None else None,
        "host": record.host if record is not None else None,
        "node": record.node if record is not None else None,
        "allocations": _instance_allocations(book, provider_uuid),
        "pci_devices": [
            device
            for holding in book.holdings
            for device in place_mapping.grants(holding.place, provider_uuid(holding.account))
        ],
        "numa_topology": cells.plain_topology(_settled_place(book)),
        "migrations": [
            _move_usage(book, move, provider_uuid, _overdue(book, move, now, policy))
            for move in sorted(book.moves, key=lambda move: (move.created_at, move.uuid))
            if move.source is not None and move.migration_type is not None
        ],
    }
    return primitives.primitive(usages.InstanceUsage, data)


def _settled_place(book: records.Book) -> records.Place | None:
    """Return the place where the instance is."""
    return next((holding.place for holding in book.holdings if holding.settled), None)


def _overdue(book: records.Book, move: records.Move, now: int, policy: claims.Policy) -> bool:
    newest = holdings.newest_move(book) == move and move.status in lifecycle.IN_PROGRESS
    return newest and now - move.created_at > policy.migration_deadline


def _instance_allocations(book: records.Book, provider_uuid: Naming) -> dict[str, dict[str, dict[str, int]]]:
    settled = holdings.by_provider((one for one in book.holdings if one.settled), provider_uuid)
    return {
        uuid: {
            name: {"amount": amount, "settled": settled.get(uuid, resources.NOTHING).get(name, 0)}
            for name, amount in amounts.items()
        }
        for uuid, amounts in holdings.by_provider(book.holdings, provider_uuid).items()
    }


def _move_usage(book: records.Book, move: records.Move, provider_uuid: Naming, overdue: bool) -> dict[str, Any]:
    decides = holdings.deciding_move(book) == move
    sides: dict[str, dict[str, dict[str, int]]] = {holdings.SOURCE: {}, holdings.DESTINATION: {}}
    for holding in book.holdings if decides else ():
        if holding.side in sides:
            held = holdings.by_provider((holding,), provider_uuid)
            sides[holding.side] = {uuid: dict(amounts) for uuid, amounts in held.items()}
    return {
        "uuid": move.uuid,
        "instance_uuid": book.uuid,
        "revision": move.revision,
        "migration_type": move.migration_type,
        "status": move.status,
        "source_node": move.source.node if move.source is not None else "",
        "dest_node": move.dest.node if move.dest is not None else None,
        "source_allocations": sides[holdings.SOURCE],
        "destination_allocations": sides[holdings.DESTINATION],
        "started_at": moment(move.created_at),
        "overdue": overdue,
    }
