"""From a decoded cast to a command: every method, and every way in which its arguments can be wrong."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from objects import compute_nodes, instances, migrations, schemas
from objects import limits as object_limits
from tests import bad_input, plain, stands
from worker import errors, intake, interfaces
from worker.bus import wire
from worker.core import commands, records

CREATED = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


def _envelope(method: str, arguments: Any, **changes: Any) -> Any:
    return wire.decode(interfaces.Delivery(tag=1, body=stands.body(method, arguments, _unique_id="m1", **changes)))


def _command(method: str, **arguments: Any) -> Any:
    return intake.task(_envelope(method, arguments)).command


def _sample(cls: Any) -> Any:
    return json.loads(json.dumps(schemas.sample(cls)))


SMALL = records.Flavor("small", "small", 1, 512, 10, 0, 0, {})
BIG = records.Flavor("big", "big", 2, 1024, 20, 0, 0, {})
INSTANCE = records.Instance(
    plain.uid(1), 1, SMALL, "p1", "u1", "vm-1", "compute-1", "compute-1", "active", None, "linux"
)  # fmt: skip
MOVE = records.Move(
    plain.uid(900_001), 1, plain.uid(1), "migrating", "resize", int(CREATED.timestamp()) * 1_000_000,
    records.Pair("compute-1", "compute-1"), records.Pair("compute-2", "compute-2"), SMALL, BIG,
)  # fmt: skip
U, N = plain.uid(1), plain.node_uuid(1)

METHODS: list[tuple[str, dict[str, Any], commands.Command]] = [
    ("remove_node", {"node_uuid": N, "revision": 3}, commands.RemoveNode(N, 3)),
    ("set_node_disabled", {"node_uuid": N, "disabled": True, "revision": 3}, commands.SetNodeDisabled(N, True, 3)),
    ("record_build", {"node_uuid": N, "succeeded": False}, commands.RecordBuild(N, False)),
    ("claim_instance", {"instance": plain.instance(1), "limits": None}, commands.ClaimInstance(INSTANCE)),
    ("claim_instance", {"instance": plain.instance(1), "limits": plain.limits(2.0)},
     commands.ClaimInstance(INSTANCE, records.Limits(2.0, None))),
    ("abort_claim", {"instance_uuid": U, "revision": 3}, commands.AbortClaim(U, 3)),
    ("abort_claim", {"instance_uuid": U, "revision": 3, "migration_uuid": N}, commands.AbortClaim(U, 3, N)),
    ("update_instance", {"instance": plain.instance(1)}, commands.UpdateInstance(INSTANCE)),
    ("delete_instance", {"instance_uuid": U, "revision": 3}, commands.DeleteInstance(U, 3)),
    ("claim_migration", {"migration": plain.migration(), "instance": plain.instance(1), "limits": None},
     commands.ClaimMigration(MOVE, INSTANCE)),
    ("update_migration", {"migration": plain.migration(), "instance": plain.instance(1)},
     commands.UpdateMigration(MOVE, INSTANCE)),
    ("update_migration", {"migration": plain.migration(), "instance": None}, commands.UpdateMigration(MOVE)),
    ("attach_devices", {"instance_uuid": U, "requests": [plain.request()], "revision": 3},
     commands.AttachDevices(U, (records.DeviceRequest(plain.uid(800_001), 1, ({"vendor_id": "8086"},)),), 3)),
    ("detach_devices", {"instance_uuid": U, "request_ids": [N], "revision": 3}, commands.DetachDevices(U, (N,), 3)),
    ("audit_node", {"node_uuid": N, "instances": None, "taken_at": "1970-01-01T00:00:01.5+00:00"},
     commands.AuditNode(N, None, 1_500_000)),
    ("audit_node", {"node_uuid": N, "instances": [plain.instance(1)], "taken_at": "1970-01-01T00:00:00+00:00",
                    "authoritative": True}, commands.AuditNode(N, (INSTANCE,), 0, True)),
]  # fmt: skip


@pytest.mark.parametrize(("method", "arguments", "command"), METHODS)
def test_each_method_becomes_its_command(method: str, arguments: dict[str, Any], command: commands.Command) -> None:
    assert _command(method, **arguments) == command


def test_every_method_of_the_contract_is_known() -> None:
    tried = {method for method, *_ in METHODS} | {"report_node"}

    assert intake._ARGUMENTS.keys() == tried
    assert intake._BUILDERS.keys() == tried
    assert intake._QUERIES.keys() == intake.READS


def test_a_report_is_read_in_full() -> None:
    sample = _sample(compute_nodes.ComputeNode)

    node = _command("report_node", node=sample).node

    data = plain.data(sample)
    plain_fields = [name for name, value in data.items() if not isinstance(value, dict | list)]
    assert {name: getattr(node, name) for name in plain_fields} == {name: data[name] for name in plain_fields}
    assert node.pci_devices[0].address == plain.data(data["pci_devices"][0])["address"]
    cell, sent = node.numa_topology[0], plain.data(plain.data(data["numa_topology"])["cells"][0])
    assert (cell.cpuset, cell.memory, cell.socket) == (frozenset(sent["cpuset"]), sent["memory"], sent["socket"])
    assert [sorted(threads) for threads in cell.siblings] == sent["siblings"]
    assert [pages.size_kb for pages in cell.mempages] == [plain.data(pages)["size_kb"] for pages in sent["mempages"]]
    assert node.inventories.keys() == data["inventories"].keys()
    assert node.traits == tuple(data["traits"])
    assert node.providers[0].inventories.keys() == plain.data(data["providers"][0])["inventories"].keys()
    assert hash(node.pair)


def test_an_instance_and_a_move_are_read_in_full() -> None:
    instance = _command("update_instance", instance=_sample(instances.Instance)).instance
    move = _command("update_migration", migration=_sample(migrations.Migration), instance=None).migration

    assert instance.numa_topology.cells[0].pcpuset == frozenset({0, 1, 2, 3})
    assert instance.numa_topology.emulator_threads_policy == "share"
    assert instance.pci_requests[0].count >= 1
    assert instance.resources
    assert move.new_numa_topology.cells
    assert move.new_pci_requests
    assert move.created_at % 1_000_000 == 589_793


def test_a_move_without_destination_has_none() -> None:
    move = _command("update_migration", migration=plain.migration(dest_node=None), instance=None).migration

    assert (move.dest, move.new_pci_requests, move.new_numa_topology) == (None, None, None)


def test_the_digest_of_a_report_is_that_of_its_content() -> None:
    digests = [
        _command("report_node", node=plain.node(1, **changes)).digest
        for changes in ({}, {"revision": 9, "disabled": True}, {"memory_mb": 1}, {"stats": {"a": "b"}})
    ]

    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_the_context_is_the_cause() -> None:
    envelope = _envelope(
        "delete_instance",
        {"instance_uuid": U, "revision": 3},
        _context_global_request_id="req-2",
        _context_project="p9",
    )

    task = intake.task(envelope)

    assert task.cause == commands.Cause(
        "m1", "delete_instance", stands.CONTEXT["request_id"], "req-2", "u1", "p9", U, 3
    )  # fmt: skip
    assert (task.message_id, task.wants_reply) == ("m1", False)


@pytest.mark.parametrize("odd", [17, ["u"], {"name": "u"}, "u" * 256, None])
def test_a_context_that_is_no_short_text_is_no_cause(odd: Any) -> None:
    envelope = _envelope("record_build", {"node_uuid": N, "succeeded": True}, _context_user=odd)

    assert intake.task(envelope).cause.user_id is None


def test_an_older_context_names_its_project_otherwise() -> None:
    arguments = {"node_uuid": N, "succeeded": True}

    cause = intake.task(_envelope("record_build", arguments, _context_project=None, _context_project_id="p7")).cause

    assert (cause.project_id, cause.revision, cause.consumer_uuid) == ("p7", None, N)


def test_a_call_wants_a_reply() -> None:
    assert intake.task(
        _envelope("delete_instance", {"instance_uuid": U, "revision": 3}, _msg_id="c", _reply_q="q")
    ).wants_reply


@pytest.mark.parametrize(
    ("method", "arguments", "checked"),
    [
        ("get_node_usage", {"node_uuid": N}, {"node_uuid": N}),
        ("list_node_usages", {}, {"marker": None, "limit": 100}),
        ("list_node_usages", {"marker": N, "limit": 5}, {"marker": N, "limit": 5}),
        ("get_instance_usage", {"instance_uuid": U}, {"instance_uuid": U}),
    ],
)
def test_a_question_has_checked_arguments(method: str, arguments: dict[str, Any], checked: dict[str, Any]) -> None:
    assert intake.query(_envelope(method, arguments, _msg_id="c", _reply_q="q")) == checked


@pytest.mark.parametrize("limit", [0, 1001, True, "5", None])
def test_a_question_with_wrong_arguments_is_malformed(limit: Any) -> None:
    with pytest.raises(errors.Malformed, match=r"^limit: ") as raised:
        intake.query(_envelope("list_node_usages", {"limit": limit}, _msg_id="c", _reply_q="q"))

    assert raised.value.field == "limit"


@pytest.mark.parametrize("version", ["1.0", None, "1.00"])
def test_versions_that_are_known(version: str | None) -> None:
    task = intake.task(_envelope("delete_instance", {"instance_uuid": U, "revision": 3}, version=version))

    assert task.command == commands.DeleteInstance(U, 3)


@pytest.mark.parametrize(
    "version",
    ["", "1", "1.", ".0", "01.0", "1.x", "1.1", "2.0", "1.0.0", "1." + "0" * 5000, "\N{ARABIC-INDIC DIGIT ONE}.0"],
)
def test_versions_that_are_not(version: str) -> None:
    with pytest.raises(errors.Malformed, match=r"^version: ") as raised:
        intake.task(_envelope("delete_instance", {"instance_uuid": U, "revision": 3}, version=version))

    assert len(str(raised.value)) < 200


WRONG = bad_input.MESSAGES | bad_input.ARGUMENTS | bad_input.OBJECTS


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_named_by_its_path(kind: str) -> None:
    delivery, field = WRONG[kind]

    with pytest.raises(errors.Malformed) as raised:
        _read(delivery)

    assert raised.value.field == field


def _read(delivery: interfaces.Delivery) -> Any:
    envelope = wire.decode(delivery)
    return intake.query(envelope) if envelope.method in intake.READS else intake.task(envelope)


@pytest.mark.parametrize("name", ["uuid", "flavor", "numa_topology", "pci_requests", "resources", "vm_state"])
def test_nesting_is_no_trouble_at_any_depth(name: str) -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    envelope = interfaces.Envelope(
        "m1", "update_instance", {"instance": plain.instance(1, **{name: deep})}, "1.0", None, {}, None
    )

    with pytest.raises(errors.Malformed) as raised:
        intake.task(envelope)

    assert str(raised.value.field).startswith(f"instance.{name}")


def test_an_operator_may_allow_more() -> None:
    arguments = {"instance_uuid": U, "request_ids": [N] * 5000, "revision": 3}

    task = intake.task(_envelope("detach_devices", arguments), object_limits.Limits(list_length=5000))

    assert isinstance(task.command, commands.DetachDevices)
    assert len(task.command.request_ids) == 5000


@pytest.mark.parametrize("key", ["resources:", "resources:foo bar", "resources:lower", "resources:CUSTOM_É"])
def test_an_extra_spec_that_names_no_resource_class_is_refused(key: str) -> None:
    wrong = plain.instance(1)
    wrong["stocktake_object.data"]["flavor"]["stocktake_object.data"]["extra_specs"] = {key: "1"}

    with pytest.raises(errors.Malformed, match="names no resource class") as caught:
        _command("update_instance", instance=wrong)

    assert caught.value.field == f"instance.flavor.extra_specs[{key!r}]"


@pytest.mark.parametrize("name", ["host", "node"])
def test_a_slash_in_the_name_of_a_host_or_node_is_refused(name: str) -> None:
    wrong = plain.instance(1)
    wrong["stocktake_object.data"][name] = "a/b"

    with pytest.raises(errors.Malformed) as caught:
        _command("update_instance", instance=wrong)

    assert caught.value.field == f"instance.{name}"
