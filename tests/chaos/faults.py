"""Doing the faults of a plan, each in its turn, and telling what was done when."""

from __future__ import annotations

import heapq
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

import psycopg

from tests.chaos import broker, crew, database, deadlocks, programs, schedule

TURN = 0.5  # seconds between two looks at the daemons
FURTHEST = 2 * 86400
"""Seconds by which a clock is wrong at most: less than what is kept is kept for."""

Undo = Callable[[], str]
Say = Callable[[str], None]


class Faults:
    """Does what a plan says to one site's services and workers; ``done`` counts by kind."""

    def __init__(self, node: broker.Broker, server: database.Database, workers: crew.Crew, say: Say) -> None:
        self._broker = node
        self._server = server
        self._crew = workers
        self._say = say
        self.done: Counter[str] = Counter()

    def run(self, plan: Sequence[schedule.Fault], seconds: float) -> None:
        """Do the plan; returns after so many seconds, when every fault has ended."""
        began, never = time.monotonic(), threading.Event()
        todo: list[tuple[float, int, Callable[[], None]]] = []

        def begin(place: int, fault: schedule.Fault) -> None:
            words, undo = getattr(self, f"_do_{fault.kind}")(fault)
            self.done[fault.kind] += 1
            self._tell(began, fault.kind, words)
            if undo is not None:
                heapq.heappush(todo, (fault.at + fault.seconds, len(plan) + place, lambda: end(fault, undo)))

        def end(fault: schedule.Fault, undo: Undo) -> None:
            self._tell(began, fault.kind, f"over: {undo()}")

        for place, fault in enumerate(plan):
            heapq.heappush(todo, (fault.at, place, lambda place=place, fault=fault: begin(place, fault)))  # type: ignore[misc]
        while todo or time.monotonic() - began < seconds:
            while todo and todo[0][0] <= time.monotonic() - began:
                heapq.heappop(todo)[2]()
            self._crew.watch()
            never.wait(min(TURN, max(todo[0][0] - (time.monotonic() - began), 0) if todo else TURN))

    def _tell(self, began: float, kind: str, words: str) -> None:
        self._say(f"{time.monotonic() - began:7.1f} s  {kind:9} {words}")

    def mend(self) -> None:
        """Bring everything back; raises TimeoutError for what does not answer."""
        for one in (self._broker, self._server):
            if not one.running:
                one.start()
            one.wait()

    def _do_kill(self, fault: schedule.Fault) -> tuple[str, None]:
        return f"SIGKILL to the {self._crew.kill(fault.pick)}", None

    def _do_pause(self, fault: schedule.Fault) -> tuple[str, Undo]:
        found, words = self._crew.pause(fault.pick)
        return f"SIGSTOP to the {words}", lambda: f"SIGCONT to {self._crew.proceed(found)}"

    def _do_broker(self, fault: schedule.Fault) -> tuple[str, Undo]:
        hard = bool(fault.pick % 2)
        self._broker.stop(hard=hard)
        return f"RabbitMQ {'killed' if hard else 'stopped'}", lambda: _started(self._broker.start, "RabbitMQ")

    def _do_database(self, fault: schedule.Fault) -> tuple[str, Undo]:
        hard = bool(fault.pick % 2)
        self._server.stop(hard=hard)
        words = "PostgreSQL stopped without a shutdown" if hard else "PostgreSQL stopped"
        return words, lambda: _started(self._server.start, "PostgreSQL")

    def _do_cut(self, fault: schedule.Fault) -> tuple[str, None]:  # noqa: ARG002 - the form of a fault
        return "every connection closed by RabbitMQ" if self._broker.cut() else "RabbitMQ is away", None

    def _do_sessions(self, fault: schedule.Fault) -> tuple[str, None]:  # noqa: ARG002
        try:
            return f"{self._server.end_sessions()} sessions ended by PostgreSQL", None
        except psycopg.Error:
            return "no sessions: PostgreSQL is away", None

    def _do_deadlock(self, fault: schedule.Fault) -> tuple[str, Undo]:
        opponent = deadlocks.Opponent(self._server, fault.pick)
        opponent.start()

        def undo() -> str:
            opponent.stop()
            return f"{opponent.rounds} rounds"

        return "accounts are locked from the last to the first", undo

    def _do_full(self, fault: schedule.Fault) -> tuple[str, Undo]:  # noqa: ARG002
        self._server.fill()

        def undo() -> str:
            self._server.free()
            ended = not self._server.running
            programs.wait(self._server.answers, "PostgreSQL", database.STARTED_WITHIN)
            return "it has room, PostgreSQL " + ("had ended and is started again" if ended else "has survived")

        return "the database's disk is full", undo

    def _do_clock(self, fault: schedule.Fault) -> tuple[str, None]:
        chance = random.Random(fault.pick)
        seconds = chance.choice([1, 60, 3600, FURTHEST]) * chance.choice([1, -1])
        self._crew.clock(seconds)
        return f"the workers' clocks are {seconds:+d} s off", None


def _started(start: Callable[[], None], name: str) -> str:
    start()
    return f"{name} started"
