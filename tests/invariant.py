"""The proof that belongs to every test with a database: totals = reserved + holdings = ledger, in each it touched.

A conftest runs its tests' bodies inside ``Watch``, which notes every database that is connected to meanwhile and proves
its accounts at the end, before any fixture takes the database away.
"""

from __future__ import annotations

import pathlib
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy import event

from worker.db import engine, invariants, tables


def prove(bind: sa.Engine) -> None:
    """Fail unless every figure of every account in this database adds up, and all say the same of who has what."""
    found = list(invariants.differences(bind))

    assert found == [], "the accounts do not add up"


class Watch:
    """Notes the databases that anything in this process connects to while the block lasts."""

    def __init__(self) -> None:
        self._urls: set[str] = set()

    def __enter__(self) -> Self:
        """Begin to note."""
        event.listen(sa.Engine, "engine_connect", self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Note no more."""
        event.remove(sa.Engine, "engine_connect", self._note)

    def prove(self) -> int:
        """Prove the accounts of those databases that are still there and have our tables; return how many."""
        urls, proved = sorted(self._urls), 0
        for url in urls:
            if _gone(sa.make_url(url)):
                continue
            bind = engine.of_url(url)
            try:
                if _has_accounts(bind):
                    prove(bind)
                    proved += 1
            finally:
                bind.dispose()
        return proved

    def _note(self, connection: Any) -> None:
        url = connection.engine.url
        if url.database not in {None, "", ":memory:"}:
            self._urls.add(url.render_as_string(hide_password=False))


def _gone(url: sa.URL) -> bool:
    return url.drivername.startswith("sqlite") and not pathlib.Path(str(url.database)).exists()


def _has_accounts(bind: sa.Engine) -> bool:
    try:
        return all(sa.inspect(bind).has_table(name) for name in tables.metadata.tables)
    except sa.exc.OperationalError:  # dropped meanwhile
        return False
