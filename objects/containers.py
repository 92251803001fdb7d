"""The types that hold others: lists, sets, dicts, objects."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any

import msgspec
from oslo_versionedobjects import base as ovo
from oslo_versionedobjects import fields as ovo_fields

from objects import exceptions, faults, limits, reading, scalars, stocktake_object, typed


class Struct(scalars.Checked[dict[str, int]]):
    """A plain dict of whole numbers with exactly these keys."""

    def __init__(self, **members: scalars.Integer) -> None:
        self.members = members

    def checker(self, limit: limits.Limits, /) -> reading.Check:
        """Check the keys and each number."""
        checks = {name: member.checker(limit) for name, member in self.members.items()}
        keys = checks.keys()
        listed = ", ".join(keys)

        def check(value: Any) -> dict[str, int]:
            if type(value) is not dict or value.keys() != keys:
                raise faults.Fault(f"must be a dict of exactly {listed}, not {_keys_shown(value)}")
            return _members(checks, value)

        return check

    def typed(self, limit: limits.Limits, /) -> Any:
        """Return a structure of these members."""
        members = [(name, member.typed(limit)) for name, member in self.members.items()]
        return msgspec.defstruct("Figures", members, forbid_unknown_fields=True)

    def get_schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return {
            "type": "object",
            "properties": {name: member.get_schema() for name, member in self.members.items()},
            "required": list(self.members),
            "additionalProperties": False,
        }


def _members(checks: Mapping[str, reading.Check], value: dict[str, Any]) -> dict[str, Any]:
    result = {}
    name = ""
    try:
        for name, check in checks.items():
            result[name] = check(value[name])
    except faults.Fault as fault:
        raise fault.within(faults.member(name)) from None
    return result


def _keys_shown(value: Any) -> str:
    if type(value) is not dict:
        return faults.shown(value)
    return "one of " + (", ".join(faults.shown(key) for key in list(value)[:10]) or "nothing")


class _Container(ovo_fields.CompoundFieldType[Any]):
    """What list, set and dict share: the type of an entry and how many there may be."""

    def __init__(self, entry: Any, limit: str, **options: Any) -> None:
        super().__init__(entry, **options)
        self.entry = entry
        self.limit = limit

    def _check_size(self, attr: str, value: Collection[Any]) -> None:
        try:
            _size(value, getattr(limits.DEFAULT, self.limit))
        except faults.Fault as fault:
            raise exceptions.InvalidField(attr, fault.problem) from None


def _size(value: Collection[Any], most: int) -> None:
    if len(value) > most:
        raise faults.Fault(f"must have at most {most} entries, not {len(value)}")


def _entries(check: reading.Check, value: list[Any]) -> list[Any]:
    result: list[Any] = []
    keep = result.append
    try:
        for entry in value:
            keep(check(entry))
    except faults.Fault as fault:
        raise fault.within(faults.item(len(result))) from None
    return result


class List(_Container, ovo_fields.List[Any]):
    """A list of entries of one type."""

    def __init__(self, entry: Any, limit: str = "list_length") -> None:
        super().__init__(entry, limit)

    def checker(self, limit: limits.Limits, /) -> reading.Check:
        """Check type, length and each entry."""
        most, check_entry = getattr(limit, self.limit), self.entry.checker(limit)

        def check(value: Any) -> list[Any]:
            if type(value) is not list:
                raise faults.Fault(f"must be a list, not {faults.shown(value)}")
            _size(value, most)
            return _entries(check_entry, value)

        return check

    def coerce(self, obj: ovo.VersionedObject | None, attr: str, value: Any) -> list[Any]:
        """Return the list with its entries checked; raises ValueError."""
        result = super().coerce(obj, attr, value)
        self._check_size(attr, result)
        return result

    def typed(self, limit: limits.Limits, /) -> Any:
        """Return a bounded list."""
        return Annotated[list[self.entry.typed(limit)], msgspec.Meta(max_length=getattr(limit, self.limit))]  # type: ignore[misc]

    def filled(self, value: list[Any], limit: limits.Limits, /) -> list[Any]:
        """Return the list with its entries in normal form."""
        return [self.entry.filled(entry, limit) for entry in value]

    def get_schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return {"type": "array", "items": self.entry.get_schema(), "maxItems": getattr(limits.DEFAULT, self.limit)}


class Set(_Container, ovo_fields.Set[Any]):
    """A set: a sorted list on the wire, a frozenset when read."""

    def __init__(self, entry: Any, limit: str = "list_length") -> None:
        super().__init__(entry, limit)

    def checker(self, limit: limits.Limits, /) -> reading.Check:
        """Check the list and return the set."""
        check_list = List(self.entry, self.limit).checker(limit)

        def check(value: Any) -> frozenset[Any]:
            return frozenset(check_list(value))

        return check

    def coerce(self, obj: ovo.VersionedObject | None, attr: str, value: Any) -> set[Any]:
        """Return the set with its members checked; raises ValueError."""
        result = super().coerce(obj, attr, set(value) if isinstance(value, list | frozenset) else value)
        self._check_size(attr, result)
        return result

    def to_primitive(self, _obj: ovo.VersionedObject, _attr: str, value: set[Any]) -> list[Any]:  # type: ignore[override]
        """Return the sorted list."""
        return sorted(value)

    def typed(self, limit: limits.Limits, /) -> Any:
        """Return a bounded list."""
        return List(self.entry, self.limit).typed(limit)

    def filled(self, value: frozenset[Any], _limit: limits.Limits, /) -> list[Any]:
        """Return the sorted list."""
        return sorted(value)

    def get_schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return List(self.entry, self.limit).get_schema()


class Dict(_Container, ovo_fields.Dict[Any]):
    """A dict of text to values of one type."""

    def __init__(self, entry: Any, key: Any = None, limit: str = "dict_length", nullable: bool = False) -> None:
        super().__init__(entry, limit, nullable=nullable)
        self.key = key or scalars.String()
        self.entry_nullable = nullable

    def checker(self, limit: limits.Limits, /) -> reading.Check:
        """Check type, size, each key and each value."""
        most, check_key, check_entry = getattr(limit, self.limit), self.key.checker(limit), self.entry.checker(limit)
        check_value = reading.optional(check_entry) if self.entry_nullable else check_entry

        def check(value: Any) -> dict[str, Any]:
            if type(value) is not dict:
                raise faults.Fault(f"must be a dict, not {faults.shown(value)}")
            _size(value, most)
            return _items(check_key, check_value, value)

        return check

    def coerce(self, obj: ovo.VersionedObject | None, attr: str, value: Any) -> dict[str, Any]:
        """Return the dict with its keys and values checked; raises ValueError."""
        result = super().coerce(obj, attr, value)
        self._check_size(attr, result)
        for key in result:
            self.key.coerce(obj, attr + faults.item(key), key)
        return result

    def typed(self, limit: limits.Limits, /) -> Any:
        """Return a bounded dict."""
        entry = self.entry.typed(limit)
        entry = entry | None if self.entry_nullable else entry
        return Annotated[dict[self.key.typed(limit), entry], msgspec.Meta(max_length=getattr(limit, self.limit))]  # type: ignore[misc]

    def filled(self, value: Mapping[str, Any], limit: limits.Limits, /) -> dict[str, Any]:
        """Return the dict with its values in normal form."""
        return {key: None if entry is None else self.entry.filled(entry, limit) for key, entry in value.items()}

    def get_schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return {
            "type": "object",
            "propertyNames": self.key.get_schema(),
            "additionalProperties": or_null(self.entry.get_schema(), self.entry_nullable),
            "maxProperties": getattr(limits.DEFAULT, self.limit),
        }


def _items(check_key: reading.Check, check_value: reading.Check, value: dict[Any, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    key = None
    try:
        for key, entry in value.items():
            result[check_key(key)] = check_value(entry)
    except faults.Fault as fault:
        raise fault.within(faults.item(key)) from None
    return result


def or_null(schema: dict[str, Any], nullable: bool) -> dict[str, Any]:
    """Return the schema, with null beside it if that is a value too."""
    return {"anyOf": [schema, {"type": "null"}]} if nullable else schema


class Object(ovo_fields.Object):
    """A versioned object of one class.

    ``bare`` lets it come as a plain dict of its fields too, where the contract writes no object name.
    """

    def __init__(self, cls: type[ovo.VersionedObject], bare: bool = False) -> None:
        super().__init__(cls.obj_name())
        self.cls = cls
        self.bare = bare

    def checker(self, limit: limits.Limits, /) -> reading.Check:
        """Check envelope and fields."""
        whole = reading.compiled(self.cls, limit)
        return reading.bare_or_whole(self.cls, whole, limit) if self.bare else whole

    def from_primitive(self, obj: ovo.VersionedObject, attr: str, value: Any) -> ovo.VersionedObject:
        """Return the object that the primitive describes."""
        if self.bare and stocktake_object.KEY_DATA not in value:
            return self.cls(**value)
        return super().from_primitive(obj, attr, value)

    def typed(self, limit: limits.Limits, /) -> Any:
        """Return the structure of the object, or of its bare fields."""
        return typed.bare(self.cls, limit) if self.bare else typed.whole(self.cls, limit)

    def filled(self, value: Mapping[str, Any], limit: limits.Limits, /) -> Any:
        """Return the structure of checked data."""
        return typed.filled(self.cls, value, limit, bare=self.bare)

    def get_schema(self) -> dict[str, Any]:
        """Return a reference into the schema's ``$defs``."""
        reference = f"#/$defs/{self.cls.obj_name()}"
        if not self.bare:
            return {"$ref": reference}
        data = f"{reference}/properties/{stocktake_object.KEY_DATA}"
        return {"anyOf": [{"$ref": reference}, {"$ref": data}]}
