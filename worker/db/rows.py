"""Rows to the core's records and back. Column lists and functions come in pairs, in one order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from worker.core import records
from worker.db import tables, texts

Row = Sequence[Any]

_NODE = tables.nodes.c
_ACCOUNT = tables.accounts.c
_INSTANCE = tables.instances.c
_HOLDING = tables.holdings.c
_ENTRY = tables.ledger.c

NODE = sa.select(
    _NODE.uuid,
    _NODE.host,
    _NODE.hypervisor_hostname,
    _NODE.revision,
    _NODE.removed_revision,
    _NODE.disabled,
    _NODE.disabled_revision,
    _NODE.failed_builds,
    _NODE.audited_at,
    _NODE.sequence,
    _NODE.capacity,
    _NODE.digest,
    _NODE.generation,
)
ACCOUNT = sa.select(
    _ACCOUNT.id,
    _ACCOUNT.host,
    _ACCOUNT.hypervisor_hostname,
    _ACCOUNT.used,
    _ACCOUNT.settled,
    _ACCOUNT.counters,
    _ACCOUNT.generation,
)
BOOK = sa.select(
    _INSTANCE.uuid, _INSTANCE.revision, _INSTANCE.deleted, _INSTANCE.saved_at, _INSTANCE.generation, _INSTANCE.body
)
HOLDING = sa.select(
    _HOLDING.instance_uuid,
    _HOLDING.account_id,
    _HOLDING.consumer,
    _HOLDING.side,
    _HOLDING.settled,
    _HOLDING.amounts,
    _HOLDING.place,
)
LINE = sa.select(
    _ENTRY.id,
    _ENTRY.at,
    _ENTRY.kind,
    _ENTRY.account_id,
    _ENTRY.node_uuid,
    _ENTRY.instance_uuid,
    _ENTRY.amounts,
    _ENTRY.settled,
    _ENTRY.cause,
)


def node(row: Row) -> records.Node:
    """Return the node of a row of ``NODE``."""
    uuid, host, name, *figures, capacity, digest, generation = row
    revision, removed_revision, disabled, disabled_revision, failed_builds, audited_at, sequence = figures
    return records.Node(
        uuid=uuid,
        pair=None if host is None else records.Pair(host, name),
        revision=revision,
        removed_revision=removed_revision,
        disabled=disabled,
        disabled_revision=disabled_revision,
        failed_builds=failed_builds,
        audited_at=audited_at,
        sequence=sequence,
        capacity=None if capacity is None else texts.read_capacity(capacity),
        digest=digest,
        generation=generation,
    )


def account(row: Row) -> records.Account:
    """Return the account of a row of ``ACCOUNT``."""
    id_, host, name, used, settled, counters, generation = row
    return records.Account(
        id=id_,
        pair=records.Pair(host, name),
        used=texts.read_whole(used),
        settled=texts.read_whole(settled),
        counters=texts.read_whole(counters),
        generation=generation,
    )


def book(row: Row) -> records.Book:
    """Return the book of a row of ``BOOK``."""
    uuid, revision, deleted, saved_at, generation, body = row
    rest = texts.read_body(body)
    return records.Book(
        uuid=uuid,
        revision=revision,
        deleted=deleted,
        record=rest.record,
        moves=rest.moves,
        holdings=rest.holdings,
        attachments=rest.attachments,
        saved_at=saved_at,
        generation=generation,
    )


def holding(row: Row) -> tuple[str, records.Holding]:
    """Return the holding of a row of ``HOLDING``, after the uuid of its instance."""
    instance_uuid, account_id, consumer, side, settled, amounts, place = row
    had = None if place is None else texts.read_place(place)
    return instance_uuid, records.Holding(account_id, consumer, side, settled, texts.read_whole(amounts), had)


def of_node_revisions(of: records.Node) -> dict[str, Any]:
    """Return the columns of a node that change with a report that says nothing new, and those that tell it."""
    return {
        "uuid": of.uuid,
        "generation": of.generation,
        "revision": of.revision,
        "disabled_revision": of.disabled_revision,
    }


def of_node_figures(of: records.Node) -> dict[str, Any]:
    """Return the columns of a node that change without a report, and those that tell it."""
    return {
        **of_node_revisions(of),
        "removed_revision": of.removed_revision,
        "disabled": of.disabled,
        "failed_builds": of.failed_builds,
        "audited_at": of.audited_at,
        "sequence": of.sequence,
    }


def of_node(of: records.Node, report: records.ComputeNode | None) -> dict[str, Any]:
    """Return every column of a node; ``report`` is null where there is no newer one to keep."""
    pair = of.pair
    return {
        **of_node_figures(of),
        "account_id": None if pair is None else records.account_id(pair.host, pair.node),
        "host": None if pair is None else pair.host,
        "hypervisor_hostname": None if pair is None else pair.node,
        "capacity": texts.write_or_none(of.capacity),
        "digest": of.digest,
        "report": texts.write_or_none(report),
    }


def of_account_figures(of: records.Account) -> dict[str, Any]:
    """Return the columns of an account that change, and those that tell it."""
    return {
        "id": of.id,
        "generation": of.generation,
        "used": texts.write(of.used),
        "settled": texts.write(of.settled),
        "counters": texts.write(of.counters),
    }


def of_account(of: records.Account) -> dict[str, Any]:
    """Return every column of an account."""
    return {**of_account_figures(of), "host": of.pair.host, "hypervisor_hostname": of.pair.node}


def of_book(of: records.Book) -> dict[str, Any]:
    """Return every column of an instance."""
    return {
        "uuid": of.uuid,
        "generation": of.generation,
        "revision": of.revision,
        "deleted": of.deleted,
        "saved_at": of.saved_at,
        "body": texts.write(texts.Body(of.record, of.moves, of.holdings, of.attachments)),
    }


def of_holding(uuid: str, of: records.Holding) -> dict[str, Any]:
    """Return every column of what an instance holds on one side."""
    return {
        "instance_uuid": uuid,
        "side": of.side,
        "account_id": of.account,
        "consumer": of.consumer,
        "settled": of.settled,
        "amounts": texts.write(of.amounts),
        "place": texts.write_or_none(of.place),
    }


def of_grant(uuid: str, account: str, of: records.Grant) -> dict[str, Any]:
    """Return every column of a device that an instance holds."""
    return {"account_id": account, "address": of.address, "instance_uuid": uuid, "request_id": of.request_id}


def first_generation(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a record that is stored for the first time."""
    return {**row, "generation": row["generation"] + 1}
