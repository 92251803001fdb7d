"""A steady load for a long time: the memory of the worker, and the rows of inbox and outbox, minute by minute."""

from __future__ import annotations

import dataclasses
import itertools
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from tests import services
from tests.benchmark import daemons, measure, meters, places, verdicts, workload
from worker import wiring
from worker.db import tables

NODES = 1000
RETENTION = 120
"""Seconds for which marks and sent notifications are kept in this run."""
SLACK = 75.0
"""Seconds that a row may outlive its retention: the chores come every 60, and take their time."""
BURST = 10_000
"""Casts that lie in the queue at first: full batches take the most memory, and what was taken once is kept."""
WARM_UP = 1 / 6
"""Share of the run, after the burst, in which caches fill."""
CONFIRM_EVERY = 100
SECOND = 1_000_000

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """What was seen at one moment: seconds since the start, MiB, rows, seconds that the oldest row is old."""

    at: float
    memory_mib: float
    inbox: int
    outbox: int
    inbox_age: float
    outbox_age: float
    waiting: int
    cpu_us: float


class Sender(threading.Thread):
    """Sends casts evenly until it is told to stop, and goes on where it is late; ``sent`` is how many so far."""

    def __init__(self, transport_url: str, casts: Iterator[workload.Cast], rate: float) -> None:
        super().__init__(name="benchmark-sender", daemon=True)
        self._url, self._casts, self._rate = transport_url, casts, rate
        self._enough = threading.Event()
        self.sent = 0

    def run(self) -> None:
        """Send."""
        with places.connected(self._url) as connection:
            sender, began = places.Sender(connection), time.monotonic()
            for number, cast in enumerate(self._casts):
                if self._enough.wait(max(began + number / self._rate - time.monotonic(), 0)):
                    break
                sender.send(cast)
                sender.settle(CONFIRM_EVERY)
                self.sent = number + 1
            sender.settle()

    def stop(self) -> None:
        """Send no more."""
        self._enough.set()
        self.join(60)


class Drain(places.Listener):
    """Takes the notifications away, as consumers do, and counts them."""

    heard = 0

    def hear(self, _message: Any) -> None:
        """Count it."""
        self.heard += 1


def measured(wanted: measure.Wanted, say: Say) -> dict[str, Any]:
    """Send so many casts a second for so many seconds and look at the worker every minute, or 30 times in all."""
    seconds, rate = wanted.seconds, wanted.rate
    every = min(60.0, seconds / 30)
    options = {"notifications": {"outbox_retention": RETENTION}}
    say(f"{'s':>6}{'MiB':>9}{'inbox':>9}{'oldest s':>9}{'outbox':>9}{'oldest s':>9}{'waiting':>9}{'CPU us/cast':>12}")
    with services.rabbit_vhost() as bus, places.prepared(NODES) as database_url:
        form = daemons.Form(database_url, options=options, module="tests.benchmark.forgetful")
        with daemons.running(bus, form, workload.hello()) as daemon:
            casts = workload.stream(workload.Cloud(NODES))
            daemon.drained(bus, list(itertools.islice(casts, BURST)))
            say(f"{'burst':>6}{daemon.memory_mib():9.1f}")
            drain, sender = Drain(bus), Sender(bus, casts, rate)
            drain.start()
            sender.start()
            samples = list(_watched(daemon, sender, seconds, every, say))
            sender.stop()
            drain.stop()
    return {
        "seconds": seconds,
        "asked_rate": rate,
        "rate": sender.sent / seconds,
        "notifications": drain.heard,
        "retention": RETENTION,
        "startup_s": daemon.startup,
        "samples": [dataclasses.asdict(one) for one in samples],
        "verdicts": verdicts_of(samples, rate),
    }


def _watched(daemon: daemons.Measured, sender: Sender, seconds: float, every: float, say: Say) -> Iterator[Sample]:
    began, pause = time.monotonic(), threading.Event()
    sent, used = 0, meters.seconds_of(daemon.pids)
    for number in itertools.count(1):
        if number * every > seconds + every / 2:
            return
        pause.wait(max(began + number * every - time.monotonic(), 0))
        now_sent, now_used = sender.sent, meters.seconds_of(daemon.pids)
        cpu_us = (now_used - used) / max(now_sent - sent, 1) * 1e6
        sample = look(daemon, time.monotonic() - began, now_sent, cpu_us)
        sent, used = now_sent, now_used
        say(
            f"{sample.at:6.0f}{sample.memory_mib:9.1f}{sample.inbox:9}{sample.inbox_age:9.0f}"
            f"{sample.outbox:9}{sample.outbox_age:9.0f}{sample.waiting:9}{sample.cpu_us:12.0f}"
        )
        yield sample


def look(daemon: daemons.Measured, at: float, sent: int, cpu_us: float) -> Sample:
    """Return what is to be seen now; ``waiting`` is what was sent and is not committed yet."""
    mark, row = tables.inbox.c, tables.outbox.c
    now = wiring.clock()
    with daemon.site.bind.connect() as connection:
        marks, oldest = connection.execute(sa.select(sa.func.count(), sa.func.min(mark.received_at))).one()
        rows, first = connection.execute(sa.select(sa.func.count(), sa.func.min(row.created_at))).one()
    return Sample(
        at=at,
        memory_mib=daemon.memory_mib(),
        inbox=marks,
        outbox=rows,
        inbox_age=(now - (oldest or now)) / SECOND,
        outbox_age=(now - (first or now)) / SECOND,
        waiting=daemon.site.waiting(),
        cpu_us=cpu_us,
    )


def verdicts_of(samples: Sequence[Sample], rate: float) -> list[verdicts.Verdict]:
    """Return what the samples after the warm-up say of memory and rows."""
    first = math.ceil(len(samples) * WARM_UP)
    warm, later = samples[max(first - 1, 0)], samples[first:] or samples[-1:]
    grown = max(one.memory_mib for one in later) / warm.memory_mib - 1
    longest = RETENTION + SLACK
    return [
        verdicts.Verdict("memory after the warm-up, growth", grown * 100, "%", most=5.0),
        verdicts.Verdict("memory at the most", max(one.memory_mib for one in samples), "MiB", most=200.0),
        verdicts.Verdict("inbox, oldest row", max(one.inbox_age for one in later), "s", most=longest),
        verdicts.Verdict("inbox, rows at the most", max(one.inbox for one in later), "", most=rate * longest),
        verdicts.Verdict("outbox, oldest row", max(one.outbox_age for one in later), "s", most=longest),
        verdicts.Verdict("outbox, rows at the most", max(one.outbox for one in later), ""),
        verdicts.Verdict("casts waiting at the most", max(one.waiting for one in later), "", most=rate * 5),
    ]


def table(found: dict[str, Any]) -> list[str]:
    """Return the figures as lines."""
    head = (
        f"{found['rate']:.0f} casts/s for {found['seconds']:.0f} s on {NODES} nodes, retention {found['retention']} s, "
        f"{found['notifications']} notifications taken"
    )
    return [head, *verdicts.lines(found["verdicts"])]
