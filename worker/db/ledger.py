"""The append-only explanation of every figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker.core import commands, events
from worker.db import failures, tables, texts, writes


class Ledger:
    """The ledger within one transaction."""

    def __init__(self, written: writes.Writes) -> None:
        self._writes = written

    @failures.translated()
    def add(self, entries: Sequence[events.Entry], now: int) -> None:
        """Append entries."""
        causes: dict[int, str] = {}
        self._writes.insert(tables.ledger, [_row(entry, now, causes) for entry in entries])


def _row(entry: events.Entry, now: int, causes: dict[int, str]) -> dict[str, Any]:
    return {
        "at": now,
        "kind": entry.kind,
        "message_id": entry.cause.message_id,
        "account_id": entry.account,
        "node_uuid": entry.node_uuid,
        "instance_uuid": entry.instance_uuid,
        "amounts": texts.write(entry.amounts),
        "settled": texts.write(entry.settled),
        "cause": _cause(entry.cause, causes),
    }


def _cause(cause: commands.Cause, written: dict[int, str]) -> str:
    """Return the cause as text, which entries of one message share."""
    if id(cause) not in written:
        written[id(cause)] = texts.write(cause)
    return written[id(cause)]
