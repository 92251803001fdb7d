"""The short way in takes nothing that the long way refuses, and makes the very same of what both take."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import hypothesis
import msgspec
import pytest
from hypothesis import strategies as st
from oslo_versionedobjects import base as ovo

from objects import catalogue, claims, exceptions, flavors, instances, limits, migrations, numa, reading, typed
from tests.unit.objects import strategies, wire

ODD = [None, 0, -1, 1.0, True, "", "x", "X" * 256, 2**31, 2**63, [], {}, [None], {"a": 1}, "2026-13-01T00:00:00Z"]


def _short(cls: type[ovo.VersionedObject], primitive: Any) -> Any:
    """Return the structure, or None for what is not taken."""
    with contextlib.suppress(msgspec.ValidationError, RecursionError):
        return msgspec.convert(primitive, typed.whole(cls, limits.DEFAULT))
    return None


def _long(cls: type[ovo.VersionedObject], primitive: Any) -> Any:
    return typed.filled(cls, reading.read(cls, primitive, "it"), limits.DEFAULT)


@pytest.mark.parametrize("cls", catalogue.ALL, ids=lambda cls: cls.obj_name())
@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=12, deadline=None)
def test_both_ways_make_the_same_of_what_oslos_objects_write(
    cls: type[ovo.VersionedObject], data: st.DataObject
) -> None:
    thing = cls.obj_from_primitive(data.draw(strategies.primitive_of(cls)))
    primitive = json.loads(json.dumps(thing.obj_to_primitive()))

    short = _short(cls, primitive)

    assert short is None or _same(cls, short, primitive)


def _same(cls: type[ovo.VersionedObject], short: Any, primitive: Any) -> bool:
    """Compare by what is written of them: the long way sorts sets and spells moments out, and has no changes."""
    taken = reading.read(cls, json.loads(msgspec.json.encode(short)), "it")
    return bool(taken == reading.read(cls, primitive, "it"))


def _refusal(cls: type[ovo.VersionedObject], primitive: Any) -> str | None:
    try:
        reading.read(cls, primitive, "it")
    except exceptions.InvalidField as error:
        return error.problem
    return None


@pytest.mark.parametrize("cls", catalogue.ALL, ids=lambda cls: cls.obj_name())
@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=40, deadline=None)
def test_what_the_long_way_refuses_is_not_taken_by_the_short_one(
    cls: type[ovo.VersionedObject], data: st.DataObject
) -> None:
    primitive = data.draw(strategies.primitive_of(cls))
    place = data.draw(st.sampled_from(list(strategies.places(cls, primitive, "it"))))
    place.holder[place.key] = data.draw(st.sampled_from(ODD))

    short, refusal = _short(cls, primitive), _refusal(cls, primitive)

    if refusal is None:
        assert short is None or _same(cls, short, primitive)
    else:
        assert short is None or "ISO 8601" in refusal  # a day that is none is seen later


@pytest.mark.parametrize("key", ["stocktake_object.version", "stocktake_object.name", "stocktake_object.namespace"])
def test_a_wrong_envelope_is_not_taken(key: str) -> None:
    primitive = wire.of(instances.Instance)
    assert _short(instances.Instance, primitive) is not None

    assert _short(instances.Instance, primitive | {key: "2.0"}) is None


def test_an_unknown_field_is_not_taken() -> None:
    primitive = wire.of(instances.Instance)
    primitive["stocktake_object.data"]["more"] = 1

    assert _short(instances.Instance, primitive) is None


def test_an_upper_case_uuid_is_left_to_the_long_way_which_spells_it_the_normal_way() -> None:
    primitive = wire.of(instances.Instance, uuid="ABCDEF00-0000-4000-8000-000000000000")

    assert _short(instances.Instance, primitive) is None
    assert _long(instances.Instance, primitive).data.uuid == "abcdef00-0000-4000-8000-000000000000"


def test_sets_left_out_are_empty_lists_either_way() -> None:
    primitive = wire.without(numa.NUMACell, "pcpuset", "physnets")
    primitive["stocktake_object.data"]["mempages"] = [{"size_kb": 4, "total": 1024, "reserved": 0}]

    assert _short(numa.NUMACell, primitive).data == _long(numa.NUMACell, primitive).data
    assert _short(numa.NUMACell, primitive).data.pcpuset == []


@pytest.mark.parametrize("cls", [instances.Instance, migrations.Migration, flavors.Flavor, claims.Limits])
def test_what_the_many_casts_are_made_of_goes_the_short_way(cls: type[ovo.VersionedObject]) -> None:
    assert _short(cls, wire.of(cls)) is not None


def test_the_long_way_spells_moments_out() -> None:
    primitive = wire.of(migrations.Migration, created_at="2026-01-02T05:04:05+02:00")

    assert _long(migrations.Migration, primitive).data.created_at == "2026-01-02T03:04:05.000000+00:00"
