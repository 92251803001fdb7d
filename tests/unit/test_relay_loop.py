"""The relay at work until it is told to stop, whatever goes wrong."""

from __future__ import annotations

import logging

import pytest

from tests import builders
from tests.fakes import clock
from tests.unit import relay_desk
from worker import errors, relay


def test_stopping_publishes_what_is_due_first() -> None:
    desk = relay_desk.Desk(batch=2)
    desk.store.put("a", "b", "c", "d", "e")
    loop = relay_desk.Loop(desk.relay(), clock.Backoff(), relay_desk.nothing)

    loop.stop()
    loop.run()

    assert desk.heard() == ["a", "b", "c", "d", "e"]
    assert desk.store.holder is None


def test_the_loop_publishes_until_it_is_told_to_stop() -> None:
    desk = relay_desk.Desk()
    loop: relay.RelayLoop
    backoff = clock.Backoff()

    def put_and_stop() -> None:
        desk.store.put("late")
        loop.wake()
        loop.stop()

    loop = relay_desk.Loop(desk.relay(), backoff, relay_desk.after(3, put_and_stop))
    desk.store.put("a")
    loop.run()

    assert desk.heard() == ["a", "late"]
    assert (backoff.waits, backoff.resets > 2) == (0, True)


@pytest.mark.parametrize("error", [errors.DatabaseUnavailable("gone"), errors.Conflict("busy")])
def test_a_database_that_is_away_or_busy_is_waited_for(error: Exception) -> None:
    desk = relay_desk.Desk()
    desk.store.put("a")
    desk.store.failures = [error]
    backoff = clock.Backoff()
    loop: relay.RelayLoop = relay_desk.Loop(desk.relay(), backoff, lambda: loop.stop())  # noqa: PLW0108 - it is not bound yet

    loop.run()

    assert desk.heard() == ["a"]
    assert backoff.waits == 1


def test_a_broker_that_is_away_is_waited_for_and_the_lease_given_up_meanwhile() -> None:
    desk = relay_desk.Desk()
    desk.store.put("a")
    desk.broker.up = False
    holders = []

    def come_back() -> None:
        holders.append(desk.store.holder)
        desk.broker.up = True

    loop: relay.RelayLoop = relay_desk.Loop(desk.relay(), clock.Backoff(come_back), lambda: loop.stop())  # noqa: PLW0108 - not bound yet
    loop.run()

    assert holders == [None]
    assert desk.heard() == ["a"]


def test_stopping_while_the_broker_is_away_ends_all_the_same() -> None:
    desk = relay_desk.Desk()
    desk.store.put("a")
    desk.broker.up = False
    loop = relay_desk.Loop(desk.relay(), clock.Backoff(), relay_desk.nothing)

    loop.stop()
    loop.run()

    assert (desk.heard(), desk.store.sent_ids) == ([], [])


def test_a_relay_that_stands_by_does_no_chores_and_takes_over_when_the_lease_runs_out() -> None:
    desk = relay_desk.Desk()
    desk.clock = clock.Clock(builders.NOW, step=5_000_000)
    desk.relay("other").turn()
    desk.store.put("a")
    done: list[bool] = []
    loop: relay.RelayLoop

    def chores() -> None:
        done.append(desk.store.holder == "first")
        loop.stop()

    loop = relay_desk.Loop(desk.relay(), clock.Backoff(), chores)
    loop.run()

    assert set(done) == {True}
    assert desk.heard() == ["a"]


def test_stopping_leaves_what_became_due_afterwards_to_the_next_one() -> None:
    desk = relay_desk.Desk(batch=2)
    desk.store.put("a", "b", "c")

    def go_on() -> None:
        desk.store.put("later")
        desk.meanwhile = go_on

    desk.meanwhile = go_on
    loop = relay_desk.Loop(desk.relay(), clock.Backoff(), relay_desk.nothing)
    loop.stop()
    loop.run()

    assert desk.heard() == ["a", "b", "c"]
    assert desk.store.holder is None


def test_stopping_ends_after_a_few_batches_whatever_is_due() -> None:
    desk = relay_desk.Desk(batch=1)
    desk.store.put(*map(str, range(relay_desk.Loop.LAST_TURNS + 5)))
    loop = relay_desk.Loop(desk.relay(), clock.Backoff(), relay_desk.nothing)

    loop.stop()
    loop.run()

    assert len(desk.heard()) == relay_desk.Loop.LAST_TURNS
    assert desk.store.holder is None


def test_what_nobody_expected_is_told_once_in_full_and_waited_out(caplog: pytest.LogCaptureFixture) -> None:
    desk = relay_desk.Desk()
    desk.store.put("a")
    desk.store.failures = [ZeroDivisionError("one row"), ZeroDivisionError("one row")]
    backoff = clock.Backoff()
    loop: relay.RelayLoop = relay_desk.Loop(desk.relay(), backoff, lambda: loop.stop())  # noqa: PLW0108 - it is not bound yet

    with caplog.at_level(logging.WARNING, "worker.relay"):
        loop.run()

    told = [record for record in caplog.records if "ZeroDivisionError: one row" in record.getMessage()]
    assert [bool(record.exc_info) for record in told] == [True, False]
    assert (desk.heard(), backoff.waits) == (["a"], 2)


def test_a_chore_that_fails_for_any_reason_does_not_end_the_loop() -> None:
    desk = relay_desk.Desk()
    desk.store.put("a")
    loop: relay.RelayLoop
    turns = [0]

    def chores() -> None:
        turns[0] += 1
        if turns[0] == 1:
            raise ZeroDivisionError
        loop.stop()

    loop = relay_desk.Loop(desk.relay(), clock.Backoff(), chores)
    loop.run()

    assert (desk.heard(), turns, desk.store.holder) == (["a"], [2], None)
