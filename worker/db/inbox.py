"""Which messages have been applied."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa

from worker import interfaces
from worker.db import bulk, failures, tables, writes

_TABLE = tables.inbox
_MARK = sa.select(_TABLE.c.message_id, _TABLE.c.method, _TABLE.c.outcome, _TABLE.c.reply)
_METHOD_LENGTH = 255


class Inbox:
    """The inbox within one transaction."""

    def __init__(self, written: writes.Writes) -> None:
        self._writes = written

    @failures.translated()
    def seen(self, message_ids: Collection[str]) -> Mapping[str, interfaces.Mark]:
        """Return the marks of those ids that are known."""
        if not message_ids:
            return {}
        found = bulk.found(self._writes.connection, _MARK, _TABLE.c.message_id, message_ids)
        return {row[0]: interfaces.Mark(*row) for row in found}

    @failures.translated()
    def add(self, marks: Sequence[interfaces.Mark], now: int) -> None:
        """Mark messages as applied; raises Conflict if another worker has marked one of them meanwhile."""
        rows = [
            {
                "message_id": mark.message_id,
                "method": mark.method[:_METHOD_LENGTH],
                "outcome": mark.outcome,
                "reply": mark.reply,
                "received_at": now,
            }
            for mark in marks
        ]
        self._writes.insert(_TABLE, rows)
