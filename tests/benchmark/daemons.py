"""The daemon itself, measured from outside: its worker processes, what they use, and when they are done."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from tests.acceptance import site
from tests.benchmark import meters, places, workload
from worker.db import bulk, tables

PATIENCE = 900.0
LOOK = 0.02
"""Seconds between two looks at what has been committed."""
LAST = 6000
"""So many of the last casts are looked for: more than the workers have in hand together."""
RETRY = "action=repeat"


@dataclasses.dataclass(frozen=True, slots=True)
class Form:
    """How the daemon is run: on which database, in how many processes, with which options, by which module."""

    database_url: str
    processes: int = 1
    options: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    module: str = "worker.cli.daemon"


class Measured:
    """A daemon whose workers consume, and nothing is in the queue."""

    def __init__(self, place: site.Site, worker: site.Worker, startup: float) -> None:
        self.site = place
        self.startup = startup
        self._worker = worker
        self.startup_cpu = meters.seconds_of([worker.process.pid, *self.pids])
        self._url = place.database

    @property
    def pids(self) -> list[int]:
        """The worker processes."""
        return self._worker.children()

    def memory_mib(self, figure: str = "VmRSS") -> float:
        """Return the resident size of the largest worker process, now or (VmHWM) at most."""
        return max(meters.mib_of(pid, figure) for pid in self.pids)

    def retries(self) -> int:
        """Return how many batches were repeated because another worker was first."""
        return len(re.findall(RETRY, self._worker.said))

    def drained(self, transport_url: str, casts: Sequence[workload.Cast]) -> dict[str, float]:
        """Fill the queue while the workers stand still, let them go, and return what it took them."""
        self._signal(signal.SIGSTOP)
        places.preload(transport_url, casts, dead_letters=True)
        retries, began = self.retries(), time.monotonic()
        used = self._used()
        self._signal(signal.SIGCONT)
        self._wait_for(casts)
        ended = time.monotonic()
        site.until(lambda: self.site.due() == 0, "the last notification", PATIENCE)
        told, use = time.monotonic(), self._used()
        own, storage, broker, machine = (now - then for now, then in zip(use, used, strict=True))
        return {
            "casts": len(casts),
            "rate": len(casts) / (ended - began),
            "published_rate": len(casts) / (told - began),
            "cpu_us": own / len(casts) * 1e6,
            "database_cpu_us": storage / len(casts) * 1e6,
            "broker_cpu_us": broker / len(casts) * 1e6,
            "foreign": max(machine - own - storage - broker, 0.0) / ((told - began) * (os.cpu_count() or 1)),
            "memory_mib": self.memory_mib("VmHWM"),
            "retries": self.retries() - retries,
            "startup_s": self.startup,
            "startup_cpu_s": self.startup_cpu,
        }

    def _used(self) -> tuple[float, ...]:
        return (
            meters.seconds_of(self.pids),
            meters.storage_seconds(self._url),
            meters.broker_seconds(),
            meters.machine_seconds(),
        )

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.pids:
            os.kill(pid, number)

    def _wait_for(self, casts: Sequence[workload.Cast]) -> None:
        """Wait until all are marked: the queue is taken in order, so that the last ones tell."""
        last = [cast.message_id for cast in casts[-LAST:]]
        site.until(lambda: marked(self.site.bind, last[-1:]) == 1, "the last cast", PATIENCE)
        site.until(lambda: marked(self.site.bind, last) == len(last), "the last casts", PATIENCE)


def marked(bind: sa.Engine, ids: Sequence[str]) -> int:
    """Return how many of these messages are committed."""
    mark = tables.inbox.c.message_id
    with bind.connect() as connection:
        found = sa.select(sa.func.count()).where(bulk.among(connection, mark, ids))
        return int(connection.scalar(found) or 0)


@contextlib.contextmanager
def running(transport_url: str, form: Form, first: workload.Cast) -> Iterator[Measured]:
    """Lend a daemon that has committed its ``first`` cast, which was in the queue when it was started."""
    with tempfile.TemporaryDirectory(prefix="stocktake-benchmark-") as folder:
        place = site.Site(pathlib.Path(folder), transport_url, form.database_url)
        place.options = {
            "DEFAULT": {"transport_url": transport_url, "default_log_levels": "amqp=WARN,worker.engine=DEBUG"},
            "database": {"connection": form.database_url},
            "worker": {"processes": form.processes},
            **form.options,
        }
        place.write()
        places.preload(transport_url, [first], dead_letters=True)
        began = time.monotonic()
        with place.worker(form.module) as worker:
            startup = _wait_until_committed(place, first, worker) - began
            with places.connected(transport_url) as connection:
                ready = _consumers(connection, form.processes)
                site.until(ready, f"{form.processes} worker processes: {worker.said[-2000:]}", PATIENCE)
            yield Measured(place, worker, startup)


def _wait_until_committed(place: site.Site, first: workload.Cast, worker: site.Worker) -> float:
    pause = threading.Event()
    while not marked(place.bind, [first.message_id]):
        if worker.process.poll() is not None:
            raise RuntimeError(f"the daemon has ended:\n{worker.said[-4000:]}")
        pause.wait(LOOK)
    return time.monotonic()


def _consumers(connection: Any, count: int) -> Callable[[], bool]:
    channel = connection.channel()
    return lambda: channel.queue_declare(places.TOPIC, passive=True).consumer_count >= count
