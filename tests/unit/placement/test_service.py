"""The feeder's life: nothing is acknowledged before Placement has it, and one process at a time feeds."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from tests import builders
from tests.fakes import bus, clock
from worker import errors, interfaces, listening
from worker.placement import desired, faults, service, sync


class Leases:
    """One lease; ``taken`` by somebody else or not."""

    def __init__(self) -> None:
        self.taken = False
        self.released = 0
        self.error: Exception | None = None

    def acquire(self, name: str, holder: str, seconds: float) -> bool:  # noqa: ARG002 - there is one
        return not self.taken

    def release(self, name: str, holder: str) -> None:  # noqa: ARG002 - there is one
        self.released += 1
        if self.error is not None:
            raise self.error


class Applied:
    """Takes what is wanted; ``failures`` are raised one by one first. ``pulse`` is what a request calls."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.wanted: list[desired.Wanted] = []
        self.findings: sync.Findings = {}
        self.retried = 0
        self.pulse: Callable[[], None] = lambda: None

    def apply(self, wanted: desired.Wanted) -> sync.Findings:
        self.pulse()
        if self.failures:
            raise self.failures.pop(0)
        self.wanted.append(wanted)
        return {}

    def retry(self) -> sync.Findings:
        self.retried += 1
        return {}


class Consumer(bus.Consumer):
    """Says when there is nothing more to take."""

    def __init__(self, broker: bus.Broker, idle: Callable[[], None]) -> None:
        super().__init__(broker, batch_size=3)
        self._idle = idle

    def batch(self, idle: float = interfaces.IDLE, *, begun: int = 0, haste: float = 0.0) -> list[interfaces.Delivery]:
        taken = super().batch(idle, begun=begun, haste=haste)
        if not taken and idle == interfaces.IDLE:
            self._idle()
        return taken


class Impatient(service.Feeder):
    """Waits for nobody, and keeps no batch for long."""

    STANDBY_WAIT = 0.0
    BEAT = 0.0


class GivesUp(Impatient):
    """Keeps no batch."""

    PATIENCE = -1.0


class Desk:
    """A feeder on fakes, which stops when its queue is empty."""

    def __init__(self, kind: type[service.Feeder] = Impatient, retry_interval: float = 1000.0) -> None:
        self.broker = bus.Broker()
        self.leases = Leases()
        self.applied = Applied()
        self.healed: list[str] = []
        self.lapses = 0
        self.health: list[str] = []
        self.at_wait: Callable[[], None] = lambda: None
        parts = service.Parts(
            consumer=Consumer(self.broker, self.stop),
            read=_read,
            sync=self.applied,
            heal=self.healed.append,
            lapse=self._lapse,
            leases=self.leases,
            backoff=clock.Backoff(lambda: self.at_wait()),  # noqa: PLW0108 - it is set later
        )
        self.feeder = kind(parts, service.Settings(retry_interval, 0.0, "me"), self._health)
        self.applied.pulse = self.feeder.pulse

    def stop(self) -> None:
        self.feeder.stop()

    def _lapse(self) -> None:
        self.lapses += 1

    def _health(self, word: str) -> None:
        self.health.append(word)
        if word == service.STANDBY:
            self.leases.taken = False

    def tell(self, *sequences: int) -> None:
        for sequence in sequences:
            self.broker.send(json.dumps(sequence).encode())

    def names(self) -> list[list[str]]:
        return [[one.name for one in wanted.providers.values()] for wanted in self.applied.wanted]


def _read(delivery: interfaces.Delivery) -> listening.Notification:
    sequence = json.loads(delivery.body)
    if isinstance(sequence, list):
        return _allocation(*sequence)
    if not isinstance(sequence, int):
        raise errors.Malformed("payload: is none")
    payload: dict[str, Any] = {
        "uuid": builders.NODE, "name": f"s{sequence}", "parent_provider_uuid": None, "inventories": {}, "usages": {},
        "root_provider_uuid": builders.NODE, "node_uuid": builders.NODE, "sequence": sequence, "traits": [],
    }  # fmt: skip
    return listening.Notification(f"m{sequence}", "resource_provider.update", payload)


def _allocation(consumer: str, generation: int) -> listening.Notification:
    payload = {
        "consumer_uuid": consumer, "consumer_type": "INSTANCE", "instance_uuid": consumer, "project_id": None,
        "user_id": None, "consumer_generation": generation, "allocations": {"p": {"VCPU": generation}},
    }  # fmt: skip
    return listening.Notification(f"{consumer} {generation}", listening.ALLOCATION, payload)


def test_what_a_dead_process_had_in_hand_does_not_undo_what_came_after_it() -> None:
    desk = Desk()
    late = [["a", 2], ["b", 2], ["c", 1]]
    for told in (["a", 3], ["b", 1], ["c", 1], *late):
        desk.broker.send(json.dumps(told).encode())

    desk.feeder.run()

    applied = [{one.uuid: one.generation for one in wanted.consumers.values()} for wanted in desk.applied.wanted]
    assert applied == [{"a": 3, "b": 1}, {"c": 1, "b": 2}, {}]


