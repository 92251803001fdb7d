"""From the outbox to the bus: in order, again from the first unconfirmed, by one relay at a time."""

from __future__ import annotations

import pytest

from tests.fakes import bus
from tests.unit import relay_desk
from worker import errors, relay


def test_what_is_due_goes_out_in_its_order_and_is_marked() -> None:
    desk = relay_desk.Desk()
    desk.store.put("a", "b", "c")
    one = desk.relay()

    assert one.turn() == 3
    assert desk.heard() == ["a", "b", "c"]
    assert (desk.store.sent_ids, one.published) == ([1, 2, 3], 3)
    assert one.turn() == 0


def test_a_batch_is_no_larger_than_the_option_says() -> None:
    desk = relay_desk.Desk(batch=2)
    desk.store.put("a", "b", "c")
    one = desk.relay()

    assert [one.turn(), one.turn(), one.turn()] == [2, 1, 0]
    assert desk.heard() == ["a", "b", "c"]


def test_after_a_partial_confirm_it_goes_on_from_the_first_unconfirmed() -> None:
    desk = relay_desk.Desk()
    desk.store.put("a", "b", "c")
    desk.broker.confirms_left = 2
    one = desk.relay()

    confirmed = one.turn()
    marked = list(desk.store.sent_ids)
    desk.broker.confirms_left = None
    one.turn()

    assert (confirmed, marked) == (2, [1, 2])
    assert desk.heard() == ["a", "b", "c"]


def test_a_broker_that_confirms_nothing_counts_as_away() -> None:
    desk = relay_desk.Desk()
    desk.store.put("a")
    desk.broker.confirms_left = 0
    one = desk.relay()

    with pytest.raises(errors.BusUnavailable, match="confirmed nothing"):
        one.turn()

    assert desk.store.sent_ids == []


def test_what_was_sent_and_not_marked_is_sent_again() -> None:
    desk = relay_desk.Desk()
    desk.store.put("a")
    one = desk.relay()
    one.turn()
    desk.store.put("b")
    desk.store.failures = [errors.DatabaseUnavailable("gone")]

    with pytest.raises(errors.DatabaseUnavailable):
        one.turn()
    one.turn()

    assert desk.heard() == ["a", "b"]


def test_only_the_holder_of_the_lease_publishes() -> None:
    desk = relay_desk.Desk()
    desk.store.put("a")
    first, second = desk.relay("first"), desk.relay("second")

    assert (first.turn(), second.turn()) == (1, None)
    assert desk.heard() == ["a"]


def test_a_lease_is_renewed_after_a_third_of_it_and_not_before() -> None:
    desk = relay_desk.Desk()
    one = desk.relay()
    one.turn()

    desk.clock.pass_(relay_desk.SECONDS / 3 - 1)
    one.turn()
    desk.clock.pass_(1)
    one.turn()

    assert len(desk.store.acquired) == 2


def test_a_lease_that_ran_out_is_lost_to_the_next_one() -> None:
    desk = relay_desk.Desk()
    first, second = desk.relay("first"), desk.relay("second")
    first.turn()
    desk.clock.pass_(relay_desk.SECONDS + 1)

    took = second.turn()
    desk.store.put("a")

    assert took == 0
    assert first.turn() is None
    assert second.turn() == 1


def test_standing_down_gives_the_lease_to_another_at_once() -> None:
    desk = relay_desk.Desk()
    first, second = desk.relay("first"), desk.relay("second")
    first.turn()

    first.stand_down()

    assert second.turn() == 0
    assert first.turn() is None


@pytest.mark.parametrize("error", [errors.DatabaseUnavailable("gone"), errors.Conflict("busy")])
def test_a_lease_that_cannot_be_given_back_runs_out_by_itself(error: Exception) -> None:
    desk = relay_desk.Desk()
    one = desk.relay()
    one.turn()
    desk.store.failures = [error]

    one.stand_down()

    assert desk.store.holder == "first"


def test_a_clock_put_back_does_not_put_the_renewal_off() -> None:
    desk = relay_desk.Desk()
    one, seconds = desk.relay(), [100.0]
    one.monotonic = lambda: seconds[0]
    one.turn()

    desk.clock.pass_(-3600)
    seconds[0] += relay_desk.SECONDS / 3
    one.turn()

    assert len(desk.store.acquired) == 2


def test_a_relay_that_lost_its_lease_while_it_published_marks_nothing_and_stands_by() -> None:
    desk = relay_desk.Desk()
    desk.store.put("a")
    first, second = desk.relay("first"), desk.relay("second")

    def pause() -> None:
        desk.clock.pass_(relay_desk.SECONDS + 1)
        second.turn()
        desk.store.sent_ids.clear()  # an operator has it sent again

    desk.meanwhile = pause
    done = first.turn()

    assert (done, desk.store.sent_ids, desk.store.holder) == (None, [], "second")
    assert first.turn() is None
    assert second.turn() == 1


def test_a_broker_that_confirms_later_than_a_lease_lasts_does_not_cost_the_relay_its_lease() -> None:
    desk = relay_desk.Desk()
    desk.store.put("a")
    first, second = desk.relay("first"), desk.relay("second")
    others = []

    def wait() -> None:
        for _ in range(3):
            desk.clock.pass_(relay_desk.SECONDS - 1)
            first.keep()
            others.append(second.turn())

    desk.meanwhile = wait
    done = first.turn()

    assert (done, others, desk.store.holder, desk.heard()) == (1, [None] * 3, "first", ["a"])
    assert len(desk.store.sent_ids) == 1


def test_a_database_that_is_away_meanwhile_does_not_end_a_batch() -> None:
    desk = relay_desk.Desk()
    desk.store.put("a")
    first = desk.relay("first")

    def wait() -> None:
        desk.clock.pass_(relay_desk.SECONDS / 2)
        desk.store.failures.append(errors.DatabaseUnavailable("gone"))
        first.keep()

    desk.meanwhile = wait

    assert first.turn() == 1


def test_the_active_relay_opens_its_publisher_before_anything_is_due() -> None:
    desk = relay_desk.Desk()
    opened = []

    class Noting(bus.Publisher):
        def open(self) -> None:
            super().open()
            opened.append(desk.store.holder)

    active, standing_by = (
        relay.Relay(desk.store, Noting(desk.broker), desk.clock, holder, lambda: (100, relay_desk.SECONDS))
        for holder in "ab"
    )
    active.turn()
    active.turn()
    standing_by.turn()

    assert opened == ["a"]


def test_an_idle_connection_is_kept_alive() -> None:
    desk = relay_desk.Desk()
    one, turns = desk.relay(), []
    one.turn()

    desk.meanwhile = lambda: turns.append("published nothing")
    one.turn()

    assert turns == ["published nothing"]


def test_a_relay_is_behind_as_long_as_its_batches_are_full() -> None:
    desk = relay_desk.Desk(batch=2)
    desk.store.put("a", "b", "c")
    one = desk.relay()

    full, left, none = ((one.turn(), one.behind) for _ in range(3))

    assert (full, left, none) == ((2, True), (1, False), (0, False))
