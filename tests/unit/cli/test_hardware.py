"""Devices as columns."""

from __future__ import annotations

from worker.cli import hardware


def test_devices_that_are_held_are_told_by_address() -> None:
    assert str(hardware.Addresses({"0000:02:00.0": 1, "0000:01:00.0": 1})) == "0000:01:00.0, 0000:02:00.0"


def test_a_device_that_is_not_held_once_is_told_with_its_count() -> None:
    assert str(hardware.Addresses({"0000:01:00.0": 2, "0000:02:00.0": -1})) == "0000:01:00.0 2, 0000:02:00.0 -1"


def test_of_many_devices_the_first_are_told_and_how_many_more() -> None:
    held = {f"0000:0{bus}:00.0": 1 for bus in range(1, 7)}

    assert str(hardware.Addresses(held)) == "0000:01:00.0, 0000:02:00.0, 0000:03:00.0, 0000:04:00.0, 2 more"
    assert hardware.Addresses(held).machine_readable() == held


def test_no_device_is_a_dash() -> None:
    assert (str(hardware.Addresses({})), str(hardware.AddressChanges({}))) == ("-", "-")


def test_a_change_of_devices_has_its_sign() -> None:
    assert str(hardware.AddressChanges({"0000:02:00.0": -1, "0000:01:00.0": 1})) == "+0000:01:00.0, -0000:02:00.0"
    assert str(hardware.AddressChanges({"0000:01:00.0": -2})) == "-0000:01:00.0 2"
