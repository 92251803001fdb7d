"""From plain data to primitives: the way out, without building an object in between.

The data is JSON-ready already (text for moments, sorted lists for sets) and is not checked: it is our own.
Nested objects are plain dicts in it and get their envelopes here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from oslo_versionedobjects import base as ovo

from objects import containers, fields, stocktake_object

Wrap = Callable[[Any], Any]


class Ready(dict[str, Any]):
    """A dictionary whose objects are primitives already."""


def primitive(cls: type[ovo.VersionedObject], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the versioned-object primitive of plain data; fields that it leaves out stay out."""
    wraps = _wraps(cls)
    wrapped = dict(data)
    for name in wraps.keys() & data.keys():
        wrapped[name] = wraps[name](data[name])
    return {
        stocktake_object.KEY_NAME: cls.obj_name(),
        stocktake_object.KEY_NAMESPACE: cls.OBJ_PROJECT_NAMESPACE,
        stocktake_object.KEY_VERSION: cls.VERSION,
        stocktake_object.KEY_DATA: wrapped,
    }


def _find_wraps(cls: type[ovo.VersionedObject]) -> dict[str, Wrap]:
    found = {name: _wrap_of(field.field_type) for name, field in fields.of(cls).items()}
    return {name: wrap for name, wrap in found.items() if wrap}


# What is to be done to the fields of a class that hold objects.
_wraps: Callable[[Any], dict[str, Wrap]] = functools.cache(_find_wraps)


def _wrap_of(field_type: Any) -> Wrap | None:
    if isinstance(field_type, containers.Object):
        return functools.partial(_wrap_one, field_type.cls)
    if isinstance(field_type, containers.List | containers.Dict) and isinstance(field_type.entry, containers.Object):
        many = _wrap_list if isinstance(field_type, containers.List) else _wrap_dict
        return functools.partial(many, field_type.entry.cls)
    return None


def _wrap_one(cls: type[ovo.VersionedObject], value: Mapping[str, Any] | None) -> Any:
    return None if value is None else primitive(cls, value)


def _wrap_list(cls: type[ovo.VersionedObject], value: list[Any] | None) -> Any:
    return None if value is None else [primitive(cls, entry) for entry in value]


def _wrap_dict(cls: type[ovo.VersionedObject], value: Mapping[str, Any]) -> Any:
    return value if isinstance(value, Ready) else {key: primitive(cls, entry) for key, entry in value.items()}
