"""A unit of work in memory: copies on begin, takes over on commit, conflicts as a database would."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Self, TypeVar

import msgspec

from worker import errors, interfaces
from worker.core import events, places, records, world


@dataclasses.dataclass
class Store:
    """What is committed, for tests to look at; several units of work may share one."""

    marks: dict[str, interfaces.Mark] = dataclasses.field(default_factory=dict)
    books: dict[str, records.Book] = dataclasses.field(default_factory=dict)
    accounts: dict[str, records.Account] = dataclasses.field(default_factory=dict)
    nodes: dict[str, records.Node] = dataclasses.field(default_factory=dict)
    reports: dict[str, records.ComputeNode] = dataclasses.field(default_factory=dict)
    entries: list[events.Entry] = dataclasses.field(default_factory=list)
    events: list[events.Event] = dataclasses.field(default_factory=list)
    parked: list[interfaces.ParkedMessage] = dataclasses.field(default_factory=list)

    def copy(self) -> Store:
        """Return a store that changes on its own; what is in it is frozen."""
        return Store(
            dict(self.marks), dict(self.books), dict(self.accounts), dict(self.nodes), dict(self.reports),
            list(self.entries), list(self.events), list(self.parked),
        )  # fmt: skip

    def account(self, host: str, node: str) -> records.Account:
        """Return the account of a pair; an empty one when nothing is stored."""
        key = records.account_id(host, node)
        return self.accounts.get(key) or records.Account(key, records.Pair(host, node))


T = TypeVar("T", records.Book, records.Account, records.Node)
Write = Callable[[Store], None]


class Inbox:
    """Marks of one transaction."""

    def __init__(self, seen: Store, writes: list[Write]) -> None:
        self._seen = seen
        self._writes = writes

    def seen(self, message_ids: Collection[str]) -> Mapping[str, interfaces.Mark]:
        """Return the marks of those ids that are known."""
        return {uuid: self._seen.marks[uuid] for uuid in message_ids if uuid in self._seen.marks}

    def add(self, marks: Sequence[interfaces.Mark], now: int) -> None:  # noqa: ARG002 - the fake keeps no times
        """Mark messages; a mark that is there already is a Conflict, here or at the commit."""
        for mark in marks:
            _mark(self._seen, mark)
            self._writes.append(lambda store, mark=mark: _mark(store, mark))  # type: ignore[misc]

    def forget(self, message_ids: Collection[str]) -> None:
        """Take marks away."""
        for uuid in message_ids:
            self._seen.marks.pop(uuid, None)
            self._writes.append(lambda store, uuid=uuid: _forget(store, uuid))  # type: ignore[misc]


class Books:
    """Records and figures of one transaction."""

    def __init__(self, seen: Store, writes: list[Write]) -> None:
        self._seen = seen
        self._writes = writes

    def instances(self, uuids: Collection[str]) -> Sequence[records.Book]:
        """Return the stored books of these instances."""
        return [self._seen.books[uuid] for uuid in sorted(uuids) if uuid in self._seen.books]

    def accounts(self, pairs: Collection[records.Pair], ids: Collection[str]) -> Sequence[records.Account]:
        """Return the accounts of these pairs, empty ones included, and those of these ids that are stored."""
        wanted = {records.account_id(pair.host, pair.node): pair for pair in pairs}
        named = [self._seen.accounts.get(key) or records.Account(key, pair) for key, pair in wanted.items()]
        others = [self._seen.accounts[key] for key in set(ids) - wanted.keys() if key in self._seen.accounts]
        return sorted(named + others, key=lambda account: account.id)

    def hold(self, accounts: Collection[str]) -> None:
        """Lock nothing: transactions of the fake meet at their commits."""

    def nodes(self, uuids: Collection[str], accounts: Collection[str]) -> Sequence[records.Node]:
        """Return the nodes with these uuids and those whose newest report names one of these accounts."""
        return [
            node
            for uuid, node in sorted(self._seen.nodes.items())
            if uuid in uuids or (node.pair is not None and records.account_id(*_names(node.pair)) in accounts)
        ]

    def residents(self, accounts: Collection[str]) -> Collection[str]:
        """Return the uuids of the instances that hold something on one of these accounts."""
        return {
            book.uuid
            for book in self._seen.books.values()
            if any(holding.account in accounts for holding in book.holdings)
        }

    def places_on(self, accounts: Collection[str]) -> dict[str, dict[places.Key, records.Place]]:
        """Return every place on each of these accounts."""
        found: dict[str, dict[places.Key, records.Place]] = {account: {} for account in accounts}
        for book in self._seen.books.values():
            for holding in book.holdings:
                if holding.account in found and holding.place is not None:
                    found[holding.account][book.uuid, holding.side] = holding.place
        return found

    def hardware_of(self, nodes: Collection[str]) -> dict[str, places.Hardware]:
        """Return what the newest reports of these nodes say."""
        reports = self._seen.reports
        return {uuid: places.of_report(reports[uuid]) for uuid in nodes if uuid in reports}

    def save(self, changed: world.World) -> None:
        """Store what differs from what was read or is new, one generation further."""
        for book in changed.first_books:
            self._put(_put_book, changed.first_books[book], changed.books[book])
        for key in changed.first_accounts:
            self._put(_put_account, changed.first_accounts[key], changed.accounts[key])
        for uuid in changed.first_nodes:
            self._put(_put_node, changed.first_nodes[uuid], changed.nodes[uuid])
        reports = dict(changed.reports)
        self._writes.append(lambda store: store.reports.update(reports))

    def _put(self, put: Callable[[Store, T], None], first: T, last: T) -> None:
        if first != last or not last.generation:
            put(self._seen, last)
            self._writes.append(lambda store: put(store, last))


class Ledger:
    """Entries of one transaction."""

    def __init__(self, writes: list[Write]) -> None:
        self._writes = writes

    def add(self, entries: Sequence[events.Entry], now: int) -> None:  # noqa: ARG002 - the fake keeps no times
        """Append entries."""
        added = list(entries)
        self._writes.append(lambda store: store.entries.extend(added))


class Outbox:
    """Events of one transaction."""

    def __init__(self, writes: list[Write]) -> None:
        self._writes = writes

    def add(self, happened: Sequence[events.Event], now: int) -> None:  # noqa: ARG002 - the fake keeps no times
        """Append events in this order."""
        added = list(happened)
        self._writes.append(lambda store: store.events.extend(added))


class Parked:
    """Parked messages of one transaction."""

    def __init__(self, writes: list[Write]) -> None:
        self._writes = writes

    def add(self, messages: Sequence[interfaces.ParkedMessage]) -> None:
        """Keep messages under the next free numbers."""
        added = list(messages)
        self._writes.append(lambda store: _park(store, added))


class UnitOfWork:
    """Transactions over a store; the first ``failures`` commits raise Conflict and change nothing."""

    inbox: interfaces.Inbox
    books: interfaces.Books
    ledger: interfaces.Ledger
    outbox: interfaces.Outbox
    parked: interfaces.Parked

    def __init__(self, store: Store | None = None, failures: int = 0) -> None:
        self.store = store if store is not None else Store()
        self._failures = failures
        self._writes: list[Write] = []

    def __enter__(self) -> Self:
        """Begin on a copy of what is committed."""
        seen, self._writes = self.store.copy(), []
        self.inbox = Inbox(seen, self._writes)
        self.books = Books(seen, self._writes)
        self.ledger = Ledger(self._writes)
        self.outbox = Outbox(self._writes)
        self.parked = Parked(self._writes)
        return self

    def __exit__(self, *_: object) -> None:
        """Forget what is not committed."""
        self._writes = []

    def commit(self) -> None:
        """Carry the writes out on what is committed by now, all or none; raises Conflict."""
        if self._failures:
            self._failures -= 1
            raise errors.Conflict("the commit was told to fail")
        result = self.store.copy()
        for write in self._writes:
            write(result)
        _check_devices(result)
        for field in dataclasses.fields(Store):
            setattr(self.store, field.name, getattr(result, field.name))
        self._writes = []


def _names(pair: records.Pair) -> tuple[str, str]:
    return pair.host, pair.node


def _mark(store: Store, mark: interfaces.Mark) -> None:
    if mark.message_id in store.marks:
        raise errors.Conflict(f"message {mark.message_id} is marked already")
    store.marks[mark.message_id] = mark


def _forget(store: Store, message_id: str) -> None:
    store.marks.pop(message_id, None)


def _put_book(store: Store, book: records.Book) -> None:
    stored = store.books.get(book.uuid)
    _check(f"instance {book.uuid}", stored.generation if stored is not None else 0, book.generation)
    store.books[book.uuid] = msgspec.structs.replace(book, generation=book.generation + 1)


def _put_account(store: Store, account: records.Account) -> None:
    stored = store.accounts.get(account.id)
    _check(f"account {account.pair}", stored.generation if stored is not None else 0, account.generation)
    store.accounts[account.id] = msgspec.structs.replace(account, generation=account.generation + 1)


def _put_node(store: Store, node: records.Node) -> None:
    stored = store.nodes.get(node.uuid)
    _check(f"node {node.uuid}", stored.generation if stored is not None else 0, node.generation)
    store.nodes[node.uuid] = msgspec.structs.replace(node, generation=node.generation + 1)


def _check_devices(store: Store) -> None:
    """Two holders of one device are a Conflict, as a key of a table would have it."""
    held = [
        (holding.account, grant.address)
        for book in store.books.values()
        for holding in book.holdings
        for grant in (holding.place.grants if holding.place is not None else ())
    ]
    if len(set(held)) < len(held):
        raise errors.Conflict("a device has two holders")


def _check(what: str, stored: int, read: int) -> None:
    if stored != read:
        raise errors.Conflict(f"{what} is at generation {stored}, and was read at {read}")


def _park(store: Store, messages: Sequence[interfaces.ParkedMessage]) -> None:
    for message in messages:
        store.parked.append(msgspec.structs.replace(message, id=len(store.parked) + 1))
