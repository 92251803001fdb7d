"""Takes the sender's authentication token out of a body that is to be kept, whatever state the body is in.

A body that parses is written again without the token, duplicate keys and their order included, so that it stays
what it was. Where a token may be left, in one that does not parse or is another thing than our envelope, the body is
withheld. A compressed body is unpacked for that; one that cannot be unpacked to its end could hide anything too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from worker import errors
from worker.bus import inflate

SECRET = "_context_auth_token"  # noqa: S105 - the name of the field, not a secret
WITHHELD = b"withheld: there may be a token in this body that cannot be taken out"
INFLATED_BYTES = 16 * 1024 * 1024

_NAMED = re.compile(SECRET)
_SUSPECT = re.compile("auth.{0,6}token", re.DOTALL | re.IGNORECASE)  # the _ may be written in another way
_ESCAPED = re.compile(r"(?:\\u00|\\x|%)([0-9a-fA-F]{2})")


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
    if stripped == WITHHELD:
        return WITHHELD
    return body if stripped == plain else inflate.deflate(stripped, compression)


def _strip(body: bytes) -> bytes:
    encoding = json.detect_encoding(body)
    text = body.decode(encoding, "surrogateescape" if encoding.startswith("utf-8") else "replace")
    try:
        stripped, suspect = _stripped_json(text)
    except (ValueError, RecursionError):
        return WITHHELD if _SUSPECT.search(_readable(body.decode("latin-1"))) else body
    if suspect.search(_readable(stripped)):
        return WITHHELD
    return body if stripped == text else stripped.encode(encoding, "surrogateescape")


def _stripped_json(text: str) -> tuple[str, re.Pattern[str]]:
    """Return the text without the token, and what must not be left in it."""
    value = _strip_inner(json.loads(text, object_pairs_hook=_Pairs))
    return json.dumps(value) if _holds_secret(value) else text, _NAMED if _is_envelope(value) else _SUSPECT


def _readable(text: str) -> str:
    """Return a text without what another encoding or quoting puts between or in place of its letters."""
    text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text.replace("\0", ""))
    return text.replace("\0", "").replace("\\", "")


def _is_envelope(value: Any) -> bool:
    """Tell whether it holds a message as oslo.messaging writes one: an object in JSON in a string."""
    try:
        return isinstance(json.loads(value["oslo.message"]), dict)
    except (KeyError, TypeError, ValueError, RecursionError):
        return False


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
        return text
    return json.dumps(value) if _holds_secret(value) else text


def _holds_secret(value: Any) -> bool:
    if isinstance(value, _Pairs):
        return value.found
    return isinstance(value, list) and any(_holds_secret(child) for child in value)
