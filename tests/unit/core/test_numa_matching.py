"""The first combination in order: against all permutations, and within bounds where those would take for ever."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence

import hypothesis
import pytest
from hypothesis import strategies as st

from tests.unit.core import numa_cases
from worker.core import fitting, matching, records


def _yes(mask: int) -> bool:
    return True


def _never(mask: int) -> bool:
    return False


def _by_brute_force(fits: Sequence[int], hosts: int, accepts: Callable[[int], bool]) -> list[int] | None:
    for places in itertools.permutations(range(hosts), len(fits)):
        fit = all(fits[guest] >> place & 1 for guest, place in enumerate(places))
        if fit and accepts(sum(1 << place for place in places)):
            return list(places)
    return None


@hypothesis.given(st.data())
def test_the_first_combination_is_that_of_all_permutations(data: st.DataObject) -> None:
    hosts = data.draw(st.integers(1, 6))
    masks = st.integers(0, 2**hosts - 1)
    fits = data.draw(st.lists(masks, max_size=hosts))
    accepted = data.draw(st.none() | st.sets(masks, max_size=20))
    accepts = _yes if accepted is None else accepted.__contains__

    found = matching.first(fits, accepts)

    expected = _by_brute_force(fits, hosts, accepts)
    assert (None if isinstance(found, str) else list(found)) == expected


def test_a_set_of_cells_is_asked_about_once() -> None:
    asked: list[int] = []

    def refuse(mask: int) -> bool:
        asked.append(mask)
        return False

    assert matching.first([0b1111] * 2, refuse) == matching.NOT_ACCEPTED
    assert sorted(asked) == sorted(1 << one | 1 << other for one, other in itertools.combinations(range(4), 2))


def test_no_set_is_asked_about_where_nothing_fits() -> None:
    def fail(mask: int) -> bool:
        raise AssertionError(mask)

    assert matching.first([0b11, 0b10, 0b11], fail) == matching.NO_COMBINATION


def test_no_beginning_is_followed_that_cannot_be_completed() -> None:
    # the last guest cell fits on the first host cell only: whoever gives that away goes through 29! ends
    fits = [2**30 - 1] * 29 + [1]

    assert matching.first(fits, _yes) == [*range(1, 30), 0]


@pytest.mark.parametrize(("hosts", "guests"), [(12, 5), (12, 6), (12, 11), (8, 4)], ids=str)
def test_twelve_cells_are_always_searched_to_the_end(hosts: int, guests: int) -> None:
    assert matching.first([2**hosts - 1] * guests, _never) == matching.NOT_ACCEPTED


def _seconds(action: Callable[[], object]) -> float:
    """Return the least of three goes: other work on the machine is not what is measured."""
    taken = []
    for _ in range(3):
        start = time.process_time()
        action()
        taken.append(time.process_time() - start)
    return min(taken)


def _hosts(count: int, cpus: int) -> list[records.HostCell]:
    half = cpus // 2
    return [
        numa_cases.a_host(
            number,
            range(number * cpus, (number + 1) * cpus),
            siblings=[(number * cpus + core, number * cpus + core + half) for core in range(half)],
            mempages=[(4, 4194304, 0)],
        )
        for number in range(count)
    ]


def _guest(count: int, cpus: int) -> records.GuestTopology:
    return numa_cases.a_guest(*[numa_cases.a_cell(cpus)] * count)


@pytest.mark.parametrize("accepts", [numa_cases.yes, frozenset[int]().__contains__], ids=["accepted", "refused"])
@pytest.mark.parametrize("guests", [8, 4], ids=str)
@pytest.mark.parametrize("cpus", [64, 65], ids=["fits", "lacks"])
def test_eight_cells_with_512_cpus_are_decided_at_once(
    cpus: int, guests: int, accepts: Callable[[frozenset[int]], bool]
) -> None:
    hosts, guest = _hosts(8, 64), _guest(guests, cpus)

    found = numa_cases.fit(guest, hosts, accepts=accepts)

    assert isinstance(found, records.PlacedTopology) is (cpus == 64 and accepts is numa_cases.yes)
    assert _seconds(lambda: fitting.fit(guest, hosts, {}, numa_cases.an_ask(accepts=accepts))) < 0.05


def test_eight_cells_where_all_but_one_combination_lacks_are_decided_at_once() -> None:
    # guest cell n fits on the host cells up to 7 - n only: the last permutation is the one
    fits = [2 ** (8 - guest) - 1 for guest in range(8)]

    assert matching.first(fits, _yes) == [7, 6, 5, 4, 3, 2, 1, 0]
    assert _seconds(lambda: matching.first(fits, _yes)) < 0.05


@pytest.mark.parametrize("accepts", [_yes, _never], ids=["accepted", "refused"])
def test_sixty_four_cells_do_not_explode(accepts: Callable[[int], bool]) -> None:
    staircase = [2 ** (64 - guest) - 1 for guest in range(64)]
    too_few = [2**63 - 1] * 64

    assert _seconds(lambda: matching.first(staircase, accepts)) < 2
    assert _seconds(lambda: matching.first(too_few, accepts)) < 2
    assert matching.first(too_few, accepts) == matching.NO_COMBINATION


@pytest.mark.parametrize("accepts", [numa_cases.yes, frozenset[int]().__contains__], ids=["accepted", "refused"])
def test_a_guest_of_sixty_four_cells_is_decided_soon(accepts: Callable[[frozenset[int]], bool]) -> None:
    hosts, guest = _hosts(64, 8), _guest(64, 8)

    assert _seconds(lambda: fitting.fit(guest, hosts, {}, numa_cases.an_ask(accepts=accepts))) < 2


def test_a_search_without_end_is_given_up() -> None:
    assert matching.first([2**64 - 1] * 8, _never) == matching.GAVE_UP
    assert _seconds(lambda: matching.first([2**64 - 1] * 8, _never)) < 2
