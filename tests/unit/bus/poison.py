"""Messages that cannot be taken: what is wrong, the delivery, and the field that the reason must name."""

from __future__ import annotations

import bz2
import json
import zlib
from typing import Any

from worker import interfaces

GOOD: dict[str, Any] = {
    "method": "report_node",
    "args": {"node": {"vcpus": 4}},
    "version": "1.0",
    "_unique_id": "id-1",
    "_context_user": "u",
}


def body(**changes: Any) -> bytes:
    """Return a good message's body with some fields changed; None removes one."""
    message = {name: value for name, value in (GOOD | changes).items() if value is not None}
    return wrapped(json.dumps(message))


def wrapped(inner: Any, version: Any = "2.0") -> bytes:
    return json.dumps({"oslo.version": version, "oslo.message": inner}).encode()


def delivery(content: bytes, **properties: Any) -> interfaces.Delivery:
    return interfaces.Delivery(tag=1, body=content, **properties)


def inner(text: str) -> bytes:
    """Return the body of a message whose arguments are this text."""
    return wrapped(f'{{"_unique_id": "id-1", "method": "report_node", "version": "1.0", "args": {text}}}')


def nest(levels: int) -> bytes:
    """Return the body of a message whose argument is nested so deep."""
    return inner(f'{{"node": {"[" * levels}1{"]" * levels}}}')


GZIP = {"compression": "application/x-gzip"}
BZIP2 = {"compression": "application/x-bz2"}

KINDS: dict[str, tuple[interfaces.Delivery, str]] = {
    "an empty body": (delivery(b""), "body"),
    "no JSON": (delivery(b"hello"), "body"),
    "no UTF-8": (delivery(b'{"oslo.version": "\xff"}'), "body"),
    "a pickle": (delivery(b"\x80\x04K\x01.", content_type="application/x-python-serialize"), "body"),
    "utf-16 encoding": (delivery(body().decode().encode("utf-16"), content_encoding="utf-16"), "content_encoding"),
    "utf-7 encoding": (delivery(body(), content_encoding="utf-7"), "content_encoding"),
    "a list": (delivery(b"[1, 2]"), "body"),
    "a number": (delivery(b"17"), "body"),
    "100,000 brackets": (delivery(b"[" * 100_000), "body"),
    "the old form without envelope": (delivery(json.dumps(GOOD).encode()), "oslo.version"),
    "another envelope version": (delivery(wrapped("{}", "3.0")), "oslo.version"),
    "a number as envelope version": (delivery(wrapped("{}", 2.0)), "oslo.version"),
    "no oslo.message": (delivery(b'{"oslo.version": "2.0"}'), "oslo.message"),
    "oslo.message an object": (delivery(wrapped({"method": "x"})), "oslo.message"),
    "oslo.message no JSON": (delivery(wrapped("{")), "oslo.message"),
    "oslo.message a list": (delivery(wrapped("[]")), "oslo.message"),
    "envelope keys twice": (delivery(b'{"oslo.version": "2.0", "oslo.version": "2.0"}'), "oslo.version"),
    "argument twice": (delivery(inner('{"node": 1, "node": 2}')), "node"),
    "NaN": (delivery(inner('{"node": {"vcpus": NaN}}')), "args.node.vcpus"),
    "Infinity": (delivery(inner('{"node": [0, -Infinity]}')), "args.node[1]"),
    "1e400": (delivery(inner('{"node": 1e400}')), "args.node"),
    "an integer of 5,000 digits": (delivery(inner(f'{{"node": {"9" * 5000}}}')), "args.node"),
    "1,000 levels": (delivery(nest(1000)), "oslo.message"),
    "100 levels": (delivery(nest(100)), "args"),
    "no id": (delivery(body(_unique_id=None)), "_unique_id"),
    "an empty id": (delivery(body(_unique_id="")), "_unique_id"),
    "an id too long": (delivery(body(_unique_id="x" * 65)), "_unique_id"),
    "an id with a NUL": (delivery(body(_unique_id="x\0")), "_unique_id"),
    "a number as id": (delivery(body(_unique_id=7)), "_unique_id"),
    "no method": (delivery(body(method=None)), "method"),
    "a list as method": (delivery(body(method=["x"])), "method"),
    "a method with a lone surrogate": (delivery(body(method="x\ud800")), "method"),
    "no args": (delivery(body(args=None)), "args"),
    "a list as args": (delivery(body(args=[1])), "args"),
    "a number as version": (delivery(body(version=1)), "version"),
    "a number as namespace": (delivery(body(namespace=1)), "namespace"),
    "text as _timeout": (delivery(body(_msg_id="m", _reply_q="q", _timeout="60")), "_timeout"),
    "true as _timeout": (delivery(body(_msg_id="m", _reply_q="q", _timeout=True)), "_timeout"),
    "a _timeout beyond any float": (delivery(body(_msg_id="m", _reply_q="q", _timeout=10**400)), "_timeout"),
    "a number as _reply_q": (delivery(body(_msg_id="m", _reply_q=1)), "_reply_q"),
    "a number as _msg_id": (delivery(body(_msg_id=1, _reply_q="q")), "_msg_id"),
    "half a call": (delivery(body(_msg_id="m")), "_reply_q"),
    "a queue name no broker has": (delivery(body(_msg_id="m", _reply_q="q" * 300)), "_reply_q"),
    "a lone surrogate in the context": (delivery(body(_context_user="\ud800")), "_context_user"),
    "a NUL deep in the context": (delivery(body(_context_roles=["a", {"b": "\0"}])), "_context_roles"),
    "10 MB": (delivery(b" " * 10_000_000), "body"),
    "200 MB in 200 KB": (delivery(zlib.compress(b"\0" * 200_000_000, 1), headers=GZIP), "body"),
    "20 MB in bzip2": (delivery(bz2.compress(b"\0" * 20_000_000, 1), headers=BZIP2), "body"),
    "corrupt zlib": (delivery(b"nonsense", headers=GZIP), "body"),
    "corrupt bzip2": (delivery(b"nonsense", headers=BZIP2), "body"),
    "half a zlib stream": (delivery(zlib.compress(body())[:-9], headers=GZIP), "body"),
    "an unknown compression": (delivery(body(), headers={"compression": "application/zstd"}), "compression"),
    "a number as compression": (delivery(body(), headers={"compression": 5}), "compression"),
}
