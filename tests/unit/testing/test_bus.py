"""Each fault of the bus, alone: what it does, and that it is no more than a broker does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.fakes import bus as fake_bus
from worker import errors, interfaces
from worker.testing import bus, faults

NAMES = ("one", "two", "three", "four")
ENOUGH = 60
"""So many polls bring everything, whatever is kept back."""


class Desk:
    """A faulty consumer on the fake bus with a few messages in its queue."""

    def __init__(self, *names: str, seed: int = 1, size: int = 10, **rates: Any) -> None:
        self.broker = fake_bus.Broker()
        self.plan = faults.Faults(seed, faults.Rates(**rates))
        self.consumer = bus.FaultyConsumer(fake_bus.Consumer(self.broker, size), self.plan)
        for name in names or NAMES:
            self.broker.send(_body(name))
        self.consumer.open()

    def take(self, polls: int = ENOUGH) -> list[interfaces.Delivery]:
        """Return what comes in so many polls."""
        return [one for _ in range(polls) for one in self.consumer.batch()]

    def again(self) -> list[interfaces.Delivery]:
        """Close and open, without faults from now on, and return what comes."""
        self.plan.calm()
        self.consumer.close()
        self.consumer.open()
        return self.take()


def _body(name: str) -> bytes:
    return f'{{"_unique_id": "{name}"}}'.encode()


def _names(deliveries: Sequence[interfaces.Delivery]) -> list[str]:
    return [one.body.decode().split('"')[3] for one in deliveries]


def test_without_rates_everything_comes_as_it_is() -> None:
    desk = Desk()

    taken = desk.consumer.batch()
    desk.consumer.settle(taken)

    assert _names(taken) == list(NAMES)
    assert (desk.consumer.pending, desk.plan.done, desk.again()) == (0, [], [])


def test_a_connection_that_is_refused_is_not_open() -> None:
    desk = Desk()
    desk.plan.rates = faults.Rates(refuse=1.0)

    with pytest.raises(errors.BusUnavailable, match="fault of seed 1 at the consumer: the connection is lost while it"):
        desk.consumer.open()

    desk.plan.calm()
    with pytest.raises(errors.BusUnavailable, match="the consumer is not open"):
        desk.consumer.batch()


@pytest.mark.parametrize("doing", ["batch", "settle", "beat", "answer", "stop_taking"])
def test_a_dropped_connection_gives_back_all_that_is_not_settled_as_redelivered(doing: str) -> None:
    desk = Desk()
    taken = desk.consumer.batch()
    desk.plan.rates = faults.Rates(drop=1.0)
    to = interfaces.ReplyTo("call", "replies")
    arguments: dict[str, list[Any]] = {"settle": [taken], "answer": [taken[0], to, 1]}

    with pytest.raises(errors.BusUnavailable, match="the connection is lost"):
        getattr(desk.consumer, doing)(*arguments.get(doing, []))

    back = desk.again()
    assert (_names(back), {one.redelivered for one in back}) == (list(NAMES), {True})
    assert desk.broker.answers == []


def test_an_answer_may_have_been_sent_although_the_connection_is_lost() -> None:
    outcomes = set()

    for seed in range(20):
        desk = Desk("one", seed=seed)
        (asked,) = desk.consumer.batch()
        desk.plan.rates = faults.Rates(drop=0.5)
        try:
            desk.consumer.answer(asked, interfaces.ReplyTo("call", "replies"), 1)
            raised = False
        except errors.BusUnavailable:
            raised = True
        outcomes.add((raised, len(desk.broker.answers)))

    assert outcomes == {(False, 1), (True, 0), (True, 1)}


def test_lost_acknowledgements_bring_settled_messages_back_after_the_next_call_has_failed() -> None:
    desk = Desk()
    taken = desk.consumer.batch()
    desk.plan.rates = faults.Rates(lose_acks=1.0)

    desk.consumer.settle(taken)
    with pytest.raises(errors.BusUnavailable, match="the connection is lost while it polls"):
        desk.consumer.batch()

    back = desk.again()
    flushed = len(NAMES) - len(back)
    assert 0 <= flushed < len(NAMES)
    assert _names(back) == list(NAMES[flushed:])
    assert all(one.redelivered for one in back)


def test_settling_nothing_loses_nothing() -> None:
    desk = Desk(lose_acks=1.0)

    desk.consumer.settle([])

    assert _names(desk.consumer.batch()) == list(NAMES)


def test_a_duplicate_is_the_same_message_with_a_tag_of_its_own_and_comes_later() -> None:
    desk = Desk("one", duplicate=1.0)

    first, second = desk.take()

    assert first.body == second.body
    assert first.tag != second.tag
    assert not second.redelivered


def test_a_duplicate_that_is_not_settled_comes_again_and_one_that_is_settled_does_not() -> None:
    desk = Desk("one", duplicate=1.0)
    first, second = desk.take()
    desk.consumer.settle([first])

    (again,) = desk.again()
    desk.consumer.settle([again])

    assert (again.body, again.redelivered) == (second.body, True)
    assert desk.again() == []
    assert desk.consumer.pending == 0


def test_settling_a_duplicate_of_an_earlier_life_takes_nothing_away() -> None:
    desk = Desk("one", duplicate=1.0)
    _, second = desk.take()
    desk.again()

    desk.consumer.settle([second])

    assert len(desk.again()) == 2


def test_a_message_of_somebody_who_is_gone_comes_marked_as_redelivered() -> None:
    desk = Desk(redeliver=1.0)

    taken = desk.take()

    assert [(name, one.redelivered) for name, one in zip(_names(taken), taken, strict=True)] == [
        (name, True) for name in NAMES
    ]


def test_what_is_delayed_comes_after_some_polls_and_is_pending_until_then() -> None:
    desk = Desk(delay=1.0, polls=3)

    first = desk.consumer.batch()
    kept = desk.consumer.pending
    rest = desk.take(3)

    assert first == []
    assert kept == len(NAMES)
    assert sorted(_names(rest)) == sorted(NAMES)
    assert desk.consumer.pending == 0


def test_what_is_delayed_goes_back_when_the_connection_is_closed() -> None:
    desk = Desk(delay=1.0)
    desk.consumer.batch()

    back = desk.again()

    assert _names(back) == list(NAMES)


def test_after_it_was_told_to_stop_nothing_that_is_kept_back_comes() -> None:
    desk = Desk(delay=1.0)
    desk.consumer.batch()

    desk.consumer.stop_taking()

    assert desk.take() == []
    assert len(desk.again()) == len(NAMES)


def test_another_order_has_everything_once() -> None:
    orders = {tuple(_names(Desk(seed=seed, reorder=1.0).consumer.batch())) for seed in range(10)}

    assert len(orders) > 1
    assert {tuple(sorted(order)) for order in orders} == {tuple(sorted(NAMES))}


def test_what_is_cut_off_comes_besides_the_whole_message() -> None:
    desk = Desk("one", truncate=1.0)

    cut, whole = desk.take()

    assert (cut.body, whole.body) == (desk.consumer.truncated[0], _body("one"))
    assert 0 < len(cut.body) < len(whole.body)
    assert whole.body.startswith(cut.body)


def test_a_body_of_one_byte_is_not_cut_off() -> None:
    desk = Desk("one", truncate=1.0)
    desk.take()
    desk.broker.send(b"x")

    (taken,) = desk.take()

    assert taken.body == b"x"
    assert str(desk.plan.done[0]) == "consumer: truncate: one"


def test_a_fault_names_its_message_by_id_or_else_by_length() -> None:
    desk = Desk("one", duplicate=1.0)
    desk.broker.send(b"what", redelivered=True)

    desk.take()

    assert [fault.what for fault in desk.plan.done] == ["one", "4 bytes, redelivered"]


def test_a_lost_message_is_gone_for_good() -> None:
    desk = Desk(lose=1.0)

    assert desk.take() == []
    assert desk.again() == []


def test_no_batch_is_larger_than_asked() -> None:
    desk = Desk(size=3, duplicate=1.0, polls=1)

    first = desk.consumer.batch(begun=1)
    sizes = [len(desk.consumer.batch()) for _ in range(4)]

    assert desk.consumer.batch_size == 3
    assert len(first) == 2
    assert max(sizes) == 3
    assert len(first) + sum(sizes) == 2 * len(NAMES)


def test_a_bus_that_is_really_away_takes_everything_back() -> None:
    desk = Desk("one", duplicate=1.0)
    desk.take()
    desk.broker.up = False

    with pytest.raises(errors.BusUnavailable, match="the broker is down"):
        desk.consumer.beat()

    desk.broker.up = True
    assert len(desk.again()) == 2


class Stall:
    """A faulty publisher on the fake bus."""

    def __init__(self, seed: int = 1, **rates: Any) -> None:
        self.broker = fake_bus.Broker()
        self.plan = faults.Faults(seed, faults.Rates(**rates))
        self.publisher = bus.FaultyPublisher(fake_bus.Publisher(self.broker), self.plan)

    def publish(self, count: int = 5) -> int:
        frames = [interfaces.Frame(f"e{number}", "x.y", "INFO", "here", {}, "now") for number in range(count)]
        return self.publisher.publish(frames)

    @property
    def arrived(self) -> list[str]:
        return [frame.event_id for frame in self.broker.frames]


def test_without_rates_everything_is_published() -> None:
    stall = Stall()
    stall.publisher.open()

    assert stall.publish() == 5
    assert stall.arrived == ["e0", "e1", "e2", "e3", "e4"]


def test_a_publisher_that_is_refused_is_not_open() -> None:
    stall = Stall(refuse=1.0)

    with pytest.raises(errors.BusUnavailable, match="at the publisher: the connection is lost while it is opened"):
        stall.publisher.open()

    stall.plan.calm()
    with pytest.raises(errors.BusUnavailable, match="not open"):
        stall.publish()


def test_a_dropped_publisher_has_sent_nothing_and_must_be_opened_again() -> None:
    stall = Stall(drop=1.0)
    stall.publisher.open()

    with pytest.raises(errors.BusUnavailable, match="before it publishes"):
        stall.publish()

    stall.plan.calm()
    with pytest.raises(errors.BusUnavailable, match="not open"):
        stall.publish()
    assert stall.arrived == []


def test_lost_confirms_tell_of_fewer_than_have_arrived_and_end_the_connection() -> None:
    found = set()

    for seed in range(60):
        stall = Stall(seed, lose_confirms=1.0)
        stall.publisher.open()
        confirmed = stall.publish(2)
        with pytest.raises(errors.BusUnavailable, match="not open"):
            stall.publish()
        found.add((confirmed, len(stall.arrived)))

    assert found == {(0, 1), (0, 2), (1, 2)}


def test_of_a_refused_notification_only_those_before_it_count_while_some_behind_it_arrive() -> None:
    found = set()

    for seed in range(100):
        stall = Stall(seed, nack=1.0)
        stall.publisher.open()
        found.add((stall.publish(3), tuple(stall.arrived)))

    assert found == {
        (0, ()), (0, ("e1",)), (0, ("e1", "e2")), (1, ("e0",)), (1, ("e0", "e2")), (2, ("e0", "e1")),
    }  # fmt: skip


def test_nothing_is_sent_behind_a_bus_that_takes_less() -> None:
    stall = Stall(nack=1.0, seed=3)
    stall.publisher.open()
    stall.broker.confirms_left = 0

    stall.publish()

    assert stall.arrived == []


def test_publishing_nothing_loses_no_confirm() -> None:
    stall = Stall(lose_confirms=1.0, nack=1.0)
    stall.publisher.open()

    assert stall.publish(0) == 0
    stall.publisher.close()
    with pytest.raises(errors.BusUnavailable, match="not open"):
        stall.publish(0)
