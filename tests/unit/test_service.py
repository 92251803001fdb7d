"""The worker's life: commit, answer, settle; what is away is waited for; a stop drains."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests import builders, plain, stands
from tests.fakes import bus, clock, failing, library, unit_of_work
from worker import brake, engine, errors, interfaces, service
from worker.core import resources

PATIENCE = 30.0


def _nothing() -> None:
    pass


class Consumer(bus.Consumer):
    """A consumer that says when there is nothing more to take."""

    def __init__(self, broker: bus.Broker, idle: Callable[[], None]) -> None:
        super().__init__(broker, batch_size=2)
        self._idle = idle
        self.closed = 0
        self.asked: list[tuple[int, float]] = []
        self.at_batch: Callable[[], None] = _nothing
        self.at_beat: Callable[[], None] = _nothing
        self.at_settle: Callable[[], None] = _nothing

    def batch(self, idle: float = interfaces.IDLE, *, begun: int = 0, haste: float = 0.0) -> list[interfaces.Delivery]:
        self.asked.append((begun, haste))
        self.at_batch()
        taken = super().batch(idle, begun=begun, haste=haste)
        if idle and not taken:
            self._idle()
        return taken

    def beat(self) -> None:
        self.at_beat()
        super().beat()

    def settle(self, deliveries: Sequence[interfaces.Delivery]) -> None:
        self.at_settle()
        super().settle(deliveries)

    def close(self) -> None:
        super().close()
        self.closed += 1


class Impatient(service.Worker):
    """A worker that waits for nobody."""

    AGAIN = 0.0


class GivesUp(service.Worker):
    """A worker that keeps no batch."""

    PATIENCE = 0.0


class Desk:
    """A worker on fakes, which stops when the queue is empty."""

    def __init__(self, kind: type[service.Worker] = Impatient, meanwhile: Callable[[], None] = _nothing) -> None:
        self.broker = bus.Broker()
        self.store = unit_of_work.Store()
        self.plan = failing.Plan()
        self.backoff = clock.Backoff(meanwhile)
        self.health: list[str] = []
        self.commits = 0
        self.at_committed: Callable[[], None] = _nothing
        self.consumer = Consumer(self.broker, lambda: self.worker.stop())  # noqa: PLW0108 - there is none yet
        batches = engine.Engine(
            lambda: failing.UnitOfWork(self.store, self.plan),
            library.Library(),
            lambda: builders.NOW,
            engine.Settings,
            engine.Uncounted(),
        )
        self.worker = kind(self.consumer, batches, self.backoff, self._committed, self.health.append)

    def send(self, *numbers: int, **call: Any) -> None:
        for number in numbers:
            arguments = {"instance": plain.instance(number)}
            self.broker.send(stands.body("update_instance", arguments, _unique_id=f"m{number}", **call))

    def _committed(self) -> None:
        self.commits += 1
        self.at_committed()


def test_what_is_taken_is_committed_and_settled_batch_by_batch() -> None:
    desk = Desk()
    desk.send(1, 2, 3)

    desk.worker.run()

    assert desk.plan.commits == [["m1", "m2"], ["m3"]]
    assert (desk.commits, desk.worker.outcomes) == (2, {"applied": 3})
    assert list(desk.broker.queue) == []
    assert desk.health == ["working", "stopped"]


def test_what_comes_while_the_database_works_is_read_ahead_and_given_back_at_a_stop() -> None:
    desk = Desk()
    desk.send(1, 2, 3)
    desk.plan.at_commit = desk.worker.stop

    desk.worker.run()

    assert desk.plan.commits == [["m1", "m2"]]
    assert [delivery.redelivered for delivery in desk.broker.queue] == [True]


def test_what_comes_piece_by_piece_while_the_database_works_makes_one_batch() -> None:
    desk = Desk()
    desk.send(1)
    committing, full = threading.Event(), threading.Event()

    def commit() -> None:
        committing.set()
        full.wait(PATIENCE)

    def arrive() -> None:
        turn = len(desk.consumer.asked)
        if turn == 2:
            committing.wait(PATIENCE)
            desk.send(2)
        elif turn == 3:
            desk.send(3)
            full.set()

    desk.plan.at_commit = commit
    desk.consumer.at_batch = arrive

    desk.worker.run()

    assert desk.plan.commits == [["m1"], ["m2", "m3"]]


def test_the_fewer_messages_came_the_less_the_next_batch_is_waited_for() -> None:
    desk = Desk()
    desk.worker.LOAD = 2
    desk.send(1, 2, 3)

    desk.worker.run()

    first, *_, last = [haste for _, haste in desk.consumer.asked]
    assert (first, last) == (1.0, 0.5)
    assert 0.0 in {haste for _, haste in desk.consumer.asked}


def test_a_call_is_answered_and_a_cast_is_not() -> None:
    desk = Desk()
    desk.send(1)
    desk.send(2, _msg_id="c", _reply_q="q")

    desk.worker.run()

    ((to, reply),) = desk.broker.answers
    assert (to, reply["outcome"], reply["message_id"]) == (interfaces.ReplyTo("c", "q"), "applied", "m2")


def test_a_database_that_is_away_is_waited_for_with_the_batch_kept() -> None:
    desk = Desk()
    desk.send(1, 2)
    desk.plan.begin = [errors.DatabaseUnavailable("gone")] * 3

    desk.worker.run()

    assert desk.health == ["working", "database away", "working", "stopped"]
    assert (desk.broker.beats, desk.backoff.waits) == (3, 0)
    assert desk.worker.outcomes == {"applied": 2}


def test_a_batch_that_the_database_does_not_take_in_time_is_given_back_and_comes_again() -> None:
    desk = Desk(GivesUp)
    desk.send(1)
    desk.plan.begin = [errors.DatabaseUnavailable("gone")]

    desk.worker.run()

    assert desk.health == ["working", "database away", "working", "stopped"]
    assert (desk.backoff.waits, desk.backoff.resets) == (1, 2)
    assert desk.worker.outcomes == {"applied": 1}
    assert list(desk.broker.queue) == []


def test_a_stop_while_the_database_is_away_gives_the_batch_back() -> None:
    desk = Desk()
    desk.send(1)
    desk.plan.begin = [errors.DatabaseUnavailable("gone"), errors.DatabaseUnavailable("gone")]
    desk.consumer.at_beat = desk.worker.stop

    desk.worker.run()

    assert [delivery.redelivered for delivery in desk.broker.queue] == [True]
    assert desk.store.marks == {}


def test_a_broker_that_is_away_is_dialled_again_until_it_is_back() -> None:
    tries = []

    def come_back() -> None:
        tries.append(1)
        desk.broker.up = len(tries) == 2

    desk = Desk(meanwhile=come_back)
    desk.send(1)
    desk.broker.up = False

    desk.worker.run()

    assert desk.health == ["broker away", "working", "stopped"]
    assert (desk.backoff.waits, desk.backoff.resets) == (2, 1)
    assert desk.worker.outcomes == {"applied": 1}


def test_a_connection_lost_after_the_commit_counts_nothing_twice() -> None:
    desk = Desk()
    desk.send(1)
    lost: list[Exception] = [errors.BusUnavailable("reset by peer")]

    def lose_it_once() -> None:
        if lost:
            raise lost.pop()

    desk.consumer.at_settle = lose_it_once

    desk.worker.run()

    assert desk.worker.outcomes == {"applied": 1, "duplicate": 1}
    assert desk.store.account("compute-1", "compute-1").used == plain.SMALL
    assert list(desk.broker.queue) == []


def _lost_while_the_second_commits(desk: Desk, second: Callable[[], None]) -> None:
    """Have the broker go away at the first settle, once the other thread has come to ``second``."""
    begun = threading.Event()
    lost: list[Exception] = [errors.BusUnavailable("reset by peer")]

    def reach() -> None:
        if len(desk.plan.commits) == 1 and not begun.is_set():
            begun.set()
            second()

    def lose_it_once() -> None:
        begun.wait(PATIENCE)
        if lost:
            raise lost.pop()

    desk.plan.at_commit = reach
    desk.consumer.at_settle = lose_it_once


def test_a_commit_that_fails_after_its_session_has_ended_is_made_again() -> None:
    def fail() -> None:
        raise errors.DatabaseUnavailable("gone")

    desk = Desk()
    desk.send(1, 2, 3)
    _lost_while_the_second_commits(desk, fail)

    desk.worker.run()

    assert desk.worker.outcomes == {"applied": 3, "duplicate": 2}
    assert sorted(desk.store.marks) == ["m1", "m2", "m3"]


def test_an_error_that_nobody_expects_ends_the_worker_after_its_session_has_ended_too() -> None:
    def fail() -> None:
        desk.at_committed = _explode

    desk = Desk()
    desk.send(1, 2, 3)
    _lost_while_the_second_commits(desk, fail)

    with pytest.raises(ZeroDivisionError):
        desk.worker.run()

    assert len(desk.broker.queue) == 3


def test_nothing_is_begun_once_nearly_everything_fails_and_what_was_read_ahead_is_tried_first() -> None:
    desk = Desk()
    desk.worker.brake = brake.Brake(lambda: brake.Settings(share=0.5, minimum=2, seconds=0.0))
    for number in range(1, 3):
        desk.broker.send(stands.body("update_instance", {"instance": None}, _unique_id=f"bad{number}"))
    desk.send(4, 5)

    desk.worker.run()

    assert desk.plan.commits[1:] == [["m4"], ["m5"]]
    assert desk.health == ["working", service.PAUSED, "working", "stopped"]


def test_a_trial_that_goes_well_is_said_at_once() -> None:
    desk = Desk()
    desk.worker.brake = brake.Brake(lambda: brake.Settings(share=0.5, minimum=2, seconds=0.0))
    for number in range(1, 3):
        desk.broker.send(stands.body("update_instance", {"instance": None}, _unique_id=f"bad{number}"))
    desk.send(4)

    desk.worker.run()

    assert desk.health == ["working", service.PAUSED, "working", "stopped"]


def test_after_a_full_batch_it_is_looked_again_although_nothing_was_there_at_first() -> None:
    desk = Desk()
    desk.worker.LOAD = 2
    desk.send(1, 2)
    looked = threading.Event()

    def arrive() -> None:
        if len(desk.consumer.asked) == 3:
            desk.send(3)
            looked.set()

    desk.plan.at_commit = lambda: looked.wait(PATIENCE) and None
    desk.consumer.at_batch = arrive

    desk.worker.run()

    assert looked.is_set()
    assert desk.plan.commits == [["m1", "m2"], ["m3"]]


def test_a_stop_finishes_the_batch_in_hand_and_gives_the_rest_back() -> None:
    desk = Desk()
    desk.send(1, 2, 3, 4)
    desk.plan.at_commit = desk.worker.stop

    desk.worker.run()

    assert sorted(desk.store.marks) == ["m1", "m2"]
    assert len(desk.broker.queue) == 2
    assert desk.consumer.closed >= 1


def test_the_next_commit_does_not_wait_until_the_broker_is_told_of_the_last() -> None:
    desk = Desk()
    desk.send(1, 2, 3)
    second = threading.Event()
    waited = []
    desk.plan.at_commit = lambda: second.set() if desk.plan.commits else None
    desk.consumer.at_settle = lambda: waited.append(second.wait(PATIENCE))

    desk.worker.run()

    assert waited == [True, True]
    assert desk.worker.outcomes == {"applied": 3}


def test_a_stop_while_the_broker_is_told_finishes_the_batch_that_has_begun() -> None:
    desk = Desk()
    desk.send(1, 2, 3, 4, 5)
    desk.consumer.at_settle = desk.worker.stop

    desk.worker.run()

    assert desk.plan.commits == [["m1", "m2"], ["m3", "m4"]]
    assert [delivery.redelivered for delivery in desk.broker.queue] == [True]


def test_a_connection_lost_while_the_next_batch_is_committed_counts_neither_twice() -> None:
    desk = Desk()
    desk.send(1, 2, 3)
    lost: list[Exception] = [errors.BusUnavailable("reset by peer")]

    def lose_it_once() -> None:
        if lost:
            raise lost.pop()

    desk.consumer.at_settle = lose_it_once

    desk.worker.run()

    assert desk.worker.outcomes == {"applied": 2, "duplicate": 3}
    assert sorted(desk.store.marks) == ["m1", "m2", "m3"]
    assert desk.store.account("compute-1", "compute-1").used == resources.total([plain.SMALL] * 3)
    assert list(desk.broker.queue) == []


def test_a_worker_that_was_stopped_before_it_began_opens_nothing() -> None:
    desk = Desk()

    desk.worker.stop()
    desk.worker.run()

    assert desk.health == ["stopped"]


def test_an_error_that_nobody_expects_ends_the_worker_with_everything_given_back() -> None:
    desk = Desk()
    desk.send(1)
    desk.consumer.at_settle = _explode

    with pytest.raises(ZeroDivisionError):
        desk.worker.run()

    assert [delivery.redelivered for delivery in desk.broker.queue] == [True]


def _explode() -> None:
    raise ZeroDivisionError


def test_when_everything_fails_taking_pauses_and_one_message_tries_whether_all_is_well() -> None:
    desk = Desk()
    desk.worker.brake = brake.Brake(lambda: brake.Settings(share=0.5, minimum=2, seconds=0.0))
    for number in range(1, 4):
        desk.broker.send(stands.body("update_instance", {"instance": None}, _unique_id=f"bad{number}"))
    desk.send(4, 5)

    desk.worker.run()

    assert desk.worker.outcomes == {"parked": 3, "applied": 2}
    assert desk.health == ["working", service.PAUSED, "working", "stopped"]
    assert list(desk.broker.queue) == []


def test_a_worker_that_is_told_to_stop_in_a_pause_gives_everything_back() -> None:
    desk = Desk()
    desk.worker.brake = brake.Brake(lambda: brake.Settings(share=0.4, minimum=1, seconds=60.0))
    desk.broker.send(stands.body("update_instance", {"instance": None}, _unique_id="bad"))
    desk.send(1, 2)
    desk.consumer.at_beat = desk.worker.stop

    desk.worker.run()

    assert desk.worker.outcomes == {"parked": 1, "applied": 1}
    assert len(desk.broker.queue) == 1
