"""The units of work that share one suite: the fake, and the real one on each database."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

import sqlalchemy as sa

from tests import builders, services
from tests.fakes import unit_of_work as fakes
from worker import interfaces, mapping
from worker.core import claims, events, records, world
from worker.db import engine, parked, reading, rows, schema, tables, unit_of_work


@dataclasses.dataclass(frozen=True)
class Place:
    """A store that starts empty, a way to make units of work on it, and what the interfaces do not let one read."""

    unit: Callable[[], interfaces.UnitOfWork]
    entries: Callable[[], Sequence[events.Entry]]
    event_types: Callable[[], Sequence[str]]
    parked: Callable[[], Sequence[interfaces.ParkedMessage]]
    reports: Callable[[], Mapping[str, records.ComputeNode]]
    clear: Callable[[], None]


@contextlib.contextmanager
def fake() -> Iterator[Place]:
    """Lend the fake on a store of its own."""
    store = fakes.Store()

    def event_types() -> list[str]:
        return [mapping.notification(event, str(uuid.uuid4()), 0).event_type for event in store.events]

    def clear() -> None:
        for field in dataclasses.fields(store):
            getattr(store, field.name).clear()

    yield Place(
        unit=lambda: fakes.UnitOfWork(store),
        entries=lambda: store.entries,
        event_types=event_types,
        parked=lambda: store.parked,
        reports=lambda: store.reports,
        clear=clear,
    )


@contextlib.contextmanager
def sqlite_in_memory() -> Iterator[Place]:
    """Lend a database in memory."""
    with _migrated("sqlite://") as bind:
        yield place(bind)


@contextlib.contextmanager
def sqlite_in_a_file() -> Iterator[Place]:
    """Lend a database in a file."""
    with tempfile.TemporaryDirectory() as folder, _migrated(f"sqlite:///{pathlib.Path(folder) / 'test.db'}") as bind:
        yield place(bind)


@contextlib.contextmanager
def postgresql() -> Iterator[Place]:
    """Lend a scratch database of PostgreSQL."""
    with scratch("postgresql") as url, _migrated(url) as bind:
        yield place(bind)


@contextlib.contextmanager
def mariadb() -> Iterator[Place]:
    """Lend a scratch database of MariaDB."""
    with scratch("mariadb") as url, _migrated(url) as bind:
        yield place(bind)


FACTORIES: dict[str, Callable[[], AbstractContextManager[Place]]] = {
    "fake": fake,
    "sqlite-memory": sqlite_in_memory,
    "sqlite-file": sqlite_in_a_file,
    "postgresql": postgresql,
    "mariadb": mariadb,
}


def place(bind: sa.Engine) -> Place:
    """Return the place of an engine whose database has our tables."""
    return Place(
        unit=lambda: unit_of_work.UnitOfWork(bind),
        entries=lambda: _entries(bind),
        event_types=lambda: _event_types(bind),
        parked=lambda: parked.listed(bind),
        reports=lambda: _reports(bind),
        clear=lambda: clear(bind),
    )


@contextlib.contextmanager
def scratch(name: str) -> Iterator[str]:
    """Lend an empty database on the server of this name, as a URL; it is dropped afterwards."""
    server = sa.make_url(services.require(name))
    database = f"stocktake_{uuid.uuid4().hex[:12]}"
    admin = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {database}"))
    try:
        yield server.set(database=database).render_as_string(hide_password=False)
    finally:
        forced = " WITH (FORCE)" if name == "postgresql" else ""
        with admin.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE {database}{forced}"))
        admin.dispose()


@contextlib.contextmanager
def _migrated(url: str) -> Iterator[sa.Engine]:
    bind = engine.of_url(url)
    schema.sync(bind)
    try:
        yield bind
    finally:
        bind.dispose()


def clear(bind: sa.Engine) -> None:
    """Delete every row."""
    with bind.execution_options(**{engine.WRITING: True}).begin() as connection:
        for table in tables.metadata.tables.values():
            connection.execute(table.delete())


def _entries(bind: sa.Engine) -> list[events.Entry]:
    with bind.connect() as connection:
        accounts = connection.execute(rows.LINE.order_by(tables.ledger.c.id)).all()
    lines = {line.id: line for row in accounts for line in reading.lines_of_account(bind, row.account_id)}
    return [lines[number].entry for number in sorted(lines)]


def _event_types(bind: sa.Engine) -> list[str]:
    with bind.connect() as connection:
        return list(connection.scalars(sa.select(tables.outbox.c.event_type).order_by(tables.outbox.c.id)))


def _reports(bind: sa.Engine) -> dict[str, records.ComputeNode]:
    with bind.connect() as connection:
        uuids = list(connection.scalars(sa.select(tables.nodes.c.uuid)))
    found = {sheet.node.uuid: sheet.report for sheet in reading.sheets(bind, uuids) if sheet.node is not None}
    return {uuid_: report for uuid_, report in found.items() if report is not None}


def a_world(*changed: records.Book | records.Account | records.Node) -> world.World:
    """Return a world in which these records were read with their generation and have become what is given."""
    books = world.World(builders.NOW, claims.Policy())
    for record in changed:
        if isinstance(record, records.Book):
            books.first_books[record.uuid] = records.Book(record.uuid, generation=record.generation)
            books.books[record.uuid] = record
        elif isinstance(record, records.Account):
            books.first_accounts[record.id] = records.Account(record.id, record.pair, generation=record.generation)
            books.accounts[record.id] = record
        else:
            books.first_nodes[record.uuid] = records.Node(record.uuid, generation=record.generation)
            books.nodes[record.uuid] = record
    return books


def save(place: Place, books: world.World) -> None:
    """Store what changed in a world, in one transaction."""
    with place.unit() as unit:
        unit.books.save(books)
        unit.commit()


def save_change(place: Place, first: records.Book | records.Node | records.Account, now: object) -> None:
    """Store what has become of one record since it was read as ``first``."""
    books = world.World(builders.NOW, claims.Policy())
    if isinstance(first, records.Book) and isinstance(now, records.Book):
        books.first_books[first.uuid], books.books[first.uuid] = first, now
    elif isinstance(first, records.Node) and isinstance(now, records.Node):
        books.first_nodes[first.uuid], books.nodes[first.uuid] = first, now
    elif isinstance(first, records.Account) and isinstance(now, records.Account):
        books.first_accounts[first.id], books.accounts[first.id] = first, now
    save(place, books)
