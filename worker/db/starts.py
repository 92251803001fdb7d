"""How often messages were started that came again: counted before the start, forgotten after a good end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import sqlalchemy as sa

from worker import errors
from worker.db import bulk, engine, failures, tables

TRIES = 5
_START = tables.starts.c


class Starts:
    """Short transactions on an engine of ``engine.create``; ``clock`` gives microseconds since 1970."""

    def __init__(self, bind: sa.Engine, clock: Callable[[], int]) -> None:
        self._reading = bind
        self._writing = bind.execution_options(**{engine.WRITING: True})
        self._clock = clock

    @failures.translated()
    def known(self, contents: Sequence[str]) -> Mapping[str, int]:
        """Return how often those were started that did not end well; raises DatabaseUnavailable."""
        with self._reading.connect() as connection:
            there = bulk.among(connection, _START.content, contents)
            found = connection.execute(sa.select(_START.content, _START.times).where(there))
            return {row.content: row.times for row in found}

    def begin(self, contents: Sequence[str]) -> None:
        """Count a start of each; raises DatabaseUnavailable."""
        for _ in range(TRIES):
            try:
                return self._begin(sorted(set(contents)))
            except errors.Conflict as conflict:
                last = conflict
        raise errors.DatabaseUnavailable(f"other workers count the same messages: {last}")

    @failures.translated()
    def _begin(self, contents: Sequence[str]) -> None:
        now = self._clock()
        with self._writing.begin() as connection:
            there = bulk.among(connection, _START.content, contents)
            known = set(
                connection.scalars(sa.select(_START.content).where(there).order_by(_START.content).with_for_update())
            )
            connection.execute(tables.starts.update().where(there).values(times=_START.times + 1, at=now))
            new = [{"content": one, "times": 1, "at": now} for one in contents if one not in known]
            bulk.insert(connection, tables.starts, new)

    @failures.translated()
    def finish(self, contents: Sequence[str]) -> None:
        """Forget those that ended well; raises DatabaseUnavailable."""
        with self._writing.begin() as connection:
            connection.execute(tables.starts.delete().where(bulk.among(connection, _START.content, contents)))
