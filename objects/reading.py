"""From primitives to checked plain values: the way in of every cast.

oslo's own ``obj_from_primitive`` builds an object property by property and does not say which field is wrong. Here the
field declarations of a class are compiled once into closures, and these return plain values:

- an object becomes a dict of all its fields; what was left out has its default (null, false, empty)
- a list stays a list, a dict a dict, a set of integers (a list on the wire) becomes a frozenset
- a moment becomes an aware datetime in UTC, a ratio a float, a uuid lower-case text

A checker returns the value or raises ``Fault``, which collects its path while it rises: nothing is spent on paths as
long as all is well.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, cast

from oslo_versionedobjects import base as ovo

from objects import exceptions, faults, stocktake_object
from objects import limits as limits_module

Check = Callable[[Any], Any]

_VERSION = re.compile(r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})")
_MISSING = object()
_KEYS = frozenset(
    {
        stocktake_object.KEY_NAME,
        stocktake_object.KEY_NAMESPACE,
        stocktake_object.KEY_VERSION,
        stocktake_object.KEY_DATA,
        stocktake_object.KEY_CHANGES,
    }
)


class Readable(Protocol):
    """What reading asks of a field: how to check it and what stands for an absent one."""

    @property
    def nullable(self) -> bool:
        """Say whether null is a value."""

    def checker(self, limits: limits_module.Limits, /) -> Check:
        """Return the checker of a value that is not null."""

    def absent(self) -> Callable[[], Any] | None:
        """Return what makes the default, or None if the field is required."""


class _Step(NamedTuple):
    """One field of a class, ready to be checked."""

    name: str
    check: Check
    nullable: bool
    absent: Callable[[], Any] | None


def read(
    cls: type[ovo.VersionedObject],
    primitive: Any,
    path: str,
    limits: limits_module.Limits = limits_module.DEFAULT,
) -> dict[str, Any]:
    """Return the checked data of an object's primitive; raises InvalidField, whose path begins with ``path``."""
    try:
        return cast("dict[str, Any]", compiled(cls, limits)(primitive))
    except faults.Fault as fault:
        raise exceptions.InvalidField(path + fault.path, fault.problem) from None


def check(
    field: Readable,
    value: Any,
    path: str,
    limits: limits_module.Limits = limits_module.DEFAULT,
) -> Any:
    """Return one value checked as that field, for arguments that are no object; raises InvalidField."""
    try:
        return element(field, limits)(value)
    except faults.Fault as fault:
        raise exceptions.InvalidField(path + fault.path, fault.problem) from None


def element(field: Readable, limits: limits_module.Limits) -> Check:
    """Return the checker of a field, null included."""
    strict = field.checker(limits)
    return optional(strict) if field.nullable else strict


def optional(strict: Check) -> Check:
    """Return a checker that lets null pass."""

    def check_optional(value: Any) -> Any:
        return None if value is None else strict(value)

    return check_optional


def _compile(cls: type[ovo.VersionedObject], limits: limits_module.Limits) -> Check:
    name, namespace, version = cls.obj_name(), cls.OBJ_PROJECT_NAMESPACE, cls.VERSION
    check_data = compiled_data(cls, limits)

    def check_object(value: Any) -> dict[str, Any]:
        if (
            type(value) is not dict
            or value.get(stocktake_object.KEY_VERSION) != version
            or value.get(stocktake_object.KEY_NAME) != name
            or value.get(stocktake_object.KEY_NAMESPACE) != namespace
            or not value.keys() <= _KEYS
            or type(value.get(stocktake_object.KEY_CHANGES, [])) is not list
        ):
            _check_envelope(cls, value)
        data = value.get(stocktake_object.KEY_DATA)
        if type(data) is not dict:
            problem = f"must be a dict of fields, not {faults.shown(data)}"
            raise faults.Fault(problem, faults.item(stocktake_object.KEY_DATA))
        return cast("dict[str, Any]", check_data(data))

    return check_object


# The checker of a class's primitive, envelope and data; made once for each class and limits.
compiled: Callable[[Any, limits_module.Limits], Check] = functools.lru_cache(maxsize=1024)(_compile)


def compiled_data(cls: type[ovo.VersionedObject], limits: limits_module.Limits) -> Check:
    """Return the checker of an object's bare fields."""
    steps = tuple(_step(name, cast("Readable", field), limits) for name, field in cls.fields.items())
    known = cls.fields.keys()

    def check_data(data: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        name = ""
        try:
            for name, strict, nullable, absent in steps:
                value = data.get(name, _MISSING)
                if value is _MISSING:
                    result[name] = _default(absent)
                elif value is None and nullable:
                    result[name] = None
                else:
                    result[name] = strict(value)
        except faults.Fault as fault:
            raise fault.within(faults.member(name)) from None
        if not data.keys() <= known:
            raise _unknown_field(cls, data)
        return result

    return check_data


def bare_or_whole(cls: type[ovo.VersionedObject], whole: Check, limits: limits_module.Limits) -> Check:
    """Return a checker that takes an object with its envelope or the plain dict of its fields."""
    bare = compiled_data(cls, limits)

    def check_either(value: Any) -> dict[str, Any]:
        enveloped = type(value) is not dict or not value.keys().isdisjoint(_KEYS)
        return cast("dict[str, Any]", whole(value) if enveloped else bare(value))

    return check_either


def _step(name: str, field: Readable, limits: limits_module.Limits) -> _Step:
    return _Step(name, field.checker(limits), field.nullable, field.absent())


def _default(absent: Callable[[], Any] | None) -> Any:
    if absent is None:
        raise faults.Fault("is missing")
    return absent()


def _unknown_field(cls: type[ovo.VersionedObject], data: dict[str, Any]) -> faults.Fault:
    name = next(name for name in data if name not in cls.fields)
    return faults.Fault(f"is no field of {cls.obj_name()} {cls.VERSION}", faults.member(name))


def _check_envelope(cls: type[ovo.VersionedObject], value: Any) -> None:
    """Say what is wrong with an envelope, or return if it is only an older minor version."""
    if type(value) is not dict:
        raise faults.Fault(f"must be the object {cls.obj_name()}, not {faults.shown(value)}")
    for name in value:
        if name not in _KEYS:
            raise faults.Fault("is no key of a versioned object", faults.item(name))
    _check_word(value, stocktake_object.KEY_NAMESPACE, cls.OBJ_PROJECT_NAMESPACE)
    _check_word(value, stocktake_object.KEY_NAME, cls.obj_name())
    _check_version(cls, value.get(stocktake_object.KEY_VERSION))
    changes = value.get(stocktake_object.KEY_CHANGES, [])
    if type(changes) is not list:
        problem = f"must be a list of field names, not {faults.shown(changes)}"
        raise faults.Fault(problem, faults.item(stocktake_object.KEY_CHANGES))


def _check_word(value: dict[str, Any], key: str, word: str) -> None:
    if value.get(key) != word:
        raise faults.Fault(f"must be {word!r}, not {faults.shown(value.get(key))}", faults.item(key))


def _check_version(cls: type[ovo.VersionedObject], version: Any) -> None:
    form = _VERSION.fullmatch(version) if type(version) is str else None
    major, minor = (int(part) for part in cls.VERSION.split("."))
    if form is None or int(form[1]) != major or int(form[2]) > minor:
        problem = f"must be a version of {cls.obj_name()} that is known here, {major}.0 to {cls.VERSION}"
        raise faults.Fault(f"{problem}, not {faults.shown(version)}", faults.item(stocktake_object.KEY_VERSION))
