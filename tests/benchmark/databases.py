"""The same casts on each database."""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from tests import services
from tests.benchmark import daemons, measure, places, verdicts, workload
from tests.contract import units_of_work

NODES = 1000
NAMES = ("postgresql", "mariadb", "sqlite")


def measured(wanted: measure.Wanted, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure each database in turns."""
    runs: dict[str, list[measure.Result]] = {name: [] for name in NAMES}
    for number, name in itertools.product(range(wanted.rounds), NAMES):
        told = list(itertools.islice(workload.stream(workload.Cloud(NODES), number + 1), wanted.casts))
        with _lent(name) as url, services.rabbit_vhost() as bus:
            places.prepare(url, NODES)
            with daemons.running(bus, daemons.Form(url), workload.hello()) as daemon:
                result = daemon.drained(bus, told)
        runs[name].append(result)
        say(f"{measure.line(name, result)}  {result['memory_mib']:.0f} MiB")
    return {"runs": runs, "casts": wanted.casts, "verdicts": verdicts_of(runs)}


@contextlib.contextmanager
def _lent(name: str) -> Iterator[str]:
    if name != "sqlite":
        with units_of_work.scratch(name) as url:
            yield url
        return
    with tempfile.TemporaryDirectory(prefix="stocktake-benchmark-") as folder:
        yield f"sqlite:///{pathlib.Path(folder) / 'stocktake.db'}"


def verdicts_of(runs: dict[str, list[measure.Result]]) -> list[verdicts.Verdict]:
    """Return what each does; MariaDB's own processor time is that of the whole server, SQLite's is in the worker's."""
    return [
        verdicts.Verdict(f"{name}: {words}", measure.median(of, figure), unit)
        for name, of in runs.items()
        for words, figure, unit in (
            ("rate until the last commit", "rate", "casts/s"),
            ("rate until the last notification is confirmed", "published_rate", "casts/s"),
            ("processor time of the worker", "cpu_us", "us a cast"),
            ("processor time of the database", "database_cpu_us", "us a cast"),
            ("memory of the worker at the most", "memory_mib", "MiB"),
        )
    ]


def table(found: dict[str, Any]) -> list[str]:
    """Return the figures as lines."""
    return [f"{found['casts']} casts about {NODES} nodes", *verdicts.lines(found["verdicts"])]
