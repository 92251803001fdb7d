"""From primitives in normal form to typed structures: the short way in, at the speed of C.

The field declarations of a class are turned into a structure of msgspec's, once. Whatever is not in normal form (an
upper-case uuid, an older minor version), or breaks a rule, is refused there without a word that a sender could use:
``reading`` then takes it the long way and says what is wrong, or ``filled`` makes the same structure of what it read.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, cast

import msgspec
from oslo_versionedobjects import base as ovo

from objects import limits as limits_module
from objects import stocktake_object

_ENVELOPE = {
    "name": stocktake_object.KEY_NAME,
    "namespace": stocktake_object.KEY_NAMESPACE,
    "version": stocktake_object.KEY_VERSION,
    "data": stocktake_object.KEY_DATA,
    "changes": stocktake_object.KEY_CHANGES,
}


class Typed(Protocol):
    """What a structure asks of a field."""

    def typed(self, limit: limits_module.Limits, /) -> Any:
        """Return the annotation of its value."""

    def filled(self, value: Any, limit: limits_module.Limits, /) -> Any:
        """Return a checked value in the form of the annotation."""

    def absent(self) -> Callable[[], Any] | None:
        """Return what makes the default, or None if the field is required."""


def _bare(cls: type[ovo.VersionedObject], limits: limits_module.Limits) -> type[msgspec.Struct]:
    return structure(cls.obj_name(), {name: cast("Typed", field) for name, field in cls.fields.items()}, limits)


def structure(name: str, members: Mapping[str, Typed], limits: limits_module.Limits) -> type[msgspec.Struct]:
    """Return a structure with these members and no others."""
    declared: list[Any] = []
    for member, field in members.items():
        absent = field.absent()
        default = () if absent is None else (msgspec.field(default_factory=_plain(absent)),)
        declared.append((member, field.typed(limits), *default))
    return msgspec.defstruct(name, declared, forbid_unknown_fields=True, kw_only=True)


def _plain(absent: Callable[[], Any]) -> Callable[[], Any]:
    """Return what makes the default in normal form: a set is a list there."""
    return list if absent is frozenset else absent


def _whole(cls: type[ovo.VersionedObject], limits: limits_module.Limits) -> type[msgspec.Struct]:
    name, namespace, version = cls.obj_name(), cls.OBJ_PROJECT_NAMESPACE, cls.VERSION
    members: list[Any] = [
        ("name", Literal[name]),
        ("namespace", Literal[namespace]),
        ("version", Literal[version]),
        ("data", bare(cls, limits)),
        ("changes", list[Any], msgspec.field(default_factory=list)),
    ]
    return msgspec.defstruct(f"{name}Object", members, rename=_ENVELOPE, forbid_unknown_fields=True)


# The structure of a class's fields, and that of its primitive: the fields are its ``data``. Made once for each limits.
bare: Callable[[Any, limits_module.Limits], type[msgspec.Struct]] = functools.lru_cache(maxsize=1024)(_bare)
whole: Callable[[Any, limits_module.Limits], type[msgspec.Struct]] = functools.lru_cache(maxsize=1024)(_whole)


def filled(
    cls: type[ovo.VersionedObject],
    data: Mapping[str, Any],
    limits: limits_module.Limits,
    *,
    bare: bool = False,
) -> Any:
    """Return the structure of what ``reading`` made of a primitive."""
    declared = cast("Mapping[str, Typed]", cls.fields)
    made = _bare_type(cls, limits)(**{name: declared[name].filled(value, limits) for name, value in data.items()})
    if bare:
        return made
    return whole(cls, limits)(cls.obj_name(), cls.OBJ_PROJECT_NAMESPACE, cls.VERSION, made)


_bare_type = bare
