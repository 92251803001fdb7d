"""The whole promise at once: worker processes are killed at any moment, nothing is lost and nothing counts twice."""

from __future__ import annotations

import concurrent.futures
import os
import random
import signal
from collections import defaultdict
from typing import Any

import pytest
import sqlalchemy as sa

from tests import model, plain, stands
from tests.acceptance import history
from tests.acceptance import site as sites
from worker.db import reading, tables

CASTS = int(os.environ.get("STOCKTAKE_TEST_CRASH_CASTS", "20000"))
KILLS = 12
PROCESSES = 2
SENDERS = 3
PATIENCE = 240.0


@pytest.fixture
def killed(site: sites.Site) -> sites.Site:
    """Return a site on which every claim is a fact, so that the oracle is exact."""
    site.write(processes=PROCESSES, claim_policy="none", batch_size=100)
    return site


def _send(url: str, facts: list[model.Fact]) -> None:
    conductor = stands.Conductor(url)
    for method, arguments in facts:
        conductor.cast(method, **arguments)
    conductor.close()


def _wait_for_casts(site: sites.Site, wanted: int) -> None:
    sites.until(lambda: site.count(tables.inbox) >= wanted, f"{wanted} casts", PATIENCE)


def _kill(site: sites.Site, worker: sites.Worker, chance: random.Random) -> int:
    """Kill worker processes as the work goes on, each at another stage of it; return how many."""
    done = 0
    for threshold in range(1, KILLS + 1):
        wanted = CASTS * threshold // (KILLS + 2)
        _wait_for_casts(site, wanted)
        victims = sites.until(worker.children, "a worker process")
        os.kill(chance.choice(victims), signal.SIGKILL)
        done += 1
    return done


@pytest.mark.rabbitmq
@pytest.mark.postgresql
@pytest.mark.timeout(600)
def test_twenty_thousand_casts_survive_a_dozen_kills(killed: sites.Site) -> None:
    site, facts = killed, history.facts(CASTS)
    oracle = model.Model((method, history.fields(arguments)) for method, arguments in facts)
    with site.worker() as worker, concurrent.futures.ThreadPoolExecutor(SENDERS) as threads:
        worker.working(PROCESSES)
        sending = [threads.submit(_send, site.sender_url, facts[start::SENDERS]) for start in range(SENDERS)]

        kills = _kill(site, worker, random.Random(1))
        for one in sending:
            one.result(PATIENCE)
        _wait_for_casts(site, CASTS)
        sites.until(lambda: not site.due(), "every notification", PATIENCE)
        code = worker.end()

    assert worker.said.count("killed by signal") == kills >= 10
    assert code == 0
    assert site.count(tables.inbox) == CASTS
    assert site.count(tables.parked) == 0
    assert [site.waiting(queue) for queue in ("accounts", "accounts.dead")] == [0, 0]
    assert _accounts(site.bind) == _accounts_of(oracle)
    assert _consumers(site.bind) == {name: held for name in oracle.names() if (held := oracle.consumers(name))}
    check_sequences(site, [plain.node_uuid(number) for number in range(history.NODES)])


def _accounts(bind: sa.Engine) -> dict[str, Any]:
    """Return what is held on each node, how much of it is settled, and the counters."""
    return {
        sheet.account.pair.node: (dict(sheet.account.used), dict(sheet.account.settled), dict(sheet.account.counters))
        for sheet in reading.sheets(bind, [plain.node_uuid(number) for number in range(history.NODES)])
    }


def _accounts_of(oracle: model.Model) -> dict[str, Any]:
    return {pair[1]: (oracle.used(pair), oracle.settled(pair), oracle.counters(pair)) for pair in oracle.pairs()}


def _consumers(bind: sa.Engine) -> dict[str, dict[str, dict[str, dict[str, int]]]]:
    """Return instance to consumer to provider to what it holds there."""
    found: dict[str, Any] = defaultdict(lambda: defaultdict(dict))
    for sheet in reading.sheets(bind, [plain.node_uuid(number) for number in range(history.NODES)]):
        assert sheet.node is not None
        for name, holding in reading.holdings(bind, sheet.account.id):
            held = found[name][holding.consumer].setdefault(sheet.node.uuid, {})
            for resource, amount in holding.amounts.items():
                held[resource] = held.get(resource, 0) + amount
    return {name: {consumer: dict(held) for consumer, held in one.items()} for name, one in found.items()}


def check_sequences(site: sites.Site, nodes: list[str]) -> None:
    """Each node's notifications came first in the order of their sequence, without a gap, up to the last."""
    arrived: dict[str, list[int]] = defaultdict(list)
    repeated: dict[tuple[str, int], set[str]] = defaultdict(set)
    for one in site.notifications():
        if one["event_type"] in {"resource_provider.create", "resource_provider.update", "resource_provider.delete"}:
            data = one["payload"]["stocktake_object.data"]
            repeated[data["node_uuid"], data["sequence"]].add(one["message_id"])
            if data["sequence"] not in arrived[data["node_uuid"]]:
                arrived[data["node_uuid"]].append(data["sequence"])
    assert {len(ids) for ids in repeated.values()} == {1}
    last = {sheet.node.uuid: sheet.node.sequence for sheet in reading.sheets(site.bind, nodes) if sheet.node}
    assert arrived == {uuid: list(range(1, sequence + 1)) for uuid, sequence in last.items()}
