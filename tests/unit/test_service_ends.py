"""The ends of a worker's session: a stop drains, what was lost is made again, and when everything fails it pauses."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests import plain, stands
from tests.unit import service_desk
from worker import brake, errors, service
from worker.core import resources


def _lose_the_broker_once(desk: service_desk.Desk, begun: threading.Event | None = None) -> None:
    """Have the connection lost at the first settle, once something has ``begun``."""
    lost: list[Exception] = [errors.BusUnavailable("reset by peer")]

    def lose() -> None:
        if begun is not None:
            begun.wait(service_desk.PATIENCE)
        if lost:
            raise lost.pop()

    desk.consumer.at_settle = lose


def _a_desk_with_bad_messages(count: int) -> service_desk.Desk:
    """Return a desk that pauses when more than half of two messages fail, and pauses for no time."""
    desk = service_desk.Desk()
    desk.worker.brake = brake.Brake(lambda: brake.Settings(share=0.5, minimum=2, seconds=0.0))
    for number in range(1, count + 1):
        desk.broker.send(stands.body("update_instance", {"instance": None}, _unique_id=f"bad{number}"))
    return desk


def test_a_connection_lost_after_the_commit_counts_nothing_twice() -> None:
    desk = service_desk.Desk()
    desk.send(1)
    _lose_the_broker_once(desk)

    desk.worker.run()

    assert desk.worker.outcomes == {"applied": 1, "duplicate": 1}
    assert desk.store.account("compute-1", "compute-1").used == plain.SMALL
    assert list(desk.broker.queue) == []


def _lost_while_the_second_commits(desk: service_desk.Desk, second: Callable[[], None]) -> None:
    """Have the broker go away at the first settle, once the other thread has come to ``second``."""
    begun = threading.Event()

    def reach() -> None:
        if len(desk.plan.commits) == 1 and not begun.is_set():
            begun.set()
            second()

    desk.plan.at_commit = reach
    _lose_the_broker_once(desk, begun)


def test_a_commit_that_fails_after_its_session_has_ended_is_made_again() -> None:
    def fail() -> None:
        raise errors.DatabaseUnavailable("gone")

    desk = service_desk.Desk()
    desk.send(1, 2, 3)
    _lost_while_the_second_commits(desk, fail)

    desk.worker.run()

    assert desk.worker.outcomes == {"applied": 3, "duplicate": 2}
    assert sorted(desk.store.marks) == ["m1", "m2", "m3"]


def test_an_error_that_nobody_expects_ends_the_worker_after_its_session_has_ended_too() -> None:
    def fail() -> None:
        desk.at_committed = service_desk.explode

    desk = service_desk.Desk()
    desk.send(1, 2, 3)
    _lost_while_the_second_commits(desk, fail)

    with pytest.raises(ZeroDivisionError):
        desk.worker.run()

    assert len(desk.broker.queue) == 3


def test_nothing_is_begun_once_nearly_everything_fails_and_what_was_read_ahead_is_tried_first() -> None:
    desk = _a_desk_with_bad_messages(2)
    desk.send(4, 5)

    desk.worker.run()

    assert desk.plan.commits[1:] == [["m4"], ["m5"]]
    assert desk.health == ["working", service.PAUSED, "working", "stopped"]


def test_a_trial_that_goes_well_is_said_at_once() -> None:
    desk = _a_desk_with_bad_messages(2)
    desk.send(4)

    desk.worker.run()

    assert desk.health == ["working", service.PAUSED, "working", "stopped"]


def test_a_stop_finishes_the_batch_in_hand_and_gives_the_rest_back() -> None:
    desk = service_desk.Desk()
    desk.send(1, 2, 3, 4)
    desk.plan.at_commit = desk.worker.stop

    desk.worker.run()

    assert sorted(desk.store.marks) == ["m1", "m2"]
    assert len(desk.broker.queue) == 2
    assert desk.consumer.closed >= 1


def test_a_stop_while_the_broker_is_told_finishes_the_batch_that_has_begun() -> None:
    desk = service_desk.Desk()
    desk.send(1, 2, 3, 4, 5)
    desk.consumer.at_settle = desk.worker.stop

    desk.worker.run()

    assert desk.plan.commits == [["m1", "m2"], ["m3", "m4"]]
    assert [delivery.redelivered for delivery in desk.broker.queue] == [True]


def test_a_connection_lost_while_the_next_batch_is_committed_counts_neither_twice() -> None:
    desk = service_desk.Desk()
    desk.send(1, 2, 3)
    _lose_the_broker_once(desk)

    desk.worker.run()

    assert desk.worker.outcomes == {"applied": 2, "duplicate": 3}
    assert sorted(desk.store.marks) == ["m1", "m2", "m3"]
    assert desk.store.account("compute-1", "compute-1").used == resources.total([plain.SMALL] * 3)
    assert list(desk.broker.queue) == []


def test_a_worker_that_was_stopped_before_it_began_opens_nothing() -> None:
    desk = service_desk.Desk()

    desk.worker.stop()
    desk.worker.run()

    assert desk.health == ["stopped"]


def test_an_error_that_nobody_expects_ends_the_worker_with_everything_given_back() -> None:
    desk = service_desk.Desk()
    desk.send(1)
    desk.consumer.at_settle = service_desk.explode

    with pytest.raises(ZeroDivisionError):
        desk.worker.run()

    assert [delivery.redelivered for delivery in desk.broker.queue] == [True]


def test_when_everything_fails_taking_pauses_and_one_message_tries_whether_all_is_well() -> None:
    desk = _a_desk_with_bad_messages(3)
    desk.send(4, 5)

    desk.worker.run()

    assert desk.worker.outcomes == {"parked": 3, "applied": 2}
    assert desk.health == ["working", service.PAUSED, "working", "stopped"]
    assert list(desk.broker.queue) == []


def test_a_worker_that_is_told_to_stop_in_a_pause_gives_everything_back() -> None:
    desk = service_desk.Desk()
    desk.worker.brake = brake.Brake(lambda: brake.Settings(share=0.4, minimum=1, seconds=60.0))
    desk.broker.send(stands.body("update_instance", {"instance": None}, _unique_id="bad"))
    desk.send(1, 2)
    desk.consumer.at_beat = desk.worker.stop

    desk.worker.run()

    assert desk.worker.outcomes == {"parked": 1, "applied": 1}
    assert len(desk.broker.queue) == 1
