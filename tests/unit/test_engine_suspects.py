"""The batch engine: messages that come again are counted before they are read, since one of them may kill the worker."""

from __future__ import annotations

import pytest

from tests.unit.test_engine import BAD, Desk, _update
from worker import engine, errors, interfaces


def _again(delivery: interfaces.Delivery) -> interfaces.Delivery:
    return interfaces.Delivery(tag=delivery.tag, body=delivery.body, redelivered=True)


def test_what_comes_again_is_carried_out_together_and_forgotten() -> None:
    desk = Desk()

    assert desk.words(_update(1), _again(_update(2)), _again(_update(3))) == ["applied"] * 3
    assert desk.plan.commits == [["m1"], ["m2", "m3"]]
    assert desk.starts.counts == {}


def test_what_was_started_before_and_did_not_end_is_carried_out_alone_the_most_suspicious_last() -> None:
    desk = Desk()
    desk.starts.counts = {engine._content(_update(1)): 3, engine._content(_update(2)): 1}

    answers = desk.process(_again(_update(1)), _again(_update(2)), _again(_update(3)))

    assert desk.plan.commits == [["m3"], ["m2"], ["m1"]]
    assert [answer.word for answer in answers] == ["applied"] * 3
    assert desk.starts.counts == {}


def test_a_start_is_counted_before_the_message_is_read() -> None:
    desk = Desk()
    desk.plan.begin = [errors.DatabaseUnavailable("gone")]

    with pytest.raises(errors.DatabaseUnavailable):
        desk.process(_again(BAD))

    assert desk.starts.counts == {engine._content(BAD): 1}


def test_what_failed_only_because_the_database_was_away_is_counted_once_however_often() -> None:
    desk = Desk(max_attempts=3)
    desk.plan.commit = [errors.DatabaseUnavailable("gone") for _ in range(5)]
    again = [_again(_update(1)), _again(_update(2))]

    for _ in range(5):
        with pytest.raises(errors.DatabaseUnavailable):
            desk.process(*again)

    assert set(desk.starts.counts.values()) == {1}
    assert desk.words(*again) == ["applied"] * 2
    assert desk.starts.counts == {}


def test_after_a_good_end_a_start_counts_anew() -> None:
    desk = Desk()
    desk.plan.commit = [errors.DatabaseUnavailable("gone")]
    with pytest.raises(errors.DatabaseUnavailable):
        desk.process(_again(_update(1)))
    desk.process(_again(_update(1)))

    desk.plan.begin = [errors.DatabaseUnavailable("gone")]
    with pytest.raises(errors.DatabaseUnavailable):
        desk.process(_again(_update(1)))

    assert desk.starts.counts == {engine._content(_update(1)): 1}


def test_what_was_started_too_often_is_parked_unread() -> None:
    desk = Desk(max_attempts=3)
    desk.starts.counts = {engine._content(_update(1)): 3}

    assert desk.words(_again(_update(1))) == ["parked"]
    assert desk.known() == set()
    assert [(one.attempts, one.message_id) for one in desk.store.parked] == [(3, None)]
    assert desk.store.parked[0].reason == (
        "the worker died 3 times while it had this message in hand ([worker] max_attempts)"
    )


def test_a_database_that_is_away_is_no_death_however_often_the_batch_is_tried() -> None:
    desk = Desk(max_attempts=2)
    desk.plan.commit = [errors.DatabaseUnavailable("the disk is full") for _ in range(4)]

    for _ in range(4):
        with pytest.raises(errors.DatabaseUnavailable):
            desk.process(_again(_update(1)), _again(_update(2)))

    assert desk.starts.counts == {engine._content(_update(number)): 1 for number in (1, 2)}
    assert desk.words(_again(_update(1)), _again(_update(2))) == ["applied"] * 2
    assert (desk.starts.counts, desk.store.parked) == ({}, [])


def test_a_start_of_a_worker_that_lives_hides_no_death_of_another() -> None:
    desk = Desk(max_attempts=2)
    desk.plan.commit = [errors.DatabaseUnavailable("the disk is full")]
    with pytest.raises(errors.DatabaseUnavailable):
        desk.process(_again(_update(1)))
    desk.starts.begin([engine._content(_update(1))] * 2)
    desk.starts.begin([engine._content(_update(1))])

    assert desk.words(_again(_update(1))) == ["parked"]
    assert [one.attempts for one in desk.store.parked] == [2]


def test_readings_are_taken_apart_and_put_together_in_order() -> None:
    desk = Desk()
    reading = desk.engine.read([_update(1), _again(_update(2)), _update(3), _again(_update(4))])
    one, others = reading.first()

    assert (len(one.orders), len(others.orders), len(others.suspects)) == (1, 1, 2)
    assert others.then(one)
    assert not desk.engine.read([])
    assert [answer.word for answer in desk.engine.carry_out(one)] == ["applied"]
    suspect, rest = desk.engine.read([_again(_update(2)), _again(_update(4))]).first()
    assert [len(part.suspects) for part in (suspect, rest)] == [1, 1]
    assert len(others.then(rest).suspects) == 3


def test_a_trial_counts_no_starts() -> None:
    uncounted = engine.Uncounted()
    uncounted.begin(["a"])
    uncounted.finish(["b"])

    assert uncounted.known(["a"]) == {}
