"""JSON as the wire needs it: what the standard parser lets pass and a database or a caller would choke on is refused."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from worker import errors

DIGITS = 4300
"""Python's own limit of decimal digits of an integer."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise errors.Malformed(f"{twice!r} is given twice in one object", field=twice)
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:20]} is not a finite number")
    return number


def _integer_or_inf(text: str) -> float:
    return float("inf") if len(text) > DIGITS else int(text)


# a string without an end goes to that of the text: to look for the next one in it would take quadratic time
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[{\]}]', re.DOTALL)
_STRICT = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite)
_LENIENT = json.JSONDecoder(parse_int=_integer_or_inf)
_quick_decoder = msgspec.json.Decoder()
_quick_encoder = msgspec.json.Encoder()


def parse(text: str, field: str, depth: int) -> dict[str, Any]:
    """Return the object that ``text`` is; Malformed names ``field`` or the one inside it that is at fault."""
    value = _quick(text)
    if value is None:
        value = _strict(text, field, depth)
    if not isinstance(value, dict):
        raise errors.Malformed(f"{field}: is not a JSON object", field=field)
    if text.count("[") + text.count("{") > depth:
        _check_depth(value, field, depth)
    return value


def has_escapes(text: str) -> bool:
    """Whether a character is written as its number; to look for the backslash alone first takes next to no time."""
    return "\\" in text and "\\u" in text


def _quick(text: str) -> Any:
    """Return the value of a good text, at the speed of C; None leaves it to the thorough way.

    A name that is given twice is lost in the value, and its quotation marks with it; an escaped one would upset the sum.
    """
    if has_escapes(text):
        return None
    try:
        value = _quick_decoder.decode(text)
        again = _quick_encoder.encode(value)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return None
    return value if again.count(b'"') == text.count('"') else None


def _strict(text: str, field: str, depth: int) -> Any:
    try:
        return _STRICT.decode(text)
    except RecursionError:
        raise errors.Malformed(
            f"{field}: nested deeper than {depth} levels ([limits] nesting_depth)", field=field
        ) from None
    except ValueError as error:
        raise _located(text, field, error) from None


def lenient(text: str) -> dict[str, Any]:
    """Return what can be read of a bad text; empty when nothing can. What is nested beyond all bounds reads as null."""
    try:
        value = _lenient(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def texts(value: Any) -> Iterator[str]:
    """Every string in a value, the names of objects included, at any depth."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting.extend(value)
        waiting.extend(_children(value))


def _lenient(text: str) -> Any:
    try:
        return _LENIENT.decode(text)
    except RecursionError:
        return _LENIENT.decode(_shallow(text))


def _shallow(text: str) -> str:
    """Return the text with null in place of each object and list that is within another one."""
    kept, depth, start = [], 0, 0
    for token in _TOKEN.finditer(text):
        if token[0] in {"{", "["}:
            depth += 1
            if depth == 2:
                kept.append(text[start : token.start()])
                start = len(text)  # until it is closed
        elif token[0] in {"}", "]"}:
            depth -= 1
            if depth == 1:
                start = token.end()
    return "null".join([*kept, text[start:]])


def _located(text: str, field: str, error: ValueError) -> errors.Malformed:
    for path, value in _leaves(lenient(text), ""):
        if isinstance(value, float) and not math.isfinite(value):
            return errors.Malformed(f"{path}: is not a finite number of at most {DIGITS} digits", field=path)
    return errors.Malformed(f"{field}: is not JSON: {error}", field=field)


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    waiting = [(path, value)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend((f"{path}.{name}" if path else name, child) for name, child in value.items())
        elif isinstance(value, list):
            waiting.extend((f"{path}[{place}]", child) for place, child in enumerate(value))
        else:
            yield path, value


def _check_depth(value: dict[str, Any], field: str, depth: int) -> None:
    for name, child in value.items():
        if _deeper(child, depth - 1):
            raise errors.Malformed(
                f"{field}: {name!r} is nested deeper than {depth} levels ([limits] nesting_depth)", field=name
            )


def _deeper(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth + 1):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return False
    return True


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
