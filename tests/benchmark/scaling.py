"""What a second worker process adds to the rate, where the casts meet on few nodes and where they do not."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from tests import services
from tests.benchmark import daemons, measure, places, verdicts, workload

SPREAD, FEW = 1000, 4
"""Nodes that the casts are about. A batch of either process touches all of the few."""
CASES = tuple(itertools.product((SPREAD, FEW), (1, 2)))


def measured(wanted: measure.Wanted, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure one and two processes in turns."""
    runs: dict[str, list[measure.Result]] = {name(*case): [] for case in CASES}
    for number in range(wanted.rounds):
        for nodes, processes in CASES:
            told = itertools.islice(workload.stream(workload.Cloud(nodes), number + 1), wanted.casts)
            with places.prepared(nodes) as url, services.rabbit_vhost() as bus:
                form = daemons.Form(url, processes=processes)
                with daemons.running(bus, form, workload.hello()) as daemon:
                    result = daemon.drained(bus, list(told))
            runs[name(nodes, processes)].append(result)
            say(f"{measure.line(name(nodes, processes), result)}  batches repeated {result['retries']:.0f}")
    return {"runs": runs, "casts": wanted.casts, "verdicts": verdicts_of(runs)}


def name(nodes: int, processes: int) -> str:
    """Return what a case is called."""
    return f"{processes} process{'es' if processes > 1 else ''}, {nodes} nodes"


def verdicts_of(runs: dict[str, list[measure.Result]]) -> list[verdicts.Verdict]:
    """Return rates, what they cost, and what the second process adds."""
    found = []
    for case, of in runs.items():
        used = sum(measure.median(of, figure) for figure in ("cpu_us", "database_cpu_us", "broker_cpu_us"))
        found += [
            verdicts.Verdict(f"{case}: rate", measure.median(of, "rate"), "casts/s"),
            verdicts.Verdict(f"{case}: processor time of worker", measure.median(of, "cpu_us"), "us a cast"),
            verdicts.Verdict(f"{case}: of worker, database and broker", used, "us a cast"),
            verdicts.Verdict(f"{case}: batches repeated", measure.median(of, "retries"), ""),
        ]
    for nodes in (SPREAD, FEW):
        one, two = (measure.median(runs[name(nodes, processes)], "rate") for processes in (1, 2))
        found.append(verdicts.Verdict(f"{nodes} nodes: two processes to one", two / one, "x"))
    return found


def table(found: dict[str, Any]) -> list[str]:
    """Return the figures as lines."""
    return [f"{found['casts']} casts in the queue of one daemon", *verdicts.lines(found["verdicts"])]
