"""The types of single values: each states its rule once, for reading, for assignment and for the JSON Schema."""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Callable, Collection
from typing import Annotated, Any, Literal, TypeVar, cast

import msgspec
from oslo_versionedobjects import base as ovo
from oslo_versionedobjects import fields as ovo_fields

from objects import exceptions, faults, limits, reading

AMOUNT_MAX = 2**31 - 1
REVISION_MAX = 2**63 - 1
# A ratio times an amount is a capacity, and that has to fit into 64 bits.
RATIO_MAX = float(AMOUNT_MAX)

_T = TypeVar("_T")
_BAD_TEXT = re.compile("[\x00\ud800-\udfff]")
_MOMENT = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})?"
)


class Checked(ovo_fields.FieldType[_T]):
    """A type whose rule is its checker; an assignment is held to it with the default limits."""

    def checker(self, limit: limits.Limits, /) -> reading.Check:
        """Return the function that checks a primitive and returns its plain value, or raises Fault."""
        raise NotImplementedError

    def typed(self, limit: limits.Limits, /) -> Any:
        """Return the annotation by which msgspec takes a primitive that is in normal form and keeps the rule.

        It may refuse what the checker takes, never take what the checker refuses or changes.
        """
        raise NotImplementedError

    def filled(self, value: _T, _limit: limits.Limits, /) -> Any:
        """Return a checked value in the form that ``typed`` takes."""
        return value

    @functools.cached_property
    def _strict(self) -> reading.Check:
        return self.checker(limits.DEFAULT)

    def coerce(self, _obj: ovo.VersionedObject | None, attr: str, value: Any) -> _T:
        """Return the value if it keeps the rule; raises InvalidField."""
        try:
            return cast("_T", self._strict(value))
        except faults.Fault as fault:
            raise exceptions.InvalidField(attr + fault.path, fault.problem) from None


class Integer(Checked[int]):
    """A whole number within bounds; a boolean is none."""

    def __init__(self, minimum: int = 0, maximum: int = AMOUNT_MAX) -> None:
        self.minimum = minimum
        self.maximum = maximum

    def checker(self, _limit: limits.Limits, /) -> reading.Check:
        """Check type and bounds."""
        low, high = self.minimum, self.maximum

        def check(value: Any) -> int:
            if type(value) is int and low <= value <= high:
                return value
            raise faults.Fault(f"must be an integer from {low} to {high}, not {faults.shown(value)}")

        return check

    def typed(self, _limit: limits.Limits, /) -> Any:
        """Return a bounded integer."""
        return Annotated[int, msgspec.Meta(ge=self.minimum, le=self.maximum)]

    def get_schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}


class Ratio(Checked[float]):
    """A number above 0 and finite; read as a float."""

    def checker(self, _limit: limits.Limits, /) -> reading.Check:
        """Check type and bounds; NaN fails every comparison."""

        def check(value: Any) -> float:
            if type(value) in (float, int) and 0 < value <= RATIO_MAX:
                return float(value)
            raise faults.Fault(f"must be a number above 0 and up to {AMOUNT_MAX}, not {faults.shown(value)}")

        return check

    def typed(self, _limit: limits.Limits, /) -> Any:
        """Return a bounded float."""
        return Annotated[float, msgspec.Meta(gt=0, le=RATIO_MAX)]

    def get_schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return {"type": "number", "exclusiveMinimum": 0, "maximum": AMOUNT_MAX}


class Boolean(Checked[bool]):
    """True or false, nothing that only looks like it."""

    def checker(self, _limit: limits.Limits, /) -> reading.Check:
        """Check the type."""

        def check(value: Any) -> bool:
            if value is True or value is False:
                return value
            raise faults.Fault(f"must be true or false, not {faults.shown(value)}")

        return check

    def typed(self, _limit: limits.Limits, /) -> Any:
        """Return the type."""
        return bool

    def get_schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return {"type": "boolean"}


class String(Checked[str]):
    """Text that any database takes: no NUL, no lone surrogate, not too long."""

    def __init__(self, limit: str = "string_length", least: int = 0) -> None:
        self.limit = limit
        self.least = least

    def checker(self, limit: limits.Limits, /) -> reading.Check:
        """Check type, length and characters."""
        least, most = self.least, getattr(limit, self.limit)

        def check(value: Any) -> str:
            if type(value) is not str:
                raise faults.Fault(f"must be text, not {faults.shown(value)}")
            if not least <= len(value) <= most:
                raise faults.Fault(f"must be text of {least} to {most} characters, not {len(value)}")
            if _BAD_TEXT.search(value):
                raise faults.Fault(f"must be text without NUL and lone surrogates, not {faults.shown(value)}")
            return value

        return check

    def typed(self, limit: limits.Limits, /) -> Any:
        """Return text of a length; bad characters are looked for in the whole message (``Envelope.plain``)."""
        return Annotated[str, msgspec.Meta(min_length=self.least, max_length=getattr(limit, self.limit))]

    def get_schema(self) -> dict[str, Any]:
        """Return the JSON Schema, with the default limit."""
        return {"type": "string", "minLength": self.least, "maxLength": getattr(limits.DEFAULT, self.limit)}


