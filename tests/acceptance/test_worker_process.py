"""The worker as a process, on RabbitMQ and PostgreSQL: started, told, signalled, cut off."""

from __future__ import annotations

import os
import signal
import time
from urllib import parse

import oslo_messaging
import pytest

from tests import plain, stands
from tests.acceptance import site as sites
from worker.db import tables

pytestmark = [pytest.mark.rabbitmq, pytest.mark.postgresql]

MANY = 3000
"""Casts that no worker takes within the moment before it is stopped."""


def _shown(site: sites.Site, number: int = 1) -> dict[str, int]:
    """Return the figures of a node as the command shows them."""
    found = site.stocktake("node", "show", plain.node_uuid(number))
    return {name: found[name] for name in ("vcpus_used", "memory_mb_used", "local_gb_used", "running_vms")}


def _claim(conductor: stands.Conductor, number: int, on: int = 1) -> str:
    answer = conductor.call("claim_instance", instance=plain.instance(number, on=on), limits=None)
    return str(answer["outcome"])


def test_casts_of_a_plain_client_become_figures_and_notifications(
    site: sites.Site, conductor: stands.Conductor
) -> None:
    with site.worker() as worker:
        worker.working()
        listener = stands.Listener(site.sender_url)

        conductor.cast("report_node", node=plain.node())
        conductor.cast("claim_instance", instance=plain.instance(), limits=None)
        listener.wait("claim.accept")
        providers = listener.wait("resource_provider.", 1)

        listener.close()
        assert _shown(site) == {"vcpus_used": 1, "memory_mb_used": 1024, "local_gb_used": 10, "running_vms": 1}
        assert providers[0]["uuid"] == plain.node_uuid()
        assert worker.end() == 0


def test_the_start_is_told_without_secrets(site: sites.Site) -> None:
    secret = "s3cr3t-of-the-database"  # PostgreSQL trusts this address whatever the password
    site.options["database"]["connection"] = site.database.replace("postgres@", f"postgres:{secret}@")
    site.options["DEFAULT"]["debug"] = True
    site.write()

    with site.worker() as worker:
        worker.working()

        assert worker.end() == 0
        assert "action=start" in worker.said
        assert "transport_url" in worker.said
        assert secret not in worker.said
        assert "guest:guest" not in worker.said


def test_a_stopped_worker_ends_soon_and_gives_back_the_rest(site: sites.Site, conductor: stands.Conductor) -> None:
    site.write(batch_size=50)
    with site.worker() as worker:
        worker.working()
        worker.signal(signal.SIGSTOP)
        for child in worker.children():
            _signal(child, signal.SIGSTOP)
        for revision in range(1, MANY + 1):
            conductor.cast("update_instance", instance=plain.instance(revision % 100, revision))
        for child in worker.children():
            _signal(child, signal.SIGCONT)
        worker.signal(signal.SIGCONT)
        sites.until(lambda: site.count(tables.inbox), "a first batch")

        began = time.monotonic()
        code = worker.end()

        took = time.monotonic() - began
        assert code == 0, worker.said
        assert took < 10
        done = site.count(tables.inbox)
        assert 0 < done < MANY
        assert site.waiting() == MANY - done
        assert site.due() == 0


def _signal(pid: int, number: signal.Signals) -> None:
    os.kill(pid, number)


def test_a_hangup_changes_the_claim_policy(site: sites.Site, conductor: stands.Conductor) -> None:
    with site.worker() as worker:
        worker.working()
        before = _claim(conductor, 1)

        site.write(claim_policy="none")
        worker.signal(signal.SIGHUP)
        worker.says("action=reload .*claim_policy")
        after = sites.until(lambda: _claim(conductor, 2) == "accepted", "the new policy")

        assert before == "refused"
        assert after
        assert worker.end() == 0


def test_a_hangup_with_a_bad_file_is_one_error_and_changes_nothing(
    site: sites.Site, conductor: stands.Conductor
) -> None:
    with site.worker() as worker:
        worker.working()

        site.write(claim_policy="whatever")
        worker.signal(signal.SIGHUP)
        worker.says("ERROR")

        assert _claim(conductor, 1) == "refused"
        (line,) = [line for line in worker.said.splitlines() if "ERROR" in line]
        assert "[worker] claim_policy" in line
        assert worker.end() == 0


