"""Questions about committed rows, for the read methods and the command line. Nothing here locks or changes anything."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from objects import exceptions
from worker import mapping
from worker.core import claims, commands, events, places, records, resources, world
from worker.db import bulk, engine, failures, rows, tables, texts

PAGE = 500

_NODE = tables.nodes.c
_HOLDING = tables.holdings.c
_ENTRY = tables.ledger.c


@dataclasses.dataclass(frozen=True, slots=True)
class Sheet:
    """A node's figures: ``node`` is None for a pair that nobody has reported.

    Of several nodes that report one pair only the one that speaks for it shows the account; the others show an empty
    one. ``report`` is the newest report in full, ``places`` are those on the account.
    """

    node: records.Node | None
    account: records.Account
    report: records.ComputeNode | None
    speaks: bool
    places: Mapping[places.Key, records.Place] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One entry of the ledger as it is stored; ``at`` in microseconds since 1970."""

    id: int
    at: int
    kind: str
    account: str
    node_uuid: str | None
    instance_uuid: str | None
    amounts: resources.Amounts
    settled: resources.Amounts
    cause: commands.Cause

    @property
    def entry(self) -> events.Entry:
        """The entry as it was added."""
        return events.Entry(
            self.kind, self.account, self.node_uuid, self.instance_uuid, self.amounts, self.settled, self.cause
        )


class Library:
    """Answers read methods (interfaces.Library); ``policy`` is asked for the deadline of moves."""

    def __init__(self, bind: sa.Engine, policy: Callable[[], claims.Policy]) -> None:
        self._bind = bind
        self._policy = policy

    def node_usage(self, node_uuid: str) -> dict[str, Any]:
        """Return the NodeUsage primitive of a node, or of a pair by its placeholder uuid; raises NotFound."""
        found = sheets(self._bind, [node_uuid])
        if not found:
            raise exceptions.NotFound(f"node {node_uuid} is not known")
        return _node_usage(found[0])

    def node_usages(self, marker: str | None, limit: int) -> list[dict[str, Any]]:
        """Return NodeUsage primitives in the order of their uuids, from after ``marker`` on."""
        return [_node_usage(sheet) for sheet in sheets(self._bind, node_uuids(self._bind, marker, limit))]

    def instance_usage(self, instance_uuid: str, now: int) -> dict[str, Any]:
        """Return the InstanceUsage primitive; moves are overdue as of ``now`` (microseconds). Raises NotFound."""
        found = book(self._bind, instance_uuid)
        if found is None:
            raise exceptions.NotFound(f"instance {instance_uuid} is not known")
        named = provider_uuids(self._bind, {holding.account for holding in found.holdings})
        return mapping.instance_usage(found, lambda account: named[account], now, self._policy())


def _node_usage(sheet: Sheet) -> dict[str, Any]:
    return mapping.node_usage(sheet.node, sheet.account, sheet.report, sheet.places)


@failures.translated()
def node_uuids(bind: sa.Engine, marker: str | None, limit: int) -> list[str]:
    """Return the uuids after ``marker`` of nodes that are there, or gone and still in use, and of unreported pairs."""
    other = tables.nodes.alias()
    held = sa.exists().where(_HOLDING.account_id == _NODE.account_id)
    spoken_for = sa.exists().where(other.c.account_id == _NODE.account_id, other.c.revision > other.c.removed_revision)
    there = sa.or_(_NODE.revision > _NODE.removed_revision, sa.and_(held, ~spoken_for))
    reported = sa.select(_NODE.uuid).where(_NODE.account_id.is_not(None), there, _NODE.uuid > (marker or ""))
    account = tables.accounts.c
    unreported = sa.select(account.id.label("uuid")).where(
        ~sa.exists().where(_NODE.account_id == account.id),
        sa.exists().where(_HOLDING.account_id == account.id),
        account.id > (marker or ""),
    )
    both = sa.union_all(*(sa.select(one.order_by("uuid").limit(limit).subquery()) for one in (reported, unreported)))
    with bind.connect() as connection:
        return list(connection.scalars(both.order_by("uuid").limit(limit)))


@failures.translated()
def sheets(bind: sa.Engine, uuids: Collection[str]) -> list[Sheet]:
    """Return the sheets of these nodes and placeholders in the order of their uuids; unknown ones are left out."""
    with engine.snapshot(bind) as connection:
        named = _nodes_with_reports(connection, uuids)
        accounts = {_account_of(node): node.pair for node, _ in named.values() if node.pair is not None}
        wanted = {*accounts, *uuids} - named.keys()
        stored = {account.id: account for account in _accounts(connection, wanted)}
        books = _world(connection, wanted)
        held = _places(connection, wanted)
    missing = {id_: records.Account(id_, pair) for id_, pair in accounts.items()}
    known = missing | stored
    found = [_sheet(uuid, named.get(uuid), known, books) for uuid in sorted(set(uuids))]
    return [
        dataclasses.replace(sheet, places=held.get(sheet.account.id, {})) if sheet.speaks else sheet
        for sheet in found
        if sheet is not None
    ]


def _places(connection: sa.Connection, accounts: Collection[str]) -> dict[str, dict[places.Key, records.Place]]:
    found: dict[str, dict[places.Key, records.Place]] = {}
    query = rows.HOLDING.where(bulk.among(connection, _HOLDING.account_id, accounts), _HOLDING.place.is_not(None))
    for uuid, holding in map(rows.holding, connection.execute(query)):
        if holding.place is not None:
            found.setdefault(holding.account, {})[uuid, holding.side] = holding.place
    return found