class Pattern(Checked[str]):
    """Text of a fixed form, named ``form`` in errors."""

    def __init__(self, form: str, pattern: str, normalise: Callable[[str], str] | None = None) -> None:
        self.form = form
        self.pattern = pattern
        self.normalise = normalise

    def checker(self, _limit: limits.Limits, /) -> reading.Check:
        """Check the form and return the normal spelling."""
        matches, form, normalise = re.compile(self.pattern).fullmatch, self.form, self.normalise

        def check(value: Any) -> str:
            if type(value) is not str or not matches(value):
                raise faults.Fault(f"must be {form}, not {faults.shown(value)}")
            return normalise(value) if normalise else value

        return check

    def typed(self, _limit: limits.Limits, /) -> Any:
        """Return text of the form, in its normal spelling only."""
        pattern = self.pattern.replace("A-F", "") if self.normalise else self.pattern
        return Annotated[str, msgspec.Meta(pattern=rf"\A(?:{pattern})\Z")]

    def get_schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return {"type": "string", "pattern": f"^{self.pattern}$"}


UUID = functools.partial(
    Pattern,
    "a uuid",
    "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
    str.lower,
)
PciAddress = functools.partial(
    Pattern, "a PCI address dddd:bb:ss.f in lower-case hex", "[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f][.][0-7]"
)
PciId = functools.partial(Pattern, "four hex digits", "[0-9a-fA-F]{4}", str.lower)
SymbolicName = functools.partial(Pattern, "a name of A-Z, 0-9 and _, up to 255 characters", "[A-Z0-9_]{1,255}")


class Enum(Checked[str]):
    """One of a fixed set of words."""

    def __init__(self, words: Collection[str]) -> None:
        self.words = tuple(words)

    def checker(self, _limit: limits.Limits, /) -> reading.Check:
        """Check that it is one of the words."""
        words = frozenset(self.words)
        listed = ", ".join(self.words)

        def check(value: Any) -> str:
            if type(value) is str and value in words:
                return value
            raise faults.Fault(f"must be one of {listed}, not {faults.shown(value)}")

        return check

    def typed(self, _limit: limits.Limits, /) -> Any:
        """Return the words."""
        return Literal[self.words]

    def get_schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return {"type": "string", "enum": list(self.words)}


class Scalar(Checked[str]):
    """Text, or a whole number that is kept as its text: what hypervisors put into their stats."""

    def checker(self, limit: limits.Limits, /) -> reading.Check:
        """Check the type; a number becomes text."""
        text = String().checker(limit)
        number = Integer(-REVISION_MAX, REVISION_MAX).checker(limit)

        def check(value: Any) -> str:
            return str(number(value)) if type(value) is int else cast("str", text(value))

        return check

    def typed(self, limit: limits.Limits, /) -> Any:
        """Return text: a number is not in normal form."""
        return String().typed(limit)

    def get_schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return {"anyOf": [String().get_schema(), Integer(-REVISION_MAX, REVISION_MAX).get_schema()]}


class DateTime(Checked[dt.datetime]):
    """A moment: ISO 8601 text on the wire, an aware datetime in UTC here; without an offset it is UTC."""

    def checker(self, _limit: limits.Limits, /) -> reading.Check:
        """Check the form of the text."""
        matches = re.compile(_MOMENT).fullmatch

        def check(value: Any) -> dt.datetime:
            if type(value) is str and matches(value):
                try:
                    return _in_utc(dt.datetime.fromisoformat(value))
                except (ValueError, OverflowError):
                    pass
            raise faults.Fault(f"must be a date and time in ISO 8601, not {faults.shown(value)}")

        return check

    def coerce(self, obj: ovo.VersionedObject | None, attr: str, value: Any) -> dt.datetime:
        """Return the moment in UTC, from a datetime or from text."""
        return _in_utc(value) if isinstance(value, dt.datetime) else super().coerce(obj, attr, value)

    def from_primitive(self, obj: ovo.VersionedObject, attr: str, value: Any) -> dt.datetime:
        """Return the moment that the text names."""
        return self.coerce(obj, attr, value)

    def to_primitive(self, _obj: ovo.VersionedObject, _attr: str, value: dt.datetime) -> str:
        """Return the text, to the microsecond."""
        return value.isoformat(timespec="microseconds")

    def typed(self, _limit: limits.Limits, /) -> Any:
        """Return text of the form; whether there is such a day is seen by ``checker``."""
        return Annotated[str, msgspec.Meta(pattern=rf"\A(?:{_MOMENT})\Z")]

    def filled(self, value: dt.datetime, _limit: limits.Limits, /) -> str:
        """Return the text."""
        return value.isoformat(timespec="microseconds")

    def get_schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return {"type": "string", "format": "date-time", "pattern": f"^{_MOMENT}$"}


def _in_utc(moment: dt.datetime) -> dt.datetime:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return aware.astimezone(dt.UTC)
