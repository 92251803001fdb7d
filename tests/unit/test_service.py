"""The worker's life: commit, answer, settle; what is away is waited for."""

from __future__ import annotations

import threading

from tests.unit import service_desk
from worker import errors, interfaces


def test_what_is_taken_is_committed_and_settled_batch_by_batch() -> None:
    desk = service_desk.Desk()
    desk.send(1, 2, 3)

    desk.worker.run()

    assert desk.plan.commits == [["m1", "m2"], ["m3"]]
    assert (desk.commits, desk.worker.outcomes) == (2, {"applied": 3})
    assert list(desk.broker.queue) == []
    assert desk.health == ["working", "stopped"]


def test_what_comes_while_the_database_works_is_read_ahead_and_given_back_at_a_stop() -> None:
    desk = service_desk.Desk()
    desk.send(1, 2, 3)
    desk.plan.at_commit = desk.worker.stop

    desk.worker.run()

    assert desk.plan.commits == [["m1", "m2"]]
    assert [delivery.redelivered for delivery in desk.broker.queue] == [True]


def test_what_comes_piece_by_piece_while_the_database_works_makes_one_batch() -> None:
    desk = service_desk.Desk()
    desk.send(1)
    committing, full = threading.Event(), threading.Event()

    def commit() -> None:
        committing.set()
        full.wait(service_desk.PATIENCE)

    def arrive() -> None:
        turn = len(desk.consumer.asked)
        if turn == 2:
            committing.wait(service_desk.PATIENCE)
            desk.send(2)
        elif turn == 3:
            desk.send(3)
            full.set()

    desk.plan.at_commit = commit
    desk.consumer.at_batch = arrive

    desk.worker.run()

    assert desk.plan.commits == [["m1"], ["m2", "m3"]]


def test_the_fewer_messages_came_the_less_the_next_batch_is_waited_for() -> None:
    desk = service_desk.Desk()
    desk.worker.LOAD = 2
    desk.send(1, 2, 3)

    desk.worker.run()

    first, *_, last = [haste for _, haste in desk.consumer.asked]
    assert (first, last) == (1.0, 0.5)
    assert 0.0 in {haste for _, haste in desk.consumer.asked}


def test_a_call_is_answered_and_a_cast_is_not() -> None:
    desk = service_desk.Desk()
    desk.send(1)
    desk.send(2, _msg_id="c", _reply_q="q")

    desk.worker.run()

    ((to, reply),) = desk.broker.answers
    assert (to, reply["outcome"], reply["message_id"]) == (interfaces.ReplyTo("c", "q"), "applied", "m2")


def test_a_database_that_is_away_is_waited_for_with_the_batch_kept() -> None:
    desk = service_desk.Desk()
    desk.send(1, 2)
    desk.plan.begin = [errors.DatabaseUnavailable("gone")] * 3

    desk.worker.run()

    assert desk.health == ["working", "database away", "working", "stopped"]
    assert (desk.broker.beats, desk.backoff.waits) == (3, 0)
    assert desk.worker.outcomes == {"applied": 2}


def test_a_batch_that_the_database_does_not_take_in_time_is_given_back_and_comes_again() -> None:
    desk = service_desk.Desk(service_desk.GivesUp)
    desk.send(1)
    desk.plan.begin = [errors.DatabaseUnavailable("gone")]

    desk.worker.run()

    assert desk.health == ["working", "database away", "working", "stopped"]
    assert (desk.backoff.waits, desk.backoff.resets) == (1, 2)
    assert desk.worker.outcomes == {"applied": 1}
    assert list(desk.broker.queue) == []


def test_a_stop_while_the_database_is_away_gives_the_batch_back() -> None:
    desk = service_desk.Desk()
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

    desk = service_desk.Desk(meanwhile=come_back)
    desk.send(1)
    desk.broker.up = False

    desk.worker.run()

    assert desk.health == ["broker away", "working", "stopped"]
    assert (desk.backoff.waits, desk.backoff.resets) == (2, 1)
    assert desk.worker.outcomes == {"applied": 1}


def test_after_a_full_batch_it_is_looked_again_although_nothing_was_there_at_first() -> None:
    desk = service_desk.Desk()
    desk.worker.LOAD = 2
    desk.send(1, 2)
    looked = threading.Event()

    def arrive() -> None:
        if len(desk.consumer.asked) == 3:
            desk.send(3)
            looked.set()

    desk.plan.at_commit = lambda: looked.wait(service_desk.PATIENCE) and None
    desk.consumer.at_batch = arrive

    desk.worker.run()

    assert looked.is_set()
    assert desk.plan.commits == [["m1", "m2"], ["m3"]]


def test_the_next_commit_does_not_wait_until_the_broker_is_told_of_the_last() -> None:
    desk = service_desk.Desk()
    desk.send(1, 2, 3)
    second = threading.Event()
    waited = []
    desk.plan.at_commit = lambda: second.set() if desk.plan.commits else None
    desk.consumer.at_settle = lambda: waited.append(second.wait(service_desk.PATIENCE))

    desk.worker.run()

    assert waited == [True, True]
    assert desk.worker.outcomes == {"applied": 3}
