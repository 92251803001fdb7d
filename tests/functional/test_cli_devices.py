"""The commands that show and explain PCI devices and NUMA cells."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests import builders
from tests.functional import cli_desk
from tests.unit.core import devices
from worker.core import commands, records
from worker.db import tables

OTHER = builders.uid(501)
GPU = "0000:07:00.0"
PF, FIRST_VF, SECOND_VF = "0000:01:00.0", "0000:01:02.0", "0000:01:02.1"
REQUEST = builders.uid(70)
CELLS = (
    records.HostCell(
        0, frozenset({0, 1}), frozenset({2, 3, 4, 5}), 4096, mempages=(records.Pages(4, 917504, 0), records.Pages(2048, 300, 6))
    ),
    records.HostCell(1, frozenset({6, 7}), frozenset(), 4096),
)  # fmt: skip
DEVICES = (devices.pf(1, numa_node=0), devices.vf(1, 0, numa_node=0), devices.vf(1, 1, numa_node=0), devices.plain(7))
DEDICATED = {"hw:cpu_policy": "dedicated", "hw:mem_page_size": "2048"}


def a_report(revision: int = 1, pci_devices: tuple[records.Device, ...] = DEVICES) -> commands.ReportNode:
    """Report h1 with two cells and these devices."""
    return builders.a_report(builders.a_node(revision=revision, numa_topology=CELLS, pci_devices=pci_devices))


def a_guest(revision: int = 1, **changes: Any) -> records.Instance:
    """Return an instance that pins two CPUs and asks for one VF."""
    flavor = builders.a_flavor(vcpus=2, extra_specs=DEDICATED)
    values: dict[str, Any] = {"flavor": flavor, "pci_requests": (devices.a_request(devices.ANY_VF),), **changes}
    return builders.an_instance(revision=revision, **values)


@pytest.fixture
def desk(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Iterator[cli_desk.Desk]:
    """Lend a desk: h1 has cells and devices and an instance with some of each, h2 one device."""
    with cli_desk.opened(tmp_path, capsys) as found:
        found.tell(a_report())
        found.tell(builders.a_report(node_uuid=OTHER, host="h2", pci_devices=(devices.plain(9),)))
        found.tell(commands.UpdateInstance(a_guest()))
        yield found


def test_every_device_is_listed_with_its_state(desk: cli_desk.Desk) -> None:
    listed = desk.json("device", "list")

    assert desk.code == 0
    assert [(one["node"], one["address"], one["status"]) for one in listed] == [
        ("h1", PF, "unavailable"), ("h1", FIRST_VF, "allocated"), ("h1", SECOND_VF, "available"),
        ("h1", GPU, "available"), ("h2", "0000:09:00.0", "available"),
    ]  # fmt: skip
    assert listed[1] == {
        "node": "h1", "address": FIRST_VF, "vendor:product": "8086:154c", "type": "type-VF", "numa_node": 0,
        "parent": PF, "status": "allocated", "missing": False, "owner": builders.VM, "request": REQUEST,
    }  # fmt: skip


def test_people_see_a_dash_where_there_is_nothing(desk: cli_desk.Desk) -> None:
    table = desk.run("device", "list", "--node", "h2")

    assert "None" not in table
    assert "False" not in table
    assert "| -     | -       |" in table


@pytest.mark.parametrize(
    ("words", "addresses"),
    [
        (("--node", "h2"), ["0000:09:00.0"]),
        (("--node", f"{OTHER}"), ["0000:09:00.0"]),
        (("--owner", builders.VM), [FIRST_VF]),
        (("--owner", builders.VM, "--node", "h1/h1"), [FIRST_VF]),
        (("--owner", builders.VM, "--node", "h2"), []),
        (("--status", "unavailable"), [PF]),
        (("--status", "claimed"), []),
        (("--node", "h1", "--status", "available"), [SECOND_VF, GPU]),
    ],
)
def test_the_list_can_be_narrowed(desk: cli_desk.Desk, words: tuple[str, ...], addresses: list[str]) -> None:
    listed = desk.json("device", "list", *words)

    assert desk.code == 0
    assert [one["address"] for one in listed] == addresses


def test_more_nodes_than_a_page_are_listed(desk: cli_desk.Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.db.reading.PAGE", 1)

    assert len(desk.json("device", "list")) == 5


def test_the_devices_of_an_owner_are_found_without_the_other_nodes(desk: cli_desk.Desk) -> None:
    with desk.bind.begin() as connection:
        other = tables.nodes.c.uuid == OTHER
        connection.execute(tables.nodes.update().where(other).values(report="unreadable"))

    (listed,) = desk.json("device", "list", "--owner", builders.VM)

    assert listed["address"] == FIRST_VF


def test_a_device_that_left_the_report_is_listed_as_missing_while_it_is_held(desk: cli_desk.Desk) -> None:
    desk.tell(a_report(2, (DEVICES[-1],)))

    listed = desk.json("device", "list", "--node", "h1")

    assert [(one["address"], one["missing"]) for one in listed] == [(GPU, False), (FIRST_VF, True)]


def test_what_is_held_on_a_node_that_was_removed_is_listed(desk: cli_desk.Desk) -> None:
    desk.tell(commands.RemoveNode(builders.NODE, 9))

    (one,) = desk.json("device", "list", "--node", "h1")

    assert (one["address"], one["status"], one["missing"]) == (FIRST_VF, "allocated", True)


def test_an_unknown_status_is_a_usage_error_that_names_the_words(desk: cli_desk.Desk) -> None:
    line = desk.refusal("device", "list", "--status", "free")

    assert desk.code == 2
    assert "--status" in line
    for word in ("available", "claimed", "allocated", "unclaimable", "unavailable"):
        assert word in line


@pytest.mark.parametrize(
    ("words", "about"),
    [
        (("device", "list", "--node", "h99"), "node h99"),
        (("device", "list", "--owner", "vm"), "instance vm"),
        (("device", "list", "--owner", builders.uid(7)), f"instance {builders.uid(7)}"),
        (("explain", "device", GPU, "--node", "h99"), "node h99"),
        (("explain", "device", "0000:99:00.0", "--node", "h1"), "device 0000:99:00.0 of node h1"),
    ],
)
def test_what_is_not_known_is_named_in_one_line(desk: cli_desk.Desk, words: tuple[str, ...], about: str) -> None:
    line = desk.refusal(*words)

    assert (desk.code, line) == (1, f"stocktake: {about} is not known")


def test_a_node_that_does_not_speak_for_its_pair_has_no_devices(desk: cli_desk.Desk) -> None:
    desk.tell(builders.a_report(node_uuid=builders.uid(503), revision=9))

    line = desk.refusal("device", "list", "--node", builders.NODE)

    assert line == f"stocktake: node {builders.NODE} has no account: {builders.uid(503)} speaks for h1/h1"


def test_the_node_of_a_device_to_explain_must_be_given(desk: cli_desk.Desk) -> None:
    line = desk.refusal("explain", "device", GPU)

    assert desk.code == 2
    assert "--node" in line


def test_a_device_is_explained_entry_by_entry(desk: cli_desk.Desk) -> None:
    desk.tell(commands.UpdateInstance(a_guest(2, host="h2")))

    entries = desk.json("explain", "device", FIRST_VF, "--node", "h1")
    last = desk.run("explain", "device", FIRST_VF.upper(), "--node", "h1").splitlines()[-1]

    assert desk.code == 0
    assert [(one["method"], one["instance"], one["delta"], one["held"]) for one in entries] == [
        ("update_instance", builders.VM, "+1", 1), ("update_instance", builders.VM, "-1", 0),
    ]  # fmt: skip
    assert last == f"device {FIRST_VF} of node {builders.NODE} adds up: free, available"


def test_a_device_that_is_held_names_its_holder(desk: cli_desk.Desk) -> None:
    last = desk.run("explain", "device", FIRST_VF, "--node", "h1").splitlines()[-1]

    assert last == (
        f"device {FIRST_VF} of node {builders.NODE} adds up: "
        f"held, allocated: instance {builders.VM} has it for request {REQUEST}"
    )


def test_a_device_that_a_relative_keeps_from_others_names_the_relative(desk: cli_desk.Desk) -> None:
    last = desk.run("explain", "device", PF, "--node", "h1").splitlines()[-1]

    assert last == (
        f"device {PF} of node {builders.NODE} adds up: "
        f"free, unavailable: its relative {FIRST_VF} (type-VF) is allocated to instance {builders.VM}"
    )


def test_the_parent_that_is_held_keeps_its_functions_from_others(desk: cli_desk.Desk) -> None:
    desk.tell(commands.DeleteInstance(builders.VM, 2))
    taker = builders.an_instance(builders.uid(2), pci_requests=(devices.a_request(devices.ANY_PF),))
    desk.tell(commands.UpdateInstance(taker))

    last = desk.run("explain", "device", SECOND_VF, "--node", "h1").splitlines()[-1]

    assert last.endswith(f"free, unavailable: its relative {PF} (type-PF) is allocated to instance {builders.uid(2)}")


def test_a_device_that_is_missing_says_so(desk: cli_desk.Desk) -> None:
    desk.tell(a_report(2, ()))

    held = desk.run("explain", "device", FIRST_VF, "--node", "h1").splitlines()[-1]
    desk.tell(commands.DeleteInstance(builders.VM, 2))
    gone = desk.run("explain", "device", FIRST_VF, "--node", "h1").splitlines()[-1]

    assert held.endswith(f"for request {REQUEST}, missing: it is not in the report")
    assert gone.endswith("adds up: free, and not in the report")


def test_a_device_that_the_ledger_does_not_explain_is_a_finding(desk: cli_desk.Desk) -> None:
    entries = tables.ledger.c.kind == "device"
    with desk.bind.begin() as connection:
        connection.execute(tables.ledger.update().where(entries).values(kind="device-lost"))

    last = desk.run("explain", "device", FIRST_VF, "--node", "h1").splitlines()[-1]
    code = desk.code
    # set right, for the proof at the end
    with desk.bind.begin() as connection:
        renamed = tables.ledger.c.kind == "device-lost"
        connection.execute(tables.ledger.update().where(renamed).values(kind="device"))

    assert code == 1
    assert f"does not add up: devices is {FIRST_VF}, but the ledger sums up to - (+{FIRST_VF}); held, allocated" in last


def test_the_explanation_of_a_node_keeps_devices_and_cells_apart_from_classes(desk: cli_desk.Desk) -> None:
    entries = desk.json("explain", "node", "h1")
    last = desk.run("explain", "node", "h1").splitlines()[-1]

    assert desk.code == 0
    by_kind = {one["kind"]: (one["delta"], one["sum"]) for one in entries}
    cell = {"cell_0_memory_mb": 512, "cell_0_pages_2048": 256, "cell_0_pinned_cpus": 2}
    assert by_kind["device"] == ({FIRST_VF: 1}, {FIRST_VF: 1})
    assert by_kind["cell"] == (cell, cell)
    assert by_kind["holding"][1] == {"DISK_GB": 10, "MEMORY_MB": 512, "PCPU": 2}
    assert last.startswith(f"node {builders.NODE} adds up: held DISK_GB 10, MEMORY_MB 512, PCPU 2; settled DISK_GB 10")
    told = "cell_0_memory_mb 512, cell_0_pages_2048 256, cell_0_pinned_cpus 2"
    assert last.endswith(f"devices {FIRST_VF}; cells {told}")


def test_what_was_given_back_of_a_cell_is_summed_to_nothing(desk: cli_desk.Desk) -> None:
    desk.tell(commands.DeleteInstance(builders.VM, 2))

    entries = desk.json("explain", "node", "h1")
    last = desk.run("explain", "node", "h1").splitlines()[-1]

    (entry,) = (one for one in entries if one["kind"] == "cell" and one["method"] == "delete_instance")
    assert entry["sum"] == {"cell_0_memory_mb": 0, "cell_0_pages_2048": 0, "cell_0_pinned_cpus": 0}
    assert "devices" not in last
    assert "cells" not in last


def test_a_device_that_was_given_and_given_back_has_its_sign_in_the_table(desk: cli_desk.Desk) -> None:
    desk.tell(commands.UpdateInstance(a_guest(2, host="h2")))

    table = desk.run("explain", "node", "h1")

    assert f"+{FIRST_VF}" in table
    assert f"-{FIRST_VF}" in table


def test_attached_devices_are_explained_although_no_class_changes(desk: cli_desk.Desk) -> None:
    request = devices.a_request(devices.GPU, request_id=builders.uid(71))
    desk.tell(commands.AttachDevices(builders.VM, (request,), 1))

    node = desk.run("explain", "node", "h1").splitlines()[-1]
    instance = desk.run("explain", "instance", builders.VM).splitlines()[-1]

    assert desk.code == 0
    assert f"devices {FIRST_VF}, {GPU}; cells" in node
    assert f"h1 devices {FIRST_VF}, {GPU}" in instance


def test_an_instance_is_explained_with_devices_and_cells_of_each_node(desk: cli_desk.Desk) -> None:
    desk.tell(commands.UpdateInstance(a_guest(2, host="h2")))
    desk.tell(commands.UpdateInstance(a_guest(3)))

    entries = desk.json("explain", "instance", builders.VM)
    last = desk.run("explain", "instance", builders.VM).splitlines()[-1]

    assert [(one["node"], one["sum"]) for one in entries if one["kind"] == "device"] == [
        ("h1", {FIRST_VF: 1}), ("h1", {}), ("h1", {FIRST_VF: 1}),
    ]  # fmt: skip
    assert last == (
        f"instance {builders.VM} adds up: h1 DISK_GB 10, MEMORY_MB 512, PCPU 2; h1 devices {FIRST_VF}; "
        "h1 cells cell_0_memory_mb 512, cell_0_pages_2048 256, cell_0_pinned_cpus 2"
    )


def test_a_node_is_shown_with_a_bar_for_each_figure_of_its_cells(desk: cli_desk.Desk) -> None:
    table = desk.run("node", "show", "h1")
    shown = desk.json("node", "show", "h1")

    assert "cell 0 dedicated CPUs   #####..... 2/4 pinned 2-3" in table
    assert "cell 0 shared CPUs      .......... 0/2" in table
    assert "cell 0 memory MiB       #......... 512/4096" in table
    assert "cell 0 pages 2048 KiB   #########. 256/294" in table
    assert "cell 1 shared CPUs" in table
    assert "cell 1 dedicated" not in table
    assert shown["numa_topology"]["cells"][0]["pinned_cpus"] == [2, 3]


def test_a_node_is_shown_with_a_pool_a_line(desk: cli_desk.Desk) -> None:
    table = desk.run("node", "show", "h1")
    shown = desk.json("node", "show", "h1")

    assert f"1 x 8086:154c type-VF of {PF}, NUMA node 0, remote_managed false" in table
    assert f"1 x 10de:1db6 type-PCI at {GPU} " in table
    assert [pool["count"] for pool in shown["pci_device_pools"]] == [1, 1]


def test_a_node_without_cells_and_devices_shows_none(desk: cli_desk.Desk) -> None:
    desk.tell(builders.a_report(node_uuid=builders.uid(502), host="h3"))

    shown = desk.json("node", "show", "h3")
    table = desk.run("node", "show", "h3")

    assert (shown["numa_topology"], shown["pci_device_pools"]) == (None, [])
    assert "None" not in table.replace("num_os_type_None", "")


def test_an_instance_is_shown_with_its_devices_and_where_its_cells_are(desk: cli_desk.Desk) -> None:
    table = desk.run("instance", "show", builders.VM)
    shown = desk.json("instance", "show", builders.VM)

    assert f"{FIRST_VF} 8086:154c type-VF, NUMA node 0, node {builders.NODE}, request {REQUEST}" in table
    assert "cell 0: 512 MiB, pages of 2048 KiB, pinned 0>2, 1>3, policy dedicated" in table
    assert shown["pci_devices"][0]["address"] == FIRST_VF
    assert shown["numa_topology"]["cells"][0]["cpu_pinning"] == {"0": 2, "1": 3}


def test_shared_and_emulator_cpus_of_a_guest_are_shown(desk: cli_desk.Desk) -> None:
    specs = {
        "hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "0", "hw:emulator_threads_policy": "isolate",
        "hw:cpu_thread_policy": "prefer",
    }  # fmt: skip
    guest = builders.an_instance(builders.uid(2), flavor=builders.a_flavor("mixed", vcpus=3, extra_specs=specs))
    desk.tell(commands.UpdateInstance(guest))

    table = desk.run("instance", "show", builders.uid(2))

    assert "cell 0: 512 MiB, shared CPUs 1-2, pinned 0>" in table
    assert "emulator CPUs " in table
    assert "policy mixed prefer" in table
    assert "emulator threads: isolate" in table


def test_an_instance_without_devices_and_cells_shows_none(desk: cli_desk.Desk) -> None:
    desk.tell(commands.UpdateInstance(builders.an_instance(builders.uid(2), host="h2")))

    shown = desk.json("instance", "show", builders.uid(2))

    assert (shown["numa_topology"], shown["pci_devices"]) == (None, [])
    assert "pci_devices   | - " in desk.run("instance", "show", builders.uid(2))
