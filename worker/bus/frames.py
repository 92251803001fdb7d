"""Notifications as AMQP 0-9-1 frames, many in one piece of bytes.

py-amqp writes one message a call and serializes its properties each time, although but the id differs; here they are
laid out once. What the connection does besides (heartbeats, reading, errors) stays py-amqp's.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

METHOD, HEADER, BODY = 1, 2, 3
END = b"\xce"
_FRAME = struct.Struct(">BHI")
_PUBLISH = struct.pack(">HHH", 60, 40, 0)
_MANDATORY = b"\x01"
_CONTENT = struct.Struct(">HHQH")
# content_type, content_encoding, headers, delivery_mode and message_id, in this order
_PRESENT = 1 << 15 | 1 << 14 | 1 << 13 | 1 << 12 | 1 << 7
_NO_HEADERS = struct.pack(">I", 0)
_PERSISTENT = b"\x02"
_OVERHEAD = _FRAME.size + len(END)


def writer(channel: Any, exchange: str, content_type: str, content_encoding: str) -> Callable[[str, str, bytes], bytes]:
    """Return what makes the bytes of one persistent, mandatory message of (routing key, message_id, body)."""
    number, most = channel.channel_id, channel.connection.frame_max - _OVERHEAD
    begin = _PUBLISH + _short(exchange)
    same = _short(content_type) + _short(content_encoding) + _NO_HEADERS + _PERSISTENT

    def write(routing_key: str, message_id: str, body: bytes) -> bytes:
        properties = same + _short(message_id)
        return b"".join(
            (
                _frame(METHOD, number, begin + _short(routing_key) + _MANDATORY),
                _frame(HEADER, number, _CONTENT.pack(60, 0, len(body), _PRESENT) + properties),
                *(_frame(BODY, number, piece) for piece in _pieces(body, most)),
            )
        )

    return write


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return _FRAME.pack(kind, channel, len(payload)) + payload + END


def _short(text: str) -> bytes:
    """Return a short string of AMQP: up to 255 bytes; raises ValueError."""
    data = text.encode()
    return bytes((len(data),)) + data


def _pieces(body: bytes, most: int) -> Iterator[bytes]:
    """Yield a body cut so that each piece fits into a frame; an empty one has no body frame."""
    if len(body) <= most:
        if body:
            yield body
        return
    for start in range(0, len(body), most):
        yield body[start : start + most]
