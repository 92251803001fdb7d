"""What stocktake-placement has to remember, in two small tables; satisfies ``worker.placement.memory.Memory``."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from worker.db import bulk, engine, failures, tables
from worker.placement import memory

_MARK = tables.placement_marks.c
_PENDING = tables.placement_pending.c


class PlacementMemory:
    """Short transactions on an engine of ``engine.create``; every method raises DatabaseUnavailable."""

    def __init__(self, bind: sa.Engine) -> None:
        self._reading = bind
        self._writing = bind.execution_options(**{engine.WRITING: True})

    @failures.translated()
    def marks(self, uuids: Collection[str]) -> dict[str, memory.Mark]:
        """Return what is kept of these providers."""
        with self._reading.connect() as connection:
            those = bulk.among(connection, _MARK.uuid, uuids)
            found = connection.execute(sa.select(_MARK.uuid, _MARK.made, _MARK.traits).where(those))
            return {uuid: memory.Mark(made, frozenset(json.loads(traits))) for uuid, made, traits in found}

    @failures.translated()
    def made(self) -> list[str]:
        """Return the providers that we made."""
        query = sa.select(_MARK.uuid).where(_MARK.made == sa.true()).order_by(_MARK.uuid)
        with self._reading.connect() as connection:
            return list(connection.scalars(query))

    def mark(self, uuid: str, mark: memory.Mark) -> None:
        """Keep this of a provider."""
        traits = json.dumps(sorted(mark.traits))
        self._put(tables.placement_marks, {"uuid": uuid}, {"made": mark.made, "traits": traits})

    def forget(self, uuid: str) -> None:
        """Keep nothing of a provider any more."""
        self._put(tables.placement_marks, {"uuid": uuid}, None)

    @failures.translated()
    def pending(self) -> dict[str, str]:
        """Return the intents that wait."""
        with self._reading.connect() as connection:
            found = connection.execute(sa.select(_PENDING.subject, _PENDING.intent))
            return {row.subject: row.intent for row in found}

    def keep(self, subject: str, intent: str) -> None:
        """Let an intent wait, in the place of an earlier one."""
        self._put(tables.placement_pending, {"subject": subject}, {"intent": intent})

    def drop(self, subject: str) -> None:
        """Let an intent wait no more."""
        self._put(tables.placement_pending, {"subject": subject}, None)

    @failures.translated()
    def _put(self, table: sa.Table, key: dict[str, str], values: dict[str, Any] | None) -> None:
        """Replace the row of a key; None leaves none."""
        ((name, value),) = key.items()
        with self._writing.begin() as connection:
            connection.execute(table.delete().where(table.c[name] == value))
            if values is not None:
                connection.execute(table.insert().values(**key, **values))
