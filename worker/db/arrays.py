"""Many values in one text for PostgreSQL, which takes it apart: psycopg would look at each value of an array one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

BETWEEN = "\x1f"
NULL = "\x1e"


def joined(values: Sequence[Any]) -> str | None:
    """Return values as one text for ``string_to_array(text, BETWEEN, NULL)``, or None where that would not give them back.

    It would not for one value, which may be the empty text, for bytes, and for a text with one of these characters in it.
    """
    if len(values) == 1:
        return None
    try:
        text = BETWEEN.join(values)
        nulls = 0
    except TypeError:
        if any(isinstance(value, bytes) for value in values):
            return None
        text = BETWEEN.join([NULL if value is None else str(value) for value in values])
        nulls = values.count(None)
    whole = text.count(BETWEEN) == len(values) - 1 and text.count(NULL) == nulls
    return text if whole else None
