"""From a report to a resource provider."""

from __future__ import annotations

import msgspec

from tests import builders
from worker.core import providers, records

SMALL = builders.SMALL


def test_inventories_follow_the_standard_formula() -> None:
    cells = tuple(
        records.HostCell(number, frozenset({number}), frozenset({10 + number, 20 + number}), 512) for number in range(2)
    )
    node = builders.a_node(
        reserved_host_cpus=1, reserved_host_memory_mb=512, reserved_host_disk_mb=1025, numa_topology=cells,
        cpu_allocation_ratio=None, ram_allocation_ratio=None, disk_allocation_ratio=2.0,
        inventories={"CUSTOM_GOLD": records.Inventory(3), "MEMORY_MB": records.Inventory(7)},
    )  # fmt: skip

    inventories = providers.capacity(node).inventories

    assert inventories == {
        "VCPU": records.Inventory(8, 1, 1, 8, 1, 4.0),
        "PCPU": records.Inventory(4, 0, 1, 4, 1, 1.0),
        "MEMORY_MB": records.Inventory(7),
        "DISK_GB": records.Inventory(100, 2, 1, 100, 1, 2.0),
        "CUSTOM_GOLD": records.Inventory(3),
    }


def test_a_class_of_which_there_is_none_has_no_inventory() -> None:
    assert "DISK_GB" not in providers.capacity(builders.a_node(local_gb=0)).inventories


def test_usages_name_every_class_that_is_there_or_held() -> None:
    view = providers.View("h1", {"VCPU": records.Inventory(8)}, (), {"VCPU": 3, "CUSTOM_X": 1}, {"VCPU": 1})

    assert providers.usages(view) == {
        "CUSTOM_X": {"used": 1, "settled": 0, "in_move": 1},
        "VCPU": {"used": 3, "settled": 1, "in_move": 2},
    }


def test_a_node_without_a_report_has_no_provider() -> None:
    node = records.Node(builders.NODE)
    account = records.Account(builders.account_of("h1"), builders.pair("h1"), used=SMALL)

    assert providers.views(node, account) == ()
    assert providers.views(msgspec.structs.replace(node, capacity=providers.capacity(builders.a_node())), None) == ()
    assert providers.traits(node) == ("COMPUTE_NODE", "OWNER_NOVA")
    assert providers.totals(node) == providers.reserved(node) == providers.totals(None) == {}
