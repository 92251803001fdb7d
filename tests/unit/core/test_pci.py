"""What a report of PCI devices cannot say, and what is told of held devices that changed."""

from __future__ import annotations

import pytest

from tests import builders
from tests.unit.core import devices
from worker.core import pci, records


def test_a_plausible_report_has_no_faults() -> None:
    report = [devices.pf(1), devices.vf(1, 0), devices.vf(1, 1, dev_type="vdpa"), devices.plain(2)]

    assert pci.faults(report) == ()


def test_functions_may_be_reported_without_their_parent() -> None:
    assert pci.faults([devices.vf(1, 0), devices.vf(1, 1, dev_type="vdpa")]) == ()


def test_an_address_can_be_that_of_one_device_only() -> None:
    report = [devices.plain(1), devices.plain(2), devices.plain(1), devices.pf(1)]

    assert pci.faults(report) == (
        ("pci_devices[2].address", "0000:01:00.0 is that of pci_devices[0] too"),
        ("pci_devices[3].address", "0000:01:00.0 is that of pci_devices[0] too"),
    )


@pytest.mark.parametrize("dev_type", ["type-VF", "vdpa"])
def test_a_function_names_its_parent(dev_type: str) -> None:
    report = [devices.plain(2), devices.vf(1, 0, dev_type=dev_type, parent_addr=None)]

    assert pci.faults(report) == (("pci_devices[1].parent_addr", f"is required for {dev_type}"),)


@pytest.mark.parametrize("dev_type", ["type-VF", "vdpa"])
def test_a_function_is_no_parent(dev_type: str) -> None:
    child = devices.vf(1, 1, parent_addr="0000:01:02.0")

    found = pci.faults([devices.pf(1), child, devices.vf(1, 0, dev_type=dev_type)])

    assert found == (("pci_devices[1].parent_addr", f"0000:01:02.0 is a {dev_type}, which is no parent"),)


def test_a_device_is_not_its_own_parent() -> None:
    found = pci.faults([devices.plain(1, parent_addr="0000:01:00.0")])

    assert found == (("pci_devices[0].parent_addr", "0000:01:00.0 has 0000:01:00.0 above it"),)


def test_every_device_on_a_circle_of_parents_is_named_and_those_below_are_not() -> None:
    one = devices.plain(1, parent_addr="0000:02:00.0")
    two = devices.pf(2, parent_addr="0000:03:00.0")
    three = devices.plain(3, parent_addr="0000:02:00.0")

    found = pci.faults([one, two, three, devices.plain(4, parent_addr="0000:01:00.0")])

    assert found == (
        ("pci_devices[1].parent_addr", "0000:03:00.0 has 0000:02:00.0 above it"),
        ("pci_devices[2].parent_addr", "0000:02:00.0 has 0000:03:00.0 above it"),
    )


def test_a_long_chain_of_parents_is_walked_once() -> None:
    chain = [
        records.Device(f"a{number}", "8086", "1572", "type-PCI", parent_addr=f"a{number + 1}")
        for number in range(20_000)
    ]

    assert pci.faults(chain) == ()


def test_a_grant_keeps_the_facts_of_its_device() -> None:
    given = pci.grant(devices.vf(1, 0, numa_node=1), builders.uid(70))

    assert given == records.Grant("0000:01:02.0", builders.uid(70), "8086", "154c", "type-VF", 1, "0000:01:00.0")


def test_held_devices_that_are_as_they_were_make_no_difference() -> None:
    given = devices.held(devices.vf(1, 0), devices.plain(2))

    moved = [devices.vf(1, 0, numa_node=3, tags={"trusted": "true"}), devices.plain(2, label="gpu0")]

    assert pci.differences(moved, given) == ()


def test_held_devices_that_the_report_lacks_are_told_with_their_owner() -> None:
    given = devices.held(devices.vf(1, 1), devices.vf(1, 0))

    found = pci.differences([devices.vf(1, 1)], given)

    assert [(one.device, one.grant, one.owner) for one in found] == [(None, *given["0000:01:02.0"])]
    assert found[0].text == "PCI device 0000:01:02.0 (8086:154c type-VF) is not in the report"


def test_held_devices_that_are_something_else_now_are_told_with_what_changed() -> None:
    now = devices.vf(1, 0, product_id="154d", parent_addr="0000:02:00.0")

    found = pci.differences([now, devices.plain(5)], devices.held(devices.vf(1, 0)))

    assert [one.device for one in found] == [now]
    assert found[0].text == (
        "PCI device 0000:01:02.0 has product_id 154d, had 154c when it was given, "
        "has parent_addr 0000:02:00.0, had 0000:01:00.0 when it was given"
    )


@pytest.mark.parametrize(("name", "value"), [("vendor_id", "15b3"), ("dev_type", "vdpa")])
def test_another_vendor_or_type_is_a_difference(name: str, value: str) -> None:
    found = pci.differences([devices.vf(1, 0, **{name: value})], devices.held(devices.vf(1, 0)))

    assert [one.text for one in found] == [
        f"PCI device 0000:01:02.0 has {name} {value}, had {getattr(devices.vf(1, 0), name)} when it was given"
    ]
