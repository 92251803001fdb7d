"""The waits between tries to connect."""

from __future__ import annotations

from worker.bus import backoff


def test_waits_double_to_the_limit() -> None:
    waits = backoff.Backoff(random=lambda: 0.0, first=1.0, limit=5.0)

    assert [waits.wait() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_wait_is_splayed_by_up_to_the_splay() -> None:
    waits = backoff.Backoff(random=lambda: 0.5, first=2.0, splay=3.0)

    assert [waits.wait(), waits.wait()] == [3.5, 5.5]


def test_success_begins_anew() -> None:
    waits = backoff.Backoff(random=lambda: 0.0, first=1.0)
    waits.wait()
    waits.wait()

    waits.reset()

    assert waits.wait() == 1.0
