"""Many values in one text for PostgreSQL, which takes it apart: psycopg would look at each value of an array one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

BETWEEN = "\x1f"
NULL = "\x1e"
_NUMBERS = frozenset({int, bool})
_TEXTS = frozenset({str})


def joined(values: Sequence[Any]) -> str | None:
    """Return values as one text for ``string_to_array(text, BETWEEN, NULL)``, or None where that would not give them back.

    It would not for none, for one value, which may be the empty text, for bytes, and for a text with one of these characters in it.
    """
    kinds = set(map(type, values))
    if len(values) < 2 or any(issubclass(kind, bytes) for kind in kinds):
        return None
    if kinds <= _NUMBERS:
        return BETWEEN.join(map(str, values))
    text = BETWEEN.join(values if kinds == _TEXTS else map(_text, values))
    nulls = values.count(None) if type(None) in kinds else 0
    whole = text.count(BETWEEN) == len(values) - 1 and text.count(NULL) == nulls
    return text if whole else None


def _text(value: Any) -> str:
    if value is None:
        return NULL
    return value if isinstance(value, str) else str(value)
