"""``python -m tests.benchmark``: measures, prints the table, writes JSON."""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import sys
from typing import Any

import pytest

from tests.benchmark import forms, measure, report


def main() -> int:
    """Return 0 after a measurement, 2 without the services for it."""
    said = _arguments()
    other = next((name for name in forms.FORMS if getattr(said, name)), None)
    if other is not None:
        return _form(other, said)
    given = {name: getattr(said, name) for name in ("casts", "nodes", "seconds_paced", "rounds")}
    form = measure.SHORT if said.short or said.record else measure.FULL
    plan = dataclasses.replace(form, **{name: value for name, value in given.items() if value is not None})
    try:
        found = report.summary(measure.everything(plan, lambda line: _say(line + "\n")))
    except (pytest.skip.Exception, pytest.fail.Exception) as reason:
        sys.stderr.write(f"{reason}\n")
        return 2
    _say("\n" + report.table(found))
    if said.json:
        _write(said.json, found)
    if said.record:
        _write(measure.RECORDED, {**found["ratios"], "casts": plan.casts, "machine": found["machine"]})
    return 0


def _form(name: str, said: argparse.Namespace) -> int:
    """Measure one of the other forms; return 1 if a figure does not reach its target."""
    try:
        found = forms.measured(name, said, lambda line: _say(line + "\n"))
    except (pytest.skip.Exception, pytest.fail.Exception) as reason:
        sys.stderr.write(f"{reason}\n")
        return 2
    _say("\n" + "\n".join(found.pop("lines")) + "\n")
    if said.json:
        _write(said.json, found)
    return 0 if found["passed"] else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.benchmark", description="Servers side by side, on one machine.")
    parser.add_argument("--casts", type=int, help=f"in the queue of each server (default {measure.FULL.casts})")
    parser.add_argument("--nodes", type=int, help=f"default {measure.FULL.nodes}")
    parser.add_argument("--seconds-paced", type=float, metavar="S", help="length of the paced run; 0 leaves it out")
    parser.add_argument("--rounds", type=int, help=f"runs of each server (default {measure.FULL.rounds})")
    parser.add_argument("--short", action="store_true", help="only (a) and (c), as in the guard")
    parser.add_argument("--record", action="store_true", help="the short form, and keep its ratio for the guard")
    others = parser.add_mutually_exclusive_group()
    for name, (words, kind) in forms.FORMS.items():
        others.add_argument(f"--{name}", help=words, **kind)
    parser.add_argument(
        "--rate", type=float, default=measure.Wanted().rate, help="casts a second of --steady (default %(default)g)"
    )
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all figures there")
    return parser.parse_args()


def _write(path: pathlib.Path, found: dict[str, Any]) -> None:
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
