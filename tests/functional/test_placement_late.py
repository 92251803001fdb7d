"""stocktake-placement that joins late, or finds a full queue: the right state, without a gap, in few requests."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from tests import plain
from tests.placement import desks, lives, proxy, server

NODES, INSTANCES = 3, 15


def test_it_joins_while_casts_go_on_and_gets_there_by_snapshots_and_stream_without_a_gap(
    desk: desks.Desk, caplog: pytest.LogCaptureFixture
) -> None:
    casts = list(lives.casts(INSTANCES, NODES, seed=3))
    _cast(desk, [*lives.reports(NODES), *casts[: len(casts) // 2]])
    desk.call("report_node", node=plain.node(NODES))  # what came before it is carried out and told
    casting = threading.Thread(target=_cast, args=(desk, casts[len(casts) // 2 :]))
    casting.start()

    desk.purge()
    with desk.feeding():
        code, said = desk.stocktake("provider", "announce")
        casting.join()
        desk.call("report_node", node=plain.node(NODES, 2))
        desk.equal()

    assert code == 0
    assert int(said.split()[0]) > NODES
    assert not [line for line in caplog.messages if "action=gap" in line or "action=heal" in line]


def _cast(desk: desks.Desk, casts: Sequence[lives.Cast]) -> None:
    for method, arguments in casts:
        desk.conductor.cast(method, **arguments)


def test_updates_of_one_provider_that_wait_in_the_queue_cost_one_write(
    desk: desks.Desk, placement: server.Server
) -> None:
    for revision in range(1, 41):
        desk.conductor.cast("report_node", node=plain.node(1, revision, **lives.LARGE | {"vcpus": 100 + revision}))
    for number in range(1, 21):
        desk.conductor.cast("claim_instance", instance=plain.instance(number), limits=None)
        desk.conductor.cast("update_instance", instance=plain.instance(number, 2, flavor=plain.flavor("big")))
    desk.call("report_node", node=plain.node(2))
    through = proxy.Proxy(placement.port)
    desks.point_at(desk.conf, through.url)

    with desk.feeding() as feeding:
        desk.equal()
        desks.until(lambda: feeding.feeder.counts.notifications > 0, "the batch to be acknowledged")

    wrote = [line for line in through.requests if not line.startswith("GET")]
    through.close()
    batches = feeding.feeder.counts.batches  # one, if the machine is quick enough
    assert batches <= 5
    assert wrote.count(f"PUT /resource_providers/{plain.node_uuid(1)}/inventories") <= batches
    assert wrote.count(f"PUT /resource_providers/{plain.node_uuid(1)}/traits") == 1
    assert wrote.count("POST /allocations") <= batches
