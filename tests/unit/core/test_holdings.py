"""The one rule of the accounts, as tables: contract, section 3."""

from __future__ import annotations

from typing import Any

import pytest

from tests import builders
from worker.core import facts, holdings, lifecycle, records

SMALL, BIG = builders.SMALL, builders.BIG
OLD, NEW = builders.a_flavor(), builders.a_big_flavor()

Side = tuple[str, str, bool]
"""Host, consumer and whether it is settled."""


def _sides(book: records.Book) -> set[Side]:
    hosts = {builders.account_of(host): host for host in ("h1", "h2", "h3")}
    return {(hosts[one.account], one.consumer, one.settled) for one in holdings.held(book)}


@pytest.mark.parametrize("task_state", [None, "spawning", "deleting"])
@pytest.mark.parametrize("vm_state", sorted(lifecycle.VM_STATES))
def test_an_instance_holds_in_every_state_but_the_released_ones(vm_state: str, task_state: str | None) -> None:
    book = builders.a_book(builders.an_instance(vm_state=vm_state, task_state=task_state))

    held = [dict(one.amounts) for one in holdings.held(book)]

    released = vm_state == "deleted" or (vm_state == "shelved_offloaded" and task_state != "spawning")
    assert held == ([] if released else [SMALL])


@pytest.mark.parametrize(
    "book",
    [
        builders.a_book(builders.an_instance(host=None)),
        builders.a_book(builders.an_instance(node=None)),
        builders.a_book(builders.an_instance(host=None, node="h1")),
        builders.a_book(builders.an_instance(), deleted=True),
        records.Book(builders.VM),
        records.Book(builders.VM, moves=(builders.a_move(),)),
    ],
    ids=["no host, no node", "no node", "no host", "tombstone", "unknown", "a move of an unknown instance"],
)
def test_an_instance_without_a_place_holds_nothing(book: records.Book) -> None:
    assert holdings.held(book) == ()


def test_a_move_of_a_released_instance_holds_nothing() -> None:
    record = builders.an_instance(vm_state="shelved_offloaded")

    assert holdings.held(builders.a_book(record, builders.a_move())) == ()


@pytest.mark.parametrize("status", sorted(lifecycle.IN_PROGRESS | lifecycle.TERMINAL))
@pytest.mark.parametrize("kind", sorted(lifecycle.MIGRATION_TYPES))
@pytest.mark.parametrize("host", ["h1", "h2"])
def test_every_move_holds_both_sides_until_a_terminal_status(kind: str, status: str, host: str) -> None:
    record = builders.an_instance(host=host)
    book = builders.a_book(record, builders.a_move(migration_type=kind, status=status))

    sides = _sides(book)

    source = builders.VM if kind == "evacuation" else builders.MIGRATION
    ended: set[Side] = {(host, builders.VM, True)}
    both: set[Side] = {("h1", source, host == "h1"), ("h2", builders.VM, host == "h2")}
    assert sides == (ended if status in lifecycle.TERMINAL else both)


def test_the_statuses_are_those_of_the_contract() -> None:
    assert {"confirmed", "reverted", "failed", "cancelled", "completed", "done", "error"} == lifecycle.TERMINAL
    assert {"error", "failed", "cancelled"} == lifecycle.FAILED
    assert not lifecycle.IN_PROGRESS & lifecycle.TERMINAL
    assert len(lifecycle.IN_PROGRESS) == 11


def test_each_side_holds_its_own_flavor_in_full() -> None:
    book = builders.a_book(builders.an_instance(flavor=OLD), builders.a_move())

    held = {one.side: dict(one.amounts) for one in holdings.held(book)}

    assert held == {"source": SMALL, "destination": BIG}


@pytest.mark.parametrize(("old", "new"), [(None, None), (OLD, None), (None, OLD)])
def test_a_side_without_a_flavor_holds_the_instances(old: records.Flavor | None, new: records.Flavor | None) -> None:
    move = builders.a_move(migration_type="live-migration", old_flavor=old, new_flavor=new)
    book = builders.a_book(builders.an_instance(flavor=OLD), move)

    assert [dict(one.amounts) for one in holdings.held(book)] == [SMALL, SMALL]


def test_what_no_flavor_says_counts_on_both_sides() -> None:
    book = builders.a_book(builders.an_instance(resources={"CUSTOM_PMEM": 2}), builders.a_move())

    assert [one.amounts["CUSTOM_PMEM"] for one in holdings.held(book)] == [2, 2]


def test_volume_backing_counts_on_both_sides() -> None:
    book = builders.a_book(builders.an_instance(volume_backed=True), builders.a_move())

    assert ["DISK_GB" in one.amounts for one in holdings.held(book)] == [False, False]


def test_a_null_side_holds_nothing() -> None:
    assert _sides(builders.a_book(builders.an_instance(), builders.a_move(dest=None))) == {
        ("h1", builders.MIGRATION, True)
    }
    assert _sides(builders.a_book(builders.an_instance(host="h2"), builders.a_move(source=None))) == {
        ("h2", builders.VM, True)
    }


