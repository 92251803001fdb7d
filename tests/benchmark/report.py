"""The figures as a table for people and as one value for programs."""

from __future__ import annotations

import contextlib
import os
import pathlib
import platform
import statistics
from importlib import metadata
from typing import Any

import sqlalchemy as sa

from tests import services
from tests.benchmark import measure, paced

NAMES = {
    "noop": "(a) oslo.messaging server, does nothing",
    "plain": "(b) plain way: a transaction and a notification a cast",
    "ours": "(c) stocktake, committed",
    "floor": "(d) floor: kombu and COPY",
}
TARGETS = {"noop": 2.0, "plain": 15.0, "floor": 0.6}
DELAYS = {"committed_ms": {50: 10, 99: 50}, "notified_ms": {50: 20, 99: 100}}
"""Milliseconds that a delay may have, by percentile."""
PACKAGES = ("oslo.messaging", "kombu", "SQLAlchemy", "psycopg")


def summary(results: dict[str, list[measure.Result]]) -> dict[str, Any]:
    """Return medians, ratios, delays and the machine."""
    medians = {name: _medians(runs) for name, runs in results.items() if runs and name != "paced"}
    others = [name for name in medians if name != "ours"]
    return {
        "medians": medians,
        "ratios": {f"ours/{name}": measure.ratio(results, name) for name in others},
        "ratios_published": {f"ours/{name}": measure.ratio(results, name, "published_rate") for name in others},
        "paced": results["paced"][0] if results["paced"] else None,
        "machine": machine(),
        "runs": results,
    }


def _medians(runs: list[measure.Result]) -> dict[str, float]:
    names = [name for name, value in runs[0].items() if isinstance(value, int | float)]
    return {name: measure.median(runs, name) for name in names}


def machine() -> dict[str, Any]:
    """Return what the figures were taken on."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
        "postgresql": _postgresql(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _postgresql() -> dict[str, str]:
    engine = sa.create_engine(services.require("postgresql"))
    with engine.connect() as connection:
        names = ("server_version", "fsync", "synchronous_commit", "shared_buffers")
        shown = {name: str(connection.exec_driver_sql(f"SHOW {name}").scalar()) for name in names}
    engine.dispose()
    return shown


def table(found: dict[str, Any]) -> str:
    """Return the table."""
    medians, ratios = found["medians"], found["ratios"]
    heads = f"{'casts/s':>9}{'CPU':>7}{'broker':>8}{'database':>10}{'MiB':>6}{'others':>8}{'ours is':>10}{'target':>8}"
    lines = [
        f"{'medians; CPU in us a cast':56}{heads}",
        *(_line(name, medians[name], ratios.get(f"ours/{name}")) for name in NAMES if name in medians),
    ]
    ours = medians["ours"]
    lines += [
        f"{'    until the last notification is confirmed':56}{ours['published_rate']:9.0f}",
        f"    CPU by thread: {_threads(found['runs']['ours'])}",
        f"    {ours['batches']:.0f} transactions, {ours['notifications']:.0f} notifications",
        *_paced_lines(found["paced"]),
        f"others: share of the machine that other processes had; a run with over {measure.DISTURBED:.0%} counts only if all had",
        *machine_lines(found["machine"]),
    ]
    return "\n".join(lines) + "\n"


def _line(name: str, of: dict[str, float], ratio: float | None) -> str:
    shown = f"{ratio:8.2f} x" if ratio is not None else ""
    target = f"{TARGETS[name]:6.1f} x" if name in TARGETS else ""
    cpu = f"{of['cpu_us']:7.0f}{of['broker_cpu_us']:8.0f}{of['database_cpu_us']:10.0f}"
    return f"{NAMES[name]:56}{of['rate']:9.0f}{cpu}{of['memory_mib']:6.0f}{of['foreign']:7.0%} {shown:>10}{target:>8}"


def _threads(runs: list[measure.Result]) -> str:
    names = runs[0]["threads_cpu_us"]
    medians = {
        name: statistics.median(run["threads_cpu_us"].get(name, 0) for run in measure.counting(runs)) for name in names
    }
    return ", ".join(f"{name} {median:.0f}" for name, median in medians.items())


def _paced_lines(run: measure.Result | None) -> list[str]:
    if run is None:
        return []
    heads = "".join(f"{f'p{share}':>9}" for share in paced.PERCENTILES)
    lines = [f"{f'delay at {measure.PACE:.0f} casts/s, ms':56}{heads}"]
    for name, words in (("committed_ms", "cast -> committed"), ("notified_ms", "cast -> notification received")):
        of = run[name]
        figures = "".join(f"{of[f'p{share}']:9.1f}" for share in paced.PERCENTILES)
        head = f"    {words} ({of['count']:.0f} casts)"
        targets = ", ".join(f"p{share} {most} ms" for share, most in DELAYS[name].items())
        lines.append(f"{head:56}{figures}   target: {targets}")
    return lines


def machine_lines(on: dict[str, Any]) -> list[str]:
    """Return what the figures were taken on, as lines."""
    database = ", ".join(f"{name} {value}" for name, value in on["postgresql"].items())
    load = ", ".join(f"{one:.2f}" for one in on["load_average"])
    return [
        f"{on['cores']} cores of {on['processor']}, shared by broker, database and server",
        f"{on['system']}, Python {on['python']}; load average at the end {load}",
        f"PostgreSQL: {database}; {', '.join(f'{name} {version}' for name, version in on['packages'].items())}",
    ]
