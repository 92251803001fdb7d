"""Deadlocks by force: a session that locks the same accounts as the workers, in the opposite order."""

from __future__ import annotations

import random
import threading

import psycopg

from tests.chaos import database

PAUSE = 0.1  # seconds between the one lock and the other


class Opponent(threading.Thread):
    """Locks accounts from the last to the first, again and again until told to stop; the workers lock them the other way.

    It is as ready to be the victim as to let a worker be it: who waits longer is chosen by chance.
    """

    def __init__(self, server: database.Database, pick: int) -> None:
        super().__init__(name="opponent", daemon=True)
        self._server = server
        self._chance = random.Random(pick)
        self._stopping = threading.Event()
        self.rounds = 0

    def stop(self) -> None:
        """Finish the round in hand and end."""
        self._stopping.set()
        self.join(30)

    def run(self) -> None:
        """Get in the way."""
        while not self._stopping.wait(PAUSE):
            try:
                self._round()
            except psycopg.Error:  # the victim, or the server is away
                self.rounds += 1

    def _round(self) -> None:
        patience = self._chance.choice([100, 2000])
        with self._server.session() as session, session.transaction():
            session.execute(f"SET LOCAL deadlock_timeout = '{patience}ms'")
            ids = [row[0] for row in session.execute("SELECT id FROM accounts ORDER BY id DESC").fetchall()]
            for one in ids:
                session.execute("SELECT 1 FROM accounts WHERE id = %s FOR UPDATE", (one,))
                self._stopping.wait(PAUSE / 4)
        self.rounds += 1
