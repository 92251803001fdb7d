"""Both ends of the bus on a real RabbitMQ, with oslo.messaging's own client and listener at the other side."""

from __future__ import annotations

import concurrent.futures
import logging
import re
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import amqp
import oslo_messaging
import pytest
from oslo_config import cfg
from oslo_messaging._metrics import client as metrics
from oslo_messaging._tracing import client as tracing

from objects import exceptions
from tests import bus_sides, services
from tests.unit.bus import poison
from worker import errors, interfaces
from worker.bus import connect, consumer, urls, wire

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
def taking(conf: cfg.ConfigOpts) -> Iterator[interfaces.Consumer]:
    made = connect.consumer(conf, "accounts", 50, 0.2)
    made.open()
    yield made
    made.close()


@pytest.fixture
def client(vhost_url: str) -> Iterator[Callable[..., Any]]:
    """A conductor that knows nothing of us: its own configuration and oslo.messaging's defaults."""
    foreign = cfg.ConfigOpts()
    foreign.register_opts(tracing.oslo_messaging_tracing, group="oslo_messaging_tracing")
    foreign.register_opts(metrics.oslo_messaging_metrics, group="oslo_messaging_metrics")
    foreign([], project="conductor", default_config_files=[], default_config_dirs=[])
    transports = []

    def make(exmods: list[str] | None = None, query: str = "?rabbit_quorum_queue=true", **options: Any) -> Any:
        transport = oslo_messaging.get_rpc_transport(foreign, vhost_url + query, allowed_remote_exmods=exmods)
        transports.append(transport)
        target = oslo_messaging.Target(exchange="stocktake", topic="accounts", version="1.0")
        return oslo_messaging.get_rpc_client(transport, target, timeout=15, **options)

    yield make
    for transport in transports:
        transport.cleanup()


@pytest.fixture
def threads() -> Iterator[concurrent.futures.ThreadPoolExecutor]:
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        yield pool


def _take(consumer: interfaces.Consumer, count: int) -> list[interfaces.Delivery]:
    taken: list[interfaces.Delivery] = []

    def enough() -> bool:
        taken.extend(consumer.batch())
        return len(taken) >= count

    bus_sides.until(enough, f"{count} deliveries")
    return taken


def _send(conf: cfg.ConfigOpts, *messages: tuple[bytes, dict[str, Any]]) -> None:
    """Put raw messages into the queue and wait until the broker has them."""
    with bus_sides.broker_session(conf) as live:
        live.channel.confirm_select()
        for body, properties in messages:
            live.channel.basic_publish(amqp.Message(body, **properties), "", "accounts")
        live.channel.queue_declare("accounts", passive=True)


def _depth(conf: cfg.ConfigOpts, queue: str) -> int:
    with bus_sides.broker_session(conf) as live:
        return int(live.channel.queue_declare(queue, passive=True).message_count)


def _wait_for_depth(conf: cfg.ConfigOpts, queue: str, depth: int) -> None:
    bus_sides.until(lambda: _depth(conf, queue) == depth, f"{depth} messages in {queue}")


def test_a_foreign_client_casts_and_calls(taking: Any, client: Any, threads: Any) -> None:
    sender = client()
    sender.cast({"request_id": "req-1", "auth_token": "hush"}, "report_node", node={"vcpus": 4})
    waiting = threads.submit(sender.call, {}, "get_node_usage", node_uuid="n1")

    cast, call = _take(taking, 2)
    to = wire.decode(call).reply
    assert to is not None
    taking.answer(call, to, {"used": 3})
    taking.settle([cast, call])

    assert waiting.result(timeout=15) == {"used": 3}
    assert wire.decode(cast).args == {"node": {"vcpus": 4}}
    assert len(wire.decode(cast).message_id) == 32


def test_not_found_is_a_remote_error_for_whom_does_not_allow_our_module(taking: Any, client: Any, threads: Any) -> None:
    waiting = threads.submit(client().call, {}, "get_node_usage", node_uuid="n1")
    (call,) = _take(taking, 1)
    to = wire.decode(call).reply
    assert to is not None

    taking.answer(call, to, interfaces.RemoteFailure("NotFound", "node n1 is unknown"))

    with pytest.raises(oslo_messaging.RemoteError) as raised:
        waiting.result(timeout=15)
    assert (raised.value.exc_type, raised.value.value) == ("NotFound", "node n1 is unknown")


