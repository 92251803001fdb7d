"""Reading anything: what oslo writes is read, one corrupt value is refused by its path."""

from __future__ import annotations

import json
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from oslo_versionedobjects import base as ovo

from objects import (
    catalogue,
    payloads,
    reading,
    scalars,
    stocktake_object,
)
from tests.unit.objects import strategies, wire

# Each is wrong for every single value there is, null aside.
WRONG = [
    [],
    {},
    wire.nested_lists(5000),
    float("nan"),
    float("inf"),
    -(2**70),
    10**4000,
    "\0",
    "\ud800",
    "x" * 5000,
    b"x",
]


@pytest.mark.parametrize("cls", catalogue.ALL, ids=lambda cls: cls.obj_name())
@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=12, deadline=None)
def test_what_an_object_of_oslos_writes_is_read(cls: type[ovo.VersionedObject], data: st.DataObject) -> None:
    thing = cls.obj_from_primitive(data.draw(strategies.primitive_of(cls)))
    primitive = json.loads(json.dumps(thing.obj_to_primitive()))

    values = reading.read(cls, primitive, "it")

    assert values.keys() == cls.fields.keys()
    for name in values:
        _assert_same(values[name], getattr(thing, name))


def _assert_same(value: Any, natural: Any) -> None:
    if isinstance(natural, ovo.VersionedObject):
        assert value.keys() == natural.fields.keys()
        for name in value:
            _assert_same(value[name], getattr(natural, name))
    elif isinstance(natural, list):
        assert len(value) == len(natural)
        for ours, theirs in zip(value, natural, strict=True):
            _assert_same(ours, theirs)
    elif isinstance(natural, dict):
        assert value.keys() == natural.keys()
        for key in value:
            _assert_same(value[key], natural[key])
    else:
        assert value == natural


@pytest.mark.parametrize("cls", catalogue.ALL, ids=lambda cls: cls.obj_name())
@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=12, deadline=None)
def test_one_corrupt_value_is_refused_by_its_path(cls: type[ovo.VersionedObject], data: st.DataObject) -> None:
    primitive = data.draw(strategies.primitive_of(cls))
    place = data.draw(st.sampled_from(list(strategies.places(cls, primitive, "it"))))
    place.holder[place.key] = 7 if place.compound else data.draw(st.sampled_from(WRONG))

    error = wire.refusal(cls, primitive)

    assert error.path.startswith(place.path)  # where null stood for an object, the fault is one of its keys


@pytest.mark.parametrize("cls", catalogue.ALL, ids=lambda cls: cls.obj_name())
@pytest.mark.parametrize(
    "value", [wire.nested_lists(5000), {"a": wire.nested_lists(5000)}, b""], ids=["lists", "dict", "bytes"]
)
def test_what_is_no_object_at_all_is_refused(cls: type[ovo.VersionedObject], value: Any) -> None:
    assert wire.refusal(cls, value).path.startswith("it")


def test_every_object_named_in_the_contract_is_in_the_catalogue() -> None:
    registered = set(stocktake_object.VersionedObjectRegistry.obj_classes())

    assert registered == {cls.obj_name() for cls in catalogue.ALL}
    assert payloads.Cause in catalogue.ALL
    assert scalars.RATIO_MAX * scalars.AMOUNT_MAX < 2**63
