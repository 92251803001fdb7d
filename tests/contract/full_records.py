"""Records that leave no field at its default, so that one that is lost on the way is missed."""

from __future__ import annotations

from typing import Any

import msgspec

from tests import builders
from worker import interfaces
from worker.core import events, records


def a_full_instance(**changes: Any) -> records.Instance:
    cell = records.GuestCell(0, frozenset({0, 1}), frozenset({2}), 512, 2048, "dedicated", "isolate")
    return builders.an_instance(
        flavor=builders.a_flavor(ephemeral_gb=1, swap=2, extra_specs={"hw:numa_nodes": "1", "ü": "\u0000"}),
        task_state="spawning",
        volume_backed=True,
        numa_topology=records.GuestTopology((cell,), "share"),
        pci_requests=(builders.a_request(alias_name="a", numa_policy="socket", requester_id="r"),),
        resources={"CUSTOM_GOLD": 2},
        **changes,
    )


def a_full_move(**changes: Any) -> records.Move:
    topology = records.GuestTopology((records.GuestCell(1, frozenset(), frozenset({7}), 1),), None)
    return builders.a_move(new_numa_topology=topology, new_pci_requests=(builders.a_request(2),), **changes)


def a_full_place(bus: int, claimed: bool) -> records.Place:
    pinned = records.PlacedCell(
        0, frozenset({0}), frozenset({1, 2}), 256, 2048, "mixed", "isolate", {1: 5, 2: 4}, frozenset({7})
    )
    floating = records.PlacedCell(3, frozenset({3}), frozenset(), 256)
    grants = (
        records.Grant(f"0000:{bus:02x}:00.1", builders.uid(800), "8086", "154d", "type-VF", 0, f"0000:{bus:02x}:00.0"),
        records.Grant(f"0000:{bus:02x}:1f.7", builders.uid(801), "10de", "1db6", "type-PCI", None, None),
    )
    shares = (
        records.Share(builders.uid(600), "VGPU", 3, not claimed, chosen=True),
        records.Share(builders.uid(601), "CUSTOM_PCI_8086_154D", 1, not claimed, grants[0].address),
    )
    return records.Place(records.PlacedTopology((pinned, floating), "isolate"), grants, claimed, shares)


def a_full_book() -> records.Book:
    """Return a book with places on both sides, and requests that were attached and detached."""
    book = builders.a_book(a_full_instance(revision=3), a_full_move(), a_full_move(move_uuid=builders.uid(901)))
    request = builders.a_request(request_id=builders.uid(801), spec=({"vendor_id": "10de", "trusted": None},))
    attached = records.Attachment(builders.uid(801), 4, request)
    book = msgspec.structs.replace(
        book, saved_at=builders.NOW, revision=7, attachments=(attached, records.Attachment(builders.uid(802), 5))
    )
    held = [
        msgspec.structs.replace(one, place=a_full_place(bus, claimed=not one.settled))
        for bus, one in enumerate(builders.holding(book).holdings, 0x81)
    ]
    return msgspec.structs.replace(book, holdings=tuple(held))


def a_full_report(**changes: Any) -> records.ComputeNode:
    cell = records.HostCell(
        0,
        frozenset({0, 1}),
        frozenset({2, 3}),
        4096,
        (frozenset({0, 1}), frozenset({2, 3})),
        (records.Pages(4, 100, 1),),
        1,
        frozenset({"net"}),
        True,
    )
    inventory = records.Inventory(10, 1, 2, 8, 2, 1.5)
    values: dict[str, Any] = {
        "ram_allocation_ratio": 1.25,
        "disk_allocation_ratio": 2.0,
        "hypervisor_type": "QEMU",
        "hypervisor_version": 8002000,
        "host_ip": "192.0.2.1",
        "disabled": True,
        "numa_topology": (cell,),
        "pci_devices": (records.Device("0000:81:00.1", "8086", "154d", "type-VF", "0000:81:00.0", 0, "l", {"a": "b"}),),
        "inventories": {"CUSTOM_GOLD": inventory},
        "traits": ("HW_CPU_X86_VMX",),
        "stats": {"a": "1"},
        "providers": (records.ChildProvider(builders.uid(600), "p", builders.NODE, {"VGPU": inventory}, ("T",)),),
    }
    return builders.a_node(**values | changes)


def a_full_node(**changes: Any) -> records.Node:
    inventory = records.Inventory(10, 1, 2, 8, 2, 1.5)
    children = (
        records.Child(builders.uid(600), "p", builders.NODE, {"VGPU": inventory}, ("T",)),
        records.Child(builders.uid(601), "q", builders.uid(600), {}, (), ("0000:81:00.1",), "CUSTOM_X", gone=True),
    )
    capacity = records.Capacity(8, 16384, 100, {"VCPU": inventory}, ("T",), {"a": "1"}, {"VCPU": 1}, children)
    values: dict[str, Any] = {
        "pair": builders.pair("h1"),
        "revision": 5,
        "removed_revision": 4,
        "disabled": True,
        "disabled_revision": 6,
        "failed_builds": 2,
        "audited_at": builders.NOW,
        "sequence": 9,
        "capacity": capacity,
        "digest": "d" * 64,
    }
    return records.Node(builders.NODE, **values | changes)


def an_account(**changes: Any) -> records.Account:
    values: dict[str, Any] = {"used": {"VCPU": 2}, "settled": {"VCPU": 1}, "counters": {"num_vm_active": 1}}
    return records.Account(builders.account_of(), builders.pair("h1"), **values | changes)


def a_mark(message_id: str = "m1") -> interfaces.Mark:
    return interfaces.Mark(message_id, "claim_instance", events.REFUSED, '{"outcome": "refused", "reason": "ü"}')


def a_parked_message(message_id: str | None = "m1") -> interfaces.ParkedMessage:
    return interfaces.ParkedMessage(
        reason="node.vcpus: is not a whole number",
        body=b'{"oslo.message": "\xff\x00"}',
        parked_at=builders.NOW,
        queue="accounts",
        message_id=message_id,
        method="report_node",
        field="node.vcpus",
        error="Malformed",
        traceback="somewhere: ü",
        attempts=3,
        headers={"content_type": "application/json", "x-death": [{"count": 2}]},
    )


def an_entry(number: int = 1) -> events.Entry:
    cause = builders.a_cause(f"m{number}", request_id="req", project_id="p", revision=number, consumer_uuid="c")
    account, node = builders.account_of(), builders.NODE
    return events.Entry("holding", account, node, builders.VM, {"VCPU": number}, {"VCPU": -number}, cause)


def a_parking(number: int = 1) -> events.Parked:
    return events.Parked(f"m{number}", "report_node", "it is not whole", "node", number, "accounts")
