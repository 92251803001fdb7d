"""Objects as oslo's machinery sees them: strict assignment, round trips, a registry of our own."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from oslo_versionedobjects import base as ovo
from oslo_versionedobjects import exception

from objects import (
    catalogue,
    compute_nodes,
    containers,
    exceptions,
    faults,
    fields,
    flavors,
    instances,
    limits,
    migrations,
    numa,
    pci,
    primitives,
    samples,
    scalars,
    schemas,
    stocktake_object,
    usages,
)
from tests.unit.objects import strategies


@pytest.mark.parametrize("cls", catalogue.ALL, ids=lambda cls: cls.obj_name())
def test_a_primitive_made_without_the_object_is_the_objects_own(cls: type[ovo.VersionedObject]) -> None:
    primitive = primitives.primitive(cls, samples.data(cls))

    thing = cls.obj_from_primitive(json.loads(json.dumps(primitive)))

    assert type(thing) is cls
    assert thing.obj_to_primitive() == primitive


@pytest.mark.parametrize("cls", catalogue.ALL, ids=lambda cls: cls.obj_name())
@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=10, deadline=None)
def test_any_primitive_made_without_the_object_is_the_objects_own(
    cls: type[ovo.VersionedObject], data: st.DataObject
) -> None:
    primitive = data.draw(strategies.primitive_of(cls))

    assert cls.obj_from_primitive(primitive).obj_to_primitive() == primitive


def test_what_the_data_leaves_out_stays_out_of_the_primitive() -> None:
    primitive = primitives.primitive(instances.Instance, {"uuid": "x"})

    assert primitive == {
        "stocktake_object.name": "Instance",
        "stocktake_object.namespace": "stocktake",
        "stocktake_object.version": "1.0",
        "stocktake_object.data": {"uuid": "x"},
    }


def test_nothing_that_is_null_is_wrapped() -> None:
    data = {"new_flavor": None, "new_pci_requests": None}

    primitive = primitives.primitive(migrations.Migration, data)

    assert primitive[stocktake_object.KEY_DATA] == data


def test_writing_leaves_the_data_as_it_was() -> None:
    data = samples.data(usages.NodeUsage)

    primitives.primitive(usages.NodeUsage, data)

    assert data == samples.data(usages.NodeUsage)


def test_an_object_built_by_hand_is_written_and_read() -> None:
    cell = numa.NUMACell(id=0, cpuset={2, 0}, pcpuset=frozenset({3}), memory=4, siblings=[{1, 0}], physnets=set())

    primitive = cell.obj_to_primitive()

    assert primitive["stocktake_object.data"]["cpuset"] == [0, 2]
    assert primitive["stocktake_object.data"]["siblings"] == [[0, 1]]
    assert numa.NUMACell.obj_from_primitive(primitive).pcpuset == {3}


def test_memory_pages_without_an_envelope_become_an_object() -> None:
    primitive = schemas.sample(numa.NUMACell)
    primitive[stocktake_object.KEY_DATA]["mempages"] = [{"size_kb": 4, "total": 2, "reserved": 0}]

    cell = numa.NUMACell.obj_from_primitive(primitive)

    assert [type(pages) for pages in cell.mempages] == [numa.NUMAPagesTopology]


@pytest.mark.parametrize(
    ("cls", "values", "path"),
    [
        (flavors.Flavor, {"vcpus": "4"}, "vcpus"),
        (flavors.Flavor, {"vcpus": True}, "vcpus"),
        (flavors.Flavor, {"extra_specs": {"a": 1}}, "extra_specs[a]"),
        (flavors.Flavor, {"extra_specs": {str(n): "" for n in range(65537)}}, "extra_specs"),
        (instances.Instance, {"resources": {"vcpu": 1}}, "resources['vcpu']"),
        (instances.Instance, {"uuid": "nonsense"}, "uuid"),
        (compute_nodes.ComputeNode, {"traits": ["a trait"]}, "traits[0]"),
        (numa.NUMACell, {"cpuset": set(range(65537))}, "cpuset"),
        (usages.NodeUsage, {"usages": {"VCPU": {"used": 1}}}, "usages[VCPU]"),
        (usages.NodeUsage, {"stats": {"a": -1}}, "stats[a]"),
        (pci.InstancePCIRequest, {"spec": [{"a": None, "b": 1}]}, "spec[0][b]"),
    ],
)
def test_an_assignment_is_held_to_the_same_rule(cls: type[ovo.VersionedObject], values: Any, path: str) -> None:
    with pytest.raises(exceptions.InvalidField) as caught:
        cls(**values)

    assert caught.value.path == path


def test_an_assignment_of_another_object_is_refused() -> None:
    with pytest.raises(ValueError, match="Flavor is required in field flavor"):
        instances.Instance(flavor=numa.NUMATopology(cells=[]))


@pytest.mark.parametrize(
    "moment",
    [
        dt.datetime(2026, 3, 14, 9, 26, 53, 589793, tzinfo=dt.UTC),
        dt.datetime(2026, 3, 14, 9, 26, 53, 589793),  # noqa: DTZ001  a moment without an offset is the case here
        dt.datetime(2026, 3, 14, 10, 26, 53, 589793, tzinfo=dt.timezone(dt.timedelta(hours=1))),
        "2026-03-14T09:26:53.589793Z",
    ],
)
def test_a_moment_is_written_in_utc_to_the_microsecond(moment: Any) -> None:
    move = migrations.Migration(created_at=moment)

    assert move.obj_to_primitive()["stocktake_object.data"]["created_at"] == "2026-03-14T09:26:53.589793+00:00"


def test_a_conductors_objects_of_the_same_name_are_left_alone() -> None:
    theirs = ovo.VersionedObjectRegistry.obj_classes()

    assert instances.Instance not in theirs.get("Instance", [])
    assert stocktake_object.VersionedObjectRegistry.obj_classes()["Instance"] == [instances.Instance]


def test_an_object_of_a_name_that_is_not_ours_is_refused() -> None:
    with pytest.raises(exception.UnsupportedObjectError):
        instances.Instance.obj_from_primitive(schemas.sample(instances.Instance) | {"stocktake_object.name": "Server"})


def test_an_object_of_a_newer_version_is_refused() -> None:
    with pytest.raises(exception.IncompatibleObjectVersion):
        flavors.Flavor.obj_from_primitive(schemas.sample(flavors.Flavor) | {"stocktake_object.version": "1.1"})


def test_the_serializer_turns_objects_into_primitives_and_back() -> None:
    serializer = stocktake_object.Serializer()
    primitive = schemas.sample(flavors.Flavor)

    flavor = serializer.deserialize_entity(None, primitive)

    assert isinstance(flavor, flavors.Flavor)
    assert serializer.serialize_entity(None, {"flavor": flavor}) == {"flavor": primitive}


def test_an_error_is_rebuilt_from_its_arguments() -> None:
    error = exceptions.InvalidField("node.vcpus", "is missing")

    again = exceptions.InvalidField(*error.args)

    assert str(again) == "node.vcpus: is missing"
    assert str(exceptions.NotFound(*exceptions.NotFound("node x").args)) == "node x"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (7, "7"),
        (1.5, "1.5"),
        (2**200, "an integer of 201 bits"),
        ("a\n'b", '"a\\n\'b"'),
        ("\ud800", "'\\ud800'"),
        ("x" * 61, "'" + "x" * 60 + "'..."),
        ([], "a list"),
        ({}, "a dict"),
        (b"", "a bytes"),
    ],
)
def test_a_value_is_shown_short_and_on_one_line(value: Any, text: str) -> None:
    assert faults.shown(value) == text


def test_a_type_without_a_rule_cannot_be_used() -> None:
    class Anything(scalars.Checked[str]):
        """A type that forgot its rule."""

    with pytest.raises(NotImplementedError):
        Anything().coerce(None, "thing", "x")
    with pytest.raises(NotImplementedError):
        Anything().typed(limits.DEFAULT)


def test_a_dict_has_text_keys_unless_it_says_otherwise() -> None:
    kind = containers.Dict(scalars.Integer())

    assert kind.checker(limits.DEFAULT)({"any key": 1}) == {"any key": 1}
    assert kind.key.get_schema()["type"] == "string"


def test_a_field_shows_its_whole_rule_for_the_fingerprint() -> None:
    assert repr(fields.IntegerField(1, 5)) != repr(fields.IntegerField(1, 6))
    assert repr(fields.EnumField(["a", "b"])) != repr(fields.EnumField(["a"]))
    assert repr(fields.StringField()) != repr(fields.StringField(nullable=True))
    assert repr(fields.ObjectField(flavors.Flavor)) != repr(fields.ObjectField(instances.Instance))
