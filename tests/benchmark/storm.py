"""A restart storm: every node reports what is known of it, against as many claims on the same daemon."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from tests import services
from tests.benchmark import daemons, measure, places, verdicts, workload
from worker.db import tables

NODES = 10_000
FIRST = 3
"""The revision of the first storm: the second one was the daemon's first cast."""
FASTER = 3.0
"""Times as many unchanged reports as claims a second."""
CASTS: Mapping[str, Callable[[int], list[workload.Cast]]] = {
    "claims": lambda number: workload.claims(NODES, NODES, seed=number),
    "reports": lambda number: workload.reports(NODES, FIRST + number),
}
EFFECTS = (tables.ledger, tables.outbox)


def measured(wanted: measure.Wanted, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure claims and unchanged reports in turns."""
    runs: dict[str, list[measure.Result]] = {"claims": [], "reports": []}
    with (
        services.rabbit_vhost() as bus,
        places.prepared(NODES) as url,
        daemons.running(bus, daemons.Form(url), workload.hello()) as daemon,
    ):
        for number, (name, made) in itertools.product(range(wanted.rounds), CASTS.items()):
            before = effects(daemon.site.bind)
            result = daemon.drained(bus, made(number)) | {"effects": effects(daemon.site.bind) - before}
            runs[name].append(result)
            say(measure.line(name, result))
    return {"runs": runs, "verdicts": verdicts_of(runs)}


def effects(bind: sa.Engine) -> int:
    """Return how many entries and notifications there are."""
    with bind.connect() as connection:
        return sum(connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0 for table in EFFECTS)


def verdicts_of(runs: Mapping[str, Sequence[measure.Result]]) -> list[verdicts.Verdict]:
    """Return what the medians say."""
    rates = {name: measure.median(of, "rate") for name, of in runs.items()}
    used = {name: measure.median(of, "cpu_us") + measure.median(of, "database_cpu_us") for name, of in runs.items()}
    return [
        verdicts.Verdict("claims", rates["claims"], "casts/s"),
        verdicts.Verdict("unchanged reports", rates["reports"], "casts/s"),
        verdicts.Verdict("rate of reports to that of claims", rates["reports"] / rates["claims"], "x", least=FASTER),
        verdicts.Verdict("processor time of a claim (worker and database)", used["claims"], "us"),
        verdicts.Verdict("processor time of a report (worker and database)", used["reports"], "us"),
        verdicts.Verdict("processor time of claims to that of reports", used["claims"] / used["reports"], "x"),
        verdicts.Verdict(
            "ledger entries and notifications of reports", max(run["effects"] for run in runs["reports"]), "", most=0
        ),
    ]


def table(found: dict[str, Any]) -> list[str]:
    """Return the figures as lines."""
    return [f"{NODES} claims and {NODES} unchanged reports of {NODES} nodes", *verdicts.lines(found["verdicts"])]
