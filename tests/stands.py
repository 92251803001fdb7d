"""A worker at work, and at the other end of the bus a conductor and a listener with oslo.messaging and nothing of ours."""

from __future__ import annotations

import contextlib
import json
import pathlib
import tempfile
import threading
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import oslo_messaging
import sqlalchemy as sa
from kombu.transport import memory
from oslo_config import cfg
from oslo_messaging._drivers import impl_fake
from oslo_messaging._metrics import client as metrics
from oslo_messaging._tracing import client as tracing

from tests import bus_sides, invariant, plain, services
from tests.contract import units_of_work
from worker import conf as options
from worker import interfaces, service, wiring
from worker.db import parked, schema

TOKEN = "gAAAA-a-token-that-nobody-may-keep"
CONTEXT: dict[str, Any] = {
    "request_id": "req-11111111-2222-4333-8444-555555555555", "user": "u1", "project": "p1", "is_admin": True,
    "auth_token": TOKEN, "global_request_id": None,
}  # fmt: skip


def configuration(url: str, database: str, **overrides: Any) -> cfg.ConfigOpts:
    """Return a worker's configuration of its own; ``overrides`` are ``group__option`` or ``option`` of [worker]."""
    conf = bare()
    options.configure(conf, [], default_config_files=[], default_config_dirs=[])
    conf.set_override("transport_url", url)
    conf.set_override("connection", database, group="database")
    for name, value in overrides.items():
        group, _, option = name.rpartition("__")
        conf.set_override(option, value, group=group or "worker")
    return conf


def bare() -> cfg.ConfigOpts:
    """Return a configuration that oslo.messaging can be used with, and nothing else."""
    conf = cfg.ConfigOpts()
    # oslo.messaging registers these on its global configuration only
    conf.register_opts(tracing.oslo_messaging_tracing, group="oslo_messaging_tracing")
    conf.register_opts(metrics.oslo_messaging_metrics, group="oslo_messaging_metrics")
    return conf


class Conductor:
    """A party that knows the contract and oslo.messaging; ``exmods`` are the modules whose errors it rebuilds."""

    def __init__(self, url: str) -> None:
        self._conf = bare()
        self._conf([], project="conductor", default_config_files=[], default_config_dirs=[])
        self._url = url
        self._transports: list[Any] = []
        self._client = self.client()

    def client(self, exmods: Sequence[str] = (), **options_: Any) -> Any:
        """Return a plain client of oslo.messaging; ``options_`` are those of get_rpc_client."""
        transport = oslo_messaging.get_rpc_transport(self._conf, self._url, allowed_remote_exmods=list(exmods))
        self._transports.append(transport)
        target = oslo_messaging.Target(exchange="stocktake", topic="accounts", version="1.0")
        sure = oslo_messaging.TransportOptions(at_least_once=True)
        return oslo_messaging.get_rpc_client(transport, target, timeout=20, transport_options=sure, **options_)

    def cast(self, method: str, **arguments: Any) -> None:
        """Cast; returns once the bus has it."""
        self._client.cast(CONTEXT, method, **arguments)

    def call(self, method: str, **arguments: Any) -> Any:
        """Call and return the answer."""
        return self._client.call(CONTEXT, method, **arguments)

    def usage(self, number: int = 1) -> Any:
        """Return the fields of a node's NodeUsage."""
        return plain.data(self.call("get_node_usage", node_uuid=plain.node_uuid(number)))

    def used(self, number: int = 1) -> dict[str, int]:
        """Return what is held on a node by class."""
        return {name: amounts["used"] for name, amounts in self.usage(number)["usages"].items() if amounts["used"]}

    def close(self) -> None:
        """Drop every connection."""
        for transport in self._transports:
            transport.cleanup()


class Listener:
    """A notification consumer of oslo.messaging; ``heard`` has everything, in no order: its threads share the work."""

    def __init__(self, url: str) -> None:
        self._conf = bare()
        self._conf([], project="consumer", default_config_files=[], default_config_dirs=[])
        self.heard: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._transport = oslo_messaging.get_notification_transport(self._conf, url)
        target = oslo_messaging.Target(exchange="stocktake", topic="stocktake_notifications")
        self._server = oslo_messaging.get_notification_listener(self._transport, [target], [self], executor="threading")
        self._server.start()

    def info(self, *notification: Any) -> None:
        """Take an INFO notification, in oslo.messaging's form."""
        self._note("INFO", *notification)

    def warn(self, *notification: Any) -> None:
        """Take a WARN notification, in oslo.messaging's form."""
        self._note("WARN", *notification)

    def error(self, *notification: Any) -> None:
        """Take an ERROR notification, in oslo.messaging's form."""
        self._note("ERROR", *notification)

    def _note(self, priority: str, _context: Any, publisher: str, event_type: str, payload: Any, metadata: Any) -> None:
        with self._lock:
            self.heard.append(
                {"priority": priority, "publisher_id": publisher, "event_type": event_type,
                 "name": payload["stocktake_object.name"], "data": plain.data(payload), "id": metadata["message_id"]}
            )  # fmt: skip

    def of(self, event_type: str) -> list[Any]:
        """Return the payloads' fields of one type, repeats left out."""
        with self._lock:
            found = {one["id"]: one["data"] for one in self.heard if one["event_type"].startswith(event_type)}
        return list(found.values())

    def wait(self, event_type: str, count: int = 1) -> list[Any]:
        """Return the payloads' fields of one type once there are so many."""
        bus_sides.until(lambda: len(self.of(event_type)) >= count, f"{count} {event_type}")
        return self.of(event_type)

    def close(self) -> None:
        """Listen no more."""
        self._server.stop()
        self._server.wait()
        self._transport.cleanup()


