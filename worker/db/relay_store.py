"""The outbox as the relay sees it, the lease that makes one relay the active one, and retention."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from worker import errors, interfaces
from worker.core import records
from worker.db import bulk, engine, failures, outbox, tables

SECOND = 1_000_000
PURGED_AT_ONCE = 2000
PURGES = 25

_ROW = tables.outbox.c
_MARK = tables.inbox.c
_LEASE = tables.leases.c
_ACCOUNT = tables.accounts.c

# the database's own clock in microseconds since 1970: the hosts' clocks differ
_NOW = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)",
    "postgresql": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
    "mysql": "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",
}


class RelayStore:
    """Short transactions on an engine of ``engine.create``; every method raises DatabaseUnavailable."""

    def __init__(self, bind: sa.Engine) -> None:
        self._reading = bind
        self._writing = bind.execution_options(**{engine.WRITING: True})
        self._now = sa.literal_column(_NOW[bind.dialect.name], sa.BigInteger())

    def acquire(self, name: str, holder: str, seconds: float) -> bool:
        """Take or renew a lease for so long by the database's clock; False while another holder's has not run out.

        One that would last longer than any that is given was made before the clock was put back: it has run out.
        """
        try:
            return self._acquire(name, holder, round(seconds * SECOND))
        except errors.Conflict:
            return False

    @failures.translated()
    def _acquire(self, name: str, holder: str, lasting: int) -> bool:
        until = self._now + lasting
        ran_out = sa.or_(_LEASE.expires_at <= self._now, _LEASE.expires_at > until + SECOND)
        free = sa.or_(_LEASE.holder == holder, ran_out)
        taken = tables.leases.update().where(_LEASE.name == name, free).values(holder=holder, expires_at=until)
        there = sa.select(_LEASE.name).where(_LEASE.name == name)
        with self._writing.begin() as connection:
            if connection.execute(taken).rowcount:
                return True
            if connection.scalar(there) is not None:
                return False
            connection.execute(tables.leases.insert().values(name=name, holder=holder, expires_at=until))
        return True

    @failures.translated()
    def release(self, name: str, holder: str) -> None:
        """Give a lease up, if it is this holder's."""
        with self._writing.begin() as connection:
            connection.execute(tables.leases.delete().where(_LEASE.name == name, _LEASE.holder == holder))

    @failures.translated()
    def due(self, limit: int) -> list[tuple[int, interfaces.Frame]]:
        """Return the oldest rows that are to be sent, by id."""
        # all that is due is true; saying so would let a planner walk along the ids through all that is sent already
        query = outbox.FRAME.where(_ROW.due.is_not(None)).order_by(_ROW.due, _ROW.id).limit(limit)
        with self._reading.connect() as connection:
            return [outbox.frame(row) for row in connection.execute(query).all()]

    @failures.translated()
    def last_due(self) -> int | None:
        """Return the highest id that is to be sent, or None."""
        query = sa.select(_ROW.id).where(_ROW.due.is_not(None)).order_by(_ROW.due.desc(), _ROW.id.desc()).limit(1)
        with self._reading.connect() as connection:
            return connection.scalar(query)

    @failures.translated()
    def sent(self, name: str, holder: str, ids: Sequence[int], now: int) -> bool:
        """Mark rows as sent, unless the lease is another's by now: then nothing is marked and False returned."""
        held = sa.select(_LEASE.name).where(_LEASE.name == name, _LEASE.holder == holder).with_for_update()
        with self._writing.begin() as connection:
            if connection.scalar(held) is None:
                return False
            if ids:
                those = bulk.among(connection, _ROW.id, ids)
                connection.execute(tables.outbox.update().where(those).values(due=None, sent_at=now))
        return True

    @failures.translated()
    def pairs(self, after: str, limit: int) -> list[tuple[str, records.Pair]]:
        """Return the next accounts by id, with their pairs."""
        query = sa.select(_ACCOUNT.id, _ACCOUNT.host, _ACCOUNT.hypervisor_hostname).where(_ACCOUNT.id > after)
        with self._reading.connect() as connection:
            found = connection.execute(query.order_by(_ACCOUNT.id).limit(limit))
            return [(id_, records.Pair(host, node)) for id_, host, node in found]

    def purge(self, inbox_before: int, outbox_before: int) -> int:
        """Delete marks and sent notifications older than that, in short transactions; return how many.

        A turn ends after a while even if there is more: what is left goes at the next.
        """
        total = 0
        self._purge_starts(inbox_before)
        for purge, before in ((self._purge_inbox, inbox_before), (self._purge_outbox, outbox_before)):
            for _ in range(PURGES):
                gone = purge(before)
                total += gone
                if gone < PURGED_AT_ONCE:
                    break
        return total

    @failures.translated()
    def _purge_starts(self, before: int) -> None:
        """Forget messages that came again, were started, and never came once more; there are few."""
        with self._writing.begin() as connection:
            connection.execute(tables.starts.delete().where(tables.starts.c.at < before))

    @failures.translated()
    def _purge_inbox(self, before: int) -> int:
        oldest = sa.select(_MARK.message_id).where(_MARK.received_at < before)
        with self._writing.begin() as connection:
            ids = connection.scalars(oldest.order_by(_MARK.received_at).limit(PURGED_AT_ONCE)).all()
            return bulk.delete(connection, tables.inbox, [{"message_id": id_} for id_ in sorted(ids)])

    @failures.translated()
    def _purge_outbox(self, before: int) -> int:
        """Look at the lowest ids only: rows are sent about in their order, and no index on the time is needed."""
        lowest = sa.select(_ROW.id, _ROW.sent_at).order_by(_ROW.id).limit(PURGED_AT_ONCE)
        with self._writing.begin() as connection:
            rows = connection.execute(lowest).all()
            ids = [row.id for row in rows if row.sent_at is not None and row.sent_at < before]
            return bulk.delete(connection, tables.outbox, [{"id": id_} for id_ in ids])
