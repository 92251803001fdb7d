"""One measurement after the other, each with a bus, a database and a process of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests import services
from tests.benchmark import paced, places, settings, workload

ROOT = pathlib.Path(__file__).resolve().parents[2]
TIMEOUT = 900
PLAIN_SHARE = 30
"""The plain way gets one cast of so many: it needs that much longer for each."""
DISTURBED = 0.15
"""Share of the machine that others may have in a run that counts."""
PACE = 100.0
"""Casts a second of the paced run."""

Result = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured; ``seconds_paced`` of nought leaves that run out, ``brief`` all but (a) and (c)."""

    casts: int = 30_000
    nodes: int = 1000
    seconds_paced: float = 20.0
    rounds: int = 5
    brief: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """How much one of the other forms measures: runs of each case, casts of each run, or seconds at a steady rate."""

    rounds: int = 3
    casts: int = 10_000
    seconds: float = 0.0
    rate: float = 200.0


FULL = Plan()
SHORT = Plan(casts=10_000, seconds_paced=0, brief=True)
RECORDED = pathlib.Path(__file__).with_name("recorded.json")
"""The ratio of the short form that the guard holds this worker to."""


def everything(plan: Plan, say: Callable[[str], None]) -> dict[str, list[Result]]:
    """Measure (a) and (c) in turns, with (b) and the floor between them; return what each run gave."""
    casts = workload.casts(plan.casts, plan.nodes)
    results: dict[str, list[Result]] = {"noop": [], "plain": [], "ours": [], "floor": [], "paced": []}

    def note(server: str, result: Result) -> None:
        results[server].append(result)
        say(f"{server:>6}: {result['rate']:9.0f} casts/s   others {result['foreign']:4.0%}")

    for _ in range(plan.rounds):
        note("noop", drained("noop", casts, plan.nodes))
        with _database() as source:
            note("ours", drained("ours", casts, plan.nodes, source))
            if not plan.brief:
                note("floor", _floor(casts, plan, source, results["ours"][-1]["rows"]))
        if not plan.brief:
            note("plain", drained("plain", casts[: plan.casts // PLAIN_SHARE], plan.nodes))
    if plan.seconds_paced and not plan.brief:
        note("paced", trickled(casts, plan))
    return results


def line(name: str, result: Result) -> str:
    """Return one run of the daemon as a line."""
    used = f"CPU {result['cpu_us']:5.0f}  database {result['database_cpu_us']:5.0f}  broker {result['broker_cpu_us']:5.0f} us"
    return f"{name:>28}: {result['rate']:7.0f} casts/s  {used}  others {result['foreign']:4.0%}"


def counting(results: Sequence[Result]) -> Sequence[Result]:
    """Return the runs that count: those in which others left the machine to us, or all if there is none."""
    return [result for result in results if result["foreign"] <= DISTURBED] or results


def median(results: Sequence[Result], name: str) -> float:
    """Return the median of one figure over the runs that count."""
    return float(statistics.median(result[name] for result in counting(results)))


def ratio(results: dict[str, list[Result]], server: str, figure: str = "rate") -> float:
    """Return how many times as fast as another server ours is."""
    return median(results["ours"], figure) / median(results[server], "rate")


def drained(server: str, casts: Sequence[workload.Cast], nodes: int, database_url: str | None = None) -> Result:
    """Measure one server on a queue that is full before it starts."""
    with services.rabbit_vhost() as bus, _database(database_url) as url:
        places.preload(bus, casts, dead_letters=server == "ours")
        return _child(settings.Task(server, bus, url, len(casts), nodes))


def _floor(casts: Sequence[workload.Cast], plan: Plan, source: str, rows: dict[str, int]) -> Result:
    with services.rabbit_vhost() as bus, _database() as database_url:
        places.preload(bus, casts, dead_letters=True)
        return _child(settings.Task("floor", bus, database_url, len(casts), plan.nodes, rows, source))


def trickled(casts: Sequence[workload.Cast], plan: Plan) -> Result:
    """Measure the delays of ours at a steady pace."""
    count = min(len(casts), int((plan.seconds_paced + paced.WARM_UP) * PACE))
    with services.rabbit_vhost() as bus, _database() as database_url:
        places.preload(bus, (), dead_letters=True)
        ear = paced.Ear(bus)
        ear.start()
        task = settings.Task("ours", bus, database_url, count, plan.nodes, stamps=True)
        with _started(task) as child:
            sent = paced.trickle(bus, casts[:count], PACE)
            result = _finished(child, task)
        ear.stop()
    stamps = result.pop("stamps")
    committed, heard = paced.percentiles(sent, stamps), paced.percentiles(sent, ear.stamps())
    return result | {"committed_ms": committed, "notified_ms": heard}


@contextlib.contextmanager
def _database(given: str | None = None) -> Iterator[str]:
    if given is not None:
        yield given
    else:
        with places.database() as url:
            yield url


def _child(task: settings.Task) -> Result:
    with _started(task) as child:
        return _finished(child, task)


@contextlib.contextmanager
def _started(task: settings.Task) -> Iterator[subprocess.Popen[str]]:
    """Start a server and give it its task; with stamps, go on when it is ready to work."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.benchmark.child"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=_unwatched(),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps(dataclasses.asdict(task)) + "\n")
        child.stdin.flush()
        if task.stamps:
            child.stdout.readline()
        try:
            yield child
        finally:
            child.kill()


def _unwatched() -> dict[str, str]:
    """Return this process's environment without what would have a child's coverage measured: that takes its time."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


def _finished(child: subprocess.Popen[str], task: settings.Task) -> Result:
    out, err = child.communicate(timeout=TIMEOUT)
    if child.returncode:
        raise RuntimeError(f"{task.server} failed:\n{err[-4000:]}")
    result: Result = json.loads(out)
    return result | {"load": os.getloadavg()[0]}
