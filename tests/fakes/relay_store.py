"""The outbox as the relay sees it, a lease and the chores' side of the database, in lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from worker import interfaces
from worker.core import records


class Store:
    """Rows that are due, one lease, accounts; ``failures`` are raised one by one by whatever is asked next.

    ``clock`` is the database's own, in microseconds.
    """

    def __init__(self, clock: Callable[[], int] = lambda: 0) -> None:
        self._clock = clock
        self.rows: dict[int, interfaces.Frame] = {}
        self.sent_ids: list[int] = []
        self.holder: str | None = None
        self.until = 0
        self.acquired: list[int] = []
        self.failures: list[Exception] = []
        self.known: list[tuple[str, records.Pair]] = []
        self.purged: list[tuple[int, int]] = []
        self.rows_past_retention = 0

    def put(self, *event_ids: str) -> None:
        """Append notifications that are due."""
        for event_id in event_ids:
            frame = interfaces.Frame(event_id, "resource_provider.update", "INFO", "stocktake:h1", {}, "now")
            self.rows[len(self.rows) + 1] = frame

    def acquire(self, name: str, holder: str, seconds: float) -> bool:  # noqa: ARG002 - there is one
        """Take or renew the lease."""
        self._fail()
        now = self._clock()
        if self.holder not in {None, holder} and now < self.until:
            return False
        self.holder, self.until = holder, now + int(seconds * 1_000_000)
        self.acquired.append(now)
        return True

    def release(self, name: str, holder: str) -> None:  # noqa: ARG002 - there is one
        """Give the lease up."""
        self._fail()
        if self.holder == holder:
            self.holder = None

    def due(self, limit: int) -> Sequence[tuple[int, interfaces.Frame]]:
        """Return the oldest rows that are not sent."""
        self._fail()
        return [(number, frame) for number, frame in self.rows.items() if number not in self.sent_ids][:limit]

    def last_due(self) -> int | None:
        """Return the highest number that is not sent."""
        self._fail()
        return max((number for number in self.rows if number not in self.sent_ids), default=None)

    def sent(self, name: str, holder: str, ids: Sequence[int], now: int) -> bool:  # noqa: ARG002 - it keeps no times
        """Mark rows for the holder of the lease."""
        self._fail()
        if self.holder != holder:
            return False
        self.sent_ids.extend(ids)
        return True

    def pairs(self, after: str, limit: int) -> Sequence[tuple[str, records.Pair]]:
        """Return the next accounts."""
        self._fail()
        return [one for one in sorted(self.known, key=lambda one: one[0]) if one[0] > after][:limit]

    def purge(self, inbox_before: int, outbox_before: int) -> int:
        """Note the bounds."""
        self._fail()
        self.purged.append((inbox_before, outbox_before))
        return self.rows_past_retention

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)
