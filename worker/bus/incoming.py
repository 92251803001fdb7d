"""A transport's message as a Delivery, with properties that can be kept anywhere: plain values, storable text."""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Mapping
from typing import Any

import amqp
from amqp import serialization

from worker import interfaces

_DEPTH = 8
_UNREADABLE = (
    struct.error,
    ValueError,
    LookupError,
    ArithmeticError,
    TypeError,
    OSError,
    RecursionError,
    amqp.AMQPError,
)
"""What a sender's bytes can do to py-amqp."""
_REASON = "x-first-death-reason"
_TAG_AND_FLAGS = struct.Struct(">QB")


def from_amqp(message: Any, life: int, dead: bool) -> tuple[Any, interfaces.Delivery]:
    """Read a message of py-amqp; returns its own tag as well. A tag of ours tells the lives of the consumer apart."""
    properties, info = message.properties, message.delivery_info
    return info["delivery_tag"], _delivery(
        message,
        properties.get("application_headers"),
        tag=(life, info["delivery_tag"]),
        content_type=_text(properties.get("content_type")),
        content_encoding=_text(properties.get("content_encoding")),
        redelivered=bool(info["redelivered"]),
        dead=dead,
    )


def from_frames(
    arguments: bytes, properties: bytes, body: bytes, life: int, dead: Mapping[bytes, bool]
) -> tuple[int, interfaces.Delivery] | None:
    """Read a message off the frames of its delivery; ``dead`` says of each consumer tag what it consumes.

    Returns None for properties that cannot be read, and for a consumer tag that is none of ours.
    """
    end = 1 + arguments[0]
    from_dead_letters = dead.get(arguments[1:end])
    known = _properties(properties) if from_dead_letters is not None else None
    if from_dead_letters is None or known is None:
        return None
    tag, flags = _TAG_AND_FLAGS.unpack_from(arguments, end)
    headers, content_type, content_encoding = known
    return tag, interfaces.Delivery(
        tag=(life, tag),
        body=body,
        headers=dict(headers),
        content_type=content_type,
        content_encoding=content_encoding,
        redelivered=bool(flags & 1),
        dead=from_dead_letters,
        death_reason=_text(headers.get(_REASON)) if from_dead_letters else None,
    )


@functools.lru_cache(maxsize=1024)
def _properties(raw: bytes) -> tuple[dict[str, Any], str | None, str | None] | None:
    """Return plain headers, content type and encoding; senders write the very same bytes for most messages."""
    try:
        found, _ = serialization.decode_properties_basic(raw, 0)
    except _UNREADABLE:  # the tolerant way takes the message
        return None
    headers = found.get("application_headers")
    return (
        _plain(headers, _DEPTH) if isinstance(headers, dict) else {},
        _text(found.get("content_type")),
        _text(found.get("content_encoding")),
    )


def from_memory(message: Any, life: int, dead: bool) -> tuple[Any, interfaces.Delivery]:
    """Read a message of kombu's in-process transport, which has unpacked a compressed body unless that failed."""
    headers = dict(message.headers)
    if not message.errors:
        headers.pop("compression", None)
    return message.delivery_tag, _delivery(
        message,
        headers,
        tag=(life, message.delivery_tag),
        content_type=_text(message.content_type),
        content_encoding=_text(message.content_encoding),
        dead=dead,
    )


def _delivery(message: Any, headers: Any, **known: Any) -> interfaces.Delivery:
    body = message.body or b""
    plain = _plain(headers, _DEPTH) if isinstance(headers, dict) and headers else {}
    reason = plain.get(_REASON) if known["dead"] else None
    return interfaces.Delivery(
        body=body.encode("utf-8", "surrogatepass") if isinstance(body, str) else bytes(body),
        headers=plain,
        death_reason=_text(reason),
        **known,
    )


def _plain(value: Any, depth: int) -> Any:
    """Return a value that JSON and every database take: AMQP tables may hold bytes, decimals, times, odd numbers."""
    if isinstance(value, dict) and depth:
        return {_text(name): _plain(child, depth - 1) for name, child in value.items()}
    if isinstance(value, list) and depth:
        return [_plain(child, depth - 1) for child in value]
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return _text(value)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    return str(value).encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