@pytest.mark.parametrize(
    ("flavor", "old", "new", "settled"),
    [
        (OLD, OLD, NEW, "source"),
        (NEW, OLD, NEW, "destination"),
        (OLD, OLD, OLD, "source"),
        (OLD, None, NEW, "source"),
        (NEW, OLD, None, "destination"),
    ],
)
def test_the_flavor_settles_a_side_of_a_resize_on_one_node(
    flavor: records.Flavor, old: records.Flavor | None, new: records.Flavor | None, settled: str
) -> None:
    move = builders.a_move(dest=builders.pair("h1"), old_flavor=old, new_flavor=new)

    held = holdings.held(builders.a_book(builders.an_instance(flavor=flavor), move))

    assert [(one.side, one.settled) for one in held] == [
        ("source", settled == "source"),
        ("destination", settled == "destination"),
    ]
    assert {one.account for one in held} == {builders.account_of("h1")}


def test_both_sides_of_a_resize_on_one_node_add_up() -> None:
    book = builders.a_book(builders.an_instance(), builders.a_move(dest=builders.pair("h1")))

    held = holdings.held(book)

    assert holdings.amounts_on(held, builders.account_of("h1")) == builders.BOTH
    assert holdings.settled_on(held, builders.account_of("h1")) == SMALL
    assert holdings.amounts_on(held, builders.account_of("h2")) == {}


def test_a_move_does_not_count_while_the_instance_is_elsewhere() -> None:
    book = builders.a_book(builders.an_instance(host="h3"), builders.a_move())

    assert _sides(book) == {("h3", builders.VM, True)}


def _moves(*statuses: str, **changes: Any) -> tuple[records.Move, ...]:
    """Return moves that were created one after the other, each to another host."""
    ends = [builders.pair("h2"), builders.pair("h3")]
    return tuple(
        builders.a_move(builders.uid(900 + number), status=status, created_at=number, dest=ends[number], **changes)
        for number, status in enumerate(statuses)
    )


@pytest.mark.parametrize(
    ("older", "newer", "deciding", "superseded"),
    [
        ("running", "running", 1, {0}),
        ("running", "done", None, {0}),
        ("running", "confirmed", None, {0}),
        ("running", "error", 0, set()),
        ("running", "failed", 0, set()),
        ("running", "cancelled", 0, set()),
        ("done", "running", 1, set()),
        ("error", "running", 1, set()),
        ("done", "done", None, set()),
        ("error", "failed", None, set()),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_the_newest_move_that_has_not_failed_decides(
    older: str, newer: str, deciding: int | None, superseded: set[int], turned: bool
) -> None:
    moves = _moves(older, newer)
    book = builders.a_book(builders.an_instance(), *(reversed(moves) if turned else moves))

    decided = holdings.deciding_move(book)

    assert decided == (None if deciding is None else moves[deciding])
    assert {move.created_at for move in holdings.superseded_moves(book)} == superseded


def test_of_moves_created_at_once_the_greater_uuid_decides() -> None:
    first, second = builders.a_move(builders.uid(901)), builders.a_move(builders.uid(902))

    assert holdings.deciding_move(builders.a_book(None, second, first)) == second


def test_an_instance_without_moves_has_none_superseded() -> None:
    assert holdings.superseded_moves(builders.a_book()) == ()


def test_what_a_consumer_holds_is_summed_by_account() -> None:
    move = builders.a_move(dest=builders.pair("h1"), migration_type="evacuation")
    held = holdings.held(builders.a_book(None, move))

    of = holdings.of_consumers(held)
    assert list(of) == [builders.VM]
    assert holdings.by_provider(of[builders.VM]) == {builders.account_of("h1"): builders.BOTH}


@pytest.mark.parametrize(
    ("new", "old", "wins"),
    [
        (("running", 2), ("running", 1), True),
        (("running", 1), ("running", 1), False),
        (("running", 1), ("running", 2), False),
        (("done", 1), ("running", 2), True),
        (("running", 2), ("done", 1), False),
        (("error", 2), ("done", 1), True),
        (("error", 1), ("done", 2), False),
        (("done", 1), ("done", 1), False),
    ],
)
def test_a_terminal_status_beats_the_others_then_the_revision(
    new: tuple[str, int], old: tuple[str, int], wins: bool
) -> None:
    later = builders.a_move(status=new[0], revision=new[1])
    earlier = builders.a_move(status=old[0], revision=old[1])

    assert lifecycle.supersedes(later, earlier) is wins
    assert lifecycle.supersedes(later, None)


def test_of_an_ended_move_only_its_end_is_kept_and_of_many_the_newest() -> None:
    book = builders.a_book(None)

    for number in range(60):
        book = facts.with_move(
            book, builders.a_move(builders.uid(1000 + number), status="confirmed", created_at=number)
        )

    assert sorted(move.created_at for move in book.moves) == list(range(10, 60))
    assert {(move.old_flavor, move.new_flavor, move.new_numa_topology) for move in book.moves} == {(None, None, None)}
