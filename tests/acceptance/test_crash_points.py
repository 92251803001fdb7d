"""A worker dies at each named step of a batch that has every kind of cast in it; the next one finishes the work.

What must be true afterwards does not depend on the step: the accounts are the model's, each message counted once, each
node's notifications came without a gap, nothing waits anywhere.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from tests import model, plain, stands
from tests.acceptance import doomed, history
from tests.acceptance import site as sites
from tests.acceptance import test_crash as whole
from worker import steps, wiring
from worker.db import reading, tables

LATE = "2026-01-02T03:05:05.000000+00:00"


class Round:
    """The casts of one round, about instances and moves that no other round has."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.base = 100 * number

    def prepared(self) -> list[model.Fact]:
        """What is there before: instances in use, one with a move on its way, one with a device."""
        lives = [("claim_instance", {"instance": self._instance(of), "limits": None}) for of in range(2, 9)]
        return [*lives, ("claim_migration", self._move(6, 1, "migrating", 2) | {"limits": None})]

    def together(self) -> list[model.Fact]:
        """Every kind of cast that the model knows, once; each changes something."""
        return [
            ("report_node", {"node": plain.node(1, 2 + self.number, vcpus=9 + self.number)}),
            ("set_node_disabled", {"node_uuid": plain.node_uuid(2), "disabled": self.number % 2 == 0,
                                   "revision": 2 + self.number}),
            ("remove_node", {"node_uuid": plain.node_uuid(50 + self.number), "revision": 2}),
            ("claim_instance", {"instance": self._instance(1), "limits": None}),
            ("abort_claim", {"instance_uuid": plain.uid(self.base + 2), "revision": 2}),
            ("update_instance", {"instance": self._instance(3, 2, on=2)}),
            ("delete_instance", {"instance_uuid": plain.uid(self.base + 4), "revision": 2}),
            ("claim_migration", self._move(5, 1, "migrating", 2) | {"limits": None}),
            ("update_migration", self._move(6, 2, "confirmed", 3, on=2, flavor=plain.flavor("big"))),
        ]  # fmt: skip

    def besides(self) -> list[tuple[str, dict[str, Any]]]:
        """The kinds that state nothing that the model keeps."""
        requests = [plain.data(plain.request()) | {"request_id": plain.uid(800_000 + self.base)}]
        return [
            ("record_build", {"node_uuid": plain.node_uuid(1), "succeeded": False}),
            ("attach_devices", {"instance_uuid": plain.uid(self.base + 7), "revision": 1,
                                "requests": [plain.primitive("InstancePCIRequest", one) for one in requests]}),
            ("detach_devices", {"instance_uuid": plain.uid(self.base + 8), "revision": 1,
                                "request_ids": [plain.uid(810_000 + self.base)]}),
            ("audit_node", {"node_uuid": plain.node_uuid(2), "instances": None, "taken_at": LATE}),
            ("brew_coffee", {}),
        ]  # fmt: skip

    def _instance(self, of: int, revision: int = 1, **changes: Any) -> plain.Primitive:
        return plain.instance(self.base + of, revision, **changes)

    def _move(self, of: int, revision: int, status: str, record: int, **changes: Any) -> dict[str, Any]:
        named = {"uuid": plain.uid(900_000 + self.base + of), "instance_uuid": plain.uid(self.base + of)}
        return {
            "migration": plain.migration(1, revision, status, **named),
            "instance": self._instance(of, record, **changes),
        }


NODES = [("report_node", {"node": plain.node(number)}) for number in (1, 2, *range(50, 50 + len(steps.ALL)))]


def _cast(site: sites.Site, casts: Sequence[tuple[str, Any]]) -> None:
    conductor = stands.Conductor(site.sender_url)
    for method, arguments in casts:
        conductor.cast(method, **arguments)
    conductor.close()


def _work_off(site: sites.Site, messages: int) -> None:
    """Let a worker in this process do what is to be done, to the last notification."""
    conf = stands.configuration(site.url, site.database, claim_policy="none", reconnect_wait=0.1, reconnect_splay=0.0,
                                notifications__lease_seconds=2)  # fmt: skip
    with wiring.Running(conf):
        sites.until(lambda: site.count(tables.inbox) >= messages, f"{messages} messages")
        sites.until(lambda: not site.due(), "every notification")


TOGETHER, APART = 50, 4
"""Messages in a batch: a whole round, or so few that the next batch is under way when one is answered and settled."""


def _die(site: sites.Site, batch_size: int, step: str) -> int:
    command = [sys.executable, "-m", "tests.acceptance.doomed", site.url, site.database, str(batch_size), step]
    done = subprocess.run(command, timeout=sites.DEADLINE, check=False, capture_output=True)
    return done.returncode


