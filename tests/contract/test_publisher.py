"""What every publisher does, on the double, on both in-process transports and on RabbitMQ."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import bus_sides
from worker import errors, interfaces

TOPIC = "stocktake_notifications"


@pytest.fixture
def publisher(side: bus_sides.Side) -> Iterator[interfaces.Publisher]:
    made = side.publisher(TOPIC)
    made.open()
    yield made
    made.close()


def _frame(number: int, priority: str = "INFO") -> interfaces.Frame:
    return interfaces.Frame(
        event_id=f"event-{number}",
        event_type="resource_provider.update",
        priority=priority,
        publisher_id="stocktake:here",
        payload={"sequence": number, "name": "Zoë"},
        timestamp="2026-01-02 03:04:05.000006",
    )


def test_frames_are_confirmed_and_heard_in_order(side: bus_sides.Side, publisher: interfaces.Publisher) -> None:
    confirmed = publisher.publish([_frame(number) for number in range(30)])

    assert confirmed == 30
    assert [message["payload"]["sequence"] for message in side.heard(f"{TOPIC}.info")] == list(range(30))


def test_a_frame_keeps_its_own_id_and_words(side: bus_sides.Side, publisher: interfaces.Publisher) -> None:
    publisher.publish([_frame(7)])

    (message,) = side.heard(f"{TOPIC}.info")
    message.pop("_unique_id", None)  # the in-process transport has none
    assert message == {
        "message_id": "event-7",
        "publisher_id": "stocktake:here",
        "event_type": "resource_provider.update",
        "priority": "INFO",
        "payload": {"sequence": 7, "name": "Zoë"},
        "timestamp": "2026-01-02 03:04:05.000006",
    }


def test_each_priority_has_its_queue(side: bus_sides.Side, publisher: interfaces.Publisher) -> None:
    publisher.publish([_frame(1, "WARN"), _frame(2, "ERROR")])

    heard = {name: side.heard(f"{TOPIC}.{name}") for name in ("info", "warn", "error")}
    assert {name: [each["message_id"] for each in found] for name, found in heard.items()} == {
        "info": [],
        "warn": ["event-1"],
        "error": ["event-2"],
    }


def test_every_topic_gets_a_copy(side: bus_sides.Side) -> None:
    publisher = side.publisher("first", "second")
    publisher.open()

    confirmed = publisher.publish([_frame(1), _frame(2)])
    publisher.close()

    assert confirmed == 2
    assert len(side.heard("first.info")) == len(side.heard("second.info")) == 2


def test_publishing_nothing_confirms_nothing(side: bus_sides.Side, publisher: interfaces.Publisher) -> None:
    assert publisher.publish([]) == 0
    assert side.heard(f"{TOPIC}.info") == []


def test_a_publisher_that_is_not_open_says_so(side: bus_sides.Side) -> None:
    publisher = side.publisher(TOPIC)

    with pytest.raises(errors.BusUnavailable, match="not open"):
        publisher.publish([_frame(1)])


def test_a_closed_publisher_can_be_opened_again(side: bus_sides.Side, publisher: interfaces.Publisher) -> None:
    publisher.publish([_frame(1)])

    publisher.close()
    publisher.open()
    confirmed = publisher.publish([_frame(2)])

    assert confirmed == 1
    assert len(side.heard(f"{TOPIC}.info")) == 2
