"""kombu's in-process transport: the same consumer and publisher as RabbitMQ's, with what is different there."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import oslo_messaging
import pytest

from tests import bus_sides
from worker import errors, interfaces
from worker.bus import connect, wire
from worker.bus import consumer as consumers


@pytest.fixture
def side() -> Iterator[bus_sides.Oslo]:
    made = bus_sides.Oslo("kombu+memory://")
    yield made
    made.close()


def _batch(consumer: interfaces.Consumer) -> list[interfaces.Delivery]:
    found: list[interfaces.Delivery] = bus_sides.until(consumer.batch, "a delivery")
    return found


def test_a_message_that_its_sender_compressed_is_read(side: bus_sides.Oslo) -> None:
    side.conf.set_override("kombu_compression", "gzip", group="oslo_messaging_rabbit")
    consumer = side.consumer()
    consumer.open()

    side.cast("report_node")
    (delivery,) = _batch(consumer)
    consumer.close()

    assert "compression" not in delivery.headers
    assert wire.decode(delivery).method == "report_node"


def test_an_exchange_that_a_client_made_otherwise_is_used_as_it_is(
    side: bus_sides.Oslo, caplog: pytest.LogCaptureFixture
) -> None:
    with bus_sides.broker_session(side.conf) as live:
        live.channel.exchange_declare("stocktake", "topic", durable=False, auto_delete=False)
    consumer = side.consumer()

    consumer.open()
    consumer.open()
    with bus_sides.broker_session(side.conf) as live:
        live.channel.basic_publish(live.channel.prepare_message(b"x"), "stocktake", side.topic)
    taken = _batch(consumer)
    consumer.close()

    warnings = [record.getMessage() for record in caplog.records if "was made by another party" in record.getMessage()]
    assert len(warnings) == 1
    assert "exchange stocktake" in warnings[0]
    assert taken[0].body == b"x"


def test_what_is_sent_before_the_consumer_ever_opened_is_kept_once_the_queue_is_there(side: bus_sides.Oslo) -> None:
    consumer = side.consumer()
    consumer.open()
    consumer.close()

    side.cast("early")
    consumer.open()
    (delivery,) = _batch(consumer)
    consumer.close()

    assert wire.decode(delivery).method == "early"


@pytest.mark.parametrize("body", [b"", b"not JSON", b"\xff\xfe", "zoë".encode()])
def test_a_bad_body_comes_as_its_bytes(body: bytes, side: bus_sides.Oslo, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    consumer = side.consumer()
    consumer.open()
    with bus_sides.broker_session(side.conf) as live:
        live.channel.basic_publish(live.channel.prepare_message(body), "", side.topic)

    (delivery,) = _batch(consumer)
    consumer.close()

    assert delivery.body == body
    with pytest.raises(errors.Malformed):
        wire.decode(delivery)


def test_dead_letters_are_consumed_too(side: bus_sides.Oslo) -> None:
    consumer = side.consumer()
    consumer.open()
    with bus_sides.broker_session(side.conf) as live:
        message = live.channel.prepare_message(b"x", headers={"x-first-death-reason": "rejected"})
        live.channel.basic_publish(message, "", f"{side.topic}.dead")

    (delivery,) = _batch(consumer)
    consumer.close()

    assert (delivery.dead, delivery.death_reason) == (True, "rejected")


def test_oslos_listener_hears_our_notifications(side: bus_sides.Oslo) -> None:
    heard: list[tuple[Any, ...]] = []
    done = threading.Event()

    class Endpoint:
        def error(self, ctxt: Any, publisher_id: str, event_type: str, payload: Any, metadata: Any) -> None:  # noqa: ARG002
            heard.append((event_type, payload, metadata["message_id"]))
            done.set()

    transport = oslo_messaging.get_notification_transport(side.conf)
    target = oslo_messaging.Target(topic="stocktake_notifications")
    publisher = connect.publisher(side.conf)
    publisher.open()
    listener = oslo_messaging.get_notification_listener(transport, [target], [Endpoint()], executor="threading")
    listener.start()

    confirmed = publisher.publish([interfaces.Frame("e-1", "cast.park", "ERROR", "stocktake:h", {"a": 1}, "now")])
    arrived = done.wait(bus_sides.DEADLINE)
    listener.stop()
    listener.wait()
    publisher.close()
    transport.cleanup()

    assert (confirmed, arrived, heard) == (1, True, [("cast.park", {"a": 1}, "e-1")])


def test_a_batch_ends_before_it_is_too_long_to_be_kept(side: bus_sides.Oslo, monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = side.consumer()
    consumer.open()
    for name in ("one", "two", "three"):
        side.cast(name)
    first = _batch(consumer)
    consumer.close()
    monkeypatch.setattr(consumers, "BATCH_BYTES", 2 * len(first[0].body) + 10)
    consumer.open()

    taken = [_batch(consumer), consumer.batch(begun=2), _batch(consumer)]
    monkeypatch.setattr(consumers, "BATCH_BYTES", 1)
    for name in ("four", "five"):
        side.cast(name)
    alone = _batch(consumer)
    consumer.close()

    assert [len(first), *map(len, taken), len(alone)] == [3, 2, 0, 1, 1]
