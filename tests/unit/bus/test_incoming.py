"""The transports' messages as deliveries whose properties can be kept anywhere."""

from __future__ import annotations

import datetime
import decimal
import json
from typing import Any

import amqp
import pytest

from worker import interfaces
from worker.bus import incoming


def _amqp(body: Any = b"x", *, dead: bool = False, **properties: Any) -> interfaces.Delivery:
    message = amqp.Message(body, **properties)
    message.delivery_info = {"delivery_tag": 7, "redelivered": True}
    return incoming.from_amqp(message, 3, dead)[1]


def test_a_tag_tells_the_lives_of_a_consumer_apart() -> None:
    delivery = _amqp()

    assert (delivery.tag, delivery.redelivered) == ((3, 7), True)


def test_an_empty_body_is_bytes() -> None:
    assert _amqp("").body == b""


def test_odd_header_values_become_plain_ones() -> None:
    headers = {
        "bytes": b"\xff",
        "decimal": decimal.Decimal("1.5"),
        "time": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        "nan": float("nan"),
        "nul": "a\0b",
        "surrogate": "\udc80",
        "deep": [{"x": [True, None, 2]}],
    }

    plain = _amqp(application_headers=headers).headers

    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert "\0" not in "".join(map(str, plain.values()))
    assert plain["surrogate"].encode()
    assert plain["deep"] == [{"x": [True, None, 2]}]


def test_headers_nested_without_end_are_cut_off() -> None:
    nested: dict[str, Any] = {}
    for _ in range(900):
        nested = {"n": nested}

    plain = _amqp(application_headers=nested).headers

    assert isinstance(plain["n"], dict)
    assert json.dumps(plain)


def test_only_a_dead_letter_has_a_reason() -> None:
    headers = {"x-first-death-reason": "expired"}

    assert _amqp(application_headers=headers, dead=True).death_reason == "expired"
    assert _amqp(application_headers=headers).death_reason is None


def _frames(properties: bytes, tag: bytes = b"accounts") -> tuple[int, interfaces.Delivery] | None:
    arguments = bytes((len(tag),)) + tag + (9).to_bytes(8, "big") + b"\x01" + b"\x01e\x01k"
    return incoming.from_frames(arguments, properties, b"body", 3, {b"accounts": False, b"accounts.dead": True})


def test_a_delivery_is_read_off_its_frames_as_py_amqp_reads_it() -> None:
    message = amqp.Message("x", content_type="application/json", application_headers={"a": b"\xff"}, priority=3)
    found = _frames(message._serialize_properties())

    assert found is not None
    tag, delivery = found
    assert (tag, delivery.tag, delivery.body, delivery.redelivered, delivery.dead) == (9, (3, 9), b"body", True, False)
    assert (delivery.content_type, delivery.headers) == (
        "application/json",
        _amqp(application_headers={"a": b"\xff"}).headers,
    )


def test_the_frames_of_a_dead_letter_tell_its_reason() -> None:
    message = amqp.Message("x", application_headers={"x-first-death-reason": "expired"})
    found = _frames(message._serialize_properties(), b"accounts.dead")

    assert found is not None
    assert (found[1].dead, found[1].death_reason) == (True, "expired")


@pytest.mark.parametrize(
    "properties", [b"", b"\xff\xff", b"\x20\x00\x00\x00\x00\x09\x01aZ", b"\x20\x00\xff\xff\xff\xff"]
)
def test_properties_that_cannot_be_read_are_left_to_py_amqp(properties: bytes) -> None:
    assert _frames(properties) is None


def test_a_delivery_to_somebody_else_is_left_to_py_amqp() -> None:
    assert _frames(b"\0\0", b"other") is None
