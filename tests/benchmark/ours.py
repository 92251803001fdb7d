"""(c) This worker: one process, everything on; done when the inbox has every cast and no notification is due."""

from __future__ import annotations

import collections
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from oslo_config import cfg

from tests.benchmark import meters, settings, workload
from worker import interfaces, wiring
from worker.bus import calls, wire
from worker.db import inbox, outbox, schema, tables, unit_of_work

PATIENCE = 600.0
LOOK = 0.005
"""Seconds between two looks at the outbox after the last commit."""
THREADS = "stocktake-"
"""What the names of the worker's threads begin with."""


class Commits:
    """Notes when the transaction that marked a message as applied was committed, on the clock of all processes."""

    def __init__(self, race: meters.Race) -> None:
        self._race = race
        self._marked = threading.local()
        self.stamps: dict[str, float] = {}
        self.batches = 0
        self.all = threading.Event()

    def watch(self) -> None:
        """Look on at the inbox and at the end of each transaction of this process, from now on."""
        add, commit = inbox.Inbox.add, unit_of_work.UnitOfWork.commit

        def adding(self_: inbox.Inbox, marks: Sequence[interfaces.Mark], now: int) -> None:
            add(self_, marks, now)
            self._marked.ids = [mark.message_id for mark in marks]

        def committing(self_: unit_of_work.UnitOfWork) -> None:
            commit(self_)
            self._note(time.monotonic())

        inbox.Inbox.add = adding  # type: ignore[assignment]
        unit_of_work.UnitOfWork.commit = committing  # type: ignore[assignment]

    def _note(self, at: float) -> None:
        ids, self._marked.ids = getattr(self._marked, "ids", []), []
        self.batches += bool(ids)
        self.stamps.update(dict.fromkeys(ids, at))
        if ids and len(self.stamps) >= self._race.casts:
            self._race.end(at)
            self.all.set()


def note_first_delivery(race: meters.Race) -> None:
    """Have the consumer tell when the first message is there."""
    take = calls.CallsInHand.add

    def noting(self: calls.CallsInHand, delivery: interfaces.Delivery) -> None:
        race.begin()
        take(self, delivery)

    calls.CallsInHand.add = noting  # type: ignore[method-assign]


def prepare(conf: cfg.ConfigOpts, bind: sa.Engine, nodes: int) -> None:
    """Make the tables and have all nodes reported, with nothing due."""
    schema.sync(bind)
    deliveries = [
        interfaces.Delivery(number, cast.body, content_type=wire.CONTENT_TYPE, content_encoding=wire.CONTENT_ENCODING)
        for number, cast in enumerate(workload.reports(nodes))
    ]
    wiring.batch_engine(conf, bind).process(deliveries)
    with bind.begin() as connection:
        connection.execute(tables.outbox.update().values(due=None, sent_at=wiring.clock()))
    with bind.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")


def run(task: settings.Task) -> dict[str, Any]:
    """Measure it; raises RuntimeError unless everything that was cast is in the accounts."""
    conf = settings.configured(task)
    bind = wiring.database(conf)
    prepare(conf, bind, task.nodes)
    before = _written(bind)
    wiring.tune_collector()  # as the daemon does
    race = meters.Race(task.casts, task.database)
    commits = Commits(race)
    commits.watch()
    note_first_delivery(race)
    with wiring.Running(conf, bind) as running:
        _tell_ready(task)
        _wait(commits.all, "committed")
        published = _published(bind)
        cpu = meters.process_seconds() - race.cpu_began
        result: dict[str, Any] = race.result() | {"batches": commits.batches, "cpu_us": cpu / task.casts * 1e6}
        threads = {name: seconds / task.casts * 1e6 for name, seconds in meters.threads_seconds(THREADS).items()}
    outcomes = dict(running.worker.outcomes)
    _check(bind, task, outcomes)
    result |= {
        "published_rate": task.casts / (published - race.began),
        "outcomes": outcomes,
        "threads_cpu_us": threads,
        "rows": _written(bind) - before,
        "notifications": outbox.status(bind).sent - task.nodes,
    }
    bind.dispose()
    return result | ({"stamps": commits.stamps} if task.stamps else {})


def _tell_ready(task: settings.Task) -> None:
    """Let the sender of a paced run begin."""
    if task.stamps:
        sys.stdout.write("ready\n")
        sys.stdout.flush()


def _wait(event: threading.Event, what: str) -> None:
    if not event.wait(PATIENCE):
        raise TimeoutError(f"the worker had not {what} everything within {PATIENCE:g} s")


def _published(bind: sa.Engine) -> float:
    """Wait until nothing is due; return when that was."""
    due = sa.select(tables.outbox.c.id).where(tables.outbox.c.due == sa.true()).limit(1)
    pause = threading.Event()
    while True:
        with bind.connect() as connection:
            if connection.scalar(due) is None:
                return time.monotonic()
        pause.wait(LOOK)


def _check(bind: sa.Engine, task: settings.Task, outcomes: dict[str, int]) -> None:
    with bind.connect() as connection:
        marks = connection.scalar(sa.select(sa.func.count()).select_from(tables.inbox))
    due = outbox.status(bind).due
    good = {word: count for word, count in outcomes.items() if word in {"applied", "accepted"}}
    if marks != task.casts + task.nodes or due or sum(good.values()) != task.casts:
        raise RuntimeError(f"{marks} marks for {task.casts} casts and {task.nodes} reports, {due} due, {outcomes}")


def _written(bind: sa.Engine) -> collections.Counter[str]:
    """Return how many rows each table was given so far, inserted or updated."""
    with bind.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("SELECT pg_stat_force_next_flush(), pg_stat_clear_snapshot()")
        rows = connection.exec_driver_sql("SELECT relname, n_tup_ins + n_tup_upd FROM pg_stat_user_tables")
        return collections.Counter({name: int(count) for name, count in rows if name in tables.metadata.tables})
