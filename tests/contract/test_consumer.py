"""What every consumer does, on the double, on both in-process transports and on RabbitMQ."""

from __future__ import annotations

from collections.abc import Iterator

import oslo_messaging
import pytest

from tests import bus_sides
from worker import errors, interfaces
from worker.bus import wire


@pytest.fixture
def consumer(side: bus_sides.Side) -> Iterator[interfaces.Consumer]:
    made = side.consumer()
    made.open()
    yield made
    made.close()


def _methods(deliveries: list[interfaces.Delivery]) -> list[str]:
    return [wire.decode(delivery).method for delivery in deliveries]


def _take(consumer: interfaces.Consumer, count: int, haste: float = 0.0) -> list[interfaces.Delivery]:
    taken: list[interfaces.Delivery] = []

    def enough() -> bool:
        taken.extend(consumer.batch(haste=haste))
        return len(taken) >= count

    bus_sides.until(enough, f"{count} deliveries")
    return taken


def test_casts_come_in_the_order_they_were_sent(side: bus_sides.Side, consumer: interfaces.Consumer) -> None:
    for name in ("one", "two", "three"):
        side.cast(name)

    taken = _take(consumer, 3)

    assert _methods(taken) == ["one", "two", "three"]


def test_a_cast_says_what_its_sender_meant_without_the_token(
    side: bus_sides.Side, consumer: interfaces.Consumer
) -> None:
    side.cast("report")

    (delivery,) = _take(consumer, 1)

    envelope = wire.decode(delivery)
    assert (envelope.method, envelope.args, envelope.version) == ("report", {"number": 1}, "1.0")
    assert envelope.context == {"request_id": "req-1"}
    assert envelope.reply is None


def test_a_batch_is_never_larger_than_asked(side: bus_sides.Side) -> None:
    consumer = side.consumer(batch_size=2)
    consumer.open()
    for name in ("one", "two", "three"):
        side.cast(name)

    first = consumer.batch()
    second = consumer.batch()
    consumer.close()

    assert (_methods(first), _methods(second)) == (["one", "two"], ["three"])


def test_a_batch_that_has_begun_is_filled_up_and_no_more(side: bus_sides.Side) -> None:
    consumer = side.consumer(batch_size=3)
    consumer.open()
    for name in ("one", "two", "three"):
        side.cast(name)

    first, more = consumer.batch(begun=1), consumer.batch(begun=3)
    rest = consumer.batch(begun=2)
    consumer.close()

    assert (_methods(first), more, _methods(rest)) == (["one", "two"], [], ["three"])


def test_in_haste_a_batch_is_not_waited_for(side: bus_sides.Side) -> None:
    consumer = side.consumer(batch_wait=3600.0)
    consumer.open()
    side.cast("one")

    taken = _take(consumer, 1, haste=1.0)
    consumer.close()

    assert _methods(taken) == ["one"]


def test_an_empty_queue_gives_an_empty_batch(consumer: interfaces.Consumer) -> None:
    assert consumer.batch() == []


def test_what_is_not_settled_comes_again(side: bus_sides.Side, consumer: interfaces.Consumer) -> None:
    side.cast("one")
    side.cast("two")
    _take(consumer, 2)

    consumer.close()
    consumer.open()

    assert sorted(_methods(_take(consumer, 2))) == ["one", "two"]


def test_what_is_settled_is_gone(side: bus_sides.Side, consumer: interfaces.Consumer) -> None:
    side.cast("one")
    side.cast("two")
    consumer.settle(_take(consumer, 2))

    consumer.close()
    consumer.open()

    assert consumer.batch() == []


def test_only_what_is_settled_is_gone_in_whatever_order(side: bus_sides.Side, consumer: interfaces.Consumer) -> None:
    for name in ("one", "two", "three", "four"):
        side.cast(name)
    _, two, _, four = _take(consumer, 4)
    consumer.settle([four, two])

    consumer.close()
    consumer.open()

    assert sorted(_methods(_take(consumer, 2))) == ["one", "three"]
    assert consumer.batch() == []


def test_settling_a_delivery_of_an_earlier_life_takes_nothing_away(
    side: bus_sides.Side, consumer: interfaces.Consumer
) -> None:
    side.cast("one")
    old = _take(consumer, 1)
    consumer.close()
    consumer.open()
    taken = _take(consumer, 1)

    consumer.settle(old)
    consumer.close()
    consumer.open()

    assert _methods(taken) == _methods(_take(consumer, 1)) == ["one"]


def test_after_stopping_nothing_more_is_taken_and_the_batch_in_hand_can_be_settled(
    side: bus_sides.Side, consumer: interfaces.Consumer
) -> None:
    side.cast("one")
    taken = _take(consumer, 1)

    consumer.stop_taking()
    side.cast("two")
    after = consumer.batch()
    consumer.settle(taken)
    consumer.close()
    consumer.open()

    assert after == []
    assert _methods(_take(consumer, 1)) == ["two"]


def test_a_call_gets_its_answer(side: bus_sides.Side, consumer: interfaces.Consumer) -> None:
    waiting = side.call("ask")
    (delivery,) = _take(consumer, 1)
    to = wire.decode(delivery).reply
    assert to is not None

    consumer.answer(delivery, to, {"used": [1, None]})
    consumer.settle([delivery])

    assert waiting.result(timeout=10) == {"used": [1, None]}


def test_a_failed_call_raises_in_its_caller(side: bus_sides.Side, consumer: interfaces.Consumer) -> None:
    waiting = side.call("ask")
    (delivery,) = _take(consumer, 1)
    to = wire.decode(delivery).reply
    assert to is not None

    consumer.answer(delivery, to, interfaces.RemoteFailure("NoSuchError", "node n1 is unknown", "no.such.module"))
    consumer.settle([delivery])

    with pytest.raises(oslo_messaging.RemoteError, match="node n1 is unknown"):
        waiting.result(timeout=10)


def test_a_consumer_that_is_not_open_says_so(side: bus_sides.Side) -> None:
    consumer = side.consumer()

    with pytest.raises(errors.BusUnavailable, match="not open"):
        consumer.batch()


def test_closing_twice_is_harmless(consumer: interfaces.Consumer) -> None:
    consumer.close()
    consumer.close()

    with pytest.raises(errors.BusUnavailable, match="not open"):
        consumer.beat()


def test_a_beat_leaves_what_is_in_hand(side: bus_sides.Side, consumer: interfaces.Consumer) -> None:
    side.cast("one")
    taken = _take(consumer, 1)

    consumer.beat()
    consumer.settle(taken)
    consumer.close()
    consumer.open()

    assert consumer.batch() == []
