"""The forms of the benchmark beside the comparison of servers: each measures one thing and holds it to its target."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from tests.benchmark import databases, growth, measure, report, scaling, steady, storm

UNITS = {"s": 1, "m": 60, "h": 3600}
Say = Callable[[str], None]


def duration(text: str) -> float:
    """Return the seconds of ``90``, ``90s``, ``30m`` or ``1h``; raises ValueError."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS else (text, "s")
    return float(number) * UNITS[unit]


_MODULES: Mapping[str, ModuleType] = {
    "growth": growth,
    "storm": storm,
    "steady": steady,
    "scaling": scaling,
    "databases": databases,
}
FORMS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "growth": ("the same casts on 100 nodes and on 10,000 with 300,000 instances", {"action": "store_true"}),
    "storm": ("10,000 unchanged reports, against as many claims", {"action": "store_true"}),
    "steady": ("a steady load for so long, such as 30m: memory and retention", {"type": duration, "metavar": "TIME"}),
    "scaling": ("one worker process and several, on many nodes and on few", {"action": "store_true"}),
    "databases": ("PostgreSQL, MariaDB and SQLite", {"action": "store_true"}),
}


def measured(name: str, said: argparse.Namespace, say: Say) -> dict[str, Any]:
    """Return what a form has found: figures, ``verdicts``, whether all ``passed``, the machine, and the ``lines`` to show."""
    module, usual = _MODULES[name], measure.Wanted()
    wanted = measure.Wanted(said.rounds or usual.rounds, said.casts or usual.casts, said.steady or 0.0, said.rate)
    found = module.measured(wanted, say)
    on = report.machine()
    lines = [*module.table(found), *report.machine_lines(on)]
    passed = all(one.passed for one in found["verdicts"])
    told = [dataclasses.asdict(one) | {"passed": one.passed} for one in found["verdicts"]]
    return {**found, "verdicts": told, "passed": passed, "machine": on, "lines": lines}
