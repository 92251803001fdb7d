"""CPUs, pages and devices as an independent party sees them: what a claim is given, who has it, and that it comes back.

One suite for every bus and database; a test module of ``functional`` or ``integration`` brings the fixture ``stand``.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from objects import usages
from tests import plain, stands
from worker import wiring
from worker.db import tables

WHEN = "2099-01-02T03:04:05.000000+00:00"
PF, VFS = "0000:81:00.0", ("0000:81:02.0", "0000:81:02.1", "0000:81:02.2")
CARD = "0000:83:00.0"


def device(address: str, **changes: Any) -> plain.Primitive:
    """Return a device on NUMA node 0."""
    known = {"vendor_id": "8086", "product_id": "154c", "dev_type": "type-VF", "parent_addr": PF, "numa_node": 0}
    return plain.primitive("PciDevice", {"address": address, "label": None, "tags": {}} | known | changes)


def cell(number: int, cpus: range) -> plain.Primitive:
    """Return a cell of 4 GiB, half of it in pages of 2 MiB."""
    pools = [{"size_kb": 4, "total": 524288, "reserved": 0}, {"size_kb": 2048, "total": 1024, "reserved": 0}]
    known = {"id": number, "cpuset": [], "pcpuset": list(cpus), "memory": 4096, "socket": number, "physnets": []}
    pages = [plain.primitive("NUMAPagesTopology", one) for one in pools]
    return plain.primitive("NUMACell", known | {"siblings": [], "mempages": pages, "tunneled": False})


def node(revision: int = 1, cells: int = 2, *devices: plain.Primitive) -> plain.Primitive:
    """Return a report: cells of 4 CPUs, and by default a PF with three VFs and a card of its own."""
    own = device(PF, dev_type="type-PF", product_id="1572", parent_addr=None)
    card = device(CARD, dev_type="type-PCI", vendor_id="10de", product_id="1db6", parent_addr=None)
    topology = {"cells": [cell(number, range(4 * number, 4 * number + 4)) for number in range(cells)]}
    return plain.node(
        1,
        revision,
        numa_topology=plain.primitive("NUMATopology", topology),
        pci_devices=list(devices) or [own, *map(device, VFS), card],
    )


def request(number: int, spec: dict[str, str], count: int = 1) -> plain.Primitive:
    """Return a request for so many devices."""
    known = plain.data(plain.request(number))
    return plain.primitive("InstancePCIRequest", known | {"count": count, "spec": [spec]})


VF = {"vendor_id": "8086", "dev_type": "type-VF"}
GPU = {"vendor_id": "10de"}


def pinned(number: int = 1, revision: int = 1, **changes: Any) -> plain.Primitive:
    """Return an instance of two dedicated CPUs and 512 MiB in pages of 2 MiB that asks for two VFs."""
    specs = {"hw:cpu_policy": "dedicated", "hw:mem_page_size": "2048"}
    values = {
        "flavor": plain.flavor("pinned", vcpus=2, extra_specs=specs),
        "pci_requests": [request(number, VF, 2)],
        "vm_state": "building",
    }
    return plain.instance(number, revision, **values | changes)


def addresses(devices: list[plain.Primitive]) -> list[str]:
    """Return the addresses of device objects."""
    return sorted(plain.data(one)["address"] for one in devices)


class HardwareJob:
    """What holds on every bus and every database."""

    def test_a_claim_says_which_devices_and_cpus_it_was_given(self, stand: stands.Stand) -> None:
        stand.conductor.call("report_node", node=node())

        answer = stand.conductor.call("claim_instance", instance=pinned(), limits=None)

        detail = answer["detail"]
        assert answer["outcome"] == "accepted"
        assert detail["allocations"] == {plain.node_uuid(1): {"PCPU": 2, "MEMORY_MB": 512, "DISK_GB": 10}}
        assert len({one["address"] for one in detail["pci_devices"]} & set(VFS)) == 2
        assert {one["request_id"] for one in detail["pci_devices"]} == {plain.uid(800_001)}
        (guest,) = detail["numa_topology"]["cells"]
        assert (guest["id"], guest["pagesize"], sorted(guest["cpu_pinning"])) == (0, 2048, ["0", "1"])
        assert set(guest["cpu_pinning"].values()) < {0, 1, 2, 3}

    def test_the_accepted_claim_is_announced_with_objects_that_can_be_read(self, stand: stands.Stand) -> None:
        stand.conductor.call("report_node", node=node())
        answer = stand.conductor.call("claim_instance", instance=pinned(), limits=None)

        (payload,) = stand.listener.wait("claim.accept")

        devices: list[Any] = [usages.PciDeviceUsage.obj_from_primitive(one) for one in payload["pci_devices"]]
        topology: Any = usages.InstanceNUMATopologyUsage.obj_from_primitive(payload["numa_topology"])
        assert {one.address for one in devices} == {one["address"] for one in answer["detail"]["pci_devices"]}
        assert {one.node_uuid for one in devices} == {plain.node_uuid(1)}
        assert [one.cpu_pinning for one in topology.cells] == [
            one["cpu_pinning"] for one in answer["detail"]["numa_topology"]["cells"]
        ]

    def test_the_accounts_show_cells_pools_and_who_has_what(self, stand: stands.Stand) -> None:
        stand.conductor.call("report_node", node=node())
        stand.conductor.call("claim_instance", instance=pinned(), limits=None)

        account: Any = usages.NodeUsage.obj_from_primitive(
            stand.conductor.call("get_node_usage", node_uuid=plain.node_uuid())
        )
        guest = stand.conductor.call("get_instance_usage", instance_uuid=plain.uid(1))
        owner: Any = usages.InstanceUsage.obj_from_primitive(guest)

        first, second = account.numa_topology.cells
        assert (first.cpu_usage, len(first.pinned_cpus), first.memory_usage) == (0, 2, 512)
        assert {one.size_kb: one.used for one in first.mempages} == {4: 0, 2048: 256}
        assert (second.cpu_usage, second.pinned_cpus, second.memory_usage) == (0, set(), 0)
        assert sorted((one.product_id, one.count) for one in account.pci_device_pools) == [("154c", 1), ("1db6", 1)]
        assert len(owner.pci_devices) == 2
        assert set(owner.numa_topology.cells[0].cpu_pinning.values()) == first.pinned_cpus

    def test_devices_are_attached_and_given_back(self, stand: stands.Stand) -> None:
        call = stand.conductor.call
        call("report_node", node=node())
        call("update_instance", instance=plain.instance(1))
        call("update_instance", instance=plain.instance(2))

        first = call("attach_devices", instance_uuid=plain.uid(1), requests=[request(5, GPU)], revision=1)
        second = call("attach_devices", instance_uuid=plain.uid(2), requests=[request(6, GPU)], revision=1)
        foreign = call("detach_devices", instance_uuid=plain.uid(2), request_ids=[plain.uid(800_005)], revision=9)
        kept = self.devices_of(stand, 1)
        call("detach_devices", instance_uuid=plain.uid(1), request_ids=[plain.uid(800_005)], revision=2)
        again = call("attach_devices", instance_uuid=plain.uid(2), requests=[request(7, GPU)], revision=2)

        assert [one["address"] for one in first["detail"]["pci_devices"]] == [CARD]
        assert (second["outcome"], foreign["outcome"]) == ("refused", "applied")
        assert "asked 1, available 0" in second["reason"]
        assert kept == [CARD]
        assert again["outcome"] == "accepted"
        assert (self.devices_of(stand, 1), self.devices_of(stand, 2)) == ([], [CARD])

    def test_everything_is_still_there_after_a_restart_of_the_worker(self, stand: stands.Stand) -> None:
        stand.conductor.call("report_node", node=node())
        stand.conductor.call("claim_instance", instance=pinned(), limits=None)
        before = self.shown(stand)

        stand.running.stop()
        stand.running = wiring.Running(stand.conf, health=stand.health.append)
        stand.running.start()

        assert self.shown(stand) == before
        answer = stand.conductor.call("claim_instance", instance=pinned(2), limits=None)
        assert answer["outcome"] == "refused"
        assert "asked 2, available 1" in answer["reason"]
        stand.conductor.call("delete_instance", instance_uuid=plain.uid(1), revision=9)
        assert stand.conductor.call("claim_instance", instance=pinned(2, 2), limits=None)["outcome"] == "accepted"

    def test_a_claim_whose_extra_specs_contradict_each_other_is_refused(self, stand: stands.Stand) -> None:
        stand.conductor.call("report_node", node=node())
        specs = {"hw:numa_nodes": "1", "hw:cpu_policy": "shared", "hw:cpu_thread_policy": "isolate"}
        odd = plain.flavor("odd", extra_specs=specs)

        answer = stand.conductor.call("claim_instance", instance=plain.instance(1, flavor=odd), limits=None)

        assert answer["outcome"] == "refused"
        assert "flavor odd: " in answer["reason"]
        assert stand.parked() == []
        assert stand.conductor.used(1) == {}

    def test_a_report_below_what_is_held_is_a_finding_and_nobody_loses_anything(self, stand: stands.Stand) -> None:
        stand.conductor.call("report_node", node=node())
        stand.conductor.call("claim_instance", instance=pinned(), limits=None)
        guest = stand.conductor.call("get_instance_usage", instance_uuid=plain.uid(1))
        smaller = node(2, 1, device(VFS[2]))
        (only,) = plain.data(plain.data(smaller)["numa_topology"])["cells"]
        plain.data(only)["pcpuset"] = [3]
        plain.data(only)["mempages"] = [plain.primitive("NUMAPagesTopology", {"size_kb": 4, "total": 9, "reserved": 0})]

        answer = stand.conductor.call("report_node", node=smaller)

        assert answer["outcome"] == "applied"
        found = stand.listener.wait("audit.finding", 4)
        assert {one["kind"] for one in found} == {"device_missing", "numa_strained"}
        assert stand.conductor.call("get_instance_usage", instance_uuid=plain.uid(1)) == guest
        assert stand.parked() == []
        stand.conductor.call("delete_instance", instance_uuid=plain.uid(1), revision=9)
        with stand.bind.connect() as connection:
            assert connection.scalar(sa.select(sa.func.count()).select_from(tables.devices_held)) == 0

    def devices_of(self, stand: stands.Stand, number: int) -> list[str]:
        """Return the addresses of an instance's devices."""
        usage = stand.conductor.call("get_instance_usage", instance_uuid=plain.uid(number))
        return addresses(plain.data(usage)["pci_devices"])

    def shown(self, stand: stands.Stand) -> tuple[object, object]:
        """Return what the reads say of node and instance."""
        call = stand.conductor.call
        return (
            call("get_node_usage", node_uuid=plain.node_uuid(1)),
            call("get_instance_usage", instance_uuid=plain.uid(1)),
        )
