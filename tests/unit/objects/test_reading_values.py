"""Reading single values: every rule of the contract at its edges."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from objects import (
    compute_nodes,
    exceptions,
    flavors,
    instances,
    limits,
    migrations,
    pci,
    reading,
    words,
)
from tests.unit.objects import wire


@pytest.mark.parametrize("value", [True, 1.0, "1", -1, 2**31, None, [], 10**400])
def test_an_amount_is_a_whole_number_that_fits(value: Any) -> None:
    error = wire.refusal(flavors.Flavor, wire.of(flavors.Flavor, vcpus=value), "flavor")

    assert str(error).startswith("flavor.vcpus: must be an integer from 0 to 2147483647, not ")


@pytest.mark.parametrize("value", [0, 2**31 - 1])
def test_an_amount_reaches_its_bounds(value: int) -> None:
    assert reading.read(flavors.Flavor, wire.of(flavors.Flavor, vcpus=value), "flavor")["vcpus"] == value


def test_a_revision_has_63_bits() -> None:
    data = reading.read(instances.Instance, wire.of(instances.Instance, revision=2**63 - 1), "instance")

    assert data["revision"] == 2**63 - 1
    assert wire.refusal(instances.Instance, wire.of(instances.Instance, revision=2**63)).path == "it.revision"


@pytest.mark.parametrize("value", [0, 0.0, -1.5, float("nan"), float("inf"), 10**400, 1e300, True, "1.0"])
def test_a_ratio_is_a_finite_number_above_zero(value: Any) -> None:
    error = wire.refusal(compute_nodes.ComputeNode, wire.of(compute_nodes.ComputeNode, cpu_allocation_ratio=value))

    assert error.path == "it.cpu_allocation_ratio"


def test_a_whole_ratio_is_read_as_a_float() -> None:
    data = reading.read(compute_nodes.ComputeNode, wire.of(compute_nodes.ComputeNode, cpu_allocation_ratio=4), "node")

    assert repr(data["cpu_allocation_ratio"]) == "4.0"


def test_a_uuid_is_read_in_lower_case() -> None:
    data = reading.read(
        instances.Instance, wire.of(instances.Instance, uuid="5B8C7A44-12DE-4D0F-8A39-6F1F0C2D7E02"), "instance"
    )

    assert data["uuid"] == "5b8c7a44-12de-4d0f-8a39-6f1f0c2d7e02"


@pytest.mark.parametrize(
    "value",
    ["", "x", 7, "5b8c7a4412de4d0f8a396f1f0c2d7e02", "5b8c7a44-12de-4d0f-8a39-6f1f0c2d7e02\n", "{5b8c7a44}"],
)
def test_a_uuid_has_its_one_form(value: Any) -> None:
    assert wire.refusal(instances.Instance, wire.of(instances.Instance, uuid=value)).problem.startswith(
        "must be a uuid, not "
    )


@pytest.mark.parametrize("value", ["0000:81:00", "0000:8G:00.0", "0000:AB:00.0", "0000:81:20.0", "0000:81:00.8", 3])
def test_a_pci_address_has_its_one_form(value: Any) -> None:
    assert wire.refusal(pci.PciDevice, wire.of(pci.PciDevice, address=value)).path == "it.address"


def test_a_vendor_id_is_read_in_lower_case() -> None:
    assert reading.read(pci.PciDevice, wire.of(pci.PciDevice, vendor_id="15B3"), "device")["vendor_id"] == "15b3"


@pytest.mark.parametrize("value", ["a\0b", "\ud800", "é\udfff", "x" * 256, 5, True, ["x"]])
def test_text_is_what_any_database_takes(value: Any) -> None:
    assert wire.refusal(instances.Instance, wire.of(instances.Instance, display_name=value)).path == "it.display_name"


def test_text_of_any_script_up_to_its_length_is_read() -> None:
    name = "机器🙂" * 85

    assert reading.read(instances.Instance, wire.of(instances.Instance, display_name=name), "i")["display_name"] == name


def test_a_host_has_a_name() -> None:
    error = wire.refusal(instances.Instance, wire.of(instances.Instance, host=""), "instance")

    assert str(error) == "instance.host: must be text of 1 to 255 characters, not 0"


@pytest.mark.parametrize("value", ["ACTIVE", "", 1, [], {}])
def test_an_enumeration_takes_its_words_only(value: Any) -> None:
    error = wire.refusal(instances.Instance, wire.of(instances.Instance, vm_state=value))

    assert error.problem.startswith("must be one of active, building, deleted, ")


@pytest.mark.parametrize("status", words.MIGRATION_STATUSES)
def test_every_status_of_a_move_is_read(status: str) -> None:
    assert reading.read(migrations.Migration, wire.of(migrations.Migration, status=status), "move")["status"] == status


def test_a_task_state_is_free_text() -> None:
    data = reading.read(instances.Instance, wire.of(instances.Instance, task_state="making tea"), "instance")

    assert data["task_state"] == "making tea"


@pytest.mark.parametrize("value", [0, 1, "true", None])
def test_a_boolean_is_true_or_false(value: Any) -> None:
    error = wire.refusal(instances.Instance, wire.of(instances.Instance, volume_backed=value))

    assert error.problem.startswith("must be true or false, not ")


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-14T09:26:53Z",
        "2026-03-14 09:26:53",
        "2026-03-14T09:26:53.000000+00:00",
        "2026-03-14T10:26:53+01:00",
    ],
)
def test_a_moment_is_read_in_utc(text: str) -> None:
    data = reading.read(migrations.Migration, wire.of(migrations.Migration, created_at=text), "move")

    assert data["created_at"] == dt.datetime(2026, 3, 14, 9, 26, 53, tzinfo=dt.UTC)
    assert data["created_at"].utcoffset() == dt.timedelta(0)


@pytest.mark.parametrize(
    "value", ["2026-03-14", "20260314T092653", "2026-02-30T00:00:00", "0001-01-01T00:00:00+02:00", 1773480413, None]
)
def test_a_moment_is_iso_8601_and_exists(value: Any) -> None:
    error = wire.refusal(migrations.Migration, wire.of(migrations.Migration, created_at=value))

    assert error.problem.startswith("must be a date and time in ISO 8601, not ")


def test_stats_of_a_hypervisor_may_be_numbers_and_become_text() -> None:
    node = wire.of(compute_nodes.ComputeNode, stats={"io_workload": 3, "arch": "x86_64"})

    assert reading.read(compute_nodes.ComputeNode, node, "node")["stats"] == {"io_workload": "3", "arch": "x86_64"}


def test_an_alternative_of_a_pci_request_may_leave_a_value_open() -> None:
    request = wire.of(pci.InstancePCIRequest, spec=[{"physical_network": None}])

    assert reading.read(pci.InstancePCIRequest, request, "request")["spec"] == [{"physical_network": None}]


def test_text_keeps_an_operators_limit() -> None:
    tight = limits.Limits(string_length=3)

    with pytest.raises(exceptions.InvalidField, match=r"^it[.]flavorid: must be text of 0 to 3 characters, not 4$"):
        reading.read(flavors.Flavor, wire.of(flavors.Flavor, flavorid="four", name=None, extra_specs={}), "it", tight)
