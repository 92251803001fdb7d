"""oslo.messaging's messages as bytes: the envelope read strictly, replies and notifications written.

The body of a message is a JSON object of ``oslo.version`` and ``oslo.message``, and the latter is a JSON string:
the message, encoded twice. Replies and notifications go out in the same form.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from worker import errors, interfaces
from worker.bus import inflate, redact, strict_json

CONTENT_TYPE = "application/json"
CONTENT_ENCODING = "utf-8"
VERSION = "2.0"
CONTEXT = "_context_"
KEPT = ("request_id", "global_request_id", "user", "project", "project_id", "is_admin")
"""What is read of a sender's context; of the rest, a token above all, nothing goes any further."""
REPLY_QUEUE = b"_reply_q"
UTF8 = frozenset({None, "", "utf-8", "utf8", "us-ascii", "ascii"})

_IDENTITY = re.compile(r"[!-~]{1,64}")
_METHOD_LENGTH = 255
_KEPT = {f"{CONTEXT}{name}": name for name in KEPT}
_MISSING = object()


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one message: bytes as received and as inflated, and levels of nesting."""

    message_bytes: int = 4 * 1024 * 1024
    depth: int = 64


DEFAULT_LIMITS = Limits()


def decode(delivery: interfaces.Delivery, limits: Limits = DEFAULT_LIMITS) -> interfaces.Envelope:
    """Return what a delivery says; raises Malformed, with whatever identity and caller of the message could be read."""
    text = _text(delivery, limits)
    try:
        inner = _quick_inner(text) or _inner(text, limits)
        return _envelope(strict_json.parse(inner, "oslo.message", limits.depth), inner)
    except errors.Malformed as error:
        known = _known(text)
        error.message_id = _identity(known.get("_unique_id"))
        error.method = _name(known.get("method"))
        error.reply = _known_reply(known)
        raise


def decode_notification(delivery: interfaces.Delivery, limits: Limits = DEFAULT_LIMITS) -> interfaces.Frame:
    """Return the notification that a delivery is; raises Malformed."""
    inner = _inner(_text(delivery, limits), limits)
    message = strict_json.parse(inner, "oslo.message", limits.depth)
    named = {name: _name(message.get(name)) for name in ("message_id", "event_type", "priority")}
    for name, value in named.items():
        if value is None:
            raise _fault(name, "is missing or not a printable string")
    return interfaces.Frame(
        event_id=str(named["message_id"]),
        event_type=str(named["event_type"]),
        priority=str(named["priority"]),
        publisher_id=str(message.get("publisher_id")),
        payload=message.get("payload"),
        timestamp=str(message.get("timestamp")),
    )


def strip_secret(body: bytes, headers: Mapping[str, Any] | None = None) -> bytes:
    """Return the bytes to park: the body without the sender's token. ``headers`` tell of a compression."""
    return redact.strip_secret(body, headers)


def encode_reply(to: interfaces.ReplyTo, reply: Any) -> bytes:
    """Return the body of the one answer to a call: a JSON value, or a RemoteFailure."""
    if isinstance(reply, interfaces.RemoteFailure):
        return _answer(to, None, _failure(reply), ending=True)
    return _answer(to, reply, None, ending=True)


def heartbeat(to: interfaces.ReplyTo) -> bytes:
    """Return the body that starts the caller's call-monitor timer again; only for a call that has a timeout."""
    return _answer(to, None, None, ending=False)


def encode_notification(frame: interfaces.Frame) -> bytes:
    """Return the body of a notification; its ids are the event's own, the same each time it is sent."""
    inner = msgspec.json.encode(notification(frame)).decode()
    return msgspec.json.encode({"oslo.version": VERSION, "oslo.message": inner})


def notification(frame: interfaces.Frame) -> dict[str, Any]:
    """Return the message that oslo.messaging's notification listeners read."""
    return {
        "message_id": frame.event_id,
        "publisher_id": frame.publisher_id,
        "event_type": frame.event_type,
        "priority": frame.priority,
        "payload": frame.payload,
        "timestamp": frame.timestamp,
        "_unique_id": frame.event_id,
    }


def wrap(message: Mapping[str, Any], default: Callable[[Any], Any] | None = None) -> bytes:
    """Return the body of a message: its envelope as bytes. ``default`` turns what JSON does not know."""
    inner = json.dumps(message, default=default)
    return json.dumps({"oslo.version": VERSION, "oslo.message": inner}).encode()


def _answer(to: interfaces.ReplyTo, result: Any, failure: str | None, *, ending: bool) -> bytes:
    return wrap(
        {
            "result": result,
            "failure": failure,
            "ending": ending,
            "_msg_id": to.msg_id,
            "_unique_id": uuid.uuid4().hex,
        }
    )


