"""From core values to the wire: every primitive is what the versioned object itself would write."""

from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
import pytest

from objects import payloads, usages
from tests import builders
from worker import mapping
from worker.core import claims, commands, events, providers, records

EVENT = builders.uid(999)
CAUSE = commands.Cause("m1", "claim_instance", "req-1", "req-2", "u1", "p1", builders.VM, 7)
CAUSES = (CAUSE, builders.a_cause("m2", "record_build"))
INVENTORY = records.Inventory(8, 1, allocation_ratio=16.0)
VIEW = providers.View("h1", {"VCPU": INVENTORY}, ("COMPUTE_NODE",), {"VCPU": 3, "CUSTOM_X": 1}, {"VCPU": 1})
NODE = records.Node(builders.NODE, builders.pair(), revision=1, sequence=4)
HELD = {builders.NODE: builders.SMALL}

EVENTS: dict[str, tuple[events.Event, Any, str, str, str]] = {
    "a provider": (
        events.ProviderChanged(events.UPDATE, NODE, 5, "h1", VIEW, {"VCPU": -2}, CAUSES),
        payloads.ResourceProviderPayload, "resource_provider.update", "INFO", "stocktake:h1",
    ),
    "a snapshot": (
        events.ProviderChanged(events.EXISTS, NODE, 5, "h1", VIEW, {}, ()),
        payloads.ResourceProviderPayload, "resource_provider.exists", "INFO", "stocktake:h1",
    ),
    "an allocation": (
        events.AllocationChanged(builders.VM, "INSTANCE", builders.VM, "p1", "u1", 3, HELD, "h1", CAUSES),
        payloads.AllocationPayload, "allocation.update", "INFO", "stocktake:h1",
    ),
    "nothing held": (
        events.AllocationChanged(builders.MIGRATION, "MIGRATION", builders.VM, None, None, 3, {}, "h1", CAUSES),
        payloads.AllocationPayload, "allocation.update", "INFO", "stocktake:h1",
    ),
    "an accepted claim": (
        events.ClaimDecided(True, builders.VM, builders.MIGRATION, builders.NODE, "h1", "claim_migration", None,
                            builders.SMALL, HELD, CAUSES),
        payloads.ClaimPayload, "claim.accept", "INFO", "stocktake:h1",
    ),
    "a refused claim": (
        events.ClaimDecided(False, builders.VM, None, None, "h1", "claim_instance", "VCPU: asked 9, available 8",
                            builders.SMALL, {}, CAUSES),
        payloads.ClaimPayload, "claim.refuse", "WARN", "stocktake:h1",
    ),
    "a finding": (
        events.Found("overdue_move", "too long", "h1", builders.NODE, builders.VM, builders.MIGRATION, {"a": "b"}, CAUSES),
        payloads.FindingPayload, "audit.finding", "WARN", "stocktake:h1",
    ),
    "a parked message": (
        events.Parked("m1", "update_instance", "instance.uuid: ...", "instance.uuid", 2, "accounts", "here"),
        payloads.ParkedPayload, "cast.park", "ERROR", "stocktake:here",
    ),
    "a parked message of which nothing is known": (
        events.Parked(None, None, "body: is not JSON", None, 1, "accounts.dead", "here"),
        payloads.ParkedPayload, "cast.park", "ERROR", "stocktake:here",
    ),
}  # fmt: skip


def _own_form(cls: Any, primitive: Any) -> Any:
    """Return what the object writes that is read from a primitive, changes left out."""
    sent = json.loads(json.dumps(primitive))
    return _without_changes(json.loads(json.dumps(cls.obj_from_primitive(copy.deepcopy(sent)).obj_to_primitive())))


def _without_changes(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_changes(child) for name, child in value.items() if name != "stocktake_object.changes"}
    return [_without_changes(child) for child in value] if isinstance(value, list) else value


def _is_complete(cls: Any, primitive: Any) -> bool:
    return set(primitive["stocktake_object.data"]) == set(cls.fields)


def _payload(event: events.Event) -> Any:
    payload = mapping.notification(event, EVENT, builders.NOW).payload
    return json.loads(payload) if isinstance(payload, str) else payload


