"""Values for every field type, and where in a primitive each value stands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from hypothesis import strategies as st
from oslo_versionedobjects import base as ovo

from objects import containers, faults, fields, primitives, scalars, stocktake_object

FORMS = {
    "a uuid": st.uuids().map(str),
    "a PCI address dddd:bb:ss.f in lower-case hex": st.from_regex(
        "[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f][.][0-7]", fullmatch=True
    ),
    "four hex digits": st.from_regex("[0-9a-f]{4}", fullmatch=True),
    "a name of A-Z, 0-9 and _, up to 255 characters": st.sampled_from(["VCPU", "MEMORY_MB", "CUSTOM_GOLD"]),
}


class Place(NamedTuple):
    """One value inside a primitive: who holds it under which key, its path, and whether others are inside it."""

    holder: Any
    key: Any
    path: str
    compound: bool


def primitive_of(cls: type[ovo.VersionedObject]) -> st.SearchStrategy[dict[str, Any]]:
    """Return primitives of a class, as our own writer makes them."""
    return data_of(cls).map(lambda data: primitives.primitive(cls, data))


def data_of(cls: type[ovo.VersionedObject]) -> st.SearchStrategy[dict[str, Any]]:
    """Return complete plain data of a class."""
    return st.fixed_dictionaries({name: _field(field) for name, field in fields.of(cls).items()})


def _field(field: fields.Field[Any]) -> st.SearchStrategy[Any]:
    value = _value(field.field_type)
    return st.none() | value if field.nullable else value


def _value(kind: Any) -> st.SearchStrategy[Any]:
    if isinstance(kind, containers.Object):
        return data_of(kind.cls)
    if isinstance(kind, containers.Set):
        return st.sets(_value(kind.entry), max_size=3).map(sorted)
    if isinstance(kind, containers.List):
        return st.lists(_value(kind.entry), max_size=2)
    if isinstance(kind, containers.Dict):
        return st.dictionaries(_value(kind.key), _value(kind.entry), max_size=2)
    if isinstance(kind, containers.Struct):
        return st.fixed_dictionaries({name: _value(member) for name, member in kind.members.items()})
    return _scalar(kind)


def _scalar(kind: Any) -> st.SearchStrategy[Any]:
    if isinstance(kind, scalars.Integer):
        return st.integers(kind.minimum, kind.maximum)
    if isinstance(kind, scalars.Enum):
        return st.sampled_from(kind.words)
    if isinstance(kind, scalars.Pattern):
        return FORMS[kind.form]
    if isinstance(kind, scalars.String):
        return st.text(
            st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=kind.least, max_size=9
        )
    return _OTHERS[type(kind)]


_OTHERS: dict[type[Any], st.SearchStrategy[Any]] = {
    scalars.Boolean: st.booleans(),
    scalars.Ratio: st.floats(0, scalars.RATIO_MAX, exclude_min=True),
    scalars.Scalar: st.text("abc", max_size=5),
    scalars.DateTime: st.datetimes().map(lambda moment: moment.isoformat(timespec="microseconds") + "+00:00"),
}


def places(cls: type[ovo.VersionedObject], primitive: dict[str, Any], path: str) -> Iterator[Place]:
    """Yield every value below an object, with the path that an error about it has to name."""
    for key in (stocktake_object.KEY_NAME, stocktake_object.KEY_NAMESPACE, stocktake_object.KEY_VERSION):
        yield Place(primitive, key, path + faults.item(key), compound=False)
    data = primitive[stocktake_object.KEY_DATA]
    for name, field in fields.of(cls).items():
        yield from _places(field.field_type, data, name, path + faults.member(name))


def _places(kind: Any, holder: Any, key: Any, path: str) -> Iterator[Place]:
    value = holder[key]
    compound = isinstance(value, list | dict)
    yield Place(holder, key, path, compound)
    if not compound:
        return
    if isinstance(kind, containers.Object):
        yield from places(kind.cls, value, path)
    elif isinstance(kind, containers.Struct):
        for name, member in kind.members.items():
            yield from _places(member, value, name, path + faults.member(name))
    else:
        for inner in range(len(value)) if isinstance(value, list) else list(value):
            yield from _places(kind.entry, value, inner, path + faults.item(inner))
