"""What further worker processes add to the rate, where the casts meet on few nodes and where they do not."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from tests import services
from tests.benchmark import daemons, measure, places, shares, verdicts, workload

SPREAD, FEW = 1000, 4
"""Nodes that the casts are about. A batch of any process touches all of the few."""
SHARE = 0.2
"""Part of a core that a process is held to where cores are to be no limit."""
ADDED = 1.5
"""Times the rate of one process that two are to reach, held so, where the casts are about many nodes."""


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """So many processes on so many nodes, each free or held to its part of a core."""

    nodes: int
    processes: int
    held: bool

    @property
    def name(self) -> str:
        """What the case is called."""
        free = "each held to a part of a core" if self.held else "as many cores as there are"
        return f"{self.nodes} nodes, {free}, {self.processes} process{'es' if self.processes > 1 else ''}"


CASES = tuple(
    Case(nodes, processes, held)
    for held, counts in ((False, (1, 2)), (True, (1, 2, 4)))
    for nodes, processes in itertools.product((SPREAD, FEW), counts)
)
Runs = dict[Case, list[measure.Result]]


def measured(wanted: measure.Wanted, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure the cases in turns; those that hold processes only where control groups may be made."""
    cases = [case for case in CASES if not case.held or shares.parent() is not None]
    if len(cases) < len(CASES):
        say("no control group may be made here: what processes add where cores are no limit is not measured")
    runs: Runs = {case: [] for case in cases}
    for number, case in itertools.product(range(wanted.rounds), cases):
        result = _run(case, number, wanted.casts)
        runs[case].append(result)
        say(f"{measure.line(case.name, result)}  batches repeated {result['retries']:.0f}")
    return {
        "runs": {case.name: of for case, of in runs.items()},
        "casts": wanted.casts,
        "verdicts": verdicts_of(runs),
    }


def _run(case: Case, number: int, casts: int) -> measure.Result:
    told = itertools.islice(workload.stream(workload.Cloud(case.nodes), number + 1), casts)
    with places.prepared(case.nodes) as url, services.rabbit_vhost() as bus:
        form = daemons.Form(url, processes=case.processes)
        with daemons.running(bus, form, workload.hello()) as daemon, _holding(case, daemon.pids):
            return daemon.drained(bus, list(told))


@contextlib.contextmanager
def _holding(case: Case, pids: list[int]) -> Iterator[None]:
    below = shares.parent() if case.held else None
    with shares.held(pids, SHARE, below) if below is not None else contextlib.nullcontext():
        yield


def verdicts_of(runs: Runs) -> list[verdicts.Verdict]:
    """Return rates, what they cost, and what further processes add."""
    found = []
    for case, of in runs.items():
        used = sum(measure.median(of, figure) for figure in ("cpu_us", "database_cpu_us", "broker_cpu_us"))
        found += [
            verdicts.Verdict(f"{case.name}: rate", measure.median(of, "rate"), "casts/s"),
            verdicts.Verdict(f"{case.name}: processor time, all", used, "us a cast"),
            verdicts.Verdict(f"{case.name}: batches repeated", measure.median(of, "retries"), ""),
        ]
    for case, of in runs.items():
        if case.processes > 1:
            one = runs[dataclasses.replace(case, processes=1)]
            more = measure.median(of, "rate") / measure.median(one, "rate")
            asked = ADDED if (case.held, case.nodes, case.processes) == (True, SPREAD, 2) else None
            found.append(verdicts.Verdict(f"{case.name}: rate to that of one", more, "x", least=asked))
    return found


def table(found: dict[str, Any]) -> list[str]:
    """Return the figures as lines."""
    head = f"{found['casts']} casts in the queue of one daemon; a part of a core is {SHARE:g}"
    return [head, *verdicts.lines(found["verdicts"])]