@pytest.mark.parametrize("kind", EVENTS)
def test_a_notifications_payload_is_the_objects_own_form(kind: str) -> None:
    event, cls, event_type, priority, publisher_id = EVENTS[kind]

    frame = mapping.notification(event, EVENT, builders.NOW)

    payload = _payload(event)
    assert payload == _own_form(cls, payload)
    assert _is_complete(cls, payload)
    assert (frame.event_type, frame.priority, frame.publisher_id) == (event_type, priority, publisher_id)
    assert (frame.event_id, payload["stocktake_object.data"]["event_id"]) == (EVENT, EVENT)
    assert frame.timestamp == "2023-11-14 22:13:20.000000"
    assert len(payload["stocktake_object.data"]["causes"]) == len(event.causes)


def test_a_provider_shows_what_it_has_and_what_is_held() -> None:
    data = _payload(EVENTS["a provider"][0])["stocktake_object.data"]

    assert data["usages"] == {
        "CUSTOM_X": {"used": 1, "settled": 0, "in_move": 1}, "VCPU": {"used": 3, "settled": 1, "in_move": 2},
    }  # fmt: skip
    assert data["inventories"]["VCPU"]["stocktake_object.data"]["allocation_ratio"] == 16.0
    assert (data["sequence"], data["generation"], data["delta"]) == (4, 5, {"VCPU": -2})
    assert data["causes"][0]["stocktake_object.data"] == msgspec.structs.asdict(CAUSE)


def test_a_long_reason_is_cut_to_what_a_payload_takes() -> None:
    event = events.Parked("m1", None, "x" * 5000, "y" * 5000, 1, "accounts", "here")

    data = _payload(event)["stocktake_object.data"]

    assert (len(data["reason"]), data["reason"][-4:], len(data["field"])) == (4096, "x...", 4096)


def test_times_are_told_to_the_microsecond() -> None:
    assert mapping.moment(1_500_000) == "1970-01-01T00:00:01.500000+00:00"
    assert mapping.timestamp(1_500_000) == "1970-01-01 00:00:01.500000"


# What the read methods return.

CELL = records.HostCell(0, frozenset({0, 1}), frozenset({2}), 1024, (frozenset({0, 1}),), (records.Pages(4, 10, 1),), 0)
REPORT = builders.a_node(reserved_host_memory_mb=512, reserved_host_disk_mb=1500, numa_topology=(CELL,))


def _node(**changes: Any) -> records.Node:
    values: dict[str, Any] = {"revision": 1, "sequence": 4, "capacity": providers.capacity(REPORT), "failed_builds": 2}
    return records.Node(builders.NODE, builders.pair(), **values | changes)


def _account(**changes: Any) -> records.Account:
    values: dict[str, Any] = {
        "used": builders.BOTH | {"CUSTOM_X": 1}, "settled": builders.SMALL, "generation": 3,
        "counters": {"num_instances": 2, "num_vm_active": 2, "num_task_None": 1, "num_task_spawning": 1},
    }  # fmt: skip
    return records.Account(builders.account_of(), builders.pair(), **values | changes)


SHEETS: dict[str, tuple[records.Node | None, records.Account, records.ComputeNode | None]] = {
    "a node in use": (_node(), _account(), REPORT),
    "a node without cells": (_node(), _account(), builders.a_node()),
    "an empty node": (_node(), records.Account(builders.account_of(), builders.pair()), REPORT),
    "a removed node": (_node(removed_revision=9), _account(), REPORT),
    "a node nobody reported": (None, _account(), None),
    "a node that was only spoken of": (_node(capacity=None, disabled=True), _account(), None),
}


@pytest.mark.parametrize("kind", SHEETS)
def test_a_nodes_usage_is_the_objects_own_form(kind: str) -> None:
    primitive = mapping.node_usage(*SHEETS[kind], {})

    assert primitive == _own_form(usages.NodeUsage, primitive)
    assert _is_complete(usages.NodeUsage, primitive)


def test_a_nodes_figures_count_what_is_reserved() -> None:
    data = mapping.node_usage(*SHEETS["a node in use"], {})["stocktake_object.data"]

    assert (data["memory_mb_used"], data["free_ram_mb"]) == (512 + 1536, 16384 - 2048)
    assert (data["local_gb_used"], data["free_disk_gb"]) == (2 + 30, 100 - 32)
    assert data["vcpus_used"] == 3
    assert data["usages"]["CUSTOM_X"] == {"used": 1, "settled": 0, "in_move": 1, "capacity": 0}
    assert data["usages"]["VCPU"] == {"used": 3, "settled": 1, "in_move": 2, "capacity": 8}
    assert (data["stats"]["failed_builds"], data["running_vms"], data["current_workload"]) == (2, 2, 1)


