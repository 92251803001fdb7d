"""Pools of free PCI devices."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest

from tests.unit.core import devices
from worker.core import pci_states, records


def test_a_pool_has_the_functions_of_one_pf() -> None:
    found = devices.pools([devices.vf(1, 0), devices.vf(2, 0), devices.vf(1, 1)])

    assert [(pool.tags["address"], pool.count) for pool in found] == [("0000:01:00.0", 2), ("0000:02:00.0", 1)]
    assert found[0].devices == (devices.vf(1, 0), devices.vf(1, 1))


def test_every_other_device_has_a_pool_of_its_own() -> None:
    found = devices.pools([devices.plain(1), devices.plain(2), devices.pf(3)])

    assert [(pool.dev_type, pool.tags["address"], pool.count) for pool in found] == [
        ("type-PCI", "0000:01:00.0", 1), ("type-PCI", "0000:02:00.0", 1), ("type-PF", "0000:03:00.0", 1),
    ]  # fmt: skip


def test_a_pool_tells_what_its_devices_are() -> None:
    (pool,) = devices.pools([devices.vf(1, 0, numa_node=1, tags={"physical_network": "red"})])

    assert (pool.vendor_id, pool.product_id, pool.numa_node, pool.dev_type) == ("8086", "154c", 1, "type-VF")
    assert pool.tags == {
        "physical_network": "red", "remote_managed": "false", "dev_type": "type-VF", "address": "0000:01:00.0",
    }  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"vendor_id": "15b3"},
        {"product_id": "1018"},
        {"numa_node": 1},
        {"dev_type": "vdpa"},
        {"tags": {"trusted": "true"}},
        {"parent_addr": "0000:05:00.0"},
    ],
)
def test_devices_that_can_be_told_apart_are_in_different_pools(changes: dict[str, Any]) -> None:
    assert len(devices.pools([devices.vf(1, 0), devices.vf(1, 1, **changes)])) == 2


@pytest.mark.parametrize("name", ["resource_class", "traits", "rp_uuid", "rp_uuids"])
def test_what_is_for_placement_splits_no_pool(name: str) -> None:
    (pool,) = devices.pools([devices.vf(1, 0, tags={name: "A"}), devices.vf(1, 1, tags={name: "B"}), devices.vf(1, 2)])

    assert pool.count == 3
    assert name not in pool.tags


@pytest.mark.parametrize("name", ["vendor_id", "product_id", "numa_node", "dev_type", "address"])
def test_a_tag_does_not_contradict_a_fact(name: str) -> None:
    (pool,) = devices.pools([devices.vf(1, 0, tags={name: "x"})])

    assert "x" not in pool.tags.values()
    assert pool.dev_type == pool.tags["dev_type"] == "type-VF"


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (devices.pf(1), "false"),
        (devices.vf(1, 0), "false"),
        (devices.vf(1, 0, dev_type="vdpa"), "false"),
        (devices.vf(1, 0, tags={"remote_managed": "true"}), "true"),
        (devices.plain(1), None),
    ],
)
def test_functions_are_not_remote_managed_unless_they_say_so(device: records.Device, expected: str | None) -> None:
    (pool,) = devices.pools([device])

    assert pool.tags.get("remote_managed") == expected


def test_pools_with_fewer_tags_come_first_and_then_those_reported_first() -> None:
    report = [
        devices.plain(1, tags={"a": "1", "b": "2"}),
        devices.plain(2, tags={"a": "1"}),
        devices.plain(4),
        devices.plain(3),
        devices.plain(5, tags={"z": "1"}),
    ]

    assert [pool.devices[0].address[5:7] for pool in devices.pools(report)] == ["04", "03", "02", "05", "01"]


def test_only_free_devices_are_in_a_pool() -> None:
    report = [devices.pf(1), devices.vf(1, 0), devices.vf(1, 1), devices.pf(2), devices.vf(2, 0), devices.plain(3)]

    found = devices.pools(report, devices.held(devices.vf(1, 0), devices.pf(2), devices.plain(4)))

    assert [pool.devices for pool in found] == [(devices.plain(3),), (devices.vf(1, 1),)]


def test_a_pool_that_lost_its_last_device_is_gone() -> None:
    assert devices.pools([devices.vf(1, 0)], devices.held(devices.vf(1, 0))) == ()


def test_a_changed_report_shows_in_the_pools_at_once() -> None:
    before = devices.pools([devices.plain(1, numa_node=0), devices.plain(2)])
    after = devices.pools([devices.plain(1, numa_node=1, tags={"a": "1"}), devices.plain(3)])

    assert [(pool.numa_node, pool.devices[0].address) for pool in before] == [
        (0, "0000:01:00.0"),
        (None, "0000:02:00.0"),
    ]
    assert [(pool.numa_node, pool.devices[0].address) for pool in after] == [
        (None, "0000:03:00.0"),
        (1, "0000:01:00.0"),
    ]


def test_functions_are_in_a_pool_again_when_their_missing_pf_is_given_back() -> None:
    held = devices.pools([devices.vf(1, 0), devices.vf(1, 1)], devices.held(devices.pf(1)))
    (free,) = devices.pools([devices.vf(1, 0), devices.vf(1, 1)])

    assert held == ()
    assert free.count == 2


@hypothesis.given(devices.situations())
def test_pools_and_held_and_dependent_devices_are_all_that_is_reported(situation: devices.Situation) -> None:
    states = pci_states.states(situation.reported, situation.grants)

    pooled = [one.address for pool in devices.pools(situation.reported, situation.grants) for one in pool.devices]
    owned = [one for one, state in states.items() if state.owner and not state.missing]
    dependent = [one for one, state in states.items() if state.status in {"unclaimable", "unavailable"}]

    assert sorted(pooled + owned + dependent) == sorted(one.address for one in situation.reported)
    assert {one for one, state in states.items() if state.missing} == situation.grants.keys() - {
        one.address for one in situation.reported
    }
