"""Whose callers are told that somebody works on their call, and when."""

from __future__ import annotations

from tests.unit.bus import poison
from worker import interfaces
from worker.bus import calls


def _call(timeout: float | None, tag: int = 1) -> interfaces.Delivery:
    body = poison.body(_msg_id=f"m{tag}", _reply_q="q", _timeout=timeout)
    return interfaces.Delivery(tag=tag, body=body)


def test_a_call_with_a_timeout_hears_at_once_and_then_each_half_of_it() -> None:
    waiting = calls.CallsInHand()
    waiting.add(_call(10))

    heard = [len(waiting.due(now)) for now in (100.0, 104.9, 105.0, 109.0, 110.0)]

    assert heard == [1, 0, 1, 0, 1]


def test_a_call_without_timeout_must_not_hear_anything() -> None:
    waiting = calls.CallsInHand()

    waiting.add(_call(None))

    assert waiting.due(1e9) == []


def test_an_answered_call_hears_no_more() -> None:
    waiting = calls.CallsInHand()
    waiting.add(_call(10, tag=1))
    waiting.add(_call(10, tag=2))

    waiting.forget(1)

    assert [to.msg_id for to in waiting.due(0.0)] == ["m2"]


def test_a_bad_call_hears_too_until_it_is_answered() -> None:
    waiting = calls.CallsInHand()

    waiting.add(poison.delivery(poison.body(args=[1], _msg_id="m", _reply_q="q", _timeout=10)))

    assert [to.msg_id for to in waiting.due(0.0)] == ["m"]


def test_casts_and_what_cannot_be_read_are_no_calls() -> None:
    waiting = calls.CallsInHand()

    waiting.add(poison.delivery(poison.body()))
    waiting.add(poison.delivery(b'"_reply_q" and more'))
    waiting.add(poison.delivery(b"nonsense", headers=poison.GZIP))

    assert waiting.due(0.0) == []