def test_a_node_that_is_gone_has_nothing_but_what_is_held() -> None:
    data = mapping.node_usage(*SHEETS["a removed node"], {})["stocktake_object.data"]

    assert (data["reported"], data["vcpus"], data["free_ram_mb"], data["numa_topology"]) == (False, 0, -1536, None)


HOLDINGS = (
    records.Holding("account-1", builders.MIGRATION, "source", True, builders.SMALL),
    records.Holding("account-2", builders.VM, "destination", False, builders.BIG),
)
BOOKS: dict[str, records.Book] = {
    "at rest": builders.a_book(
        holdings=(records.Holding("account-1", builders.VM, "instance", True, builders.SMALL),), generation=2
    ),
    "in a move": builders.a_book(builders.an_instance(), builders.a_move(), holdings=HOLDINGS),
    "after a move": builders.a_book(builders.an_instance(), builders.a_move(status="confirmed")),
    "in a move that does not show yet": builders.a_book(
        builders.an_instance(),
        builders.a_move(),
        holdings=(records.Holding("account-1", builders.VM, "instance", True, {}),),
    ),
    "with a move to nowhere": builders.a_book(
        builders.an_instance(), builders.a_move(dest=None), holdings=HOLDINGS[:1]
    ),
    "with an aborted move": builders.a_book(
        builders.an_instance(), records.Move(builders.MIGRATION, 1, builders.VM, "error")
    ),
    "deleted": builders.a_book(builders.an_instance(), deleted=True),
    "unknown but aborted": records.Book(builders.VM, revision=4),
    "known by its move only": records.Book(builders.VM, moves=(builders.a_move(),)),
}


def _usage(book: records.Book, deadline: int = builders.MINUTE) -> Any:
    names = {"account-1": builders.uid(501), "account-2": builders.uid(502)}
    policy = claims.Policy(migration_deadline=deadline)
    return mapping.instance_usage(book, names.__getitem__, builders.NOW, policy)


@pytest.mark.parametrize("kind", BOOKS)
def test_an_instances_usage_is_the_objects_own_form(kind: str) -> None:
    primitive = _usage(BOOKS[kind])

    assert primitive == _own_form(usages.InstanceUsage, primitive)
    assert _is_complete(usages.InstanceUsage, primitive)


def test_an_instance_in_a_move_shows_both_sides() -> None:
    data = _usage(BOOKS["in a move"])["stocktake_object.data"]

    (move,) = (one["stocktake_object.data"] for one in data["migrations"])
    assert data["allocations"][builders.uid(501)]["VCPU"] == {"amount": 1, "settled": 1}
    assert data["allocations"][builders.uid(502)]["VCPU"] == {"amount": 2, "settled": 0}
    assert move["source_allocations"] == {builders.uid(501): builders.SMALL}
    assert move["destination_allocations"] == {builders.uid(502): builders.BIG}
    assert (move["source_node"], move["dest_node"]) == ("h1", "h2")


def test_a_move_is_overdue_once_it_takes_longer_than_the_deadline() -> None:
    taken = [
        _usage(BOOKS["in a move"], deadline)["stocktake_object.data"]["migrations"][0]["stocktake_object.data"][
            "overdue"
        ]
        for deadline in (builders.MINUTE, builders.MINUTE - 1)
    ]

    assert taken == [False, True]


def test_a_move_that_does_not_decide_holds_nothing_and_is_never_overdue() -> None:
    (move,) = _usage(BOOKS["after a move"], 0)["stocktake_object.data"]["migrations"]

    data = move["stocktake_object.data"]
    assert (data["source_allocations"], data["destination_allocations"], data["overdue"]) == ({}, {}, False)


def test_a_deleted_instance_says_so() -> None:
    data = _usage(BOOKS["deleted"])["stocktake_object.data"]

    assert (data["vm_state"], data["host"], data["allocations"]) == ("deleted", None, {})
