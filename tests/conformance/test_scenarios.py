"""Scenarios that Nova's own resource tracker was put through, played as casts: the same figures, or a numbered reason."""

from __future__ import annotations

import io
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from kombu.transport import memory
from oslo_config import cfg

from tests import invariant, services, stands
from tests.conformance import nova
from tests.contract import units_of_work
from worker import replay, wiring
from worker.db import schema

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = pathlib.Path(os.environ.get("STOCKTAKE_SCENARIOS") or ROOT.parent / "shared" / "scenarios")
# the tracker's figures are right where it has just audited the node
AUDITS = ("audit", "node_report", "service_restart", "evacuate_source_recover")


def _scenarios() -> list[pathlib.Path]:
    return sorted(FOLDER.glob("*.jsonl"))


SCENARIOS = _scenarios()
NEEDED = pytest.mark.skipif(not SCENARIOS, reason=f"no scenarios in {FOLDER}: set STOCKTAKE_SCENARIOS")
EACH = pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)


@pytest.fixture(name="embedded")
def _embedded() -> Iterator[cfg.ConfigOpts]:
    with tempfile.TemporaryDirectory() as folder:
        yield from _ready(stands.configuration("kombu+memory://", f"sqlite:///{pathlib.Path(folder) / 'books.db'}"))


@pytest.fixture(name="real")
def _real() -> Iterator[cfg.ConfigOpts]:
    with services.rabbit_vhost() as url, units_of_work.scratch("postgresql") as database:
        yield from _ready(stands.configuration(url, database))


def _ready(conf: cfg.ConfigOpts) -> Iterator[cfg.ConfigOpts]:
    bind = wiring.database(conf)
    schema.sync(bind)
    bind.dispose()
    try:
        yield conf
        invariant.prove(bind)
    finally:
        bind.dispose()
        memory.Transport.global_state.clear()  # type: ignore[no-untyped-call]
        memory.Channel.queues.clear()


def _played(conf: cfg.ConfigOpts, path: pathlib.Path) -> list[dict[str, Any]]:
    out = io.StringIO()
    assert replay.play(conf, path.read_text(encoding="utf-8").splitlines(), out) == 0
    return [json.loads(line) for line in out.getvalue().splitlines()]


def _said(path: pathlib.Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    objects = [json.loads(line) for line in lines if line.strip() and not line.startswith("#")]
    return [one for one in objects if "op" in one]


def _expected(path: pathlib.Path) -> list[dict[str, Any]]:
    """Return Nova's answers, every node in each of them."""
    answers, nodes = list[dict[str, Any]](), dict[str, Any]()
    for line in (path.parent / "expected" / path.name).read_text(encoding="utf-8").splitlines():
        answer = json.loads(line)
        nodes = {**nodes, **answer["nodes"]}
        answers.append({**answer, "nodes": nodes})
    return answers


def _host(node: str) -> str:
    return node.partition("/")[0]


@NEEDED
@EACH
def test_a_scenario_gives_nova_s_figures_wherever_nova_has_audited(
    embedded: cfg.ConfigOpts, path: pathlib.Path
) -> None:
    ours = _played(embedded, path)

    _compare(path, ours)


@NEEDED
@EACH
@pytest.mark.rabbitmq
@pytest.mark.postgresql
def test_a_scenario_gives_the_same_figures_over_rabbitmq_and_postgresql(
    real: cfg.ConfigOpts, path: pathlib.Path
) -> None:
    ours = _played(real, path)

    _compare(path, ours)


@NEEDED
@EACH
def test_our_figures_are_right_at_once_and_need_no_audit(embedded: cfg.ConfigOpts, path: pathlib.Path) -> None:
    ours = _played(embedded, path)

    history, last, untold = nova.History(), dict[str, Any](), set[str]()
    for said, expected, answer in zip(_said(path), _expected(path), ours, strict=True):
        touched = history.take(said, expected)
        untold |= touched if said.get("lost") or not said.get("notify", True) else set()
        for node, accounts in answer["nodes"].items():
            if _host(node) not in (untold if said["op"] == "audit" else touched):
                assert last.get(node, accounts) == accounts, f"{said['op']} {answer['index']} changed {node}"
        last = answer["nodes"]


def _compare(path: pathlib.Path, ours: list[dict[str, Any]]) -> None:
    """Hold every audited node of every answer against Nova's, and every verdict."""
    history, compared = nova.History(), 0
    for said, expected, answer in zip(_said(path), _expected(path), ours, strict=True):
        where = f"operation {answer['index']} ({said['op']})"
        assert answer["ok"] == expected["ok"], f"{where}: {answer.get('error')}, Nova {expected.get('error')}"
        history.take(said, expected)
        for node in answer["nodes"] if said["op"] in AUDITS else ():
            if _host(node) == said["host"]:
                _compare_node(f"{where} {node}", answer["nodes"][node], expected["nodes"][node], (node, history))
                compared += 1
    assert compared


def _compare_node(where: str, ours: Any, theirs: Any, about: tuple[str, nova.History]) -> None:
    node, history = about
    wanted = {name: theirs[name] for name in nova.FIGURES}
    wanted["stats"] = {name: count for name, count in theirs["stats"].items() if count}

    assert nova.figures(ours, node, history) == wanted, where
    assert ours["placement"]["inventories"] == theirs["placement"]["inventories"], where
    if _host(node) not in history.overcommitted:
        placed = {name: theirs["placement"][name] for name in ("usages", "consumers")}
        assert nova.placement(ours, node, history) == placed, where
    assert nova.cells(ours) == nova.cells(theirs), where
    assert nova.audited_devices(ours, node, history) == nova.devices(theirs), where
    assert nova.pools(ours) == nova.pools(theirs), where