def test_work_waits_for_a_database_that_went_away(site: sites.Site, conductor: stands.Conductor) -> None:
    with site.worker() as worker:
        worker.working()
        conductor.cast("report_node", node=plain.node())
        sites.until(lambda: site.count(tables.inbox) == 1, "the first cast")

        site.close_database()
        conductor.cast("update_instance", instance=plain.instance())
        worker.says("database away")
        site.open_database()

        sites.until(lambda: site.count(tables.inbox) == 2, "the second cast")
        assert _shown(site)["vcpus_used"] == 1
        assert site.count(tables.parked) == 0
        assert worker.end() == 0


def test_a_database_that_is_away_at_the_start_is_waited_for(site: sites.Site) -> None:
    site.close_database()
    with site.worker() as worker:
        worker.says("action=wait the database cannot be reached")
        site.open_database()

        worker.working()

        assert worker.end() == 0


def test_a_worker_that_waits_for_its_database_can_be_stopped(site: sites.Site) -> None:
    site.close_database()
    with site.worker() as worker:
        worker.says("action=wait the database cannot be reached")

        code = worker.end()

        assert code == 0
    site.open_database()


def test_a_broker_that_is_away_at_the_start_is_waited_for(site: sites.Site) -> None:
    port, real = sites.free_port(), parse.urlsplit(site.url)
    site.options["DEFAULT"]["transport_url"] = f"rabbit://guest:guest@127.0.0.1:{port}{real.path}"
    site.write()
    with site.worker() as worker:
        worker.says("action=reconnect")

        broker = sites.Forwarder(port, (str(real.hostname), int(real.port or 5672)))
        worker.working()

        assert worker.end() == 0
        broker.close()


def test_a_killed_worker_process_is_started_anew(site: sites.Site, conductor: stands.Conductor) -> None:
    with site.worker() as worker:
        worker.working()
        (child,) = worker.children()

        _signal(child, signal.SIGKILL)
        worker.working(2)
        conductor.cast("report_node", node=plain.node())

        sites.until(lambda: site.count(tables.inbox) == 1, "the cast")
        assert worker.children() != [child]
        assert worker.end() == 0


@pytest.mark.parametrize(
    ("group", "option", "value", "named"),
    [
        ("worker", "batch_size", "0", "[worker] batch_size"),
        ("worker", "claim_policy", "some", "[worker] claim_policy"),
        ("DEFAULT", "transport_url", "fake://", "transport_url: fake://"),
        ("DEFAULT", "transport_url", "kombu+memory://", "transport_url: kombu+memory://"),
        ("DEFAULT", "transport_url", "carrier-pigeon://", "transport_url: carrier-pigeon://"),
        ("DEFAULT", "log_file", "/nowhere/at/all.log", "log_file: /nowhere/at/all.log"),
        ("DEFAULT", "log_config_append", "/nowhere/logging.conf", "log_config_append: "),
        ("database", "connection", "oracle://db/accounts", "[database] connection"),
        ("oslo_messaging_notifications", "transport_url", "fake://", "transport_url: fake://"),
    ],
)
def test_what_cannot_be_worked_with_is_refused_in_one_line(
    site: sites.Site, group: str, option: str, value: str, named: str
) -> None:
    site.options.setdefault(group, {})[option] = value
    site.write()

    done = site.run("worker.cli.daemon")

    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("stocktake-worker: ")
    assert named in line


def test_a_database_without_schema_is_refused_with_what_to_do(bare_site: sites.Site) -> None:
    done = bare_site.run("worker.cli.daemon")

    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("run stocktake db sync")
    assert len(done.stderr.splitlines()) == 1


def test_a_configuration_file_that_is_not_there_is_named(bare_site: sites.Site) -> None:
    bare_site.file.unlink()

    done = bare_site.run("worker.cli.daemon")

    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "stocktake.conf" in line


def test_a_sender_of_another_kind_needs_durable_queues(site: sites.Site) -> None:
    with site.worker() as worker:
        worker.working()
        transient = stands.Conductor(site.url)

        with pytest.raises(oslo_messaging.MessageDeliveryFailure):
            transient.cast("report_node", node=plain.node())

        transient.close()
        assert worker.end() == 0