def _failure(reply: interfaces.RemoteFailure) -> str:
    return json.dumps(
        {
            "class": reply.exc_class,
            "module": reply.module,
            "message": reply.message,
            "tb": [],
            "args": [reply.message],
            "kwargs": {},
        }
    )


def _text(delivery: interfaces.Delivery, limits: Limits) -> str:
    body = delivery.body
    if len(body) > limits.message_bytes:
        raise inflate.too_large("body", limits.message_bytes)
    encoding = delivery.content_encoding
    if (encoding.lower() if isinstance(encoding, str) else encoding) not in UTF8:
        raise errors.Malformed("content_encoding: is not utf-8", field="content_encoding")
    compression = delivery.headers.get("compression")
    if compression:
        body = inflate.inflate(body, compression, limits.message_bytes)
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise errors.Malformed(f"body: is not UTF-8 at byte {error.start}", field="body") from None


class _Outer(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a message that is as oslo writes it."""

    version: Literal["2.0"] = msgspec.field(name="oslo.version")
    message: str = msgspec.field(name="oslo.message")


_outer = msgspec.json.Decoder(_Outer)


def _quick_inner(text: str) -> str | None:
    """Return the message in a body that says nothing else and nothing twice, or None."""
    try:
        message = _outer.decode(text).message
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    return message if text.count('"oslo.message"') == text.count('"oslo.version"') == 1 else None


def _inner(text: str, limits: Limits) -> str:
    outer = strict_json.parse(text, "body", limits.depth)
    if outer.get("oslo.version") != VERSION:
        raise _fault("oslo.version", f"is not {VERSION!r}")
    inner = outer.get("oslo.message")
    if not isinstance(inner, str):
        raise _fault("oslo.message", "is missing" if inner is None else "is not a string")
    return inner


def _known(text: str) -> dict[str, Any]:
    """Return what can be read of the message in a bad body."""
    inner = strict_json.lenient(text).get("oslo.message")
    return strict_json.lenient(inner) if isinstance(inner, str) else {}


def _envelope(message: dict[str, Any], text: str) -> interfaces.Envelope:
    message_id, method = _identity(message.get("_unique_id")), _name(message.get("method"))
    args = message.get("args", _MISSING)
    if message_id is None:
        raise _fault("_unique_id", "is missing or not 1 to 64 printable ASCII characters")
    if method is None:
        raise _fault("method", f"is missing or not a string of 1 to {_METHOD_LENGTH} printable characters")
    if not isinstance(args, dict):
        raise _fault("args", "is missing" if args is _MISSING else "is not an object")
    plain = not strict_json.has_escapes(text)
    if not plain:
        _check_context(message)
    context = {name: message[key] for key, name in _KEPT.items() if key in message}
    version = _optional_text(message, "version")
    namespace = _optional_text(message, "namespace")
    version = "1.0" if version is None else version  # as oslo's own server takes it
    return interfaces.Envelope(message_id, method, args, version, namespace, context, _reply(message), plain)


def _reply(message: dict[str, Any]) -> interfaces.ReplyTo | None:
    msg_id, queue = _optional_text(message, "_msg_id"), _optional_text(message, "_reply_q")
    timeout = _timeout(message.get("_timeout"))
    if msg_id is None and queue is None:
        return None
    if not msg_id or not queue:
        raise _fault("_reply_q" if msg_id else "_msg_id", "is missing: a call needs both")
    if len(queue.encode()) > 255:  # a routing key of AMQP is not longer
        raise _fault("_reply_q", "is longer than 255 bytes")
    return interfaces.ReplyTo(msg_id, queue, timeout)


def _known_reply(message: dict[str, Any]) -> interfaces.ReplyTo | None:
    """Return where the caller of a bad message waits, if that much of it is good; a bad timeout counts as none."""
    for known in (message, {**message, "_timeout": None}):
        with contextlib.suppress(errors.Malformed):
            return _reply(known)
    return None


def _timeout(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _fault("_timeout", "is neither null nor a number")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not 0 <= seconds <= 1e9:
        raise _fault("_timeout", "is out of range")
    return seconds


def _optional_text(message: dict[str, Any], name: str) -> str | None:
    value = message.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value.isprintable():
        raise _fault(name, "is not a string of printable characters")
    return value


def _check_context(message: dict[str, Any]) -> None:
    for name, value in message.items():
        if name.startswith(CONTEXT) and not all(map(_storable, strict_json.texts({name: value}))):
            raise _fault(name.encode("ascii", "replace").decode(), "has a NUL or a lone surrogate")


def _storable(text: str) -> bool:
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _identity(value: Any) -> str | None:
    return value if isinstance(value, str) and _IDENTITY.fullmatch(value) else None


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= _METHOD_LENGTH and value.isprintable() else None


def _fault(field: str, why: str) -> errors.Malformed:
    return errors.Malformed(f"{field}: {why}", field=field)
