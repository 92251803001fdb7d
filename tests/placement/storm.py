"""The whole of it in a storm: ``python -m tests.placement.storm --nodes 500 --instances 5000 --seed 1 [--minutes 10]``.

RabbitMQ (a virtual host of its own), PostgreSQL (a database of its own for the accounts and one for Placement), a
worker process, a stocktake-placement process and a real Placement. Instances are built, moved in every way, shelved and
deleted, while Placement is stopped and started, while a tenth of its answers is 409, 503 or lost, and while
stocktake-placement is killed by SIGKILL. A witness looks all along whether Placement has lost anything. In the end
``stocktake placement check`` must find no difference. Exit code 1: it did, or the witness saw something.

``--minutes`` is the time over which the casts are spread; without it they go as fast as they can.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from urllib import parse

import sqlalchemy as sa

from tests import invariant, services, stands
from tests.acceptance import site as sites
from tests.contract import units_of_work
from tests.placement import compare, lives, proxy, server, witness

MODULE = "worker.cli.placement_daemon"
QUEUE = "stocktake_placement.info"
LIES = 0.1
LEAST_TURNS = 3
LOOK_EVERY = 1.0
COUNT_EVERY = 2.0
SAY_EVERY = 30.0
NEVER = threading.Event()


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """How large a storm; ``patience`` is the seconds that may pass in the end until everything is told.

    Small batches (``batch_size`` notifications) end often between the consumers of one instance.
    """

    nodes: int
    instances: int
    seed: int
    minutes: float = 0.0
    batch_size: int = 500
    patience: float = 1800.0


@dataclasses.dataclass(slots=True)
class Result:
    """What has happened, and what was wrong."""

    casts: int = 0
    notifications: int = 0
    kills: int = 0
    outages: int = 0
    requests: int = 0
    spoiled: int = 0
    looks: int = 0
    judged: int = 0
    most_behind: int = 0
    seconds: float = 0.0
    seconds_after_the_last_cast: float = 0.0
    check: str = ""
    wrong: list[str] = dataclasses.field(default_factory=list)


class Storm:
    """A site, a Placement with a liar before it, and what happens to them."""

    def __init__(self, plan: Plan, site: sites.Site, placement: server.Server, say: Callable[[str], None]) -> None:
        self.plan = plan
        self.site = site
        self.placement = placement
        self.liar = proxy.Proxy(placement.port, share=LIES, seed=plan.seed)
        self.result = Result()
        self._say = say
        self._chance = random.Random(plan.seed)
        self._cast = threading.Event()

    def run(self, theirs: sa.Engine) -> Result:
        """Let it rage, wait until everything is told, and compare."""
        began = time.monotonic()
        seen = witness.Witness(self.site.bind, theirs)
        watching = Repeated(seen.look, LOOK_EVERY)
        casting = threading.Thread(target=self._casts, daemon=True)
        with self.site.worker() as worker:
            worker.working()
            casting.start()
            with watching:
                self._turns()
                casting.join()
                ended = time.monotonic()
                self._say(f"the last of {self.result.casts} casts has gone")
                self._settle()
            seen.look()
        self.result.seconds_after_the_last_cast = time.monotonic() - ended
        self.result.seconds = time.monotonic() - began
        self._report(seen)
        return self.result

    def _casts(self) -> None:
        conductor = stands.Conductor(self.site.sender_url)
        try:
            for method, arguments in lives.reports(self.plan.nodes):
                conductor.cast(method, **arguments)
            told = list(lives.casts(self.plan.instances, self.plan.nodes, self.plan.seed))
            began = time.monotonic()
            for number, (method, arguments) in enumerate(told):
                due = began + self.plan.minutes * 60 * number / len(told)
                NEVER.wait(max(0.0, due - time.monotonic()))
                conductor.cast(method, **arguments)
                self.result.casts += 1
        finally:
            self._cast.set()
            conductor.close()

    def _turns(self) -> None:
        """Start stocktake-placement and kill it, again and again, as long as there are casts."""
        while not self._cast.is_set() or self.result.kills < LEAST_TURNS:
            with self.site.worker(MODULE) as feeder:
                self._more_requests(self._chance.randint(20, 40 + self.plan.instances // 4))
                if self.result.kills % 2:
                    self._outage()
                for child in feeder.children():
                    os.kill(child, signal.SIGKILL)
            self.result.kills += 1
            self._say(f"kill {self.result.kills}: {self.result.casts} casts, {len(self.liar.requests)} requests")

    def _outage(self) -> None:
        self.placement.stop()
        self._more_requests(2)  # it is asked for in vain
        NEVER.wait(self._chance.random() * 2)
        self.placement.start()
        self.result.outages += 1
        self._more_requests(20)

    def _more_requests(self, count: int) -> None:
        """Wait until so many more have come, or there is nothing to ask for."""
        seen = len(self.liar.requests)
        end = time.monotonic() + sites.DEADLINE
        while len(self.liar.requests) < seen + count and time.monotonic() < end:
            if self._cast.is_set() and not self.site.waiting(QUEUE):
                return
            NEVER.wait(sites.BLINK)

    def _settle(self) -> None:
        with self.site.worker(MODULE) as feeder, Repeated(self._say_what_is_left, SAY_EVERY):
            sites.until(self._all_told, "everything to be told", self.plan.patience)
            code = feeder.end()
            self.result.wrong += [f"stocktake-placement ended with {code}"] if code else []
            self.result.wrong += re.findall(r"action=finding .*|action=gap .*|Traceback .*", feeder.said)

    def _say_what_is_left(self) -> None:
        self._say(f"{self.site.waiting(QUEUE)} notifications wait, {len(self.liar.requests)} requests")

    def _all_told(self) -> bool:
        """Tell whether every cast is carried out and every notification acknowledged: what is in hand counts, too."""
        if self.site.due() or self.site.waiting() or self.site.waiting(QUEUE):
            return False
        NEVER.wait(COUNT_EVERY)  # rabbitmqctl takes a second of a processor
        vhost = parse.urlsplit(self.site.url).path.strip("/")
        left = services.rabbitmqctl("list_queues", "-p", vhost, "--no-table-headers", "name", "messages").split()
        counts = dict(zip(left[::2], map(int, left[1::2]), strict=True))
        return counts["accounts"] == 0 and counts[QUEUE] == 0

    def _report(self, seen: witness.Witness) -> None:
        found = self.result
        self.liar.close()
        found.requests, found.spoiled = len(self.liar.requests), self.liar.spoiled
        found.looks, found.judged, found.most_behind = seen.looks, seen.judged, seen.most_behind
        found.wrong += seen.wrong
        invariant.prove(self.site.bind)
        found.wrong += compare.differences(self.placement.url, self.site.bind)
        with self.site.bind.connect() as connection:
            found.notifications = connection.scalar(sa.text("SELECT count(*) FROM outbox")) or 0
        point_at(self.site, self.placement.url, self.plan.batch_size)
        code, found.check = self._check()
        found.wrong += [] if code == 0 else [f"stocktake placement check: exit code {code}"]

    def _check(self) -> tuple[int, str]:
        command = [sys.executable, "-m", "worker.cli.main", "--config-file", str(self.site.file), "placement", "check"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=self.plan.patience, check=False)
        return done.returncode, (done.stdout + done.stderr).strip()


class Repeated:
    """Does something again and again in a thread of its own, as long as the block lasts."""

    def __init__(self, what: Callable[[], None], every: float) -> None:
        self._what = what
        self._every = every
        self._ended = threading.Event()
        self._failed: list[Exception] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        """Begin."""
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """End; what it raised is raised here."""
        self._ended.set()
        self._thread.join()
        if self._failed:
            raise self._failed[0]

    def _run(self) -> None:
        try:
            while not self._ended.wait(self._every):
                self._what()
        except Exception as error:  # noqa: BLE001 - it is raised in the thread that waits
            self._failed.append(error)


def point_at(site: sites.Site, url: str, batch_size: int) -> None:
    """Let a site's workers tell stocktake-placement, and let that know where Placement is."""
    site.options["oslo_messaging_notifications"] = {"topics": "stocktake_placement"}
    site.options["placement"] = {
        "auth_type": "admin_token", "token": "admin", "endpoint": url, "endpoint_override": url, "retry_interval": 0.5,
        "batch_size": batch_size,
    }  # fmt: skip
    site.write()


