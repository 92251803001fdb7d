"""The worker's life: take a batch, commit it, settle it, again; wait out what is away; drain when told to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from oslo_log import log

from worker import engine, errors, interfaces

LOG = log.getLogger(__name__)

WORKING = "working"
DATABASE_AWAY = "database away"
BROKER_AWAY = "broker away"
STOPPED = "stopped"


class Backoff(Protocol):
    """How long to wait before the next try."""

    def wait(self) -> float:
        """Return seconds."""

    def reset(self) -> None:
        """Begin anew after a success."""


class Worker:
    """One consumer and one engine in one thread.

    ``committed`` is called after each commit, ``health`` with a word at each change of it. A batch that the database
    does not take for ``PATIENCE`` seconds is given back to the broker, well before its consumer timeout.
    """

    PATIENCE = 600.0

    def __init__(
        self,
        consumer: interfaces.Consumer,
        batches: engine.Engine,
        backoff: Backoff,
        committed: Callable[[], None],
        health: Callable[[str], None],
    ) -> None:
        self._consumer = consumer
        self._engine = batches
        self._backoff = backoff
        self._committed = committed
        self._health = health
        self._stopping = threading.Event()
        self._state = ""
        self.outcomes: dict[str, int] = {}

    def stop(self) -> None:
        """Finish the batch in hand, give the rest back and end; may be called from any thread."""
        self._stopping.set()

    def run(self) -> None:
        """Work until stopped; connect anew, after a while, whenever the broker drops us."""
        while not self._stopping.is_set():
            try:
                self._session()
            except errors.BusUnavailable as error:
                self._say(BROKER_AWAY)
                seconds = self._backoff.wait()
                LOG.warning("action=reconnect in %.1f s: %s", seconds, error)
                self._stopping.wait(seconds)
            finally:
                self._consumer.close()
        self._say(STOPPED)

    def _session(self) -> None:
        self._consumer.open()
        self._backoff.reset()
        self._say(WORKING)
        while not self._stopping.is_set():
            deliveries = self._consumer.batch()
            if deliveries:
                self._finish(deliveries)
        self._consumer.stop_taking()

    def _finish(self, deliveries: Sequence[interfaces.Delivery]) -> None:
        """Commit, answer, then settle: a call whose answer is lost with the connection comes again and gets it."""
        answers = self._carry_out(deliveries)
        self._committed()
        for answer in answers:
            self.outcomes[answer.word] = self.outcomes.get(answer.word, 0) + 1
            if answer.to is not None:
                self._consumer.answer(answer.delivery, answer.to, answer.reply)
        self._consumer.settle([answer.delivery for answer in answers])

    def _carry_out(self, deliveries: Sequence[interfaces.Delivery]) -> list[interfaces.Answer]:
        """Return the answers of a committed batch, however long the database takes to come back."""
        waited = 0.0
        while True:
            try:
                answers = self._engine.process(deliveries)
            except errors.DatabaseUnavailable as error:
                waited += self._wait_for_database(error, waited)
            else:
                self._say(WORKING)
                return answers

    def _wait_for_database(self, error: Exception, waited: float) -> float:
        """Keep the batch and the connection for a second; BusUnavailable gives both up."""
        self._say(DATABASE_AWAY)
        if waited >= self.PATIENCE or self._stopping.is_set():
            raise errors.BusUnavailable(f"the batch is given back, the database is away: {error}") from error
        if not waited:
            LOG.warning("action=wait the database is away, the batch is kept: %s", error)
        self._stopping.wait(1.0)
        self._consumer.beat()
        return 1.0

    def _say(self, state: str) -> None:
        if state != self._state:
            self._state = state
            LOG.info("action=health %s", state)
            self._health(state)
