"""Everything at work in one process: a simulated conductor, the bus, a worker, the relay, a notification consumer."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO

import rich.console
import rich.live
import rich.table
import sqlalchemy as sa
from oslo_config import cfg

from objects import stocktake_object
from worker import client, errors, mapping, service, wiring
from worker.db import failures, invariants, reading, tables
from worker.demo import conductor, listening, screen

STEPS_A_SECOND = 80
LOOKS_A_SECOND = 4
PATIENCE = 30.0
"""Seconds for the worker to start, and at the end for what is under way."""


def run(conf: cfg.ConfigOpts, seconds: float, nodes: int, seed: int, out: IO[str]) -> int:
    """Show usage moving for ``seconds``, then a summary; returns 1 if something does not add up or was lost, else 0."""
    console = rich.console.Console(file=out, highlight=False, soft_wrap=True)
    began = time.monotonic()
    with wiring.embedded(conf), _working(conf) as running, _listening(conf) as listener:
        api = client.UsageAPI(conf)
        show = Show(console, running, listener, conductor.Conductor(api, nodes, seed))
        try:
            console.print(f"started in {time.monotonic() - began:.1f} s; {nodes} nodes, seed {seed}, {seconds:g} s")
            show.play(seconds)
            show.wait_for_the_rest()
            return show.summarise()
        finally:
            api.close()


class Show:
    """One demonstration: the parts at work, and what is told of them."""

    def __init__(
        self,
        console: rich.console.Console,
        running: wiring.Running,
        listener: listening.Listener,
        sender: conductor.Conductor,
    ) -> None:
        self._console = console
        self._running = running
        self._listener = listener
        self._sender = sender
        self._glyphs = screen.glyphs(console)
        self._never = threading.Event()
        self._uuids: Sequence[str] = ()

    def play(self, seconds: float) -> None:
        """Let the conductor do its work, and show what becomes of it where that can be seen."""
        end = time.monotonic() + seconds
        self._uuids = self._sender.report()
        if not self._console.is_terminal:
            self._work_until(end)
            return
        with rich.live.Live(console=self._console, auto_refresh=False, transient=True) as live:
            while time.monotonic() < end:
                self._work_until(min(time.monotonic() + 1 / LOOKS_A_SECOND, end))
                live.update(self._table(), refresh=True)

    def _work_until(self, end: float) -> None:
        while time.monotonic() < end:
            self._sender.step(self._listener.refused())
            self._never.wait(1 / STEPS_A_SECOND)

    def wait_for_the_rest(self) -> None:
        """Wait until every cast is taken and every notification has come."""
        self._sender.finish()
        self._until(lambda: self._taken() >= self._sender.cast, "every cast to be taken")
        self._until(lambda: self._listener.count >= _notifications(self._running.bind), "every notification")

    def summarise(self) -> int:
        """Say what became of everything; return the exit code."""
        differences = list(invariants.differences(self._running.bind))
        outcomes = self._running.worker.outcomes
        self._console.print(self._table())
        sheets = reading.sheets(self._running.bind, self._uuids)
        self._console.print(f"hardware in use  {screen.hardware(sheets)}")
        self._console.print(f"casts taken      {self._taken()} ({_listed(self._sender.kinds)})")
        self._console.print(f"outcomes         {_listed(outcomes)}")
        self._console.print(
            f"notifications    {self._listener.count} received, {self._listener.gaps} gaps in sequences"
        )
        proof = f"BROKEN for {len(differences)} figures" if differences else "holds"
        self._console.print(
            f"invariant        {proof}: node totals = reserved + sum of holdings = sum of ledger; no CPU or device is held twice"
        )
        for difference in differences:
            self._console.print(f"  {difference}")
        return exit_code(len(differences), self._listener.gaps, outcomes)

    def _table(self) -> rich.table.Table:
        found = [
            mapping.node_usage(sheet.node, sheet.account, sheet.report, sheet.places)[stocktake_object.KEY_DATA]
            for sheet in reading.sheets(self._running.bind, self._uuids)
        ]
        caption = f"{screen.legend(self._glyphs)}   casts {self._taken()}   notifications {self._listener.count}"
        return screen.nodes(found, caption, self._glyphs)

    def _taken(self) -> int:
        return sum(self._running.worker.outcomes.values())

    def _until(self, reached: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not reached():
            if time.monotonic() > end:
                raise errors.BusUnavailable(f"waited {PATIENCE:g} s for {what}")
            self._never.wait(0.01)


def exit_code(broken: int, gaps: int, outcomes: Mapping[str, int]) -> int:
    """Return 1 when a figure is broken, a notification was lost or a message of our own was parked, else 0."""
    return int(bool(broken or gaps or outcomes.get("parked")))


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


@failures.translated()
def _notifications(bind: sa.Engine) -> int:
    with bind.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(tables.outbox)) or 0


@contextlib.contextmanager
def _working(conf: cfg.ConfigOpts) -> Iterator[wiring.Running]:
    working = threading.Event()

    def hear(state: str) -> None:
        if state == service.WORKING:
            working.set()

    with wiring.Running(conf, health=hear) as running:
        if not working.wait(PATIENCE):
            raise errors.BusUnavailable(f"the worker did not start within {PATIENCE:g} s")
        yield running


@contextlib.contextmanager
def _listening(conf: cfg.ConfigOpts) -> Iterator[listening.Listener]:
    listener = listening.Listener(conf)
    listener.start()
    try:
        yield listener
    finally:
        listener.stop()
