"""Takes the sender's authentication token out of a body that is to be kept, whatever state the body is in.

A body that parses is written again without the token, duplicate keys and their order included, so that it stays
what it was. One that does not parse is masked by pattern, in plain and in doubly encoded JSON. A compressed body
is unpacked for that; one that cannot be unpacked to its end could hide anything and is withheld.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from worker import errors
from worker.bus import inflate

SECRET = "_context_auth_token"  # noqa: S105 - the name of the field, not a secret
MASK = "***"
WITHHELD = b"withheld: this compressed body could not be searched for a token"
INFLATED_BYTES = 16 * 1024 * 1024

_PLAIN = re.compile(rf'("{SECRET}"\s*:\s*)(?:null|"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|.*\Z)', re.DOTALL)
_TWICE = re.compile(
    rf'(\\"{SECRET}\\"\s*:\s*)(?:null|\\"(?:[^"\\]|\\\\(?:\\.|[^\\])|\\[^"\\])*+(?:\\"|\\*\Z)|.*\Z)', re.DOTALL
)


class _Pairs(dict[str, Any]):
    """An object with its keys as they came: the JSON writer asks for the items of a dict, which may repeat a key."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self._pairs = [(name, value) for name, value in pairs if name != SECRET]
        self.found = len(self._pairs) != len(pairs) or any(_holds_secret(value) for _, value in pairs)
        self.pop(SECRET, None)

    def items(self) -> Any:  # the mapping's own view cannot repeat a key
        return self._pairs


def strip_secret(body: bytes, headers: Mapping[str, Any] | None = None) -> bytes:
    """Return the body to keep: the same bytes if it holds no token."""
    compression = (headers or {}).get("compression")
    if not compression:
        return _strip(body)
    try:
        plain = inflate.inflate(body, compression, INFLATED_BYTES)
    except errors.Malformed:
        return WITHHELD
    stripped = _strip(plain)
    return body if stripped == plain else inflate.deflate(stripped, compression)


def _strip(body: bytes) -> bytes:
    encoding = json.detect_encoding(body)
    text = body.decode(encoding, "surrogateescape" if encoding.startswith("utf-8") else "replace")
    try:
        stripped = _stripped_json(text)
    except (ValueError, RecursionError):
        stripped = _masked(text)
    return body if stripped == text else stripped.encode(encoding, "surrogateescape")


def _stripped_json(text: str) -> str:
    value = json.loads(text, object_pairs_hook=_Pairs)
    value = _strip_inner(value)
    return json.dumps(value) if _holds_secret(value) else text


def _strip_inner(value: Any) -> Any:
    """Strip the message inside the envelope, which is JSON in a string."""
    if not isinstance(value, _Pairs):
        return value
    pairs = [(name, _strip_text(child) if isinstance(child, str) else child) for name, child in value.items()]
    stripped = _Pairs(pairs)
    stripped.found = value.found or pairs != value.items()
    return stripped


def _strip_text(text: str) -> str:
    if "auth" not in text and "\\" not in text:
        return text
    try:
        value = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return _masked(text)
    return json.dumps(value) if _holds_secret(value) else text


def _holds_secret(value: Any) -> bool:
    if isinstance(value, _Pairs):
        return value.found
    return isinstance(value, list) and any(_holds_secret(child) for child in value)


def _masked(text: str) -> str:
    text = _TWICE.sub(rf'\g<1>\\"{MASK}\\"', text)
    return _PLAIN.sub(rf'\g<1>"{MASK}"', text)
