"""The proof of the accounts: every total is the sum of its parts, and every sum is explained by the ledger.

What is given out one by one is in the instances' bodies, in their holdings by account and, of devices, in a table of who
holds which: all say the same, the ledger sums up to it, and no CPU is pinned twice.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

import sqlalchemy as sa

from worker.core import cells, claims, places, providers, records, resources, world
from worker.db import bulk, engine, failures, rows, tables, texts

PAGE = 100
_NOBODY = records.Pair("", "")  # of an account that is not stored

_ACCOUNT = tables.accounts.c
_HOLDING = tables.holdings.c
_ENTRY = tables.ledger.c
_NODE = tables.nodes.c
_INSTANCE = tables.instances.c
_DEVICE = tables.devices_held.c

USED = "used"
SETTLED = "settled"
RESERVED = "reserved"
CAPACITY = "capacity"
DEVICES = "devices"
CELLS = "cells"
SHARES = "shares"
GRANTS = "grants"
PINS = "pins"
STRAYS = "strays"

_OWN_KINDS = {RESERVED: RESERVED, CAPACITY: CAPACITY, places.DEVICE: DEVICES, places.CELL: CELLS, places.SHARE: SHARES}
"""Kinds of ledger entries that are figures of their own; all others change what is held."""

Sums = dict[str, resources.Amounts]


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """Two readings of one figure of one account that are not the same.

    ``figure`` says what is compared: used, settled, reserved, capacity, devices (by address), cells, grants (who has
    which device for which request), pins (how many have a CPU), shares (by provider below the root and class) or strays
    (shares that are not those of their holding's amounts or devices, of which there are none); ``by`` against what: holdings, ledger, instances (one
    ``instance`` with its holdings), guests or tree (the providers that the node has). What is kept in the place that is asked most often is ``kept``.
    """

    account: str
    figure: str
    by: str
    kept: resources.Amounts
    worked_out: resources.Amounts
    instance: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Evidence:
    """What the rows of some accounts say: the sums of holdings, those of the ledger, who has devices, who speaks."""

    held: Mapping[str, Sums]
    explained: Mapping[str, Sums]
    listed: Mapping[str, Sums]
    books: world.World


def differences(bind: sa.Engine) -> Iterator[Difference]:
    """Yield every difference, page by page; each page is one picture of the database, also while workers write."""
    for page in (_accounts_page, _instances_page):
        after = ""
        while True:
            last, found = page(bind, after)
            yield from found
            if last is None:
                break
            after = last


@failures.translated()
def _accounts_page(bind: sa.Engine, after: str) -> tuple[str | None, list[Difference]]:
    with engine.snapshot(bind) as connection:
        ids = _ids(connection, (_ACCOUNT.id, _NODE.account_id, _HOLDING.account_id, _DEVICE.account_id), after)
        if not ids:
            return None, []
        stored = connection.execute(rows.ACCOUNT.where(bulk.among(connection, _ACCOUNT.id, ids)))
        accounts = {account.id: account for account in map(rows.account, stored)}
        evidence = _Evidence(
            _held(connection, ids), _explained(connection, ids), _listed(connection, ids), _world(connection, ids)
        )
    everyone = [accounts.get(id_) or records.Account(id_, _NOBODY) for id_ in ids]
    return ids[-1], [one for account in everyone for one in _of_account(account, evidence)]


@failures.translated()
def _instances_page(bind: sa.Engine, after: str) -> tuple[str | None, list[Difference]]:
    with engine.snapshot(bind) as connection:
        ids = _ids(connection, (_INSTANCE.uuid, _HOLDING.instance_uuid), after)
        if not ids:
            return None, []
        stored = connection.execute(rows.BOOK.where(bulk.among(connection, _INSTANCE.uuid, ids)))
        books = {book.uuid: book.holdings for book in map(rows.book, stored)}
        held: dict[str, list[records.Holding]] = defaultdict(list)
        query = rows.HOLDING.where(bulk.among(connection, _HOLDING.instance_uuid, ids))
        for uuid, holding in map(rows.holding, connection.execute(query)):
            held[uuid].append(holding)
    return ids[-1], [one for uuid in ids for one in _of_instance(uuid, books.get(uuid, ()), held.get(uuid, ()))]


def _ids(connection: sa.Connection, columns: Iterable[sa.ColumnElement[str]], after: str) -> list[str]:
    """Return the next ids of those that any of the columns names, some of which may have no row of their own."""
    found: set[str] = set()
    for column in columns:
        query = sa.select(column).where(column > after).distinct().order_by(column).limit(PAGE)
        found.update(connection.scalars(query))
    return sorted(found)[:PAGE]


def _of_account(account: records.Account, evidence: _Evidence) -> Iterator[Difference]:
    speaker = evidence.books.speaker(account.id)
    held, explained = (sums.get(account.id, {}) for sums in (evidence.held, evidence.explained))
    kept: Sums = {
        USED: account.used,
        SETTLED: account.settled,
        RESERVED: providers.reserved(speaker),
        CAPACITY: providers.totals(speaker),
    }
    places_held = {name: held.get(name, resources.NOTHING) for name in (DEVICES, CELLS, SHARES)}
    pins = held.get(PINS, resources.NOTHING)
    yield from _compared(account.id, "holdings", (USED, SETTLED), kept, held)
    yield from _compared(account.id, "holdings", (GRANTS,), evidence.listed.get(account.id, {}), held)
    yield from _compared(account.id, "ledger", kept, kept, explained)
    yield from _compared(account.id, "ledger", places_held, places_held, explained)
    below = _below(speaker)
    known = {name: held_ for name, held_ in places_held[SHARES].items() if name.partition(":")[0] in below}
    yield from _compared(account.id, "tree", (SHARES,), places_held, {SHARES: known})
    yield from _compared(account.id, "holdings", (STRAYS,), {}, held)
    yield from _compared(account.id, "guests", (PINS,), {PINS: pins}, {PINS: dict.fromkeys(pins, 1)})


def _below(speaker: records.Node | None) -> frozenset[str]:
    capacity = speaker.capacity if speaker is not None else None
    return frozenset(child.uuid for child in capacity.children) if capacity is not None else frozenset()


def _of_instance(uuid: str, book: Iterable[records.Holding], stored: Iterable[records.Holding]) -> Iterator[Difference]:
    kept, worked_out = _sums_of((uuid, one) for one in book), _sums_of((uuid, one) for one in stored)
    for account in sorted(kept.keys() | worked_out.keys()):
        figures = (USED, SETTLED, GRANTS, CELLS, PINS, SHARES)
        for one in _compared(account, "instances", figures, kept.get(account, {}), worked_out.get(account, {})):
            yield dataclasses.replace(one, instance=uuid)


def _compared(account: str, by: str, figures: Iterable[str], kept: Sums, worked_out: Sums) -> Iterator[Difference]:
    for figure in figures:
        one, other = kept.get(figure, resources.NOTHING), worked_out.get(figure, resources.NOTHING)
        if resources.without_zeros(one) != resources.without_zeros(other):
            yield Difference(account, figure, by, one, other)


def _held(connection: sa.Connection, accounts: Collection[str]) -> Mapping[str, Sums]:
    query = rows.HOLDING.where(bulk.among(connection, _HOLDING.account_id, accounts))
    return _sums_of(map(rows.holding, connection.execute(query)))


def _sums_of(held: Iterable[tuple[str, records.Holding]]) -> Mapping[str, Sums]:
    """Return by account what these holdings are together, each given with the uuid of its instance."""
    sums: dict[str, Sums] = defaultdict(dict)
    for uuid, holding in held:
        here = sums[holding.account]
        _add(here, USED, holding.amounts)
        _add(here, SETTLED, holding.amounts if holding.settled else resources.NOTHING)
        if holding.place is not None:
            figures = places.figures(holding.place)
            _add(here, DEVICES, figures[places.DEVICE])
            _add(here, CELLS, figures[places.CELL])
            _add(here, SHARES, figures[places.SHARE])
            _add(here, STRAYS, _strays(holding, holding.place))
            _add(here, PINS, _pins(holding.place))
            for grant in holding.place.grants:
                _add(here, GRANTS, _granted(grant.address, uuid, grant.request_id))
    return sums


def _strays(holding: records.Holding, place: records.Place) -> resources.Amounts:
    """Return the shares of a place that its holding does not account for."""
    devices = {grant.address for grant in place.grants}
    return resources.total(
        {f"{share.provider_uuid}:{share.resource_class}": share.amount}
        for share in place.shares
        if share.settled != holding.settled
        or (share.device is None and share.amount != holding.amounts.get(share.resource_class))
        or (share.device is not None and share.device not in devices)
    )


def _pins(place: records.Place) -> resources.Amounts:
    """Return how many cells of a guest have each host CPU."""
    guest_cells = place.topology.cells if place.topology is not None else ()
    return Counter(f"cpu_{cpu}" for cell in guest_cells for cpu in cells.pins(cell))


def _granted(address: str, instance_uuid: str, request_id: str) -> resources.Amounts:
    return {f"{address} of {instance_uuid} for {request_id}": 1}


def _listed(connection: sa.Connection, accounts: Collection[str]) -> Mapping[str, Sums]:
    """Return who has which device by the table that is asked for it."""
    sums: dict[str, Sums] = defaultdict(dict)
    query = sa.select(_DEVICE.account_id, _DEVICE.address, _DEVICE.instance_uuid, _DEVICE.request_id)
    for account, *grant in connection.execute(query.where(bulk.among(connection, _DEVICE.account_id, accounts))):
        _add(sums[account], GRANTS, _granted(*grant))
    return sums


def _explained(connection: sa.Connection, accounts: Collection[str]) -> Mapping[str, Sums]:
    """Sum the ledger up; what changed holdings is of the kinds holding and recount, the rest goes by its own kind."""
    sums: dict[str, Sums] = defaultdict(dict)
    query = sa.select(_ENTRY.account_id, _ENTRY.kind, _ENTRY.amounts, _ENTRY.settled)
    found = connection.execution_options(yield_per=1000).execute(
        query.where(bulk.among(connection, _ENTRY.account_id, accounts))
    )
    for account, kind, amounts, settled in found:
        _add(sums[account], _OWN_KINDS.get(kind, USED), texts.read_whole(amounts))
        if kind not in _OWN_KINDS:
            _add(sums[account], SETTLED, texts.read_whole(settled))
    return sums


def _add(sums: Sums, figure: str, amounts: resources.Amounts) -> None:
    sums[figure] = resources.add(sums.get(figure, resources.NOTHING), amounts)


def _world(connection: sa.Connection, accounts: Collection[str]) -> world.World:
    books = world.World(0, claims.Policy())
    nodes = connection.execute(rows.NODE.where(bulk.among(connection, _NODE.account_id, accounts)))
    books.add(nodes=[rows.node(row) for row in nodes])
    return books
