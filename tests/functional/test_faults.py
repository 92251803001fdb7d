"""Whole workers behind a bus that does what it may do to them: nothing is lost, nothing counts twice, all is told.

``STOCKTAKE_TEST_FAULT_SEEDS`` is how many seeds each run tries (100), ``STOCKTAKE_TEST_FAULT_FIRST`` the first of them (0).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Self

import pytest

from tests.faults import __main__ as command
from tests.faults import ward
from worker import interfaces
from worker.db import unit_of_work
from worker.testing import bus, faults

FIRST = int(os.environ.get("STOCKTAKE_TEST_FAULT_FIRST", "0"))
SEEDS = int(os.environ.get("STOCKTAKE_TEST_FAULT_SEEDS", "100"))
AT_ONCE = 10


@pytest.fixture(scope="module")
def whole() -> Iterator[ward.Ward]:
    made = ward.Ward()
    yield made
    made.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(FIRST, FIRST + SEEDS, AT_ONCE))
def test_a_worker_behind_a_faulty_bus_ends_with_the_right_accounts(first: int, whole: ward.Ward) -> None:
    done = [whole.run(seed).done for seed in range(first, min(first + AT_ONCE, FIRST + SEEDS))]

    assert all(done)


def test_the_same_seed_does_the_very_same_twice(whole: ward.Ward) -> None:
    first, second = (whole.run(4).done for _ in range(2))

    assert first == second


def test_a_few_seeds_do_every_fault_that_a_broker_may_do(whole: ward.Ward) -> None:
    done = Counter(fault.kind for seed in range(20) for fault in whole.run(seed).done)

    assert done.keys() == {
        "refuse", "drop", "lose_acks", "lose_confirms", "nack", "duplicate", "redeliver", "delay", "reorder", "truncate",
    }  # fmt: skip


class Hasty(ward.Turns):
    """Acknowledges on receipt, as oslo.messaging's own server does."""

    def batch(self, idle: float = interfaces.IDLE, *, begun: int = 0, haste: float = 0.0) -> list[interfaces.Delivery]:
        taken = super().batch(idle, begun=begun, haste=haste)
        self._feed.settle([one for one in taken if one.tag not in self._copies])
        return taken


class Trusting(bus.FaultyPublisher):
    """Takes everything for confirmed that was sent without an error, as oslo.messaging's Notifier does."""

    def publish(self, frames: Sequence[interfaces.Frame]) -> int:
        super().publish(frames)
        return len(frames)


class Forgetful(unit_of_work.UnitOfWork):
    """Knows no message again."""

    def __enter__(self) -> Self:
        super().__enter__()
        self.inbox = _Blank(self.inbox)
        return self


class _Blank:
    def __init__(self, inbox: interfaces.Inbox) -> None:
        self._inbox = inbox

    def seen(self, message_ids: object) -> dict[str, interfaces.Mark]:  # noqa: ARG002 - the form of interfaces.Inbox
        return {}

    def add(self, marks: Sequence[interfaces.Mark], now: int) -> None:
        known = self._inbox.seen([mark.message_id for mark in marks])
        self._inbox.add([mark for mark in marks if mark.message_id not in known], now)


@pytest.mark.parametrize(
    "parts",
    [ward.Parts(consumer=Hasty), ward.Parts(publisher=Trusting), ward.Parts(unit=Forgetful)],
    ids=["acknowledges on receipt", "trusts every send", "knows no message again"],
)
def test_a_worker_that_is_wrong_is_found_within_a_few_seeds(parts: ward.Parts) -> None:
    made = ward.Ward(parts=parts)

    found = [seed for seed in range(10) if _fails(made, seed)]
    made.close()

    assert found


def _fails(made: ward.Ward, seed: int) -> bool:
    try:
        made.run(seed)
    except AssertionError as error:
        (note,) = error.__notes__
        return note.startswith(f"faults.Faults(seed={seed}, ")
    return False


def test_the_command_tries_seeds_and_tells_of_those_that_failed(capsys: pytest.CaptureFixture[str]) -> None:
    code = command.main(["--first", "3", "--seeds", "2", "--casts", "20"])

    assert code == 0
    assert "2 seeds from 3 on: 0 failed" in capsys.readouterr().out


def test_the_command_ends_with_a_failure_when_a_seed_does(capsys: pytest.CaptureFixture[str]) -> None:
    code = command.main(["--seeds", "4", "--casts", "20"], ward.Parts(publisher=Trusting))

    said = capsys.readouterr().out
    assert code == 1
    assert "seed" in said
    assert "lose_confirms" in said


def test_a_seed_without_faults_is_a_history_that_goes_well(whole: ward.Ward) -> None:
    assert whole.run(0, faults.Rates()).done == []
