"""Which faults happen is decided by the seed alone, and told when something fails."""

from __future__ import annotations

import pytest

from worker.testing import faults

KINDS = ("drop", "delay", "duplicate")


def _drawn(plan: faults.Faults, place: str = "consumer", count: int = 200) -> list[tuple[bool, ...]]:
    here = plan.at(place)
    return [tuple(here.happens(kind, number) for kind in KINDS) for number in range(count)]


def test_the_same_seed_gives_the_same_faults() -> None:
    one, other = faults.Faults(7), faults.Faults(7)

    assert _drawn(one) == _drawn(other)
    assert one.done == other.done != []


def test_another_seed_and_another_place_give_other_faults() -> None:
    assert _drawn(faults.Faults(7)) != _drawn(faults.Faults(8))
    assert _drawn(faults.Faults(7)) != _drawn(faults.Faults(7), "publisher")


def test_a_rate_that_is_changed_moves_no_other_fault() -> None:
    all_kinds, fewer = faults.Rates(drop=0.3, delay=0.3), faults.Rates(delay=0.3)

    with_drops = [(drop, delay) for drop, delay, _ in _drawn(faults.Faults(7, all_kinds))]
    without = [(drop, delay) for drop, delay, _ in _drawn(faults.Faults(7, fewer))]

    assert [delay for _, delay in with_drops] == [delay for _, delay in without]
    assert any(drop for drop, _ in with_drops)
    assert not any(drop for drop, _ in without)


def test_the_second_place_of_a_name_has_faults_of_its_own() -> None:
    plan = faults.Faults(7)

    first, second = _drawn(plan), _drawn(plan)

    assert first != second
    assert {fault.place for fault in plan.done} == {"consumer", "consumer 2"}


def test_numbers_of_a_fault_are_the_same_for_the_same_seed_and_within_their_ends() -> None:
    numbers = [
        [place.number("delay", 2, 4) for _ in range(50)]
        for place in (faults.Faults(7).at("x"), faults.Faults(7).at("x"))
    ]

    assert numbers[0] == numbers[1]
    assert set(numbers[0]) == {2, 3, 4}


def test_no_rates_are_no_faults() -> None:
    plan = faults.Faults(7, faults.Rates())

    assert not any(any(drawn) for drawn in _drawn(plan))
    assert plan.done == []


def test_after_the_calm_nothing_happens_any_more() -> None:
    plan = faults.Faults(7, faults.Rates(drop=1.0))
    here = plan.at("consumer")
    before = here.happens("drop", "now")

    plan.calm()

    assert (before, here.happens("drop", "later")) == (True, False)


def _fail_inside(plan: faults.Faults) -> None:
    with plan:
        plan.at("consumer").happens("drop", "while it polls")
        raise ValueError("it is wrong")


def test_what_fails_tells_the_seed_and_each_fault() -> None:
    plan = faults.Faults(7, faults.Rates(drop=1.0, polls=3))

    with pytest.raises(ValueError, match="it is wrong") as failed:
        _fail_inside(plan)

    assert failed.value.__notes__ == [
        "faults.Faults(seed=7, rates=faults.Rates(drop=1, polls=3)) has done:\n1. consumer: drop: while it polls"
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"drop": 1.5}, "drop is 1.5, and is to be from 0 to 1"),
        ({"lose": -0.1}, "lose is -0.1, and is to be from 0 to 1"),
        ({"polls": 0}, "polls is 0, and is to be at least 1"),
    ],
)
def test_a_rate_that_is_no_share_is_refused(changes: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        faults.Rates(**changes)  # type: ignore[arg-type]
