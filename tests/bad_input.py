"""Input that cannot be taken, between casts that can: what is wrong, what is sent, and the field that must be named.

One suite for every bus and database; a test module of ``functional`` or ``integration`` brings the fixture ``played``.
"""

from __future__ import annotations

import bz2
import copy
import dataclasses
import json
import zlib
from typing import Any

import msgspec

from tests import bus_sides, plain, stands
from worker import interfaces

Kinds = dict[str, tuple[interfaces.Delivery, str]]


def _sent(content: bytes, **properties: Any) -> interfaces.Delivery:
    known = {"content_type": "application/json", "content_encoding": "utf-8"}
    return interfaces.Delivery(tag=0, body=content, **known | properties)


def _cast(method: str | None = "delete_instance", arguments: Any = None, **changes: Any) -> interfaces.Delivery:
    arguments = {"instance_uuid": plain.uid(1), "revision": 5} if arguments is None else arguments
    return _sent(stands.body(method, arguments, **changes))


def _instance(path: str, value: Any) -> interfaces.Delivery:
    return _cast("update_instance", {"instance": changed(plain.instance(7), path, value)})


def _node(path: str, value: Any) -> interfaces.Delivery:
    return _cast("report_node", {"node": changed(plain.node(7), path, value)})


def _move(path: str, value: Any) -> interfaces.Delivery:
    return _cast("update_migration", {"migration": changed(plain.migration(7), path, value), "instance": None})


def changed(primitive: plain.Primitive, path: str, value: Any) -> plain.Primitive:
    """Return an object with the field at this dotted path changed."""
    result = copy.deepcopy(primitive)
    *holders, last = path.split("/")
    fields = result
    for name in holders:
        fields = fields[name] if name in fields else plain.data(fields)[name]
    (fields if last in fields else plain.data(fields))[last] = value
    return result


def _as_text(delivery: interfaces.Delivery, old: str, new: str) -> interfaces.Delivery:
    """Return a cast with a piece of its inner JSON replaced, for what a JSON writer would not write."""
    inner = json.loads(delivery.body)["oslo.message"]
    assert inner.count(old) == 1
    return msgspec.structs.replace(delivery, body=stands.wrapped(inner.replace(old, new)))


def _other_object(name: str, value: str) -> interfaces.Delivery:
    return _cast("update_instance", {"instance": plain.instance(7) | {f"stocktake_object.{name}": value}})


def _without(name: str) -> plain.Primitive:
    result = plain.instance(7)
    del plain.data(result)[name]
    return result


def _device(address: str, **changes: Any) -> plain.Primitive:
    known = {"vendor_id": "8086", "product_id": "1572", "dev_type": "type-PCI", "parent_addr": None, "numa_node": None}
    return plain.primitive("PciDevice", {"address": address, "label": None, "tags": {}} | known | changes)


def _devices(*devices: plain.Primitive) -> interfaces.Delivery:
    return _node("pci_devices", list(devices))


def _cell(number: int, *cpus: int, **changes: Any) -> plain.Primitive:
    known = {"cpuset": [], "memory": 4096, "siblings": [], "socket": None, "physnets": [], "tunneled": False}
    pages = {"mempages": [_pages(4, 1048576)], "pcpuset": list(cpus)}
    return plain.primitive("NUMACell", {"id": number} | known | pages | changes)


def _pages(size_kb: int, total: int, reserved: int = 0) -> plain.Primitive:
    return plain.primitive("NUMAPagesTopology", {"size_kb": size_kb, "total": total, "reserved": reserved})


def _cells(*cells: plain.Primitive) -> interfaces.Delivery:
    return _node("numa_topology", plain.primitive("NUMATopology", {"cells": list(cells)}))


def _requests(*changes: tuple[str, Any]) -> interfaces.Delivery:
    return _instance("pci_requests", [changed(plain.request(), name, value) for name, value in changes])


