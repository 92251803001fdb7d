"""From the outbox to the bus: in order, again from the first unconfirmed, by one relay at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests import builders
from tests.fakes import bus, clock, relay_store
from worker import errors, relay

SECONDS = 15


class Desk:
    """Relays on one store and one broker."""

    def __init__(self, batch: int = 100) -> None:
        self.store = relay_store.Store()
        self.broker = bus.Broker()
        self.clock = clock.Clock(builders.NOW)
        self.batch = batch

    def relay(self, holder: str = "first") -> relay.Relay:
        publisher = bus.Publisher(self.broker)
        return relay.Relay(self.store, publisher, self.clock, holder, lambda: (self.batch, SECONDS))

    def heard(self) -> list[str]:
        return [frame.event_id for frame in self.broker.frames]


class Loop(relay.RelayLoop):
    """A loop that waits for nobody."""

    INTERVAL = 0.0
    STANDBY = 0.0


def _nothing() -> None:
    pass


def _after(turns: int, act: Callable[[], None]) -> Callable[[], None]:
    """Return chores that act once at their so-manieth turn."""
    left = [turns]

    def chores() -> None:
        left[0] -= 1
        if not left[0]:
            act()

    return chores


def test_what_is_due_goes_out_in_its_order_and_is_marked() -> None:
    desk = Desk()
    desk.store.put("a", "b", "c")
    one = desk.relay()

    assert one.turn() == 3
    assert desk.heard() == ["a", "b", "c"]
    assert (desk.store.sent_ids, one.published) == ([1, 2, 3], 3)
    assert one.turn() == 0


def test_a_batch_is_no_larger_than_the_option_says() -> None:
    desk = Desk(batch=2)
    desk.store.put("a", "b", "c")
    one = desk.relay()

    assert [one.turn(), one.turn(), one.turn()] == [2, 1, 0]
    assert desk.heard() == ["a", "b", "c"]


def test_after_a_partial_confirm_it_goes_on_from_the_first_unconfirmed() -> None:
    desk = Desk()
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
    desk = Desk()
    desk.store.put("a")
    desk.broker.confirms_left = 0
    one = desk.relay()

    with pytest.raises(errors.BusUnavailable, match="confirmed nothing"):
        one.turn()

    assert desk.store.sent_ids == []


def test_what_was_sent_and_not_marked_is_sent_again() -> None:
    desk = Desk()
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
    desk = Desk()
    desk.store.put("a")
    first, second = desk.relay("first"), desk.relay("second")

    assert (first.turn(), second.turn()) == (1, None)
    assert desk.heard() == ["a"]


def test_a_lease_is_renewed_after_a_third_of_it_and_not_before() -> None:
    desk = Desk()
    one = desk.relay()
    one.turn()

    desk.clock.pass_(SECONDS / 3 - 1)
    one.turn()
    desk.clock.pass_(1)
    one.turn()

    assert len(desk.store.acquired) == 2


def test_a_lease_that_ran_out_is_lost_to_the_next_one() -> None:
    desk = Desk()
    first, second = desk.relay("first"), desk.relay("second")
    first.turn()
    desk.clock.pass_(SECONDS + 1)

    took = second.turn()
    desk.store.put("a")

    assert took == 0
    assert first.turn() is None
    assert second.turn() == 1


def test_standing_down_gives_the_lease_to_another_at_once() -> None:
    desk = Desk()
    first, second = desk.relay("first"), desk.relay("second")
    first.turn()

    first.stand_down()

    assert second.turn() == 0
    assert first.turn() is None


@pytest.mark.parametrize("error", [errors.DatabaseUnavailable("gone"), errors.Conflict("busy")])
def test_a_lease_that_cannot_be_given_back_runs_out_by_itself(error: Exception) -> None:
    desk = Desk()
    one = desk.relay()
    one.turn()
    desk.store.failures = [error]

    one.stand_down()

    assert desk.store.holder == "first"


def test_stopping_publishes_what_is_due_first() -> None:
    desk = Desk(batch=2)
    desk.store.put("a", "b", "c", "d", "e")
    loop = Loop(desk.relay(), clock.Backoff(), _nothing)

    loop.stop()
    loop.run()

    assert desk.heard() == ["a", "b", "c", "d", "e"]
    assert desk.store.holder is None


def test_the_loop_publishes_until_it_is_told_to_stop() -> None:
    desk = Desk()
    loop: relay.RelayLoop
    backoff = clock.Backoff()

    def put_and_stop() -> None:
        desk.store.put("late")
        loop.wake()
        loop.stop()

    loop = Loop(desk.relay(), backoff, _after(3, put_and_stop))
    desk.store.put("a")
    loop.run()

    assert desk.heard() == ["a", "late"]
    assert (backoff.waits, backoff.resets > 2) == (0, True)


@pytest.mark.parametrize("error", [errors.DatabaseUnavailable("gone"), errors.Conflict("busy")])
def test_a_database_that_is_away_or_busy_is_waited_for(error: Exception) -> None:
    desk = Desk()
    desk.store.put("a")
    desk.store.failures = [error]
    backoff = clock.Backoff()
    loop: relay.RelayLoop = Loop(desk.relay(), backoff, lambda: loop.stop())  # noqa: PLW0108 - it is not bound yet

    loop.run()

    assert desk.heard() == ["a"]
    assert backoff.waits == 1


def test_a_broker_that_is_away_is_waited_for_and_the_lease_given_up_meanwhile() -> None:
    desk = Desk()
    desk.store.put("a")
    desk.broker.up = False
    holders = []

    def come_back() -> None:
        holders.append(desk.store.holder)
        desk.broker.up = True

    loop: relay.RelayLoop = Loop(desk.relay(), clock.Backoff(come_back), lambda: loop.stop())  # noqa: PLW0108 - not bound yet
    loop.run()

    assert holders == [None]
    assert desk.heard() == ["a"]


def test_stopping_while_the_broker_is_away_ends_all_the_same() -> None:
    desk = Desk()
    desk.store.put("a")
    desk.broker.up = False
    loop = Loop(desk.relay(), clock.Backoff(), _nothing)

    loop.stop()
    loop.run()

    assert (desk.heard(), desk.store.sent_ids) == ([], [])


def test_a_relay_that_stands_by_does_no_chores_and_takes_over_when_the_lease_runs_out() -> None:
    desk = Desk()
    desk.clock = clock.Clock(builders.NOW, step=5_000_000)
    desk.relay("other").turn()
    desk.store.put("a")
    done: list[bool] = []
    loop: relay.RelayLoop

    def chores() -> None:
        done.append(desk.store.holder == "first")
        loop.stop()

    loop = Loop(desk.relay(), clock.Backoff(), chores)
    loop.run()

    assert set(done) == {True}
    assert desk.heard() == ["a"]
