"""The witness of the storm sees what it is there to see."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests.placement import witness
from worker.db import engine, schema, tables

PLACEMENT = (
    "CREATE TABLE resource_providers (id INTEGER PRIMARY KEY, uuid TEXT)",
    "CREATE TABLE resource_classes (id INTEGER PRIMARY KEY, name TEXT)",
    "CREATE TABLE allocations (consumer_id TEXT, resource_provider_id INTEGER, resource_class_id INTEGER, used INTEGER)",
    "INSERT INTO resource_providers VALUES (1, 'A'), (2, 'B')",
    "INSERT INTO resource_classes VALUES (1, 'VCPU')",
)
WHERE = {"A": 1, "B": 2}


class Desk:
    """Both databases; instance ``i`` has the consumers ``i`` and ``m``."""

    def __init__(self) -> None:
        self.ours, self.theirs = engine.of_url("sqlite://"), engine.of_url("sqlite://")
        schema.sync(self.ours)
        with self.theirs.begin() as connection:
            for statement in PLACEMENT:
                connection.exec_driver_sql(statement)
        self.witness = witness.Witness(self.ours, self.theirs)

    def tell(self, generation: int, **held: str) -> None:
        """Tell on which provider each consumer holds something; on none if that is empty."""
        for consumer, provider in held.items():
            payload = {
                "consumer_uuid": consumer, "instance_uuid": "i", "consumer_generation": generation,
                "allocations": {provider: {"VCPU": 1}} if provider else {},
            }  # fmt: skip
            row = {"event_type": "allocation.update", "payload": json.dumps(payload), "priority": "info"}
            row |= {"event_id": f"{generation}{consumer}", "publisher_id": "", "emitted_at": ""}
            with self.ours.begin() as connection:
                connection.execute(tables.outbox.insert().values(created_at=0, **row))

    def place(self, **held: str) -> list[str]:
        """Let Placement have this, look, and return what is wrong."""
        with self.theirs.begin() as connection:
            connection.exec_driver_sql("DELETE FROM allocations")
            for consumer, provider in held.items():
                connection.execute(
                    sa.text("INSERT INTO allocations VALUES (:consumer, :provider, 1, 1)"),
                    {"consumer": consumer, "provider": WHERE[provider]},
                )
        before = len(self.witness.wrong)
        self.witness.look()
        return self.witness.wrong[before:]


@pytest.fixture
def desk() -> Iterator[Desk]:
    found = Desk()
    yield found
    found.ours.dispose()
    found.theirs.dispose()


def test_a_placement_that_follows_or_lags_behind_is_right(desk: Desk) -> None:
    desk.tell(1, i="A")
    late = desk.place()
    desk.tell(2, i="B", m="A")
    desk.tell(3, m="")

    assert [late, desk.place(i="A"), desk.place(i="B", m="A"), desk.place(i="B")] == [[], [], [], []]
    assert (desk.witness.looks, desk.witness.most_behind) == (4, 1)


def test_half_a_transaction_is_seen(desk: Desk) -> None:
    desk.tell(1, i="A")
    desk.place(i="A")
    desk.tell(2, i="B", m="A")

    (wrong,) = desk.place(i="B")

    assert "a state that nobody told" in wrong


def test_a_lost_allocation_is_seen(desk: Desk) -> None:
    desk.tell(1, i="A")
    desk.place(i="A")

    (wrong,) = desk.place()

    assert "nothing, it is lost" in wrong


def test_a_step_back_is_seen(desk: Desk) -> None:
    desk.tell(1, i="A")
    desk.tell(2, i="B")
    desk.place(i="B")

    (wrong,) = desk.place(i="A")

    assert "an older state" in wrong


def test_what_nobody_told_is_seen(desk: Desk) -> None:
    (wrong,) = desk.place(stranger="A")

    assert "consumer stranger is in Placement, and nobody told of it" in wrong


def test_a_deleted_instance_may_be_gone(desk: Desk) -> None:
    desk.tell(1, i="A")
    desk.place(i="A")
    desk.tell(2, i="")

    assert desk.place() == []