@contextlib.contextmanager
def brewing(plan: Plan, folder: pathlib.Path, say: Callable[[str], None] = lambda _: None) -> Iterator[Storm]:
    """Lend a storm on services of its own."""
    with contextlib.ExitStack() as stack:
        site = stack.enter_context(sites.lent(folder))
        url = stack.enter_context(units_of_work.scratch("postgresql"))
        # Placement does not work with psycopg 3
        placement = stack.enter_context(server.running(folder, url.replace("+psycopg:", "+psycopg2:")))
        storm = Storm(plan, site, placement, say)
        point_at(site, storm.liar.url, plan.batch_size)
        site.sync()
        yield storm


def run(plan: Plan, folder: pathlib.Path, say: Callable[[str], None] = lambda _: None) -> Result:
    """Go through a storm and return what became of it."""
    with brewing(plan, folder, say) as storm:
        theirs = sa.create_engine(storm.placement.database, poolclass=sa.NullPool)
        return storm.run(theirs)


def main() -> int:
    """Go through a storm and print figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.placement.storm", description=__doc__)
    parser.add_argument("--nodes", type=int, default=500)
    parser.add_argument("--instances", type=int, default=5000, help="that are there in the end, about")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=0.0, help="over which the casts are spread")
    parser.add_argument("--batch-size", type=int, default=500, help="of stocktake-placement")
    said = parser.parse_args()
    began = time.monotonic()

    def say(line: str) -> None:
        sys.stdout.write(f"{time.monotonic() - began:7.1f} s  {line}\n")
        sys.stdout.flush()

    with tempfile.TemporaryDirectory(prefix="storm-") as folder:
        plan = Plan(said.nodes, said.instances, said.seed, said.minutes, said.batch_size)
        found = run(plan, pathlib.Path(folder), say)
    for field in dataclasses.fields(found):
        sys.stdout.write(f"{field.name:28} {getattr(found, field.name)}\n" if field.name != "wrong" else "")
    for line in found.wrong:
        sys.stdout.write(f"WRONG  {line}\n")
    sys.stdout.write("something is wrong\n" if found.wrong else "nothing was lost, and both sides are equal\n")
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
