"""What the committed accounts show: polled until they show the effect of a cast."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa

from objects import stocktake_object
from worker import errors
from worker.core import records
from worker.db import failures, reading, tables

Seen = TypeVar("Seen")

PATIENCE = 30.0
"""Seconds that the effect of one cast may take."""
FIRST_PAUSE, LONGEST_PAUSE = 0.002, 0.05
CLAIMS = ("claim.accept", "claim.refuse")


class NotSeen(errors.StocktakeError):
    """The accounts do not show what was sent; the message names the operation."""


class Accounts:
    """The accounts in the database ``bind``; ``about`` says in errors what is being waited for."""

    def __init__(self, bind: sa.Engine, patience: float = PATIENCE) -> None:
        self._bind = bind
        self._patience = patience
        self._never = threading.Event()
        self.about = ""

    def until(self, look: Callable[[], Seen | None], what: str) -> Seen:
        """Return what ``look`` sees once it sees something; raises NotSeen when that takes too long."""
        end, pause = time.monotonic() + self._patience, FIRST_PAUSE
        while True:
            seen = look()
            if seen is not None:
                return seen
            if time.monotonic() > end:
                raise NotSeen(
                    f"{self.about}: the accounts do not show {what} after {self._patience:g} s{self._parked()}"
                )
            self._never.wait(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)

    def book(self, instance_uuid: str) -> records.Book | None:
        """Return what is kept of an instance."""
        return reading.book(self._bind, instance_uuid)

    def node(self, node_uuid: str) -> records.Node | None:
        """Return what is kept of a node."""
        sheet = self.sheet(node_uuid)
        return None if sheet is None else sheet.node

    def sheet(self, node_uuid: str) -> reading.Sheet | None:
        """Return the figures of a node."""
        return next(iter(reading.sheets(self._bind, [node_uuid])), None)

    def holdings(self, account: str) -> list[tuple[str, records.Holding]]:
        """Return what is held on an account."""
        return reading.holdings(self._bind, account)

    @failures.translated()
    def builds(self) -> int:
        """Return how many builds have been recorded."""
        query = sa.select(sa.func.count()).where(tables.inbox.c.method == "record_build")
        with self._bind.connect() as connection:
            return connection.scalar(query) or 0

    @failures.translated()
    def newest_event(self) -> int:
        """Return the number of the newest notification."""
        with self._bind.connect() as connection:
            return connection.scalar(sa.select(sa.func.max(tables.outbox.c.id))) or 0

    @failures.translated()
    def verdict(self, request_id: str, after: int) -> tuple[bool, str] | None:
        """Return whether the claim of that request was accepted, and why not, among notifications after that one."""
        event = tables.outbox.c
        query = sa.select(event.event_type, event.payload).where(event.id > after, event.event_type.in_(CLAIMS))
        with self._bind.connect() as connection:
            found = connection.execute(query).all()
        for event_type, text in found:
            payload = _data(json.loads(text))
            if any(_data(cause)["request_id"] == request_id for cause in payload["causes"]):
                return event_type == CLAIMS[0], payload["reason"] or ""
        return None

    @failures.translated()
    def _parked(self) -> str:
        """Say what was parked last: it may be what is being waited for."""
        query = sa.select(tables.parked.c.reason).order_by(tables.parked.c.id.desc()).limit(1)
        with self._bind.connect() as connection:
            reason = connection.scalar(query)
        return "" if reason is None else f" (last parked: {reason})"


def _data(primitive: dict[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = primitive[stocktake_object.KEY_DATA]
    return data
