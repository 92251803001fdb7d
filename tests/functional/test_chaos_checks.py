"""The checks of ``python -m tests.chaos`` find nothing after a good run, and something after any other."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from tests import plain, stands
from tests.chaos import checks, collector, load
from worker.db import tables

SEED = 5
CASTS = 700


class _Message:
    """A notification as py-amqp delivers it."""

    delivery_tag = 1

    def __init__(self, row: Any) -> None:
        said = {"message_id": row.event_id, "event_type": row.event_type, "payload": json.loads(row.payload)}
        self.body = json.dumps({"oslo.message": json.dumps(said)})
        self.channel = self

    def basic_ack(self, tag: int) -> None:
        """Take it off the queue."""


class Run:
    """What is checked: the database, the story of what was cast, and what was heard."""

    def __init__(self, bind: sa.Engine) -> None:
        self.bind = bind
        self.story = checks.Story(SEED, CASTS, checks.outcomes(bind))
        self.heard = collector.Collector(lambda: None)
        with bind.connect() as connection:
            rows = connection.execute(sa.select(tables.outbox).order_by(tables.outbox.c.id)).all()
        for row in rows:
            self.heard.take(_Message(row))

    def differences(self) -> list[str]:
        """Return what the checks find."""
        return checks.differences(self.bind, self.story, self.heard)

    @property
    def instance(self) -> str:
        """An instance that holds something."""
        return next(name for name in self.story.oracle.names() if self.story.oracle.holdings(name))


@pytest.fixture(scope="module")
def bind() -> Iterator[sa.Engine]:
    """Lend the database of a worker that has carried everything out."""
    with stands.embedded(batch_wait=0.05) as stand:
        for cast in (*load.first(), *itertools.islice(load.casts(SEED), CASTS)):
            stand.send(cast.body)
        stand.finish()
        yield stand.bind


def test_a_good_run_has_no_differences(bind: sa.Engine) -> None:
    run = Run(bind)

    assert run.differences() == []
    assert {"accepted", "refused", "stale", "parked"} <= {*run.story.outcomes.values()}
    assert run.heard.repeats == 0
    assert run.story.repeated > 0


def _lose_a_notification(run: Run) -> None:
    del run.heard.heard[next(iter(run.heard.heard))]


def _lose_a_number(run: Run) -> None:
    run.heard.arrived[plain.node_uuid(1)].remove(2)


def _turn_two_numbers_round(run: Run) -> None:
    run.heard.arrived[plain.node_uuid(1)][:2] = [2, 1]


def _number_two_alike(run: Run) -> None:
    run.heard.twice.append("1")


def _hear_of_another_use(run: Run) -> None:
    run.heard.usages[plain.node_uuid(1)] = (10**6, {"VCPU": 1})


def _hear_of_a_holding_too_much(run: Run) -> None:
    run.heard.allocations["nobody"] = (1, {plain.node_uuid(1): {"VCPU": 1}})


def _lose_a_fact(run: Run) -> None:
    run.story.oracle.take("delete_instance", {"instance_uuid": run.instance, "revision": 1})


def _count_a_build_twice(run: Run) -> None:
    run.story.failed_builds[plain.node_uuid(1)] += 1


def _lose_a_cast(run: Run) -> None:
    run.story.outcomes = {name: word for name, word in run.story.outcomes.items() if name != "node-1"}


def _invent_a_cast(run: Run) -> None:
    del run.story.casts["node-1"]


def _park_a_good_one(run: Run) -> None:
    del run.story.casts[next(name for name, cast in run.story.casts.items() if not cast.good)]


def _park_too_few(run: Run) -> None:
    run.story.casts["bad-x"] = load.Cast("bad-x", None, {})


@pytest.mark.parametrize(
    ("spoil", "kinds"),
    [
        (_lose_a_notification, {"notification"}),
        (_lose_a_number, {"sequence"}),
        (_turn_two_numbers_round, {"sequence"}),
        (_number_two_alike, {"sequence"}),
        (_hear_of_another_use, {"usage by notifications"}),
        (_hear_of_a_holding_too_much, {"allocation by notifications"}),
        (_lose_a_fact, {"account", "consumer", "usage by notifications", "allocation by notifications"}),
        (_count_a_build_twice, {"node"}),
        (_lose_a_cast, {"inbox"}),
        (_invent_a_cast, {"inbox"}),
        (_park_a_good_one, {"parked"}),
        (_park_too_few, {"parked"}),
    ],
)
def test_whatever_is_wrong_is_found(bind: sa.Engine, spoil: Callable[[Run], None], kinds: set[str]) -> None:
    run = Run(bind)

    spoil(run)

    assert {line.partition(":")[0] for line in run.differences()} == kinds
