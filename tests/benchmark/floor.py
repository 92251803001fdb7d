"""The floor: the same envelopes off the queue with plain kombu, and as many rows of the same content by COPY.

Nothing is decided, nothing is looked up, nothing is published: what any worker on this broker and database must pay.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import sqlalchemy as sa

from tests.benchmark import meters, places, settings
from worker.db import engine as db_engine
from worker.db import schema, tables

ACK_EVERY = 100
SAMPLE = 5000

Table = tuple[str, Iterator[tuple[Any, ...]], float]
"""A COPY statement, rows without end, and how many rows of it there are for each cast."""


class Script:
    """Takes, writes, acknowledges; one step after the other."""

    def __init__(self, task: settings.Task, race: meters.Race) -> None:
        self._race = race
        self._bus = places.connect(task.transport_url)
        self._channel = self._bus.channel()
        self._database = psycopg.connect(_plain(task.database_url))
        self._tables = list(_tables(task))
        self._taken: list[int] = []
        self._count = 0
        self._rows_every = settings.configured(task).worker.batch_size  # as many in a transaction as ours
        self.seconds = {"write": 0.0}

    def run(self) -> None:
        """Go through all of the queue."""
        self._channel.basic_qos(0, 2 * self._rows_every, False)
        self._channel.auto_decode = False
        self._channel.basic_consume(places.TOPIC, no_ack=False, callback=self._take, consumer_tag="floor")
        while self._count < self._race.casts:
            self._bus.drain_events(timeout=30)
        self._race.end()

    def _take(self, message: Any) -> None:
        self._race.begin()
        json.loads(json.loads(message.body)["oslo.message"])
        self._taken.append(message.delivery_info["delivery_tag"])
        if len(self._taken) == self._rows_every or self._count + len(self._taken) == self._race.casts:
            self._finish()

    def _finish(self) -> None:
        began = time.monotonic()
        self._write(len(self._taken))
        self.seconds["write"] += time.monotonic() - began
        for tag in sorted({*self._taken[ACK_EVERY - 1 :: ACK_EVERY], self._taken[-1]}):
            self._channel.basic_ack(tag, multiple=True)
        self._count += len(self._taken)
        self._taken = []

    def _write(self, casts: int) -> None:
        with self._database.cursor() as cursor:
            for statement, rows, share in self._tables:
                with cursor.copy(statement) as copy:
                    for row in itertools.islice(rows, round(casts * share)):
                        copy.write_row(row)
        self._database.commit()


def _tables(task: settings.Task) -> Iterator[Table]:
    """Yield the tables of the worker's database with its rows, without keys: an update is one more row here."""
    source = sa.create_engine(task.source)
    with source.connect() as connection:
        for name, count in task.rows.items():
            found = connection.execute(sa.select(tables.metadata.tables[name]).limit(SAMPLE)).all()
            rows = itertools.cycle([tuple(row) for row in found])
            columns = ", ".join(column.name for column in tables.metadata.tables[name].columns)
            yield f"COPY {name} ({columns}) FROM STDIN", rows, count / task.casts
    source.dispose()


def _plain(url: str) -> str:
    return sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _prepare(url: str) -> None:
    """Make the tables, and have them take the same key more than once."""
    bind = db_engine.of_url(url)
    schema.sync(bind)
    with bind.begin() as connection:
        for table in tables.metadata.tables.values():
            key = table.primary_key
            connection.exec_driver_sql(f"ALTER TABLE {table.name} DROP CONSTRAINT {key.name}")
            names = ", ".join(column.name for column in key.columns)
            connection.exec_driver_sql(f"CREATE INDEX ON {table.name} ({names})")
    bind.dispose()


def run(task: settings.Task) -> dict[str, Any]:
    """Measure it."""
    _prepare(task.database_url)
    race = meters.Race(task.casts, task.database)
    script = Script(task, race)
    script.run()
    return race.result() | {"write_seconds": script.seconds["write"]}
