"""The fields of our objects: a type, whether it may be null, and what stands for one that was left out."""

from __future__ import annotations

import datetime as dt
import json
import types
from collections.abc import Callable, Collection
from typing import Any, TypeVar, cast

from oslo_versionedobjects import base as ovo
from oslo_versionedobjects import fields as ovo_fields

from objects import containers, limits, reading, scalars

_T = TypeVar("_T")


class Field(ovo_fields.AutoTypedField[_T]):
    """A field that can be read, described and fingerprinted with everything its type says."""

    def __init__(
        self,
        field_type: Any,
        nullable: bool = False,
        default: Any = ovo_fields.UnspecifiedDefault,
    ) -> None:
        ovo_fields.Field.__init__(self, field_type, nullable=nullable, default=default)

    def __repr__(self) -> str:
        rule = json.dumps(self.get_schema(), sort_keys=True)
        return f"{type(self._type).__name__}({rule},required={self.absent() is None})"

    @property
    def field_type(self) -> Any:
        """What kind of value it holds: one of the types above."""
        return self._type

    def checker(self, limit: limits.Limits, /) -> reading.Check:
        """Return the checker of the type."""
        return cast("reading.Check", self.field_type.checker(limit))

    def typed(self, limit: limits.Limits, /) -> Any:
        """Return the annotation of the type, null included."""
        own = self.field_type.typed(limit)
        return own | None if self.nullable else own

    def filled(self, value: Any, limit: limits.Limits, /) -> Any:
        """Return a checked value in the form that ``typed`` takes."""
        return None if value is None else self.field_type.filled(value, limit)

    def absent(self) -> Callable[[], Any] | None:
        """Return what makes the value of a field that was left out, or None if it may not be."""
        if self.nullable:
            return types.NoneType
        if self.default is ovo_fields.UnspecifiedDefault:
            return None
        return frozenset if isinstance(self.default, set) else type(self.default)

    def get_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the field."""
        return containers.or_null(self._type.get_schema(), self.nullable)


def of(cls: type[ovo.VersionedObject]) -> dict[str, Field[Any]]:
    """Return the fields of a class by name."""
    return cast("dict[str, Field[Any]]", cls.fields)


def _empty(nullable: bool, default: Any) -> Any:
    return ovo_fields.UnspecifiedDefault if nullable else default


class StringField(Field[str], ovo_fields.AutoTypedField[str]):
    """Text of up to 255 characters."""

    def __init__(self, nullable: bool = False) -> None:
        super().__init__(scalars.String(), nullable)


class NameField(Field[str], ovo_fields.AutoTypedField[str]):
    """Text of 1 to 255 characters."""

    def __init__(self, nullable: bool = False) -> None:
        super().__init__(scalars.String(least=1), nullable)


class TextField(Field[str], ovo_fields.AutoTypedField[str]):
    """Longer text, for people."""

    def __init__(self, nullable: bool = False) -> None:
        super().__init__(scalars.String("text_length"), nullable)


class UUIDField(Field[str], ovo_fields.AutoTypedField[str]):
    """A uuid, lower case when read."""

    def __init__(self, nullable: bool = False) -> None:
        super().__init__(scalars.UUID(), nullable)


class PciAddressField(Field[str], ovo_fields.AutoTypedField[str]):
    """The address of a PCI device."""

    def __init__(self, nullable: bool = False) -> None:
        super().__init__(scalars.PciAddress(), nullable)


class PciIdField(Field[str], ovo_fields.AutoTypedField[str]):
    """A vendor or product id."""

    def __init__(self, nullable: bool = False) -> None:
        super().__init__(scalars.PciId(), nullable)


class RatioField(Field[float], ovo_fields.AutoTypedField[float]):
    """An allocation ratio."""

    def __init__(self, nullable: bool = False) -> None:
        super().__init__(scalars.Ratio(), nullable)


class RevisionField(Field[int], ovo_fields.AutoTypedField[int]):
    """A revision, generation or sequence: 0 to 2**63 - 1."""

    def __init__(self, nullable: bool = False) -> None:
        super().__init__(scalars.Integer(0, scalars.REVISION_MAX), nullable)


class FigureField(Field[int], ovo_fields.AutoTypedField[int]):
    """A sum, which may be negative and larger than one amount."""

    def __init__(self, nullable: bool = False) -> None:
        super().__init__(scalars.Integer(-scalars.REVISION_MAX, scalars.REVISION_MAX), nullable)


class DateTimeField(Field[dt.datetime], ovo_fields.AutoTypedField[dt.datetime]):
    """A moment."""

    def __init__(self, nullable: bool = False) -> None:
        super().__init__(scalars.DateTime(), nullable)


class IntegerField(Field[int], ovo_fields.AutoTypedField[int]):
    """An amount, or a whole number within other bounds."""

    def __init__(self, minimum: int = 0, maximum: int = scalars.AMOUNT_MAX, nullable: bool = False) -> None:
        super().__init__(scalars.Integer(minimum, maximum), nullable)


class BooleanField(Field[bool], ovo_fields.AutoTypedField[bool]):
    """True or false; false when left out."""

    def __init__(self) -> None:
        super().__init__(scalars.Boolean(), default=False)


class EnumField(Field[str], ovo_fields.AutoTypedField[str]):
    """One of a fixed set of words."""

    def __init__(self, words: Collection[str], nullable: bool = False) -> None:
        super().__init__(scalars.Enum(words), nullable)


class ListField(Field[list[Any]], ovo_fields.AutoTypedField[list[Any]]):
    """A list of values of one type; empty when left out."""

    def __init__(self, entry: Any, limit: str = "list_length", nullable: bool = False) -> None:
        super().__init__(containers.List(entry, limit), nullable, _empty(nullable, []))


class SetField(Field[set[Any]], ovo_fields.AutoTypedField[set[Any]]):
    """A set of values of one type; empty when left out."""

    def __init__(self, entry: Any, nullable: bool = False) -> None:
        super().__init__(containers.Set(entry), nullable, _empty(nullable, set()))


class DictField(Field[dict[str, Any]], ovo_fields.AutoTypedField[dict[str, Any]]):
    """A dict of text to values of one type; empty when left out."""

    def __init__(self, entry: Any, key: Any = None, limit: str = "dict_length") -> None:
        super().__init__(containers.Dict(entry, key, limit), default={})


class ObjectField(Field[ovo.VersionedObject], ovo_fields.ObjectField):
    """An object of one class."""

    def __init__(self, cls: type[ovo.VersionedObject], nullable: bool = False) -> None:
        super().__init__(containers.Object(cls), nullable)
        self.objname = cls.obj_name()


class ListOfObjectsField(Field[list[ovo.VersionedObject]], ovo_fields.ListOfObjectsField):
    """A list of objects of one class; empty when left out."""

    def __init__(
        self,
        cls: type[ovo.VersionedObject],
        limit: str = "list_length",
        nullable: bool = False,
        bare: bool = False,
    ) -> None:
        super().__init__(containers.List(containers.Object(cls, bare), limit), nullable, _empty(nullable, []))
        self.objname = cls.obj_name()