def test_what_was_applied_before_the_connection_was_lost_is_known_after_it() -> None:
    desk = Desk()
    desk.broker.send(json.dumps(["a", 3]).encode())
    applied: list[int] = []

    def lose_it_after_the_first() -> None:
        applied.append(1)
        if len(applied) == 2:
            raise errors.BusUnavailable("the connection is lost")

    desk.applied.pulse = lose_it_after_the_first
    for told in (["b", 1], ["b", 2], ["b", 3], ["a", 2]):
        desk.broker.send(json.dumps(told).encode())

    desk.feeder.run()

    newest = {one.uuid: one.generation for wanted in desk.applied.wanted for one in wanted.consumers.values()}
    assert newest == {"a": 3, "b": 3}
    assert len(applied) > 2


def test_a_batch_is_coalesced_applied_and_acknowledged() -> None:
    desk = Desk()
    desk.tell(1, 2, 3, 4)

    desk.feeder.run()

    assert desk.names() == [["s3"], ["s4"]]
    assert not desk.broker.queue
    assert desk.health == [service.WORKING, service.STOPPED]
    assert desk.leases.released == 1
    assert desk.feeder.counts.notifications == 4


def test_while_placement_is_away_the_batch_is_kept_and_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    desk.applied.failures = [faults.Unavailable("it answers 503")] * 3
    desk.tell(1)

    desk.feeder.run()

    assert desk.names() == [["s1"]]
    assert desk.health == [service.WORKING, service.AWAY, service.WORKING, service.STOPPED]
    assert desk.lapses == 3
    assert [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING] == [
        "action=wait Placement: it answers 503"
    ]


def test_a_batch_that_waits_too_long_goes_back_and_is_taken_again() -> None:
    desk = Desk(GivesUp)
    desk.applied.failures = [faults.Unavailable("away"), errors.DatabaseUnavailable("away")]
    desk.tell(1, 2)

    desk.feeder.run()

    assert desk.names() == [["s2"]]
    assert not desk.broker.queue


def test_what_is_given_back_is_no_repeat_when_it_comes_again() -> None:
    desk = Desk()
    desk.tell(1, 2, 3, 4, 5)
    desk.applied.failures = [errors.BusUnavailable("the connection is lost")]

    desk.feeder.run()

    assert desk.names() == [["s5"]]
    assert desk.feeder.counts.repeats == 0


def test_repeats_and_late_ones_change_nothing() -> None:
    desk = Desk()
    desk.tell(1, 2, 5, 2, 3, 5, 6)

    desk.feeder.run()

    assert desk.names() == [["s5"], [], ["s6"]]
    assert desk.healed == [builders.NODE]
    assert desk.feeder.counts.repeats == 3


def test_a_message_that_cannot_be_read_is_dropped_and_told_of(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    desk.broker.send(b'"nonsense"')
    desk.tell(1)

    desk.feeder.run()

    assert desk.names() == [["s1"]]
    assert "action=drop a notification that cannot be read: payload: is none" in caplog.messages


def test_a_second_process_stands_by_until_the_lease_is_free() -> None:
    desk = Desk()
    desk.leases.taken = True
    desk.tell(1)

    desk.feeder.run()

    assert desk.health == [service.STANDBY, service.WORKING, service.STOPPED]
    assert desk.names() == [["s1"]]


def test_a_process_that_has_lost_its_lease_goes_no_further() -> None:
    desk = Desk()
    desk.tell(1)
    first = desk.applied.pulse

    def lose() -> None:
        desk.applied.pulse = first
        desk.leases.taken = True
        first()

    desk.applied.pulse = lose
    desk.feeder.run()

    assert desk.health == [service.WORKING, service.AWAY, service.STANDBY, service.WORKING, service.STOPPED]
    assert desk.names() == [["s1"]]


def test_what_is_pending_is_tried_when_there_is_nothing_else() -> None:
    desk = Desk(retry_interval=0.0)

    desk.feeder.run()

    assert desk.applied.retried == 1


def test_told_to_stop_while_placement_is_away_it_gives_the_batch_back() -> None:
    desk = Desk()
    desk.applied.failures = [faults.Unavailable("away")] * 2
    desk.at_wait = desk.stop
    desk.tell(1)

    desk.feeder.run()

    assert len(desk.broker.queue) == 1
    assert desk.names() == []


def test_a_lease_that_cannot_be_given_up_runs_out_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    desk.leases.error = errors.DatabaseUnavailable("gone")

    with caplog.at_level(logging.INFO):
        desk.feeder.run()

    assert "action=release the lease runs out by itself: gone" in caplog.messages
