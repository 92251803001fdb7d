"""Plays a scenario: what happens to hosts and instances becomes casts, and what the accounts say is printed."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import IO

import rich.console
import rich.progress
from oslo_config import cfg

from worker import client, errors, service, wiring
from worker.core import claims
from worker.db import schema
from worker.replay import cloud, conductor, desk, operations, output, scenario, watching

START_SECONDS = 30.0
_OURS = {"audit_grace": 0, "batch_wait": 0.0}
"""What is set for the worker that a replay runs: an audit counts at once, and nothing waits for company."""


def play(
    conf: cfg.ConfigOpts,
    lines: Iterable[str],
    out: IO[str],
    claim_policy: str | None = None,
    source: str = scenario.SOURCE,
) -> int:
    """Play the scenario in ``lines`` on the bus and the database of ``conf``; one JSON object a line goes to ``out``.

    A worker of its own takes part, beside those that may be running there; its ``claim_policy`` is ``local`` unless
    told otherwise. Returns 0. Raises Misconfigured, naming
    ``source``, line and key, for a scenario that cannot be followed, and NotSeen when the accounts do not follow.
    """
    read = scenario.read(lines, source)
    with _set(conf, {**_OURS, "claim_policy": claim_policy or claims.LOCAL}), _working(conf) as running:
        accounts = watching.Accounts(running.bind)
        api = client.UsageAPI(conf)
        try:
            at = conductor.Conductor(desk.Desk(api, accounts))
            for operation in _progress(read):
                accounts.about = f"operation {operation.index} ({operation.name}, line {operation.line})"
                refused = _carried_out(at, operation)
                printed = output.line(operation, refused, output.nodes(at.cloud, accounts))
                print(json.dumps(printed, sort_keys=True), file=out, flush=True)
        finally:
            api.close()
    return 0


def _carried_out(at: conductor.Conductor, operation: scenario.Operation) -> cloud.Impossible | None:
    try:
        operations.carry_out(at, operation)
    except cloud.Impossible as refused:
        return refused
    return None


@contextlib.contextmanager
def _set(conf: cfg.ConfigOpts, values: dict[str, int | float | str]) -> Iterator[None]:
    for name, value in values.items():
        conf.set_override(name, value, group="worker")
    try:
        yield
    finally:
        for name in values:
            conf.clear_override(name, group="worker")


@contextlib.contextmanager
def _working(conf: cfg.ConfigOpts) -> Iterator[wiring.Running]:
    """Run a worker; casts may go as soon as it listens, since before that there may be no queue."""
    working = threading.Event()

    def hear(state: str) -> None:
        if state == service.WORKING:
            working.set()

    running = wiring.Running(conf, health=hear)
    schema.check(running.bind)
    with running:
        if not working.wait(START_SECONDS):
            raise errors.BusUnavailable(f"transport_url: the bus cannot be reached within {START_SECONDS:g} s")
        yield running


def _progress(read: Sequence[scenario.Operation]) -> Iterator[scenario.Operation]:
    """Yield the operations, with a bar on standard error where that is a terminal and the answers are not."""
    console = rich.console.Console(stderr=True)
    hidden = not console.is_terminal or sys.stdout.isatty()
    yield from rich.progress.track(read, "replay", console=console, disable=hidden, transient=True)
