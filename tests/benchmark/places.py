"""A virtual host and a database for one measurement each, and a queue that is full before its server starts."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from kombu import connection as kombu_connection

from tests import services
from tests.benchmark import cloud, workload
from worker.bus import topology
from worker.db import engine, schema

EXCHANGE = "stocktake"
TOPIC = "accounts"
NOTIFICATIONS = "stocktake_notifications"
CONFIRM_EVERY = 500


def database() -> contextlib.AbstractContextManager[str]:
    """Lend an empty database of PostgreSQL, as a URL."""
    return _made("")


def copied(template: str) -> contextlib.AbstractContextManager[str]:
    """Lend a copy of a database to which nobody is connected, as a URL."""
    return _made(f" TEMPLATE {sa.make_url(template).database}")


@contextlib.contextmanager
def _made(of: str) -> Iterator[str]:
    url = sa.make_url(services.require("postgresql"))
    name = f"stocktake_benchmark_{uuid.uuid4().hex[:12]}"
    server = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}{of}")
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        with server.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        server.dispose()


@contextlib.contextmanager
def prepared(nodes: int) -> Iterator[str]:
    """Lend a database with our tables in which so many nodes are reported, and nothing is due."""
    with database() as url:
        prepare(url, nodes)
        yield url


def prepare(url: str, nodes: int) -> None:
    """Make our tables in a database and report so many nodes there."""
    bind = engine.of_url(url)
    schema.sync(bind)
    cloud.report(bind, nodes)
    cloud.settle(bind)
    bind.dispose()


def connect(transport_url: str) -> Any:
    """Return an open connection of kombu, in no thread but the caller's."""
    connection: Any = kombu_connection.Connection(transport_url.replace("rabbit://", "pyamqp://", 1))  # type: ignore[no-untyped-call]
    connection.connect()
    return connection


@contextlib.contextmanager
def connected(transport_url: str) -> Iterator[Any]:
    """Lend an open connection of kombu."""
    connection = connect(transport_url)
    try:
        yield connection
    finally:
        connection.release()


def declare(connection: Any, *, dead_letters: bool) -> None:
    """Declare the exchange and the quorum queue of the casts, as the worker or as oslo.messaging's server does."""
    channel = connection.channel()
    channel.exchange_declare(exchange=EXCHANGE, type="topic", durable=True, auto_delete=False)
    queues = topology.rpc_queues(TOPIC) if dead_letters else [topology.Queue(TOPIC, topology.QUORUM)]
    for queue in (*queues, *topology.notification_queues([NOTIFICATIONS])):
        channel.queue_declare(queue.name, durable=True, auto_delete=False, arguments=queue.arguments)
        if queue.bound:
            channel.queue_bind(queue.name, exchange=EXCHANGE, routing_key=queue.name)
    channel.close()


class Sender:
    """Publishes casts as oslo.messaging's client does, each confirmed once ``settle`` has returned."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._channel = connection.channel()
        self._channel.confirm_select()
        self._channel.events["basic_ack"].add(self._acked)
        self._sent = self._confirmed = 0

    def send(self, cast: workload.Cast) -> None:
        """Publish one cast without waiting."""
        message = self._channel.prepare_message(cast.body, 0, "application/json", "utf-8", {}, {"delivery_mode": 2})
        self._channel.basic_publish(message, EXCHANGE, TOPIC)
        self._sent += 1

    def settle(self, behind: int = 0) -> None:
        """Wait until all but so many are confirmed."""
        while self._sent - self._confirmed > behind:
            self._connection.drain_events(timeout=30)

    def _acked(self, tag: int, multiple: bool = False) -> None:
        self._confirmed = max(self._confirmed, tag) if multiple else self._confirmed + 1


def preload(transport_url: str, casts: Iterable[workload.Cast], *, dead_letters: bool) -> None:
    """Declare the queue and fill it."""
    with connected(transport_url) as connection:
        declare(connection, dead_letters=dead_letters)
        sender = Sender(connection)
        for cast in casts:
            sender.send(cast)
            sender.settle(CONFIRM_EVERY)
        sender.settle()


class Listener(threading.Thread):
    """Consumes the notifications with plain kombu."""

    def __init__(self, transport_url: str) -> None:
        super().__init__(name="benchmark-listener", daemon=True)
        self._url = transport_url
        self._enough = threading.Event()

    def hear(self, message: Any) -> None:
        """Take one notification."""
        raise NotImplementedError

    def run(self) -> None:
        """Listen until told that it is enough."""
        with connected(self._url) as connection:
            channel = connection.channel()
            channel.auto_decode = False
            for queue in topology.notification_queues([NOTIFICATIONS]):
                channel.basic_consume(queue.name, no_ack=True, callback=self.hear, consumer_tag=queue.name)
            while not self._enough.is_set():
                try:
                    connection.drain_events(timeout=0.2)
                except TimeoutError:
                    continue

    def stop(self) -> None:
        """Hear what is there and end."""
        self._enough.set()
        self.join(10)
