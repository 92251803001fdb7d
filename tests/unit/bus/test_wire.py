"""oslo.messaging's envelope, read strictly and written."""

from __future__ import annotations

import bz2
import contextlib
import json
import zlib
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from tests.unit.bus import poison
from worker import errors, interfaces
from worker.bus import wire

TO = interfaces.ReplyTo("call-1", "reply_1", 5.0)


def _message(body: bytes) -> dict[str, Any]:
    outer = json.loads(body)
    assert outer["oslo.version"] == "2.0"
    found: dict[str, Any] = json.loads(outer["oslo.message"])
    return found


@pytest.mark.parametrize("kind", poison.KINDS)
def test_a_bad_message_is_refused_with_the_field_at_fault(kind: str) -> None:
    delivery, field = poison.KINDS[kind]

    with pytest.raises(errors.Malformed) as refused:
        wire.decode(delivery)

    assert refused.value.field == field
    assert field in str(refused.value)


def test_a_cast_is_read_whole() -> None:
    envelope = wire.decode(poison.delivery(poison.body(namespace="n", _context_roles=["admin"])))

    assert envelope == interfaces.Envelope(
        message_id="id-1",
        method="report_node",
        args={"node": {"vcpus": 4}},
        version="1.0",
        namespace="n",
        context={"user": "u"},  # its roles are nobody's matter here
        reply=None,
        plain=True,
    )


@pytest.mark.parametrize(("sent", "read"), [(None, None), (30, 30.0), (0.5, 0.5)])
def test_a_call_tells_where_its_answer_goes(sent: Any, read: float | None) -> None:
    body = json.dumps(poison.GOOD | {"_msg_id": "m", "_reply_q": "q", "_timeout": sent})

    envelope = wire.decode(poison.delivery(poison.wrapped(body)))

    assert envelope.reply == interfaces.ReplyTo("m", "q", read)


def test_the_token_never_gets_into_an_envelope() -> None:
    envelope = wire.decode(poison.delivery(poison.body(_context_auth_token="hush")))

    assert "hush" not in repr(envelope)
    assert envelope.context == {"user": "u"}


def test_text_beyond_ascii_passes() -> None:
    envelope = wire.decode(poison.delivery(poison.body(_context_user="Zoë \U0001f600")))

    assert envelope.context["user"] == "Zoë \U0001f600"


@pytest.mark.parametrize(
    ("body", "compression"),
    [(zlib.compress(poison.body()), "application/x-gzip"), (bz2.compress(poison.body()), "application/x-bz2")],
)
def test_a_compressed_body_is_read(body: bytes, compression: str) -> None:
    envelope = wire.decode(poison.delivery(body, headers={"compression": compression}))

    assert envelope.message_id == "id-1"


def test_a_missing_version_means_the_first_as_oslo_takes_it() -> None:
    assert wire.decode(poison.delivery(poison.body(version=None))).version == "1.0"


def test_an_unknown_version_is_for_the_mapping_to_judge() -> None:
    assert wire.decode(poison.delivery(poison.body(version="9.9"))).version == "9.9"


def test_sixty_levels_of_nesting_pass() -> None:
    text = "[" * 60 + "]" * 60

    envelope = wire.decode(poison.delivery(poison.inner(f'{{"node": {text}}}')))

    assert list(envelope.args) == ["node"]


def test_many_brackets_side_by_side_are_not_deep() -> None:
    envelope = wire.decode(poison.delivery(poison.body(args={"node": [[] for _ in range(500)]})))

    assert len(envelope.args["node"]) == 500


def test_a_refusal_tells_what_could_still_be_read() -> None:
    bad = poison.delivery(poison.inner('{"node": NaN}'))

    with pytest.raises(errors.Malformed) as refused:
        wire.decode(bad)

    assert (refused.value.message_id, refused.value.method) == ("id-1", "report_node")


CALL = '"_msg_id": "m", "_reply_q": "q", "_timeout": 30'
BAD_CALLS = {
    "NaN": f'{{"_unique_id": "1", "method": "x", "args": {{"a": NaN}}, {CALL}}}',
    "a bad version": f'{{"_unique_id": "1", "method": "x", "args": {{}}, "version": 5, {CALL}}}',
    "a key twice": f'{{"_unique_id": "1", "method": "x", "args": {{"a": 1, "a": 2}}, {CALL}}}',
    "100 levels": f'{{{CALL}, "_unique_id": "1", "method": "x", "args": {{"a": {"[" * 100}{"]" * 100}}}}}',
    "10,000 levels": f'{{"args": {{"]": {"[" * 10_000}"}}"{"]" * 10_000}}}, "_unique_id": "1", "method": "x", {CALL}}}',
    "bad args": f'{{"_unique_id": "1", "method": "x", "args": [1], {CALL}}}',
    "no id": f'{{"method": "x", "args": {{}}, {CALL}}}',
}


def _refused(body: bytes) -> errors.Malformed:
    with pytest.raises(errors.Malformed) as refused:
        wire.decode(poison.delivery(body))
    return refused.value