def _padded() -> bytes:
    return _cast().body + b" " * 10_000_000


GZIP = {"compression": "application/x-gzip"}
BZIP2 = {"compression": "application/x-bz2"}

BODIES: Kinds = {
    "an empty body": (_sent(b""), "body"),
    "not JSON": (_sent(b"hello"), "body"),
    "half a message": (_sent(_cast().body[:-9]), "body"),
    "a binary body": (_sent(bytes(range(256)), content_type="application/octet-stream"), "body"),
    "a pickle": (_sent(b"\x80\x04K\x01.", content_type="application/x-python-serialize"), "body"),
    "a list": (_sent(b"[1, 2]"), "body"),
    "utf-16": (_sent(_cast().body.decode().encode("utf-16"), content_encoding="utf-16"), "content_encoding"),
    "not UTF-8": (_sent(b'{"oslo.version": "\xff"}'), "body"),
    "10 MB": (_sent(_padded()), "body"),
    "100,000 brackets": (_sent(b"[" * 100_000), "body"),
    "bytes that are no zlib stream": (_sent(_cast().body, headers=GZIP), "body"),
    "a compressed body cut short": (_sent(zlib.compress(_cast().body)[:-9], headers=GZIP), "body"),
    "a zip bomb": (_sent(zlib.compress(_padded()), headers=GZIP), "body"),
    "a bzip2 bomb": (_sent(bz2.compress(_padded()), headers=BZIP2), "body"),
    "an unknown compression": (_sent(_cast().body, headers={"compression": "x-none"}), "compression"),
    "another envelope version": (_sent(stands.wrapped("{}", "3.0")), "oslo.version"),
    "no envelope": (_sent(json.dumps({"method": "x", "args": {}}).encode()), "oslo.version"),
    "no oslo.message": (_sent(b'{"oslo.version": "2.0"}'), "oslo.message"),
    "oslo.message as an object": (_sent(stands.wrapped({"method": "x"})), "oslo.message"),
    "oslo.message not JSON": (_sent(stands.wrapped("{")), "oslo.message"),
}
MESSAGES: Kinds = {
    "no _unique_id": (_cast(_unique_id=None), "_unique_id"),
    "a number as _unique_id": (_cast(_unique_id=17), "_unique_id"),
    "no method": (_cast(method=None), "method"),
    "an unknown method": (_cast("drop_everything", {}), "method"),
    "a method with a NUL": (_cast("delete_\0instance"), "method"),
    "a private name as method": (_cast("__class__", {}), "method"),
    "a read method as a cast": (_cast("get_node_usage", {"node_uuid": plain.node_uuid(1)}), "method"),
    "an unknown version": (_cast(version="2.0"), "version"),
    "a newer minor version": (_cast(version="1.1"), "version"),
    "a version of 5,000 digits": (_cast(version="1" * 5000 + ".0"), "version"),
    "a version that is no version": (_cast(version="one"), "version"),
    "a namespace": (_cast(namespace="baseapi"), "namespace"),
    "half a call": (_cast(_msg_id="m-1"), "_reply_q"),
    "no arguments": (_cast(args=None), "args"),
    "arguments as a list": (_cast(arguments=[1]), "args"),
    "a context with a lone surrogate": (_cast(_context_user="\udc80"), "_context_user"),
    "a context with a NUL": (_cast(_context_project="\0"), "_context_project"),
    "1,000-deep nesting": (_as_text(_cast(), '"revision": 5', f'"revision": {"[" * 1000}{"]" * 1000}'), "oslo.message"),
    "100-deep nesting": (_as_text(_cast(), '"revision": 5', f'"revision": {"[" * 100}{"]" * 100}'), "args"),
    "a key twice": (_as_text(_cast(), '"revision": 5', '"revision": 5, "revision": 6'), "revision"),
}
ARGUMENTS: Kinds = {
    "a missing argument": (_cast(arguments={"instance_uuid": plain.uid(1)}), "revision"),
    "an unknown argument": (_cast(arguments={"instance_uuid": plain.uid(1), "revision": 5, "now": 1}), "now"),
    "a text as a number": (_cast(arguments={"instance_uuid": plain.uid(1), "revision": "5"}), "revision"),
    "a bool as a number": (_cast(arguments={"instance_uuid": plain.uid(1), "revision": True}), "revision"),
    "a fraction as a number": (_cast(arguments={"instance_uuid": plain.uid(1), "revision": 1.5}), "revision"),
    "a negative revision": (_cast(arguments={"instance_uuid": plain.uid(1), "revision": -1}), "revision"),
    "NaN": (_as_text(_cast(), '"revision": 5', '"revision": NaN'), "args.revision"),
    "1e400": (_as_text(_cast(), '"revision": 5', '"revision": 1e400'), "args.revision"),
    "5,000 digits": (_as_text(_cast(), '"revision": 5', f'"revision": {"9" * 5000}'), "args.revision"),
    "a uuid that is none": (_cast(arguments={"instance_uuid": "nope", "revision": 5}), "instance_uuid"),
    "null for an object": (_cast("update_instance", {"instance": None}), "instance"),
    "a list that is too long": (
        _cast("detach_devices", {"instance_uuid": plain.uid(1), "request_ids": [plain.uid(2)] * 70000, "revision": 1}),
        "request_ids",
    ),
    "another instance's move": (
        _cast("update_migration", {"migration": plain.migration(7), "instance": plain.instance(2)}), "instance.uuid",
    ),
    "a claim for nowhere": (_cast("claim_instance", {"instance": plain.instance(7, on=None), "limits": None}),
                            "instance.host"),
    "a move's claim without destination": (
        _cast("claim_migration", {"migration": plain.migration(7, dest_node=None), "instance": plain.instance(1),
                                  "limits": None}),
        "migration.dest_node",
    ),
    "limits of zero": (
        _cast("claim_instance", {"instance": plain.instance(7), "limits": plain.limits(0.0)}),
        "limits.cpu_allocation_ratio",
    ),
}  # fmt: skip
OBJECTS: Kinds = {
    "a foreign object": (_other_object("name", "Flavor"), "instance['stocktake_object.name']"),
    "a foreign namespace": (_other_object("namespace", "nova"), "instance['stocktake_object.namespace']"),
    "a newer object": (_other_object("version", "9.0"), "instance['stocktake_object.version']"),
    "a negative amount": (_instance("flavor/vcpus", -1), "instance.flavor.vcpus"),
    "a huge amount": (_instance("flavor/memory_mb", 2**31), "instance.flavor.memory_mb"),
    "a bool as an amount": (_instance("flavor/root_gb", True), "instance.flavor.root_gb"),
    "a text as a flag": (_instance("volume_backed", "yes"), "instance.volume_backed"),
    "an unknown state": (_instance("vm_state", "levitating"), "instance.vm_state"),
    "a lone surrogate": (_instance("display_name", "\udc80"), "instance.display_name"),
    "a NUL": (_instance("task_state", "a\0b"), "instance.task_state"),
    "a long name": (_instance("project_id", "p" * 256), "instance.project_id"),
    "a number as an extra spec": (_instance("flavor/extra_specs", {"hw:x": 1}), "instance.flavor.extra_specs['hw:x']"),
    "an extra spec that is no amount": (
        _instance("flavor/extra_specs", {"resources:VCPU": "many"}), "instance.flavor.extra_specs['resources:VCPU']",
    ),
    "an extra spec that is a huge amount": (
        _instance("flavor/extra_specs", {"resources:VCPU": "2147483648"}), "instance.flavor.extra_specs['resources:VCPU']",
    ),
    "a bad resource class": (_instance("resources", {"lower": 1}), "instance.resources['lower']"),
    "a ratio of zero": (_node("cpu_allocation_ratio", 0.0), "node.cpu_allocation_ratio"),
    "an object where a list belongs": (_node("pci_devices", {}), "node.pci_devices"),
    "a bad PCI address": (_node("pci_devices", [_device("00:00")]), "node.pci_devices[0].address"),
    "an unknown migration status": (_move("status", "lost"), "migration.status"),
    "a resize without flavors": (_move("new_flavor", None), "migration.new_flavor"),
    "a time that is none": (_move("created_at", "yesterday"), "migration.created_at"),
    "an unknown field": (_instance("colour", "red"), "instance.colour"),
    "a missing field": (_cast("update_instance", {"instance": _without("flavor")}), "instance.flavor"),
}  # fmt: skip
VF = {"dev_type": "type-VF"}
PF1, PF2 = "0000:81:00.0", "0000:82:00.0"
HARDWARE: Kinds = {
    "a PCI address in upper case": (_devices(_device("0000:8A:00.0")), "node.pci_devices[0].address"),
    "a PCI address without its domain": (_devices(_device("81:00.0")), "node.pci_devices[0].address"),
    "a VF without a parent": (_devices(_device(PF1), _device("0000:81:02.0", **VF)), "node.pci_devices[1].parent_addr"),
    "parents in a circle": (
        _devices(_device(PF1, parent_addr=PF2), _device(PF2, parent_addr=PF1)), "node.pci_devices[0].parent_addr",
    ),
    "its own parent": (_devices(_device(PF1, parent_addr=PF1)), "node.pci_devices[0].parent_addr"),
    "an address twice": (_devices(_device(PF1), _device(PF2), _device(PF1)), "node.pci_devices[2].address"),
    "an unknown type of device": (_devices(_device(PF1, dev_type="type-X")), "node.pci_devices[0].dev_type"),
    "cells that overlap": (_cells(_cell(0, 0, 1), _cell(1, 0, 1)), "node.numa_topology.cells[1].pcpuset"),
    "a CPU in two cells": (_cells(_cell(0, 0, 1), _cell(1, 2, cpuset=[1])), "node.numa_topology.cells[1].cpuset"),
    "a cell twice": (_cells(_cell(0, 0, 1), _cell(0, 2, 3)), "node.numa_topology.cells[1].id"),
    "a page size twice": (
        _cells(_cell(0, 0, mempages=[_pages(4, 9), _pages(4, 9)])), "node.numa_topology.cells[0].mempages[1].size_kb",
    ),
    "more pages reserved than there are": (
        _cells(_cell(0, 0, mempages=[_pages(4, 9, 10)])), "node.numa_topology.cells[0].mempages[0].reserved",
    ),
    "a request twice": (_requests(("count", 1), ("count", 2)), "instance.pci_requests[1].request_id"),
    "an attached request twice": (
        _cast("attach_devices", {"instance_uuid": plain.uid(7), "requests": [plain.request()] * 2, "revision": 1}),
        "requests[1].request_id",
    ),
    "an unknown NUMA policy": (_requests(("numa_policy", "near")), "instance.pci_requests[0].numa_policy"),
    "a negative count": (_requests(("count", -1)), "instance.pci_requests[0].count"),
}  # fmt: skip
KINDS: Kinds = BODIES | MESSAGES | ARGUMENTS | OBJECTS | HARDWARE