def test_not_found_is_itself_for_whom_allows_our_module(taking: Any, client: Any, threads: Any) -> None:
    waiting = threads.submit(client(["objects.exceptions"]).call, {}, "get_node_usage", node_uuid="n1")
    (call,) = _take(taking, 1)
    to = wire.decode(call).reply
    assert to is not None

    taking.answer(call, to, interfaces.RemoteFailure("NotFound", "node n1 is unknown"))

    with pytest.raises(exceptions.NotFound, match="node n1 is unknown"):
        waiting.result(timeout=15)


def test_a_monitored_call_waits_as_long_as_we_beat(taking: Any, client: Any, threads: Any) -> None:
    waiting = threads.submit(client(call_monitor_timeout=1).call, {}, "get_node_usage", node_uuid="n1")
    (call,) = _take(taking, 1)
    to = wire.decode(call).reply
    assert to is not None
    end = time.monotonic() + 2.5

    while time.monotonic() < end:
        taking.beat()
    taking.answer(call, to, "late but welcome")

    assert waiting.result(timeout=15) == "late but welcome"


def test_a_caller_that_is_gone_is_no_error(taking: Any, conf: cfg.ConfigOpts, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    _send(conf, (poison.body(_msg_id="m", _reply_q="nobody"), {}))
    (call,) = _take(taking, 1)
    to = wire.decode(call).reply
    assert to is not None

    taking.answer(call, to, 1)
    taking.settle([call])

    bus_sides.until(lambda: (taking.batch(), "nobody" in caplog.text)[1], "the return")


def test_every_kind_of_bad_message_comes_through_and_the_consumer_lives(taking: Any, conf: cfg.ConfigOpts) -> None:
    kinds = [delivery for delivery, _ in poison.KINDS.values()]
    for bad in kinds:
        properties = {"content_type": bad.content_type, "content_encoding": bad.content_encoding}
        given = {name: value for name, value in properties.items() if value is not None}
        _send(conf, (bad.body, given | {"application_headers": dict(bad.headers)}))
    _send(conf, (poison.body(), {}))

    taken = _take(taking, len(kinds) + 1)
    taking.settle(taken)

    for delivery in taken[:-1]:
        with pytest.raises(errors.Malformed):
            wire.decode(delivery)
    assert [delivery.body for delivery in taken] == [*(bad.body for bad in kinds), poison.body()]
    assert wire.decode(taken[-1]).message_id == "id-1"


@pytest.mark.parametrize(
    "properties",
    [
        {"content_type": b"\xff\xfe"},
        {"content_encoding": b"\xff"},
        {"reply_to": b"\xc3\x28"},
        {"application_headers": {"x": b"\xff", "y": 1.5}},
    ],
)
def test_properties_that_cannot_be_read_do_not_stop_the_consumer(
    properties: dict[str, Any], taking: Any, conf: cfg.ConfigOpts
) -> None:
    large = poison.body(args={"x": "y" * 500_000})

    _send(conf, (poison.body(), properties), (large, properties), (poison.body(), {}))

    taken = _take(taking, 3)
    assert [delivery.body for delivery in taken] == [poison.body(), large, poison.body()]


def test_a_closed_connection_ends_the_session_and_a_new_one_gets_everything_back(
    taking: Any, conf: cfg.ConfigOpts, vhost_url: str
) -> None:
    _send(conf, *((poison.body(_unique_id=f"id-{number}"), {}) for number in range(3)))
    first, *_ = _take(taking, 3)
    taking.settle([first])

    services.rabbitmqctl("close_all_connections", "-p", vhost_url.rsplit("/", 1)[1], "test")
    with pytest.raises(errors.BusUnavailable):
        bus_sides.until(taking.batch, "the loss")
    with pytest.raises(errors.BusUnavailable, match="not open"):
        taking.settle([first])
    taking.open()

    again = _take(taking, 2)
    assert [wire.decode(delivery).message_id for delivery in again] == ["id-1", "id-2"]
    assert all(delivery.redelivered for delivery in again)


def test_a_deleted_queue_ends_the_session_and_is_made_again(taking: Any, conf: cfg.ConfigOpts) -> None:
    with bus_sides.broker_session(conf) as live:
        live.channel.queue_delete("accounts")

    with pytest.raises(errors.BusUnavailable):
        bus_sides.until(taking.batch, "the loss")
    taking.open()
    _send(conf, (poison.body(), {}))

    assert len(_take(taking, 1)) == 1


def test_settling_acknowledges_on_the_broker_whatever_the_order(taking: Any, conf: cfg.ConfigOpts) -> None:
    _send(conf, *((poison.body(_unique_id=f"id-{number}"), {}) for number in range(6)))
    taken = _take(taking, 6)

    taking.settle(taken[4:])
    taking.settle(taken[:3])
    taking.close()

    _wait_for_depth(conf, "accounts", 1)


def test_dead_letters_come_with_their_reason(conf: cfg.ConfigOpts) -> None:
    taking = connect.consumer(conf, "accounts", 50, 0.2)
    taking.open()
    taking.close()
    _send(conf, (poison.body(), {"expiration": "1"}))
    _wait_for_depth(conf, "accounts.dead", 1)

    taking.open()
    (dead,) = _take(taking, 1)
    taking.settle([dead])
    taking.close()

    assert (dead.dead, dead.death_reason, dead.body) == (True, "expired", poison.body())
    _wait_for_depth(conf, "accounts.dead", 0)


def test_what_another_party_made_is_used_as_it_is_with_one_warning_each(
    conf: cfg.ConfigOpts, caplog: pytest.LogCaptureFixture
) -> None:
    with bus_sides.broker_session(conf) as live:
        live.channel.exchange_declare("stocktake", "topic", durable=False, auto_delete=False)
        live.channel.queue_declare("accounts", durable=False, auto_delete=False)
    taking = connect.consumer(conf, "accounts", 50, 0.2)

    taking.open()
    taking.open()
    with bus_sides.broker_session(conf) as live:
        live.channel.basic_publish(live.channel.prepare_message(poison.body()), "stocktake", "accounts")
    taken = _take(taking, 1)
    taking.close()

    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [re.findall(r"action=declare (\w+ \w+) was made", text) for text in warnings] == [
        ["exchange stocktake"],
        ["queue accounts"],
    ]
    assert taken[0].body == poison.body()


def test_a_client_with_a_non_durable_exchange_reaches_us(taking: Any, conf: cfg.ConfigOpts, client: Any) -> None:
    with bus_sides.broker_session(conf) as live:
        live.channel.exchange_delete("stocktake")
        live.channel.exchange_declare("stocktake", "topic", durable=False, auto_delete=False)
    taking.open()

    client(query="").cast({}, "report_node")

    assert wire.decode(_take(taking, 1)[0]).method == "report_node"


@pytest.mark.parametrize(
    ("old", "new"), [("guest:guest@", "guest:hush@"), ("stocktake_", "no_such_"), ("127.0.0.1:5672", "127.0.0.1:1")]
)
def test_a_broker_that_cannot_be_reached_is_named_without_the_password(old: str, new: str, vhost_url: str) -> None:
    taking = connect.consumer(bus_sides.conf_for(vhost_url.replace(old, new)), "accounts", 1, 0.1)

    with pytest.raises(errors.BusUnavailable, match=r"transport_url: no broker answers: 127\.0\.0\.1") as refused:
        taking.open()

    assert "hush" not in str(refused.value)


def test_heartbeats_keep_a_quiet_connection(conf: cfg.ConfigOpts) -> None:
    quick = consumer.RabbitConsumer(
        urls.bus(conf, f"{conf.transport_url}?heartbeat_timeout_threshold=3"), uuid.uuid4().hex, 5, 0.1
    )
    quick.open()
    end = time.monotonic() + 7  # the broker gives up after two intervals

    while time.monotonic() < end:
        assert quick.batch() == []

    quick.close()
