"""From what an operator writes to the thing itself: nodes by uuid or name, instances by uuid."""

from __future__ import annotations

import uuid

import sqlalchemy as sa

from objects import exceptions
from worker.cli import failures
from worker.core import records
from worker.db import failures as db_failures
from worker.db import reading, tables

SHOWN = 5


def node(bind: sa.Engine, name: str) -> reading.Sheet:
    """Return the sheet of a node by its uuid, the placeholder of a pair, hypervisor_hostname, HOST/NODE or host.

    Raises NotFound, or Refused for a name that several nodes have.
    """
    wanted = as_uuid(name)
    uuids = [wanted] if wanted else named(bind, name)
    found = [sheet for sheet in reading.sheets(bind, uuids) if sheet.speaks or wanted]
    if not found:
        raise exceptions.NotFound(f"node {name} is not known")
    if len(found) > 1:
        some = ", ".join(str(uuid_of(sheet)) for sheet in found[:SHOWN])
        raise failures.Refused(f"node {name} is not one but {len(found)}; say which by its uuid: {some}")
    return found[0]


def account(bind: sa.Engine, name: str) -> reading.Sheet:
    """Return the sheet of a node that speaks for its pair; raises Refused for one that does not, and as ``node``."""
    sheet = node(bind, name)
    if sheet.speaks:
        return sheet
    (speaker,) = reading.provider_uuids(bind, [sheet.account.id]).values()
    raise failures.Refused(f"node {uuid_of(sheet)} has no account: {speaker} speaks for {sheet.account.pair}")


def uuid_of(sheet: reading.Sheet) -> str:
    """Return the uuid under which a node, or a pair that nobody reports, is known outside."""
    return sheet.node.uuid if sheet.node is not None else sheet.account.id


def as_uuid(text: str) -> str | None:
    """Return the uuid in the form in which it is stored, or None for what is none."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None


@db_failures.translated()
def named(bind: sa.Engine, name: str) -> list[str]:
    """Return the uuids of nodes and of unreported pairs of this hypervisor_hostname, HOST/NODE, or else host."""
    with bind.connect() as connection:
        for told in _ways(name):
            found = [str(one) for one in connection.scalars(told)]
            if found:
                return found
    return []


def _ways(name: str) -> list[sa.Select[tuple[str]]]:
    nodes, accounts = tables.nodes.c, tables.accounts.c
    host, _, hypervisor = name.partition("/")
    pair = records.account_id(host, hypervisor)
    return [
        _either(nodes.account_id == pair, accounts.id == pair),
        _either(nodes.hypervisor_hostname == name, accounts.hypervisor_hostname == name),
        _either(nodes.host == name, accounts.host == name),
    ]


def _either(of_node: sa.ColumnElement[bool], of_account: sa.ColumnElement[bool]) -> sa.Select[tuple[str]]:
    both = sa.union_all(
        sa.select(tables.nodes.c.uuid.label("uuid")).where(of_node),
        sa.select(tables.accounts.c.id.label("uuid")).where(of_account),
    ).subquery()
    return sa.select(both.c.uuid).order_by(both.c.uuid)


def book(bind: sa.Engine, name: str) -> records.Book:
    """Return what is kept of an instance; raises NotFound."""
    wanted = as_uuid(name)
    found = None if wanted is None else reading.book(bind, wanted)
    if found is None:
        raise exceptions.NotFound(f"instance {name} is not known")
    return found


def pair_names(bind: sa.Engine, accounts: set[str]) -> dict[str, str]:
    """Return HOST/NODE, or the node alone where the host has the same name, by account."""
    found = {sheet.account.id: sheet.account.pair for sheet in reading.sheets(bind, placeholders(bind, accounts))}
    return {account: short(found[account]) if account in found else account for account in accounts}


def placeholders(bind: sa.Engine, accounts: set[str]) -> set[str]:
    """Return the uuids under which accounts are known outside."""
    return set(reading.provider_uuids(bind, accounts).values())


def short(pair: records.Pair) -> str:
    """Return a pair's name for a table."""
    return pair.node if pair.host == pair.node else str(pair)
