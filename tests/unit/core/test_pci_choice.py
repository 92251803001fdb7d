"""Which free PCI devices requests get, and why they do not."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests import builders
from tests.unit.core import devices
from worker.core import pci, pci_choice, records

SOCKETS = {0: 0, 1: 0, 2: 1}
POLICIES = (None, "legacy", "required", "preferred", "socket")


def _on(*cells: int, sockets: dict[int, int | None] | None = None) -> pci_choice.Affinity:
    return pci_choice.Affinity(frozenset(cells), SOCKETS if sockets is None else sockets)


def _reasons(answer: tuple[str, ...] | pci_choice.Shortage) -> tuple[str, ...]:
    assert isinstance(answer, pci_choice.Shortage)
    return answer.reasons


def test_a_request_gets_devices_with_their_facts() -> None:
    report = (devices.vf(1, 0, numa_node=1), devices.vf(1, 1, numa_node=1))
    request = devices.a_request(devices.ANY_VF)

    answer = pci_choice.choose(pci_choice.offer(devices.pools(report), (request,)), None)

    assert answer == (pci.grant(report[0], request.request_id),)


def test_pools_are_drained_in_order() -> None:
    report = [devices.vf(1, 0, tags={"a": "1"}), devices.vf(2, 1), devices.vf(2, 0), devices.vf(3, 0)]

    answer = devices.choice(report, devices.a_request(devices.ANY_VF, count=4))

    assert answer == ("0000:02:02.1", "0000:02:02.0", "0000:03:02.0", "0000:01:02.0")


def test_requests_are_served_in_order() -> None:
    report = [devices.plain(1), devices.plain(2), devices.plain(3)]

    answer = pci_choice.choose(
        pci_choice.offer(
            devices.pools(report),
            (
                devices.a_request(devices.GPU, request_id=builders.uid(72)),
                devices.a_request(devices.GPU, count=2, request_id=builders.uid(71)),
            ),
        ),
        None,
    )

    assert isinstance(answer, tuple)
    assert [(one.address[5:7], one.request_id) for one in answer] == [
        ("01", builders.uid(72)), ("02", builders.uid(71)), ("03", builders.uid(71)),
    ]  # fmt: skip


@pytest.mark.parametrize("requests", [(), (devices.a_request(devices.GPU, count=0),), (devices.a_request(count=0),)])
def test_who_asks_for_nothing_is_served_with_nothing(requests: tuple[records.DeviceRequest, ...]) -> None:
    assert devices.choice([], *requests) == ()


def test_all_requests_are_served_or_none() -> None:
    report = [devices.plain(1), devices.vf(2, 0)]

    answer = devices.choice(report, devices.a_request(devices.GPU), devices.a_request(devices.ANY_VF, count=2))

    assert len(_reasons(answer)) == 1


def test_devices_that_are_held_or_depend_on_held_ones_are_not_given() -> None:
    report = [devices.pf(1), devices.vf(1, 0), devices.vf(1, 1), devices.pf(2), devices.vf(2, 0)]
    held = devices.held(devices.vf(1, 0), devices.pf(2), allocated=False)

    assert devices.choice(report, devices.a_request(devices.ANY_VF), grants=held) == ("0000:01:02.1",)
    assert _reasons(devices.choice(report, devices.a_request(devices.ANY_VF, count=2), grants=held))
    assert _reasons(devices.choice(report, devices.a_request(devices.ANY_PF), grants=held))


TAGGED = devices.vf(1, 0, numa_node=1, tags={"physical_network": "Red", "trusted": "True", "traits": "A", "empty": ""})


@pytest.mark.parametrize(
    ("spec", "fits"),
    [
        ({}, True),
        ({"vendor_id": "8086"}, True),
        ({"vendor_id": "15b3"}, False),
        ({"vendor_id": "8086", "product_id": "154C"}, True),
        ({"product_id": "1572"}, False),
        ({"dev_type": "type-vf"}, True),
        ({"dev_type": "type-PCI"}, False),
        ({"physical_network": "red"}, True),
        ({"physical_network": "blue"}, False),
        ({"physical_network": None}, False),
        ({"trusted": "true"}, True),
        ({"trusted": "false"}, False),
        ({"empty": ""}, True),
        ({"unknown": ""}, False),
        ({"unknown": None}, True),
        ({"address": "0000:01:00.0"}, True),
        ({"address": "0000:01:02.0"}, False),
        ({"numa_node": "1"}, True),
        ({"numa_node": "0"}, False),
        ({"remote_managed": "False"}, True),
        ({"resource_class": "X", "traits": "B", "rp_uuids": "Y"}, True),
        ({"live_migratable": "true"}, False),
        ({"live_migratable": "false"}, False),
    ],
)
def test_a_device_fits_when_all_that_is_asked_for_is_equal(spec: dict[str, Any], fits: bool) -> None:
    answer = devices.choice([TAGGED], devices.a_request(spec))

    assert isinstance(answer, tuple) == fits


def test_one_alternative_is_enough() -> None:
    request = devices.a_request(devices.ANY_VF, devices.GPU, count=2)

    assert devices.choice([devices.plain(3), devices.vf(1, 0)], request) == ("0000:03:00.0", "0000:01:02.0")


def test_without_an_alternative_nothing_fits() -> None:
    assert _reasons(devices.choice([TAGGED], devices.a_request())) == (
        f"PCI devices of no kind (request {builders.uid(70)}): asked 1, available 0",
    )


@pytest.mark.parametrize(
    ("device", "plainly", "expressly"),
    [
        (devices.pf(1), {"vendor_id": "8086"}, {"dev_type": "type-PF"}),
        (devices.vf(1, 0, dev_type="vdpa"), {"vendor_id": "8086"}, {"dev_type": "vdpa"}),
        (devices.vf(1, 0, tags={"remote_managed": "True"}), devices.ANY_VF, {"remote_managed": "true"}),
    ],
)
def test_special_kinds_are_given_only_to_who_asks_for_them(
    device: records.Device, plainly: dict[str, str], expressly: dict[str, str]
) -> None:
    assert _reasons(devices.choice([device], devices.a_request(plainly)))
    assert devices.choice([device], devices.a_request(expressly)) == (device.address,)
    assert devices.choice([device], devices.a_request(devices.GPU, plainly, expressly)) == (device.address,)


def test_who_asks_for_remote_managed_devices_gets_no_others() -> None:
    report = [devices.vf(1, 0), devices.vf(2, 0, tags={"remote_managed": "true"})]

    assert devices.choice(report, devices.a_request({"remote_managed": "True"})) == ("0000:02:02.0",)
    assert devices.choice(report, devices.a_request({"remote_managed": "False"})) == ("0000:01:02.0",)


@pytest.mark.parametrize(
    ("alternatives", "buses"),
    [
        ([{"live_migratable": "true"}], ["02"]),
        ([{"live_migratable": "false"}], ["03"]),
        ([{}], ["01", "02", "03"]),
        ([{"live_migratable": "true"}, {"live_migratable": "false"}], ["02", "03"]),
        ([{"live_migratable": "true"}, {}], ["01", "02", "03"]),
    ],
)
def test_live_migratable_devices_are_given_as_asked(alternatives: list[dict[str, str]], buses: list[str]) -> None:
    report = [
        devices.plain(1),
        devices.plain(2, tags={"live_migratable": "true"}),
        devices.plain(3, tags={"live_migratable": "false"}),
    ]

    answer = devices.choice(report, devices.a_request(*alternatives, count=len(buses)))

    assert answer == tuple(f"0000:{bus}:00.0" for bus in buses)
    assert _reasons(devices.choice(report, devices.a_request(*alternatives, count=len(buses) + 1)))


@pytest.mark.parametrize(
    ("policy", "cells"),
    [("legacy", {1}), (None, {1}), ("required", {1}), ("socket", {0, 1}), ("preferred", {0, 1, 2})],
)
def test_a_device_on_node_1_of_two_on_one_socket(policy: str | None, cells: set[int]) -> None:
    request = devices.a_request(devices.GPU, numa_policy=policy)
    offered = pci_choice.offer(devices.pools([devices.plain(1, numa_node=1)]), (request,))

    assert {cell for cell in range(3) if pci_choice.supports(offered, _on(cell))} == cells


@pytest.mark.parametrize("policy", POLICIES)
def test_a_guest_without_a_topology_takes_devices_from_anywhere(policy: str | None) -> None:
    report = [devices.plain(1, numa_node=2), devices.plain(2), devices.plain(3, numa_node=0)]

    answer = devices.choice(report, devices.a_request(devices.GPU, count=3, numa_policy=policy))

    assert answer == ("0000:01:00.0", "0000:02:00.0", "0000:03:00.0")


FOUR = [
    devices.plain(1, numa_node=2), devices.plain(2), devices.plain(3, numa_node=1), devices.plain(4, numa_node=0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "count", "buses"),
    [
        ("required", 1, ["04"]),
        ("required", 2, []),
        (None, 1, ["04"]),
        (None, 2, ["02", "04"]),
        (None, 3, []),
        ("socket", 1, ["04"]),
        ("socket", 2, ["03", "04"]),
        ("socket", 3, []),
        ("preferred", 1, ["04"]),
        ("preferred", 2, ["02", "04"]),
        ("preferred", 3, ["02", "04", "01"]),
        ("preferred", 4, ["02", "04", "01", "03"]),
    ],
)
def test_a_policy_goes_no_farther_than_it_must(policy: str | None, count: int, buses: list[str]) -> None:
    answer = devices.choice(FOUR, devices.a_request(devices.GPU, count=count, numa_policy=policy), affinity=_on(0))

    assert (list(answer) if isinstance(answer, tuple) else []) == [f"0000:{bus}:00.0" for bus in buses]


@pytest.mark.parametrize("sockets", [{}, {0: None, 1: None, 2: None}, {0: 0, 1: 0, 2: None}, {1: 0, 2: 0}])
def test_without_all_sockets_the_socket_policy_means_the_cells(sockets: dict[int, int | None]) -> None:
    request = devices.a_request(devices.GPU, numa_policy="socket")

    assert devices.choice(FOUR, request, affinity=_on(0, sockets=sockets)) == ("0000:04:00.0",)
    assert _reasons(devices.choice(FOUR[:3], request, affinity=_on(0, sockets=sockets)))


def test_a_guest_on_several_cells_takes_devices_near_any_of_them() -> None:
    request = devices.a_request(devices.GPU, count=2, numa_policy="required")

    assert devices.choice(FOUR, request, affinity=_on(0, 2)) == ("0000:01:00.0", "0000:04:00.0")


def test_who_takes_a_pf_takes_its_functions() -> None:
    report = [devices.pf(1), devices.vf(1, 0), devices.pf(2), devices.vf(2, 0)]
    whole, part = devices.a_request(devices.ANY_PF), devices.a_request(devices.ANY_VF)

    assert devices.choice(report, whole, part) == ("0000:01:00.0", "0000:02:02.0")
    assert devices.choice(report, part, whole) == ("0000:01:02.0", "0000:02:00.0")
    assert len(_reasons(devices.choice(report, whole, part, part))) == 1
    assert len(_reasons(devices.choice(report, part, whole, whole))) == 1


def test_a_request_for_either_gets_functions_first_for_a_pf_costs_all_of_its_own() -> None:
    report = [devices.pf(1), devices.vf(1, 0), devices.vf(1, 1), devices.pf(2), devices.vf(3, 0)]
    either = (devices.ANY_PF, devices.ANY_VF)

    answer = devices.choice(report, devices.a_request(*either, count=4))

    assert answer == ("0000:01:02.0", "0000:01:02.1", "0000:03:02.0", "0000:02:00.0")
    assert _reasons(devices.choice(report, devices.a_request(*either, count=5))) == (
        f"PCI devices 8086:1572 type-PF or 8086:154c type-VF (request {builders.uid(70)}): asked 5, available 4",
    )


def test_every_request_that_lacks_devices_is_told() -> None:
    requests = (
        devices.a_request(devices.ANY_VF, count=2, alias_name="a"),
        devices.a_request(devices.GPU, alias_name="gpu"),
        devices.a_request(devices.GPU, count=3, alias_name="gpus"),
    )

    answer = devices.choice([devices.vf(1, 0), devices.plain(2), devices.plain(3)], *requests)

    assert _reasons(answer) == (
        "PCI devices 8086:154c type-VF (alias a): asked 2, available 1",
        "PCI devices 10de:1db6 (alias gpus): asked 3, available 1",
    )


def test_a_request_that_lacks_devices_takes_none_from_the_next() -> None:
    requests = (devices.a_request(devices.GPU, count=2), devices.a_request(devices.GPU, alias_name="one"))

    assert len(_reasons(devices.choice([devices.plain(1)], *requests))) == 1


@pytest.mark.parametrize(
    ("policy", "count", "text"),
    [
        ("required", 2, "asked 2, available 1, 3 more excluded by NUMA policy required"),
        ("socket", 3, "asked 3, available 2, 2 more excluded by NUMA policy socket"),
        (None, 3, "asked 3, available 2, 2 more excluded by NUMA policy legacy"),
        ("preferred", 5, "asked 5, available 4"),
    ],
)
def test_what_the_policy_keeps_out_is_told(policy: str | None, count: int, text: str) -> None:
    request = devices.a_request(devices.GPU, count=count, numa_policy=policy, alias_name="gpu")

    (reason,) = _reasons(devices.choice(FOUR, request, affinity=_on(0)))

    assert reason == f"PCI devices 10de:1db6 (alias gpu): {text}"


def test_a_reason_says_what_was_asked_for_without_what_is_for_placement() -> None:
    spec = {"trusted": "True", "physical_network": None, "dev_type": "type-VF", "rp_uuids": "x"}

    (reason,) = _reasons(devices.choice([], devices.a_request(spec, requester_id="p")))

    assert reason == (
        f"PCI devices *:* type-VF no physical_network trusted=True (request {builders.uid(70)}): asked 1, available 0"
    )


def test_a_count_beyond_all_devices_is_refused_like_any_other() -> None:
    (reason,) = _reasons(devices.choice([devices.plain(1)], devices.a_request(devices.GPU, count=2**31 - 1)))

    assert reason.endswith("asked 2147483647, available 1")


def test_one_offer_answers_for_every_set_of_cells() -> None:
    report = [devices.plain(bus, numa_node=bus % 8) for bus in range(64)]
    requests = [devices.a_request(devices.GPU, count=16, numa_policy="required") for _ in range(2)]
    offered = pci_choice.offer(devices.pools(report), requests)

    sets = [_on(*cells) for cells in itertools.combinations(range(8), 4)]
    answers = [pci_choice.choose(offered, cells) for cells in sets]

    assert len(sets) == 70
    for cells, answer in zip(sets, answers, strict=True):
        assert isinstance(answer, tuple)
        assert {one.numa_node for one in answer} == cells.cells
        assert len({one.address for one in answer}) == 32
    assert not any(pci_choice.supports(offered, _on(*cells)) for cells in itertools.combinations(range(8), 3))
