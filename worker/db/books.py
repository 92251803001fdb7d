"""The records and the figures.

Instances and then accounts are locked, each in the order of their ids, so that two workers wait for each other and
never in a circle. A node is guarded by its account: whoever holds that lock is the only one to write the node. Every
row carries a generation besides, and one that is not as it was read refuses the transaction: where nothing could be
locked (a node asked for by uuid, a row that is not there yet) and on SQLite, which locks the whole file instead.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from worker.core import places, records, world
from worker.db import bulk, failures, rows, tables, texts, writes

_NODE = tables.nodes.c
_HOLDING = tables.holdings.c
_ACCOUNTS = sa.select(tables.accounts.c.id)
_RESIDENTS = sa.select(_HOLDING.instance_uuid)
_PLACES = sa.select(_HOLDING.account_id, _HOLDING.instance_uuid, _HOLDING.side, _HOLDING.place).where(
    _HOLDING.place.is_not(None)
)
_REPORTS = sa.select(_NODE.uuid, _NODE.report).where(_NODE.report.is_not(None))
Record = TypeVar("Record", records.Book, records.Account, records.Node)


class Books:
    """The books within one transaction."""

    def __init__(self, written: writes.Writes) -> None:
        self._writes = written

    @failures.translated()
    def instances(self, uuids: Collection[str]) -> Sequence[records.Book]:
        """Return the stored books of these instances, locked; unknown ones are left out."""
        found = self._locked(rows.BOOK, tables.instances.c.uuid, uuids)
        return [rows.book(row) for row in found]

    @failures.translated()
    def accounts(self, pairs: Collection[records.Pair], ids: Collection[str]) -> Sequence[records.Account]:
        """Return the accounts of these pairs and ids, locked; one that is not stored yet comes back empty (pairs only)."""
        named = {records.account_id(pair.host, pair.node): pair for pair in pairs}
        found = self._locked(rows.ACCOUNT, tables.accounts.c.id, {*named, *ids})
        stored = [rows.account(row) for row in found]
        known = {account.id for account in stored}
        empty = [records.Account(id_, pair) for id_, pair in named.items() if id_ not in known]
        return [*stored, *empty]

    @failures.translated()
    def hold(self, accounts: Collection[str]) -> None:
        """Lock these accounts without reading what is in them; one that is not stored cannot be locked."""
        self._locked(_ACCOUNTS, tables.accounts.c.id, accounts)

    @failures.translated()
    def nodes(self, uuids: Collection[str], accounts: Collection[str]) -> Sequence[records.Node]:
        """Return the nodes with these uuids and those whose newest report names one of these accounts."""
        found: dict[str, records.Node] = {}
        for column, wanted in ((_NODE.uuid, uuids), (_NODE.account_id, accounts)):
            if wanted:
                nodes = map(rows.node, bulk.found(self._writes.connection, rows.NODE, column, wanted))
                found |= {node.uuid: node for node in nodes}
        return list(found.values())

    @failures.translated()
    def residents(self, accounts: Collection[str]) -> Collection[str]:
        """Return the uuids of the instances that hold something on one of these accounts."""
        if not accounts:
            return frozenset()
        there = bulk.found(self._writes.connection, _RESIDENTS, _HOLDING.account_id, accounts)
        return frozenset(uuid for (uuid,) in there)

    @failures.translated()
    def places_on(self, accounts: Collection[str]) -> dict[str, dict[places.Key, records.Place]]:
        """Return every place on each of these accounts, by instance and side."""
        found: dict[str, dict[places.Key, records.Place]] = {account: {} for account in accounts}
        there = bulk.found(self._writes.connection, _PLACES, _HOLDING.account_id, accounts)
        for account, uuid, side, place in there:
            found[account][uuid, side] = texts.read_place(place)
        return found

    @failures.translated()
    def hardware_of(self, nodes: Collection[str]) -> dict[str, places.Hardware]:
        """Return what the newest reports of these nodes say of cells and devices."""
        found = bulk.found(self._writes.connection, _REPORTS, _NODE.uuid, nodes)
        return {uuid: texts.read_hardware(report) for uuid, report in found}

    @failures.translated()
    def save(self, changed: world.World) -> None:
        """Store every book, account and node that differs from what was read; raises Conflict if one is not as read."""
        books = list(_differences(changed.first_books, changed.books))
        self._save_books([new for _, new in books])
        self._save_holdings(books)
        self._save_devices(books)
        accounts = [new for _, new in _differences(changed.first_accounts, changed.accounts)]
        self._put(tables.accounts, accounts, rows.of_account, rows.of_account_figures)
        self._save_nodes(list(_differences(changed.first_nodes, changed.nodes)), changed.reports)

    def _locked(self, query: sa.Select[Any], key: sa.Column[Any], ids: Collection[str]) -> Iterable[rows.Row]:
        if not ids:
            return ()
        return bulk.found(self._writes.connection, query, key, ids, lock=True)

    def _save_books(self, books: Sequence[records.Book]) -> None:
        self._put(tables.instances, books, rows.of_book, rows.of_book)

    def _save_holdings(self, books: Iterable[tuple[records.Book, records.Book]]) -> None:
        """Bring what is kept by account in line with the books; one side of one instance is one row."""
        gone, come = [], []
        for old, new in books:
            before, after = _sides(old), _sides(new)
            gone += [{"instance_uuid": new.uuid, "side": side} for side in before if before[side] != after.get(side)]
            come += [rows.of_holding(new.uuid, after[side]) for side in after if after[side] != before.get(side)]
        self._writes.delete(tables.holdings, gone)
        self._writes.insert(tables.holdings, come)

    def _save_devices(self, books: Iterable[tuple[records.Book, records.Book]]) -> None:
        """Keep one row a device that is held; two holders of one device are a Conflict."""
        gone, come = [], []
        for old, new in books:
            before, after = _grants(old), _grants(new)
            gone += [{"account_id": key[0], "address": key[1]} for key in before if before[key] != after.get(key)]
            come += [rows.of_grant(new.uuid, key[0], after[key]) for key in after if after[key] != before.get(key)]
        self._writes.delete(tables.devices_held, gone)
        self._writes.insert(tables.devices_held, come)

    def _save_nodes(
        self, nodes: Sequence[tuple[records.Node, records.Node]], reports: dict[str, records.ComputeNode]
    ) -> None:
        """Write what a report says only for nodes that sent a new one: it is far longer than the rest."""
        whole = [new for old, new in nodes if new.generation == 0 or _standing(old) != _standing(new)]
        written = {node.uuid for node in whole}
        others = [(old, new) for old, new in nodes if new.uuid not in written]
        later = [rows.of_node_revisions(new) for old, new in others if _only_later(old, new)]
        figures = [rows.of_node_figures(new) for old, new in others if not _only_later(old, new)]

        def complete(node: records.Node) -> dict[str, Any]:
            return rows.of_node(node, reports.get(node.uuid))

        self._put(tables.nodes, whole, complete, complete, kept=("report",))
        self._writes.update(tables.nodes, figures)
        self._writes.update(tables.nodes, later)

    def _put(
        self,
        table: sa.Table,
        records_: Sequence[Record],
        complete: Callable[[Record], dict[str, Any]],
        changing: Callable[[Record], dict[str, Any]],
        *,
        kept: tuple[str, ...] = (),
    ) -> None:
        new = [rows.first_generation(complete(record)) for record in records_ if record.generation == 0]
        self._writes.insert(table, new)
        self._writes.update(table, [changing(record) for record in records_ if record.generation > 0], kept)


def _differences(first: dict[str, Record], now: dict[str, Record]) -> Iterator[tuple[Record, Record]]:
    """Yield what was read and what has become of it, in the order of their ids, where the two differ or it is new."""
    for id_ in sorted(first):
        if first[id_] != now[id_] or now[id_].generation == 0:
            yield first[id_], now[id_]


def _sides(book: records.Book) -> dict[str, records.Holding]:
    return {holding.side: holding for holding in book.holdings}


def _grants(book: records.Book) -> dict[tuple[str, str], records.Grant]:
    """Return the devices of an instance by account and address."""
    return {
        (holding.account, grant.address): grant
        for holding in book.holdings
        if holding.place is not None
        for grant in holding.place.grants
    }


def _only_later(old: records.Node, new: records.Node) -> bool:
    """Whether a node was reported once more, and nothing changed."""
    return new == msgspec.structs.replace(old, revision=new.revision, disabled_revision=new.disabled_revision)


def _standing(node: records.Node) -> tuple[object, ...]:
    return node.pair, node.digest, node.capacity