def _sheet(
    uuid: str,
    named: tuple[records.Node, records.ComputeNode | None] | None,
    accounts: dict[str, records.Account],
    books: world.World,
) -> Sheet | None:
    if named is None:
        account = accounts.get(uuid)
        placeholder = account is not None and books.speaker(uuid) is None
        return Sheet(None, account, None, speaks=True) if account is not None and placeholder else None
    node, report = named
    if node.pair is None:
        return None
    account = accounts[_account_of(node)]
    speaker = books.speaker(account.id)
    speaks = speaker is not None and speaker.uuid == uuid
    return Sheet(node, account if speaks else records.Account(account.id, account.pair), report, speaks)


def _account_of(node: records.Node) -> str:
    return "" if node.pair is None else records.account_id(node.pair.host, node.pair.node)


def _nodes_with_reports(
    connection: sa.Connection, uuids: Collection[str]
) -> dict[str, tuple[records.Node, records.ComputeNode | None]]:
    query = rows.NODE.add_columns(_NODE.report).where(bulk.among(connection, _NODE.uuid, uuids))
    found = {}
    for *columns, report in connection.execute(query):
        node = rows.node(columns)
        found[node.uuid] = (node, None if report is None else texts.read_report(report))
    return found


def _accounts(connection: sa.Connection, ids: Collection[str]) -> list[records.Account]:
    query = rows.ACCOUNT.where(bulk.among(connection, tables.accounts.c.id, ids))
    return [rows.account(row) for row in connection.execute(query)]


def _world(connection: sa.Connection, accounts: Collection[str]) -> world.World:
    """Return a world of the nodes of these accounts, which knows who speaks for which."""
    query = rows.NODE.where(bulk.among(connection, _NODE.account_id, accounts))
    books = world.World(0, claims.Policy())
    books.add(nodes=[rows.node(row) for row in connection.execute(query)])
    return books


@failures.translated()
def provider_uuids(bind: sa.Engine, accounts: Collection[str]) -> dict[str, str]:
    """Return, for each of these accounts, the uuid under which it is known outside."""
    with bind.connect() as connection:
        books = _world(connection, accounts)
    return {account: books.provider_uuid(account) for account in accounts}


@failures.translated()
def book(bind: sa.Engine, instance_uuid: str) -> records.Book | None:
    """Return what is kept of an instance, or None for an unknown one."""
    with bind.connect() as connection:
        row = connection.execute(rows.BOOK.where(tables.instances.c.uuid == instance_uuid)).one_or_none()
    return None if row is None else rows.book(row)


@failures.translated()
def books(bind: sa.Engine, marker: str | None, limit: int) -> list[records.Book]:
    """Return the books after ``marker`` in the order of their uuids."""
    uuid = tables.instances.c.uuid
    with bind.connect() as connection:
        found = connection.execute(rows.BOOK.where(uuid > (marker or "")).order_by(uuid).limit(limit))
        return [rows.book(row) for row in found]


@failures.translated()
def accounts_with_devices_of(bind: sa.Engine, instance_uuid: str) -> set[str]:
    """Return the accounts on which an instance holds PCI devices."""
    device = tables.devices_held.c
    with bind.connect() as connection:
        found = connection.scalars(sa.select(device.account_id).where(device.instance_uuid == instance_uuid))
        return set(found)


@failures.translated()
def holdings(bind: sa.Engine, account: str) -> list[tuple[str, records.Holding]]:
    """Return what is held on an account, each with the uuid of its instance, in the order of these."""
    with bind.connect() as connection:
        found = connection.execute(rows.HOLDING.where(_HOLDING.account_id == account).order_by(*_HOLDING[:2]))
        return [rows.holding(row) for row in found]


def lines_of_account(bind: sa.Engine, account: str, until: int | None = None) -> Iterator[Line]:
    """Yield the entries of an account, oldest first, page by page; those up to ``until`` (microseconds) if given."""
    return _lines(bind, _ENTRY.account_id == account, until)


def lines_of_device(bind: sa.Engine, account: str, address: str) -> Iterator[Line]:
    """Yield the entries of one device on an account, oldest first."""
    entries = _lines(bind, sa.and_(_ENTRY.account_id == account, _ENTRY.kind == places.DEVICE), None)
    return (line for line in entries if address in line.amounts)


def lines_of_instance(bind: sa.Engine, instance_uuid: str, until: int | None = None) -> Iterator[Line]:
    """Yield the entries of an instance, oldest first, page by page; those up to ``until`` (microseconds) if given."""
    return _lines(bind, _ENTRY.instance_uuid == instance_uuid, until)


def _lines(bind: sa.Engine, of: sa.ColumnElement[bool], until: int | None) -> Iterator[Line]:
    query = rows.LINE.where(of).order_by(_ENTRY.id).limit(PAGE)
    if until is not None:
        query = query.where(_ENTRY.at <= until)
    after = 0
    while page := _page(bind, query.where(_ENTRY.id > after)):
        yield from page
        after = page[-1].id


@failures.translated()
def _page(bind: sa.Engine, query: sa.Select[Any]) -> list[Line]:
    with bind.connect() as connection:
        return [_line(row) for row in connection.execute(query)]


def _line(row: rows.Row) -> Line:
    id_, at, kind, account, node_uuid, instance_uuid, amounts, settled, cause = row
    figures = texts.read_whole(amounts), texts.read_whole(settled)
    return Line(id_, at, kind, account, node_uuid, instance_uuid, *figures, texts.read_cause(cause))
