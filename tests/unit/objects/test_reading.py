"""Reading objects: shape, envelope, version, limits, and the path of what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from oslo_versionedobjects import base as ovo

from objects import (
    catalogue,
    compute_nodes,
    exceptions,
    fields,
    flavors,
    instances,
    limits,
    numa,
    pci,
    reading,
    samples,
    stocktake_object,
    usages,
)
from tests.unit.objects import wire


def test_an_instance_is_read_into_plain_values() -> None:
    primitive = wire.of(instances.Instance, numa_topology=None, pci_requests=[])

    data = reading.read(instances.Instance, primitive, "instance")

    assert data["flavor"] == samples.data(flavors.Flavor)
    assert data == samples.data(instances.Instance) | {"numa_topology": None, "pci_requests": []}


def test_sets_are_read_as_frozensets_and_lists_stay_lists() -> None:
    primitive = wire.of(numa.NUMACell, cpuset=[3, 1, 1], siblings=[[1, 0], [3]])

    data = reading.read(numa.NUMACell, primitive, "cell")

    assert data["cpuset"] == frozenset({1, 3})
    assert data["siblings"] == [frozenset({0, 1}), frozenset({3})]


def test_what_was_left_out_has_its_default() -> None:
    primitive = wire.without(instances.Instance, "host", "volume_backed", "pci_requests", "resources", "numa_topology")

    data = reading.read(instances.Instance, primitive, "instance")

    assert (data["host"], data["volume_backed"], data["numa_topology"]) == (None, False, None)
    assert (data["pci_requests"], data["resources"]) == ([], {})


def test_a_set_that_was_left_out_is_empty() -> None:
    data = reading.read(numa.NUMACell, wire.without(numa.NUMACell, "pcpuset", "physnets"), "cell")

    assert data["pcpuset"] == data["physnets"] == frozenset()


def test_defaults_are_not_shared_between_two_readings() -> None:
    first = reading.read(flavors.Flavor, wire.without(flavors.Flavor, "extra_specs"), "flavor")

    first["extra_specs"]["hw:cpu_policy"] = "dedicated"

    assert reading.read(flavors.Flavor, wire.without(flavors.Flavor, "extra_specs"), "flavor")["extra_specs"] == {}


def test_nothing_but_nullable_fields_and_containers_and_booleans_may_be_left_out() -> None:
    for cls in catalogue.ALL:
        for name, field in fields.of(cls).items():
            optional = field.nullable or isinstance(field.default, list | dict | set | bool)
            assert (field.absent() is not None) == optional, f"{cls.obj_name()}.{name}"


def test_a_missing_field_is_named() -> None:
    error = wire.refusal(
        instances.Instance, wire.of(instances.Instance, flavor=wire.without(flavors.Flavor, "vcpus")), "instance"
    )

    assert str(error) == "instance.flavor.vcpus: is missing"


def test_an_unknown_field_is_named() -> None:
    error = wire.refusal(flavors.Flavor, wire.of(flavors.Flavor, disk=3), "flavor")

    assert str(error) == "flavor.disk: is no field of Flavor 1.0"


def test_an_unknown_field_with_an_odd_name_is_named_in_quotes() -> None:
    error = wire.refusal(flavors.Flavor, wire.of(flavors.Flavor, **{"a\nb" + "x" * 200: 3}), "flavor")

    assert error.path == "flavor['a\\nb" + "x" * 57 + "'...]"


def test_the_path_goes_all_the_way_down() -> None:
    cells = [wire.of(numa.NUMACell) for _ in range(4)]
    cells[3][wire.DATA]["memory"] = "12"
    node = wire.of(compute_nodes.ComputeNode)
    node[wire.DATA]["numa_topology"][wire.DATA]["cells"] = cells

    error = wire.refusal(compute_nodes.ComputeNode, node, "node")

    assert str(error) == "node.numa_topology.cells[3].memory: must be an integer from 0 to 2147483647, not '12'"


def test_the_path_names_the_key_of_a_dict() -> None:
    primitive = wire.of(compute_nodes.ComputeNode)
    primitive[wire.DATA]["inventories"]["VCPU"][wire.DATA]["total"] = -1

    error = wire.refusal(compute_nodes.ComputeNode, primitive, "node")

    assert error.path == "node.inventories['VCPU'].total"


def test_a_wrong_key_of_a_dict_is_named() -> None:
    error = wire.refusal(instances.Instance, wire.of(instances.Instance, resources={"vcpu": 1}), "instance")

    assert str(error) == (
        "instance.resources['vcpu']: must be a name of A-Z, 0-9 and _, up to 255 characters, not 'vcpu'"
    )


def test_null_is_refused_where_a_value_is_needed() -> None:
    assert wire.refusal(instances.Instance, wire.of(instances.Instance, uuid=None)).path == "it.uuid"
    assert wire.refusal(instances.Instance, wire.of(instances.Instance, pci_requests=None)).path == "it.pci_requests"


@pytest.mark.parametrize("wrap", [lambda data: data, lambda data: wire.of(numa.NUMAPagesTopology, **data)])
def test_memory_pages_come_with_or_without_an_envelope(wrap: Callable[[Any], Any]) -> None:
    pages = {"size_kb": 4, "total": 100, "reserved": 1}

    data = reading.read(numa.NUMACell, wire.of(numa.NUMACell, mempages=[wrap(pages)]), "cell")

    assert data["mempages"] == [pages]


@pytest.mark.parametrize("value", [7, [], {"size_kb": 4}, {"size_kb": 4, "total": 1, "reserved": 0, "free": 1}])
def test_memory_pages_of_another_shape_are_refused(value: Any) -> None:
    assert wire.refusal(numa.NUMACell, wire.of(numa.NUMACell, mempages=[value])).path.startswith("it.mempages[0]")


def test_figures_have_exactly_their_keys() -> None:
    node = wire.of(usages.NodeUsage, usages={"VCPU": {"used": 1, "settled": 1}})

    assert str(wire.refusal(usages.NodeUsage, node, "usage")) == (
        "usage.usages['VCPU']: must be a dict of exactly used, settled, in_move, capacity, not one of 'used', 'settled'"
    )


@pytest.mark.parametrize(("value", "shown"), [({}, "one of nothing"), (3, "3")])
def test_figures_of_another_shape_are_shown(value: Any, shown: str) -> None:
    error = wire.refusal(usages.NodeUsage, wire.of(usages.NodeUsage, usages={"VCPU": value}))

    assert error.problem.endswith(f"not {shown}")


def test_a_wrong_figure_is_named() -> None:
    figures = {"used": 1, "settled": 1, "in_move": False, "capacity": 1}

    assert (
        wire.refusal(usages.NodeUsage, wire.of(usages.NodeUsage, usages={"VCPU": figures})).path
        == "it.usages['VCPU'].in_move"
    )


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        (pci.InstancePCIRequest, "spec", [{}] * 4),
        (flavors.Flavor, "extra_specs", {str(n): "x" for n in range(4)}),
        (numa.NUMACell, "cpuset", [0, 1, 2, 3]),
        (numa.NUMATopology, "cells", [{}] * 4),
    ],
)
def test_lists_and_dicts_keep_their_limits(cls: type[ovo.VersionedObject], name: str, value: Any) -> None:
    tight = limits.Limits(list_length=3, dict_length=3, cells=3)

    with pytest.raises(exceptions.InvalidField, match=rf"^it[.]{name}: must have at most 3 entries, not 4$"):
        reading.read(cls, wire.of(cls, **{name: value}), "it", tight)


@pytest.mark.parametrize("value", [{}, "x", 1])
def test_a_list_is_a_list(value: Any) -> None:
    error = wire.refusal(compute_nodes.ComputeNode, wire.of(compute_nodes.ComputeNode, traits=value))

    assert error.problem.startswith("must be a list, not ")


@pytest.mark.parametrize("value", [[], "x", 1])
def test_a_dict_is_a_dict(value: Any) -> None:
    assert wire.refusal(flavors.Flavor, wire.of(flavors.Flavor, extra_specs=value)).problem.startswith(
        "must be a dict, not "
    )


@pytest.mark.parametrize("value", [None, [], "x", 1, True])
def test_an_object_is_a_dict(value: Any) -> None:
    error = wire.refusal(instances.Instance, value, "instance")

    assert str(error).startswith("instance: must be the object Instance, not ")


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        (stocktake_object.KEY_NAME, "Flavor", "must be 'Instance', not 'Flavor'"),
        (stocktake_object.KEY_NAMESPACE, "nova", "must be 'stocktake', not 'nova'"),
        (stocktake_object.KEY_DATA, [], "must be a dict of fields, not a list"),
        (stocktake_object.KEY_CHANGES, {}, "must be a list of field names, not a dict"),
        ("nova_object.name", "Instance", "is no key of a versioned object"),
    ],
)
def test_a_wrong_envelope_is_named(key: str, value: Any, problem: str) -> None:
    primitive = wire.of(instances.Instance) | {key: value}

    assert str(wire.refusal(instances.Instance, primitive, "instance")) == f"instance['{key}']: {problem}"


@pytest.mark.parametrize(
    "key",
    [
        stocktake_object.KEY_NAME,
        stocktake_object.KEY_NAMESPACE,
        stocktake_object.KEY_VERSION,
        stocktake_object.KEY_DATA,
    ],
)
def test_an_incomplete_envelope_is_named(key: str) -> None:
    primitive = wire.of(instances.Instance)
    del primitive[key]

    assert wire.refusal(instances.Instance, primitive).path == f"it['{key}']"


def test_a_list_of_changes_is_let_pass() -> None:
    primitive = wire.of(instances.Instance) | {stocktake_object.KEY_CHANGES: ["uuid"]}

    assert reading.read(instances.Instance, primitive, "instance")["uuid"] == samples.data(instances.Instance)["uuid"]


@pytest.mark.parametrize("version", ["1.1", "2.0", "0.9", "1", "1.0.0", "01.0", "1.x", "", 1.0, None, "1." + "9" * 50])
def test_a_version_that_is_not_known_is_named(version: Any) -> None:
    error = wire.refusal(flavors.Flavor, wire.of(flavors.Flavor) | {stocktake_object.KEY_VERSION: version}, "flavor")

    assert error.path == "flavor['stocktake_object.version']"
    assert re.match(r"must be a version of Flavor that is known here, 1\.0 to 1\.0, not ", error.problem)


def test_an_older_minor_version_is_read() -> None:
    class Flavor(flavors.Flavor):
        VERSION = "1.2"

    data = reading.read(Flavor, wire.of(flavors.Flavor) | {stocktake_object.KEY_VERSION: "1.1"}, "flavor")

    assert data == samples.data(flavors.Flavor)


def test_arguments_that_are_no_object_are_checked_too() -> None:
    assert reading.check(fields.UUIDField(), "5B8C7A44-12DE-4D0F-8A39-6F1F0C2D7E02", "node_uuid").islower()
    assert reading.check(fields.UUIDField(nullable=True), None, "migration_uuid") is None
    with pytest.raises(exceptions.InvalidField, match=r"^revision: must be an integer from 0 to "):
        reading.check(fields.RevisionField(), True, "revision")


def test_a_list_of_instances_has_a_limit_of_its_own() -> None:
    field = fields.ListOfObjectsField(instances.Instance, limit="audit_instances", nullable=True)
    tight = limits.Limits(audit_instances=1)

    assert len(reading.check(field, [wire.of(instances.Instance)], "instances", tight)) == 1
    with pytest.raises(exceptions.InvalidField, match=r"^instances: must have at most 1 entries, not 2$"):
        reading.check(field, [wire.of(instances.Instance)] * 2, "instances", tight)


def test_a_path_in_an_argument_begins_with_its_name() -> None:
    field = fields.ListOfObjectsField(instances.Instance)

    with pytest.raises(exceptions.InvalidField) as caught:
        reading.check(field, [wire.of(instances.Instance), wire.of(instances.Instance, revision=-1)], "instances")

    assert caught.value.path == "instances[1].revision"