class Stand:
    """A worker with its relay, a conductor and a listener, on one bus and one database."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self.conf = conf
        url = f"{conf.transport_url}?rabbit_quorum_queue=true"  # the exchange is durable, and so must be theirs
        self.bind = wiring.database(conf)
        schema.sync(self.bind)
        self.health: list[str] = []
        self.running = wiring.Running(conf, health=self.health.append)
        self.running.start()
        bus_sides.until(lambda: service.WORKING in self.health, "the worker to open the bus")
        self.conductor = Conductor(url)
        self.listener = Listener(url)

    def send(self, body: bytes, **properties: Any) -> None:
        """Put bytes into the queue as they are; ``properties`` are those of a Delivery."""
        with bus_sides.broker_session(self.conf) as live:
            put(live, interfaces.Delivery(tag=0, body=body, **properties))
            wait_until_taken(live)

    def answers(self, count: int, *bodies: bytes) -> list[Any]:
        """Send calls whose bodies name the queue ``answers`` and return the results of so many answers."""
        found: list[Any] = []
        with bus_sides.broker_session(self.conf) as live:
            live.channel.queue_declare("answers", durable=True, auto_delete=False)
            for one in bodies:
                put(live, interfaces.Delivery(tag=0, body=one))
            bus_sides.until(lambda: _take(live, found) >= count, f"{count} answers")
        return found

    def parked(self) -> list[interfaces.ParkedMessage]:
        """Return what is parked, oldest first."""
        return parked.listed(self.bind, limit=1000)

    def outcomes(self) -> dict[str, int]:
        """Return how often the worker has come to each outcome."""
        return dict(self.running.worker.outcomes)

    def finish(self) -> None:
        """Wait until everything that was sent is carried out: the worker takes one message after the other."""
        self.conductor.call("list_node_usages", limit=1)

    def close(self) -> None:
        """Drain, prove the accounts, leave nothing behind."""
        self.conductor.close()
        self.listener.close()
        self.running.stop()
        try:
            invariant.prove(self.bind)
        finally:
            self.bind.dispose()


def body(method: str | None, arguments: Any, **changes: Any) -> bytes:
    """Return a cast's body as oslo.messaging writes it; ``changes`` are fields of the message, None leaves one out."""
    message = {"method": method, "args": arguments, "version": "1.0", "_unique_id": uuid.uuid4().hex}
    message |= {f"_context_{name}": value for name, value in CONTEXT.items()} | changes
    return wrapped(json.dumps({name: value for name, value in message.items() if value is not None}))


def wrapped(inner: Any, version: Any = "2.0") -> bytes:
    """Return the envelope of a message that is given as text."""
    return json.dumps({"oslo.version": version, "oslo.message": inner}).encode()


def put(live: Any, delivery: interfaces.Delivery) -> None:
    """Publish a delivery's body and properties to the queue ``accounts``, past every client."""
    headers = dict(delivery.headers)
    message = live.channel.prepare_message(
        delivery.body, 0, delivery.content_type, delivery.content_encoding, headers, {"delivery_mode": 2}
    )
    live.channel.basic_publish(message, "", "accounts")


def wait_until_taken(live: Any) -> None:
    """Wait until the broker has everything that was put: it answers in order, and a dropped connection loses the rest."""
    live.channel.queue_declare("accounts", passive=True)


def _take(live: Any, into: list[Any]) -> int:
    message = live.channel.basic_get("answers", no_ack=True)
    if message is not None:
        into.append(json.loads(json.loads(message.body)["oslo.message"])["result"])
    return len(into)


def nothing_is_due(bind: sa.Engine) -> bool:
    """Tell whether the relay has published everything."""
    with bind.connect() as connection:
        return not connection.scalar(sa.text("SELECT count(*) FROM outbox WHERE due IS NOT NULL"))


@contextlib.contextmanager
def embedded(url: str = "kombu+memory://", **overrides: Any) -> Iterator[Stand]:
    """Lend a stand on an in-process transport and SQLite."""
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{pathlib.Path(folder) / 'stocktake.db'}"
        with _closing(configuration(url, database, **overrides)) as made:
            yield made


@contextlib.contextmanager
def real(**overrides: Any) -> Iterator[Stand]:
    """Lend a stand on RabbitMQ and PostgreSQL."""
    with (
        services.rabbit_vhost() as url,
        units_of_work.scratch("postgresql") as database,
        _closing(configuration(url, database, **overrides)) as made,
    ):
        yield made


@contextlib.contextmanager
def _closing(conf: cfg.ConfigOpts) -> Iterator[Stand]:
    try:
        made = Stand(conf)
        try:
            yield made
        finally:
            made.close()
    finally:
        forget_memory()


def forget_memory() -> None:
    """Empty the in-process transports of kombu and of oslo.messaging, of which there is one for the whole process."""
    impl_fake.FakeExchangeManager.cleanup()
    memory.Transport.global_state.clear()  # type: ignore[no-untyped-call]
    memory.Channel.queues.clear()


def everything_stored(bind: sa.Engine) -> str:
    """Return every value of every table as one text, bytes and all, to search it for what must not be there."""
    with bind.connect() as connection:
        names = sa.inspect(connection).get_table_names()
        rows = [row for name in names for row in connection.exec_driver_sql(f"SELECT * FROM {name}")]
    return "\n".join(_shown(value) for row in rows for value in row)


def _shown(value: Any) -> str:
    return bytes(value).decode("latin-1") if isinstance(value, bytes | memoryview) else str(value)
