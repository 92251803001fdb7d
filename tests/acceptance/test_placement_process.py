"""stocktake-placement as a process, on RabbitMQ, PostgreSQL and a real Placement: killed, cut off, lied to.

The nodes have providers below their roots that come and go, with guests on them.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import signal
import threading
from collections.abc import Iterator
from urllib import parse

import pytest

from tests import services, stands, tree_sides
from tests.acceptance import history
from tests.acceptance import site as sites
from tests.contract import units_of_work
from tests.placement import compare, proxy, server

pytestmark = [pytest.mark.rabbitmq, pytest.mark.postgresql]

MODULE = "worker.cli.placement_daemon"
NODES = int(os.environ.get("STOCKTAKE_PLACEMENT_NODES", "20"))
FACTS = int(os.environ.get("STOCKTAKE_PLACEMENT_FACTS", "400"))
PATIENCE = float(os.environ.get("STOCKTAKE_PLACEMENT_SECONDS", "60"))
"""Larger ones make the same test a longer one."""
LARGE = {"vcpus": 10_000, "memory_mb": 10_000_000, "local_gb": 100_000}
"""Nodes on which everything fits: what Placement has no room for is another test's."""
LOOK_EVERY = 2.0
NEVER = threading.Event()
QUEUE = "stocktake_placement.info"


@pytest.fixture
def placement(tmp_path: pathlib.Path) -> Iterator[server.Server]:
    """Lend a Placement over a PostgreSQL database of its own."""
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(units_of_work.scratch("postgresql"))
        # Placement does not work with psycopg 3
        yield stack.enter_context(server.running(tmp_path, url.replace("+psycopg:", "+psycopg2:")))


@pytest.fixture
def fed(site: sites.Site, placement: server.Server) -> sites.Site:
    """Return a site whose workers tell stocktake-placement, and that knows where Placement is."""
    site.options["oslo_messaging_notifications"] = {"topics": "stocktake_notifications,stocktake_placement"}
    site.options["placement"] = {
        "auth_type": "admin_token", "token": "admin", "endpoint": placement.url,
        "endpoint_override": placement.url, "retry_interval": 0.5,
    }  # fmt: skip
    site.write()
    return site


def _all_told(site: sites.Site) -> bool:
    """Tell whether every cast is carried out and every notification acknowledged: what is in hand counts, too."""
    if site.due() or site.waiting("accounts") or site.waiting(QUEUE):
        return False
    NEVER.wait(LOOK_EVERY)  # rabbitmqctl takes a second of a processor
    vhost = parse.urlsplit(site.url).path.strip("/")
    left = services.rabbitmqctl("list_queues", "-p", vhost, "--no-table-headers", "name", "messages").split()
    counts = dict(zip(left[::2], map(int, left[1::2]), strict=True))
    return counts["accounts"] == 0 and counts[QUEUE] == 0


@pytest.mark.timeout(PATIENCE * 3)
def test_kills_lies_and_outages_end_in_no_difference(
    fed: sites.Site, conductor: stands.Conductor, placement: server.Server
) -> None:
    liar = proxy.Proxy(placement.port, share=0.1)
    fed.options["placement"]["endpoint_override"] = liar.url
    fed.write()
    chance = random.Random(7)

    with fed.worker() as worker:
        worker.working()
        told = threading.Thread(target=_tell, args=(conductor,))
        told.start()
        for turn in range(2):
            with fed.worker(MODULE) as feeder:
                _more_requests(liar, 20 + chance.randrange(40))
                if turn == 1:
                    placement.stop()
                    feeder.says("action=wait Placement: .*502")
                    placement.start()
                    _more_requests(liar, 10)
                for child in feeder.children():
                    os.kill(child, signal.SIGKILL)
        told.join()
        with fed.worker(MODULE) as feeder:
            sites.until(lambda: _all_told(fed), "everything to be told", PATIENCE)

            assert feeder.end() == 0
    liar.share = 0.0

    assert compare.differences(placement.url, fed.bind) == []
    checked = fed.run("worker.cli.main", "placement", "check", seconds=PATIENCE)
    assert checked.returncode == 0, checked.stdout
    assert "no difference" in checked.stdout
    assert liar.spoiled > 10
    liar.close()


def _more_requests(liar: proxy.Proxy, count: int) -> None:
    seen = len(liar.requests)
    sites.until(lambda: len(liar.requests) >= seen + count, f"{count} requests")


def _tell(conductor: stands.Conductor) -> None:
    for method, arguments in history.facts(FACTS, nodes=NODES, **LARGE):
        conductor.cast(method, **tree_sides.with_trees(arguments))