@dataclasses.dataclass(frozen=True)
class Played:
    """A stand on which every kind was sent, each between casts that are good; ``parked`` by kind, in order."""

    stand: stands.Stand
    parked: dict[str, interfaces.ParkedMessage]


def play(stand: stands.Stand) -> Played:
    """Send everything in one go, wait until it is carried out."""
    stand.conductor.cast("report_node", node=plain.node(1))
    with bus_sides.broker_session(stand.conf) as live:
        for number, (delivery, _) in enumerate(KINDS.values(), start=1001):
            stands.put(live, delivery)
            stands.put(live, _cast("update_instance", {"instance": plain.instance(number)}))
        stands.wait_until_taken(live)
    bus_sides.until(lambda: sum(stand.outcomes().values()) >= 2 * len(KINDS), "everything to be carried out")
    stand.finish()
    bus_sides.until(lambda: stands.nothing_is_due(stand.bind), "the relay to publish everything")
    return Played(stand, dict(zip(KINDS, stand.parked(), strict=False)))


class BadInput:
    """What holds on every bus and every database."""

    def test_each_kind_is_parked_with_a_reason_that_names_the_field(self, played: Played) -> None:
        named = {kind: message.field for kind, message in played.parked.items()}

        assert named == {kind: field for kind, (_, field) in KINDS.items()}
        assert len(played.stand.parked()) == len(KINDS) >= 25
        unclear = [kind for kind, one in played.parked.items() if "\n" in one.reason or len(one.reason) > 400]
        assert unclear == []

    def test_what_was_sent_in_between_is_all_applied(self, played: Played) -> None:
        used = played.stand.conductor.used(1)

        assert used == {name: amount * len(KINDS) for name, amount in plain.SMALL.items()}
        assert played.stand.outcomes()["applied"] == len(KINDS) + 1
        assert played.stand.outcomes()["parked"] == len(KINDS)

    def test_the_worker_is_alive_and_its_queues_are_empty(self, played: Played) -> None:
        played.stand.conductor.call("report_node", node=plain.node(2))

        with bus_sides.broker_session(played.stand.conf) as live:
            left = [live.channel.basic_get(queue) for queue in ("accounts", "accounts.dead")]

        assert left == [None, None]
        assert played.stand.health == ["working"]

    def test_a_notification_is_heard_for_each(self, played: Played) -> None:
        heard = played.stand.listener.wait("cast.park", len(KINDS))

        # oslo.messaging's listener hands them to a pool of threads, in no order
        assert sorted((one["field"], one["reason"]) for one in heard) == sorted(
            (message.field, message.reason) for message in played.parked.values()
        )
        assert {one["queue"] for one in heard} == {"accounts"}

    def test_the_message_and_its_method_are_named_where_they_can_be_read(self, played: Played) -> None:
        known = {kind: message.method for kind, message in played.parked.items()}

        assert {known[kind] for kind in ARGUMENTS} == {
            "delete_instance", "detach_devices", "update_instance", "update_migration", "claim_instance",
            "claim_migration",
        }  # fmt: skip
        assert all(played.parked[kind].message_id for kind in (*ARGUMENTS, *OBJECTS, *HARDWARE))

    def test_the_bytes_are_kept_as_they_came(self, played: Played) -> None:
        kept = {kind: message.body for kind, message in played.parked.items()}

        for kind in ("an empty body", "not JSON", "a binary body", "a pickle", "a list", "oslo.message not JSON"):
            assert kept[kind] == KINDS[kind][0].body

    def test_no_token_is_stored(self, played: Played) -> None:
        assert any(stands.TOKEN.encode() in delivery.body for delivery, _ in KINDS.values())

        stored = stands.everything_stored(played.stand.bind)

        assert stands.TOKEN not in stored
        assert stands.TOKEN not in "".join(_inflated(message) for message in played.parked.values())

    def test_the_same_bad_bytes_again_are_not_parked_again(self, played: Played) -> None:
        delivery, _ = KINDS["no oslo.message"]
        before = len(played.stand.parked())

        played.stand.send(delivery.body, content_type=delivery.content_type, content_encoding="utf-8")
        played.stand.finish()

        assert len(played.stand.parked()) == before


def _inflated(message: interfaces.ParkedMessage) -> str:
    """Return a parked body as text; a compressed one unpacked."""
    for unpack in (zlib.decompress, bz2.decompress):
        try:
            return unpack(message.body).decode("latin-1")
        except (zlib.error, OSError):
            continue
    return message.body.decode("latin-1")
