"""The other side of each bus, for the contract suites: who casts, calls and listens."""

from __future__ import annotations

import concurrent.futures
import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import oslo_messaging
from kombu.transport import memory
from oslo_config import cfg
from oslo_messaging._metrics import client as metrics
from oslo_messaging._tracing import client as tracing

from tests.fakes import bus as fake_bus
from worker import interfaces
from worker.bus import connect, session, urls, wire
from worker.conf import libraries
from worker.testing import bus as faulty_bus
from worker.testing import faults

DEADLINE = 20.0


def conf_for(url: str, **overrides: Any) -> cfg.ConfigOpts:
    """Return a configuration of its own with that transport_url."""
    conf = cfg.ConfigOpts()
    libraries.register_opts(conf)
    # oslo.messaging registers these on its global configuration only
    conf.register_opts(tracing.oslo_messaging_tracing, group="oslo_messaging_tracing")
    conf.register_opts(metrics.oslo_messaging_metrics, group="oslo_messaging_metrics")
    conf([], project="stocktake", default_config_files=[], default_config_dirs=[])
    conf.set_override("transport_url", url)
    for name, value in overrides.items():
        conf.set_override(name, value)
    return conf


def until(condition: Callable[[], Any], what: str) -> Any:
    """Return what the condition gives once it is true; fails after the deadline."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
    raise AssertionError(f"waited {DEADLINE:g} s for {what}")


class Side(Protocol):
    """What a contract suite asks of a bus beside the thing under test."""

    def consumer(self, batch_size: int = 10, batch_wait: float = 0.3) -> interfaces.Consumer: ...

    def publisher(self, *topics: str) -> interfaces.Publisher: ...

    def cast(self, method: str) -> None: ...

    def call(self, method: str) -> concurrent.futures.Future[Any]: ...

    def heard(self, queue: str) -> list[dict[str, Any]]: ...

    def close(self) -> None: ...


class Double:
    """The in-memory double."""

    def __init__(self) -> None:
        self._broker = fake_bus.Broker()

    def consumer(self, batch_size: int = 10, batch_wait: float = 0.3) -> interfaces.Consumer:  # noqa: ARG002
        return fake_bus.Consumer(self._broker, batch_size)

    def publisher(self, *topics: str) -> interfaces.Publisher:
        self._topics = topics
        return fake_bus.Publisher(self._broker)

    def cast(self, method: str) -> None:
        self._broker.send(_body(method))

    def call(self, method: str) -> concurrent.futures.Future[Any]:
        future = _Answer(self._broker)
        self._broker.send(_body(method, _msg_id="m", _reply_q="q", _timeout=None))
        return future

    def heard(self, queue: str) -> list[dict[str, Any]]:
        topic, priority = queue.split(".")
        frames = [frame for frame in self._broker.frames if frame.priority.lower() == priority]
        return [json.loads(json.dumps(wire.notification(frame))) for frame in frames if topic in self._topics]

    def close(self) -> None:
        """Nothing is left behind."""


class Faulty(Double):
    """The double behind the kit's faults, none of which happens."""

    def consumer(self, batch_size: int = 10, batch_wait: float = 0.3) -> interfaces.Consumer:
        return faulty_bus.FaultyConsumer(super().consumer(batch_size, batch_wait), _nothing())

    def publisher(self, *topics: str) -> interfaces.Publisher:
        return faulty_bus.FaultyPublisher(super().publisher(*topics), _nothing())


def _nothing() -> faults.Faults:
    return faults.Faults(1, faults.Rates())


class _Answer(concurrent.futures.Future[Any]):
    def __init__(self, broker: fake_bus.Broker) -> None:
        super().__init__()
        self._broker = broker

    def result(self, timeout: float | None = None) -> Any:  # noqa: ARG002
        (_, reply) = self._broker.answers[-1]
        if isinstance(reply, interfaces.RemoteFailure):
            raise oslo_messaging.RemoteError(reply.exc_class, reply.message, [])
        return reply


class Oslo:
    """A transport of oslo.messaging, with its own client at the other end."""

    def __init__(self, url: str) -> None:
        self.topic = f"accounts_{uuid.uuid4().hex[:8]}"
        self.conf = conf_for(url)
        self._threads = concurrent.futures.ThreadPoolExecutor(2)
        self._transport = oslo_messaging.get_rpc_transport(self.conf)
        target = oslo_messaging.Target(topic=self.topic, version="1.0")
        self.client = oslo_messaging.get_rpc_client(self._transport, target, timeout=10)

    def consumer(self, batch_size: int = 10, batch_wait: float = 0.3) -> interfaces.Consumer:
        return connect.consumer(self.conf, self.topic, batch_size, batch_wait)

    def publisher(self, *topics: str) -> interfaces.Publisher:
        self.conf.set_override("topics", list(topics), group="oslo_messaging_notifications")
        return connect.publisher(self.conf)

    def cast(self, method: str) -> None:
        self.client.cast({"request_id": "req-1", "auth_token": "hush"}, method, number=1)

    def call(self, method: str) -> concurrent.futures.Future[Any]:
        return self._threads.submit(self.client.call, {}, method)

    def heard(self, queue: str) -> list[dict[str, Any]]:
        if urls.scheme(self.conf) == urls.FAKE:
            exchange = self._transport._driver._exchange_manager.get_exchange("stocktake")
            return [message for _, message, *_ in exchange._topic_queues.get((queue, None), [])]
        with broker_session(self.conf) as live:
            return list(_drained(live, queue))

    def close(self) -> None:
        self._threads.shutdown()
        self._transport.cleanup()
        memory.Transport.global_state.clear()  # type: ignore[no-untyped-call]
        memory.Channel.queues.clear()


class broker_session:  # noqa: N801 - it reads as a function
    """A plain session with the bus of a configuration, for looking and for sending what no client would send."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._live = session.Dialer(urls.bus(conf), "test").dial()

    def __enter__(self) -> session.Session:
        return self._live

    def __exit__(self, *_: object) -> None:
        self._live.drop()


def _drained(live: session.Session, queue: str) -> Iterator[dict[str, Any]]:
    while True:
        message = live.channel.basic_get(queue, no_ack=True)
        if message is None:
            return
        yield json.loads(json.loads(message.body)["oslo.message"])


def _body(method: str, **call: Any) -> bytes:
    message = {"method": method, "args": {"number": 1}, "version": "1.0", "_unique_id": uuid.uuid4().hex}
    return wire.wrap(message | {"_context_request_id": "req-1", "_context_auth_token": "hush"} | call)