@pytest.mark.parametrize("kind", BAD_CALLS)
def test_a_refusal_tells_where_the_caller_waits(kind: str) -> None:
    refused = _refused(poison.wrapped(BAD_CALLS[kind]))

    assert refused.reply == interfaces.ReplyTo("m", "q", 30.0)
    assert refused.method == "x"


@pytest.mark.parametrize(
    "inner",
    ['{"a": [], "b": ' + "[" * 5000, "[" * 5000 + '"' + '\\"' * 500_000, '{"a": ' + "[" * 5000 + "}" * 5000 + '"b": [[',
     "[[]" * 5000],
    ids=["left open", "a string without end", "closed wrongly", "open and closed"],
)  # fmt: skip
def test_nothing_is_read_of_what_is_deep_and_broken(inner: str) -> None:
    refused = _refused(poison.wrapped(inner))

    assert (refused.field, refused.method, refused.reply) == ("oslo.message", None, None)


def test_a_call_in_an_envelope_of_another_version_can_be_answered() -> None:
    refused = _refused(poison.wrapped(BAD_CALLS["bad args"], "3.0"))

    assert (refused.field, refused.reply) == ("oslo.version", interfaces.ReplyTo("m", "q", 30.0))


@pytest.mark.parametrize("timeout", ["60", True, -1, 10**400])
def test_a_bad_timeout_of_a_call_counts_as_none(timeout: Any) -> None:
    refused = _refused(poison.body(_msg_id="m", _reply_q="q", _timeout=timeout))

    assert refused.reply == interfaces.ReplyTo("m", "q", None)


@pytest.mark.parametrize(
    "call",
    [{}, {"_msg_id": "m"}, {"_reply_q": "q"}, {"_msg_id": 1, "_reply_q": "q"}, {"_msg_id": "m", "_reply_q": "q" * 300},
     {"_msg_id": "m\0", "_reply_q": "q"}, {"_msg_id": "m", "_reply_q": "\udc80"}],
)  # fmt: skip
def test_a_caller_that_cannot_be_named_for_sure_is_none(call: dict[str, Any]) -> None:
    assert _refused(poison.body(args=[1], **call)).reply is None


def test_a_refusal_names_the_option_of_the_size_limit() -> None:
    with pytest.raises(errors.Malformed, match=r"larger than 100 bytes \(\[limits\] message_bytes\)"):
        wire.decode(poison.delivery(poison.body()), wire.Limits(message_bytes=100))


def test_a_refusal_says_nothing_of_the_token() -> None:
    bad = poison.delivery(poison.wrapped('{"_context_auth_token": "hush", "_context_auth_token": "hush"}'))

    with pytest.raises(errors.Malformed) as refused:
        wire.decode(bad)

    assert "hush" not in str(refused.value)


@hypothesis.given(st.binary(max_size=400))
def test_whatever_the_bytes_are_nothing_but_a_refusal_comes_out(noise: bytes) -> None:
    for body in (noise, poison.wrapped(noise.decode("latin-1")), poison.inner(noise.decode("latin-1"))):
        with contextlib.suppress(errors.Malformed):
            assert wire.decode(poison.delivery(body)).method == "report_node"


def test_an_answer_has_all_five_fields() -> None:
    message = _message(wire.encode_reply(TO, {"used": [1, None]}))

    assert message.pop("_unique_id")
    assert message == {"result": {"used": [1, None]}, "failure": None, "ending": True, "_msg_id": "call-1"}


def test_each_answer_has_an_id_of_its_own() -> None:
    first, second = (_message(wire.encode_reply(TO, 1)) for _ in range(2))

    assert first["_unique_id"] != second["_unique_id"]


def test_a_failure_goes_out_as_text_that_the_caller_can_build_its_class_from() -> None:
    message = _message(wire.encode_reply(TO, interfaces.RemoteFailure("NotFound", "node n1 is unknown")))

    assert message["result"] is None
    assert json.loads(message["failure"]) == {
        "class": "NotFound",
        "module": "objects.exceptions",
        "message": "node n1 is unknown",
        "tb": [],
        "args": ["node n1 is unknown"],
        "kwargs": {},
    }


def test_a_heartbeat_does_not_end_the_call() -> None:
    message = _message(wire.heartbeat(TO))

    assert (message["ending"], message["result"], message["failure"]) == (False, None, None)


def test_a_notification_carries_the_event_id_twice() -> None:
    frame = interfaces.Frame("e-1", "claim.refuse", "WARN", "stocktake:h", {"a": 1}, "2026-01-02 03:04:05.000006")

    message = _message(wire.encode_notification(frame))

    assert message == {
        "message_id": "e-1",
        "_unique_id": "e-1",
        "publisher_id": "stocktake:h",
        "event_type": "claim.refuse",
        "priority": "WARN",
        "payload": {"a": 1},
        "timestamp": "2026-01-02 03:04:05.000006",
    }
