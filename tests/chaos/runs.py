"""One run: services and workers of its own, load, faults, the end, the checks."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import sqlalchemy.exc
from oslo_db import exception

from tests.acceptance import site as sites
from tests.chaos import broker, checks, collector, crew, database, faults, programs, schedule, sender
from worker.db import schema, tables

STARTED_WITHIN = 60.0
PATIENCE = 300.0
"""Seconds for what is left to be worked off after the last fault."""
TOLD_EVERY = 10.0
RETENTION = 30 * 86400
"""Longer than any clock is wrong."""


@dataclasses.dataclass(frozen=True)
class Order:
    """What to run: the seed of load and faults, for how many seconds, kinds of faults, casts a second, and whether to keep the logs."""

    seed: int
    seconds: float
    kinds: tuple[str, ...]
    rate: float
    keep: bool = False


@dataclasses.dataclass
class Report:
    """What was done and what was found."""

    faults: Counter[str]
    figures: dict[str, object]
    differences: list[str]


@dataclasses.dataclass(frozen=True)
class Parts:
    """Everything that a run has started."""

    node: broker.Broker
    server: database.Database
    site: sites.Site
    workers: crew.Crew


def run(order: Order, say: Callable[[str], None]) -> Report:
    """Run, and leave nothing behind but the logs of a run that found something; raises Missing."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="stocktake-chaos-"))
    folder.chmod(0o711)  # PostgreSQL may be another user's
    keep = True
    try:
        with _parts(folder) as parts:
            report = _run(order, parts, say)
        keep = order.keep or bool(report.differences)
    except programs.Missing:
        keep = False
        raise
    finally:
        if keep:
            say(f"the logs are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return report


@contextlib.contextmanager
def _parts(folder: pathlib.Path) -> Iterator[Parts]:
    with contextlib.ExitStack() as stack:
        homes = [folder / name for name in ("rabbitmq", "postgresql", "worker")]
        for home in homes:
            home.mkdir()
        node = broker.Broker(homes[0])
        stack.callback(node.close)
        server = database.Database(homes[1])
        stack.callback(server.close)
        node.start()
        server.make()
        server.start()
        server.wait()
        site = sites.Site(homes[2], node.url, server.url)
        stack.callback(site.bind.dispose)
        site.options["notifications"] |= {"exists_interval": 5, "outbox_retention": RETENTION}
        site.write(inbox_retention=RETENTION, batch_size=100)
        schema.sync(site.bind)
        workers = crew.Crew(site)
        stack.callback(workers.close)
        workers.start()
        node.wait()
        programs.wait(workers.ready, "the workers", STARTED_WITHIN)
        programs.wait(lambda: _declared(node), "the queues of the notifications", STARTED_WITHIN)
        yield Parts(node, server, site, workers)


def _declared(node: broker.Broker) -> bool:
    """Whether everything is there that the workers declare."""
    with contextlib.suppress(*broker.LOST), contextlib.closing(node.connection()) as connection:
        for queue in ("accounts", *collector.QUEUES):
            connection.channel().queue_declare(queue, passive=True)
        return True
    return False


def _run(order: Order, parts: Parts, say: Callable[[str], None]) -> Report:
    began = time.monotonic()
    kinds = _possible(order.kinds, parts.server, say)
    plan = schedule.plan(order.seed, order.seconds, kinds)
    todo = faults.Faults(parts.node, parts.server, parts.workers, say)
    casting, heard = sender.Sender(parts.node, order.seed, order.rate), collector.Collector(parts.node.connection)
    for thread in (casting, heard):
        thread.start()
    todo.run(plan, order.seconds)
    todo.mend()
    casting.stop()
    casting.join(PATIENCE)
    say(f"{time.monotonic() - began:7.1f} s  every fault is over, {casting.sent} casts are sent")
    differences = _settle(parts, len(checks.told(order.seed, casting.sent)), heard, say)
    settled = time.monotonic() - began
    codes = parts.workers.end()
    heard.stop()
    heard.join(PATIENCE)
    story = checks.Story(order.seed, casting.sent, checks.outcomes(parts.site.bind))
    differences += [*parts.workers.deaths, *(f"a daemon ended with {code}" for code in codes if code)]
    differences += [*_waiting(parts.site), *checks.differences(parts.site.bind, story, heard)]
    return Report(todo.done, _figures(parts, story, casting, heard) | {"seconds until all was worked off": round(settled, 1)},
                  differences)  # fmt: skip


def _possible(kinds: Sequence[str], server: database.Database, say: Callable[[str], None]) -> list[str]:
    """Return the faults that can be done here; say why one cannot."""
    if "full" in kinds and server.no_room:
        say(f"skipped: full: {server.no_room}")
        return [kind for kind in kinds if kind != "full"]
    return list(kinds)


def _settle(parts: Parts, casts: int, heard: collector.Collector, say: Callable[[str], None]) -> list[str]:
    """Wait until everything is worked off; return what was not in the end."""

    def left() -> str:
        parts.workers.watch()
        try:
            done, due = parts.site.count(tables.inbox), parts.site.due()
            told = parts.site.count(tables.outbox)
        except (sqlalchemy.exc.SQLAlchemyError, exception.DBError) as error:
            return f"the database does not answer: {error}"
        if done == casts and not due and len(heard.heard) >= told:
            return ""
        return f"{done} of {casts} casts done, {due} notifications due, {len(heard.heard)} of {told} heard"

    parts.site.bind.dispose()  # its sessions were ended with the others
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with contextlib.suppress(TimeoutError):
            programs.wait(lambda: not left(), "the rest", TOLD_EVERY)
            return []
        say(f"waiting: {left()}")
    return [f"waited {PATIENCE:g} s for the rest: {left()}"]


def _waiting(site: sites.Site) -> list[str]:
    """Return the queues that are not empty, now that nobody consumes any more."""
    counts = {name: site.waiting(name) for name in ("accounts", "accounts.dead")}
    return [f"queue: {name} has {count} messages" for name, count in counts.items() if count]


def _figures(
    parts: Parts, story: checks.Story, casting: sender.Sender, heard: collector.Collector
) -> dict[str, object]:
    claims = Counter(
        story.outcomes.get(one.id, "lost") for one in story.casts.values() if one.method in checks.CLAIMS and one.good
    )
    return {
        "casts": len(story.casts),
        "claims": ", ".join(f"{count} {outcome}" for outcome, count in sorted(claims.items())),
        "bad casts, parked": sum(not one.good for one in story.casts.values()),
        "casts published again": casting.published - len(story.casts),
        "starts of daemons": parts.workers.starts,
        "batches taken apart": parts.workers.said("action=split"),
        "deadlocks": parts.server.said("deadlock detected"),
        "writes refused by the full disk": parts.server.said("No space left on device"),
        "panics of PostgreSQL": parts.server.said("PANIC"),
        "notifications": len(heard.heard),
        "notifications heard again": heard.repeats,
    }
