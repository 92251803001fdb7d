"""A transport's message as a Delivery, with properties that can be kept anywhere: plain values, storable text."""

from __future__ import annotations

import math
from typing import Any

from worker import interfaces

_DEPTH = 8


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
    reason = plain.get("x-first-death-reason") if known["dead"] else None
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