@pytest.mark.rabbitmq
@pytest.mark.postgresql
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("batch_size", "deadly"),
    [(TOGETHER, steps.ALL), (APART, (steps.LOADED, steps.COMMITTED, steps.ANSWERED, steps.SETTLED))],
)
def test_a_worker_that_dies_at_any_step_loses_nothing_and_counts_nothing_twice(
    site: sites.Site, batch_size: int, deadly: Sequence[str]
) -> None:
    told: list[model.Fact] = list(NODES)
    sent = len(NODES)
    _cast_first(site, NODES)
    for number, step in enumerate(deadly):
        one = Round(number)
        for casts in (one.prepared(), [*one.together(), *one.besides()]):
            _cast(site, casts)
            sent += len(casts)
            if casts == one.prepared():
                _work_off(site, sent)

        assert _die(site, batch_size, step) == -signal.SIGKILL, step
        if step == steps.WRITTEN:  # with a part of the notifications published
            assert site.due() > doomed.WRITTEN_AT_ONCE
        _work_off(site, sent)

        told += [*one.prepared(), *one.together()]
        _check(site, told, sent, rounds=number + 1)
    whole.check_sequences(site, [plain.node_uuid(number) for number in (1, 2, *range(50, 50 + len(steps.ALL)))])


def _cast_first(site: sites.Site, casts: Sequence[model.Fact]) -> None:
    """Have the queue made by a worker, then send."""
    _work_off(site, 0)
    _cast(site, casts)
    _work_off(site, len(casts))


def _check(site: sites.Site, told: Sequence[model.Fact], sent: int, rounds: int) -> None:
    oracle = model.Model((method, history.fields(arguments)) for method, arguments in told)
    sheets = reading.sheets(site.bind, [plain.node_uuid(number) for number in (1, 2)])
    accounts = {
        sheet.account.pair.node: (dict(sheet.account.used), dict(sheet.account.settled), dict(sheet.account.counters))
        for sheet in sheets
    }
    assert accounts == {
        pair[1]: (oracle.used(pair), oracle.settled(pair), oracle.counters(pair))
        for pair in oracle.pairs()
        if pair[1] in accounts
    }
    assert [sheet.node.failed_builds for sheet in sheets if sheet.node is not None] == [rounds, 0]
    assert site.count(tables.inbox) == sent
    assert site.count(tables.parked) == rounds
    assert [site.waiting(queue) for queue in ("accounts", "accounts.dead")] == [0, 0]


GOOD = 40
LIVES = 12
"""So many times at most may the deadly message take a worker with it: it is parked long before."""


@pytest.mark.rabbitmq
@pytest.mark.postgresql
@pytest.mark.timeout(300)
def test_a_message_that_kills_every_worker_is_parked_and_takes_no_other_down(site: sites.Site) -> None:
    casts = [("update_instance", {"instance": plain.instance(number)}) for number in range(1, GOOD + 1)]
    _cast_first(site, NODES)
    body = stands.body("update_instance", {"instance": plain.instance(0)}, _unique_id="deadly")
    _cast(site, casts[: GOOD // 2])
    with site.channel() as channel:
        message = channel.prepare_message(body, 0, "application/json", "utf-8", {}, {"delivery_mode": 2})
        channel.basic_publish(message, "stocktake", "accounts")
    _cast(site, casts[GOOD // 2 :])

    deaths = 0
    while site.count(tables.parked) == 0 and deaths < LIVES:
        deaths += _dies_of(site, "deadly")

    sites.until(lambda: site.count(tables.inbox) == len(NODES) + GOOD + 1, "every other message")
    with site.bind.connect() as connection:
        (reason,) = connection.scalars(sa.select(tables.parked.c.reason)).all()
    assert reason == "the worker died 3 times while it had this message in hand ([worker] max_attempts)"
    assert deaths == 4  # among others, then three times counted
    assert site.waiting() == 0
    assert site.count(tables.starts) in {0, 1}  # its own count stays until it is purged


def _dies_of(site: sites.Site, message_id: str) -> int:
    """Run a worker until the message has killed it, or until that has been parked; return how many died."""
    command = [
        sys.executable, "-m", "tests.acceptance.doomed", site.url, site.database, str(TOGETHER), "read", message_id,
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as worker:
        sites.until(lambda: worker.poll() is not None or site.count(tables.parked), "an end")
        if worker.poll() is None:
            sites.until(lambda: site.waiting() == 0 and not site.due(), "the rest")
            worker.terminate()
            return 0
    return int(worker.returncode == -signal.SIGKILL)
