"""The proof of the accounts: every total is the sum of its parts, and every sum is explained by the ledger."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

import sqlalchemy as sa

from worker.core import claims, providers, records, resources, world
from worker.db import bulk, engine, failures, rows, tables, texts

PAGE = 100
_NOBODY = records.Pair("", "")  # of an account that is not stored

_ACCOUNT = tables.accounts.c
_HOLDING = tables.holdings.c
_ENTRY = tables.ledger.c
_NODE = tables.nodes.c

Sums = dict[str, resources.Amounts]


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """Two readings of one figure of one account that are not the same.

    ``figure`` says what is compared: used, settled, reserved or capacity; ``by`` against what: holdings or ledger.
    """

    account: str
    figure: str
    by: str
    kept: resources.Amounts
    worked_out: resources.Amounts


def differences(bind: sa.Engine) -> Iterator[Difference]:
    """Yield every difference, page by page; each page is one picture of the database, also while workers write."""
    after = ""
    while True:
        last, found = _page(bind, after)
        yield from found
        if last is None:
            return
        after = last


@failures.translated()
def _page(bind: sa.Engine, after: str) -> tuple[str | None, list[Difference]]:
    with engine.snapshot(bind) as connection:
        ids = _ids(connection, after)
        if not ids:
            return None, []
        stored = connection.execute(rows.ACCOUNT.where(bulk.among(connection, _ACCOUNT.id, ids)))
        accounts = {account.id: account for account in map(rows.account, stored)}
        held, explained = _held(connection, ids), _explained(connection, ids)
        books = _world(connection, ids)
    everyone = [accounts.get(id_) or records.Account(id_, _NOBODY) for id_ in ids]
    found = [one for account in everyone for one in _of_account(account, held, explained, books)]
    return ids[-1], found


def _ids(connection: sa.Connection, after: str) -> list[str]:
    """Return the next ids: those of accounts, and those that a node or a holding names without there being a row."""
    found: set[str] = set()
    for column in (_ACCOUNT.id, _NODE.account_id, _HOLDING.account_id):
        query = sa.select(column).where(column > after).distinct().order_by(column).limit(PAGE)
        found.update(connection.scalars(query))
    return sorted(found)[:PAGE]


def _of_account(
    account: records.Account, held: Mapping[str, Sums], explained: Mapping[str, Sums], books: world.World
) -> Iterator[Difference]:
    speaker = books.speaker(account.id)
    kept: Sums = {
        "used": account.used,
        "settled": account.settled,
        "reserved": providers.reserved(speaker),
        "capacity": providers.totals(speaker),
    }
    for figure, by, sums in (
        ("used", "holdings", held),
        ("settled", "holdings", held),
        ("used", "ledger", explained),
        ("settled", "ledger", explained),
        ("reserved", "ledger", explained),
        ("capacity", "ledger", explained),
    ):
        worked_out = resources.without_zeros(sums.get(account.id, {}).get(figure, resources.NOTHING))
        if resources.without_zeros(kept[figure]) != worked_out:
            yield Difference(account.id, figure, by, kept[figure], worked_out)


def _held(connection: sa.Connection, accounts: Collection[str]) -> Mapping[str, Sums]:
    sums: dict[str, Sums] = defaultdict(dict)
    query = rows.HOLDING.where(bulk.among(connection, _HOLDING.account_id, accounts))
    for _, holding in map(rows.holding, connection.execute(query)):
        _add(sums[holding.account], "used", holding.amounts)
        _add(sums[holding.account], "settled", holding.amounts if holding.settled else resources.NOTHING)
    return sums


def _explained(connection: sa.Connection, accounts: Collection[str]) -> Mapping[str, Sums]:
    """Sum the ledger up; what changed holdings is of the kinds holding and recount, the rest goes by its own kind."""
    sums: dict[str, Sums] = defaultdict(dict)
    query = sa.select(_ENTRY.account_id, _ENTRY.kind, _ENTRY.amounts, _ENTRY.settled)
    found = connection.execution_options(yield_per=1000).execute(
        query.where(bulk.among(connection, _ENTRY.account_id, accounts))
    )
    for account, kind, amounts, settled in found:
        if kind in {"reserved", "capacity"}:
            _add(sums[account], kind, texts.read_whole(amounts))
        else:
            _add(sums[account], "used", texts.read_whole(amounts))
            _add(sums[account], "settled", texts.read_whole(settled))
    return sums


def _add(sums: Sums, figure: str, amounts: resources.Amounts) -> None:
    sums[figure] = resources.add(sums.get(figure, resources.NOTHING), amounts)


def _world(connection: sa.Connection, accounts: Collection[str]) -> world.World:
    books = world.World(0, claims.Policy())
    nodes = connection.execute(rows.NODE.where(bulk.among(connection, _NODE.account_id, accounts)))
    books.add(nodes=[rows.node(row) for row in nodes])
    return books
