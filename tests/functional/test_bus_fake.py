"""The recipe for tests of conductors: fake:// with oslo.messaging's own client and listener."""

from __future__ import annotations

import concurrent.futures
import json
import threading
from collections.abc import Iterator
from typing import Any

import oslo_messaging
import pytest
from oslo_context import context

from objects import exceptions
from tests import bus_sides
from worker import interfaces
from worker.bus import connect, wire


@pytest.fixture
def side() -> Iterator[bus_sides.Oslo]:
    made = bus_sides.Oslo("fake://")
    yield made
    made.close()


@pytest.fixture
def consumer(side: bus_sides.Oslo) -> Iterator[interfaces.Consumer]:
    made = side.consumer()
    made.open()
    yield made
    made.close()


def _one(consumer: interfaces.Consumer) -> interfaces.Delivery:
    (delivery,) = bus_sides.until(consumer.batch, "a delivery")
    assert isinstance(delivery, interfaces.Delivery)
    return delivery


def test_tuples_and_sets_arrive_as_the_wire_would_bring_them(
    side: bus_sides.Oslo, consumer: interfaces.Consumer
) -> None:
    side.client.cast({}, "report_node", pair=(1, 2), names={"a"})

    assert wire.decode(_one(consumer)).args == {"pair": [1, 2], "names": ["a"]}


def test_a_request_context_arrives_without_its_token(side: bus_sides.Oslo, consumer: interfaces.Consumer) -> None:
    side.client.cast(context.RequestContext(user_id="u", project_id="p", auth_token="hush"), "report_node")

    found = wire.decode(_one(consumer)).context

    assert (found["user"], found["project_id"]) == ("u", "p")
    assert "auth_token" not in found


def test_each_message_gets_an_id_on_receipt(side: bus_sides.Oslo, consumer: interfaces.Consumer) -> None:
    side.cast("one")
    first = wire.decode(_one(consumer)).message_id
    side.cast("one")

    assert first != wire.decode(_one(consumer)).message_id


def test_what_is_sent_to_one_server_or_to_all_is_not_received(
    side: bus_sides.Oslo, consumer: interfaces.Consumer
) -> None:
    side.client.prepare(fanout=True).cast({}, "to_all")
    side.client.prepare(server="stocktake").cast({}, "to_one")
    side.cast("to_the_topic")
    side.cast("the_last")

    taken: list[str] = []

    def is_last_here() -> bool:
        taken.extend(wire.decode(delivery).method for delivery in consumer.batch())
        return "the_last" in taken

    bus_sides.until(is_last_here, "the last cast")
    assert taken == ["to_the_topic", "the_last"]


def test_a_failure_is_raised_as_the_very_class(side: bus_sides.Oslo, consumer: interfaces.Consumer) -> None:
    waiting = side.call("get_node_usage")
    delivery = _one(consumer)
    to = wire.decode(delivery).reply
    assert to is not None

    consumer.answer(delivery, to, interfaces.RemoteFailure("NotFound", "node n1 is unknown"))

    with pytest.raises(exceptions.NotFound, match="node n1 is unknown"):
        waiting.result(timeout=10)


def test_answering_what_is_settled_does_nothing(side: bus_sides.Oslo, consumer: interfaces.Consumer) -> None:
    waiting = side.call("get_node_usage")
    delivery = _one(consumer)
    to = wire.decode(delivery).reply
    assert to is not None
    consumer.answer(delivery, to, 1)
    consumer.settle([delivery])

    consumer.answer(delivery, to, 2)

    assert waiting.result(timeout=10) == 1


def test_what_was_received_but_never_taken_goes_back(side: bus_sides.Oslo, consumer: interfaces.Consumer) -> None:
    for name in ("one", "two", "three"):
        side.cast(name)
    bus_sides.until(consumer.batch, "a batch")
    consumer.close()

    consumer.open()
    names: set[str] = set()

    def all_back() -> bool:
        names.update(wire.decode(delivery).method for delivery in consumer.batch())
        return len(names) == 3

    bus_sides.until(all_back, "all three again")


def test_oslos_listener_hears_our_notifications(side: bus_sides.Oslo) -> None:
    heard: list[tuple[Any, ...]] = []
    done = threading.Event()

    class Endpoint:
        def warn(self, ctxt: Any, publisher_id: str, event_type: str, payload: Any, metadata: Any) -> None:  # noqa: ARG002
            heard.append((event_type, payload, metadata["message_id"]))
            done.set()

    transport = oslo_messaging.get_notification_transport(side.conf)
    target = oslo_messaging.Target(topic="stocktake_notifications")
    listener = oslo_messaging.get_notification_listener(transport, [target], [Endpoint()], executor="threading")
    listener.start()
    publisher = connect.publisher(side.conf)
    publisher.open()

    confirmed = publisher.publish([interfaces.Frame("e-1", "claim.refuse", "WARN", "stocktake:h", {"a": (1,)}, "now")])
    arrived = done.wait(bus_sides.DEADLINE)
    listener.stop()
    listener.wait()

    assert (confirmed, arrived, heard) == (1, True, [("claim.refuse", {"a": [1]}, "e-1")])


def test_the_private_parts_of_oslo_messaging_are_as_we_know_them(side: bus_sides.Oslo) -> None:
    arrived: concurrent.futures.Future[Any] = concurrent.futures.Future()
    listener = side._transport._driver.listen(oslo_messaging.Target(topic=side.topic), 1, None)
    listener.start(arrived.set_result)
    side.cast("one")

    (message,) = arrived.result(timeout=bus_sides.DEADLINE)
    listener.stop()
    listener.cleanup()

    assert message.message["method"] == "one"
    assert message.ctxt["request_id"] == "req-1"
    assert message._reply_q is None
    assert callable(message.requeue)
    assert json.dumps(message.message)
