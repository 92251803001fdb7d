"""Does a cast cost more the more there is? The same casts on a small cloud and on a large one."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from tests import services
from tests.benchmark import cloud, daemons, measure, places, verdicts, workload
from worker.db import engine, invariants, schema

SMALL = workload.Cloud(nodes=100, instances=1000)
BIG = workload.Cloud(nodes=10_000, instances=300_000)
FEW = 20
"""Messages in a batch of which hardly two are about one of 100 nodes."""
GROWTH = 1.15
STARTUP_SECONDS = 2.0
MEMORY_MIB = 200.0

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """A state, and casts about some of its nodes; ``batch_size`` of nought is the worker's own."""

    name: str
    state: workload.Cloud
    used: int
    batch_size: int = 0

    @property
    def options(self) -> dict[str, dict[str, Any]]:
        """How the worker is configured."""
        return {"worker": {"processes": 1, "batch_size": self.batch_size}} if self.batch_size else {}

    def casts(self, count: int, seed: int) -> list[workload.Cast]:
        """Return casts about new instances and about those that are there."""
        about = dataclasses.replace(self.state, used=self.used)
        return list(itertools.islice(workload.stream(about, seed), count))


def cases(small: workload.Cloud, big: workload.Cloud) -> tuple[Case, ...]:
    """Return what is compared.

    Casts about one node that are in one batch share its notification. On a small cloud many do. The second case has as
    many of them on the large one, and in the last two cases, of small batches, there are few on either: what the large
    one costs more there comes of size alone. The third case has no more than a node's own.
    """
    return (
        Case("small", small, small.nodes),
        Case("big, on as many nodes", big, small.nodes),
        Case("big, on every node", big, big.nodes),
        Case("small, few at once", small, small.nodes, FEW),
        Case("big, on every node, few at once", big, big.nodes, FEW),
    )


def measured(wanted: measure.Wanted, say: Say, states: Sequence[workload.Cloud] = (SMALL, BIG)) -> dict[str, Any]:
    """Measure each case in turns, every run on a copy of its state."""
    compared = cases(*states)
    runs: dict[str, list[measure.Result]] = {case.name: [] for case in compared}
    with contextlib.ExitStack() as stack:
        templates = {state: stack.enter_context(_filled(state, say)) for state in states}
        for number, case in itertools.product(range(wanted.rounds), compared):
            result = _run(templates[case.state], case, case.casts(wanted.casts, seed=number + 1))
            runs[case.name].append(result)
            say(f"{measure.line(case.name, result)}  {result['memory_mib']:.0f} MiB  start {result['startup_s']:.2f} s")
    return {"runs": runs, "casts": wanted.casts, "verdicts": verdicts_of(runs)}


def _run(template: str, case: Case, casts: list[workload.Cast]) -> measure.Result:
    with (
        places.copied(template) as url,
        services.rabbit_vhost() as bus,
        daemons.running(bus, daemons.Form(url, options=case.options), workload.hello()) as daemon,
    ):
        return daemon.drained(bus, casts)


@contextlib.contextmanager
def _filled(state: workload.Cloud, say: Say) -> Iterator[str]:
    """Lend a database with this state, whose accounts are proven to add up."""
    began = time.monotonic()
    with places.database() as url:
        bind = engine.of_url(url)
        schema.sync(bind)
        cloud.fill(bind, state)
        filled = time.monotonic()
        wrong = list(itertools.islice(invariants.differences(bind), 3))
        with bind.connect() as connection:
            size = connection.scalar(sa.text("SELECT pg_database_size(current_database())"))
        bind.dispose()
        if wrong:
            raise RuntimeError(f"the accounts do not add up: {wrong}")
        say(
            f"{state.nodes} nodes and {state.instances} instances: {(size or 0) / 2**20:.0f} MiB, written in "
            f"{filled - began:.0f} s and proven in {time.monotonic() - filled:.0f} s"
        )
        yield url


COMPARED = (  # which case with which
    ("big, on as many nodes", "small"),
    ("big, on every node", "small"),
    ("big, on every node, few at once", "small, few at once"),
)


def verdicts_of(runs: dict[str, list[measure.Result]]) -> list[verdicts.Verdict]:
    """Return how much more a cast costs, and what start and memory are."""
    found = [
        verdicts.Verdict(f"{name}: {words}", measure.median(of, figure), unit)
        for name, of in runs.items()
        for words, figure, unit in (
            ("processor time of a cast, worker", "cpu_us", "us"),
            ("processor time of a cast, database", "database_cpu_us", "us"),
            ("rate", "rate", "casts/s"),
        )
    ]
    for name, small in ((name, small) for name, small in COMPARED if name in runs):
        cost = {one: _cost(runs[one]) for one in (small, name)}
        slower = measure.median(runs[small], "rate") / measure.median(runs[name], "rate")
        found += [
            verdicts.Verdict(f"{name}: growth of processor time", cost[name] / cost[small], "x", most=GROWTH),
            verdicts.Verdict(f"{name}: growth of time (1 / rate)", slower, "x", most=GROWTH),
        ]
    for name, of in runs.items():
        startup, used, memory = (measure.median(of, figure) for figure in ("startup_s", "startup_cpu_s", "memory_mib"))
        found += [
            verdicts.Verdict(f"{name}: from start to the first commit", startup, "s", most=STARTUP_SECONDS),
            verdicts.Verdict(f"{name}: processor time of the start", used, "s"),
            verdicts.Verdict(f"{name}: memory of the worker at the most", memory, "MiB", most=MEMORY_MIB),
        ]
    return found


def _cost(runs: Sequence[measure.Result]) -> float:
    return measure.median(runs, "cpu_us") + measure.median(runs, "database_cpu_us")


def table(found: dict[str, Any]) -> list[str]:
    """Return the figures as lines."""
    head = f"{found['casts']} casts, half of the lives those of instances that are there"
    return [head, *verdicts.lines(found["verdicts"])]
