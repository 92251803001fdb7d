"""A batch in one transaction: all of it, or nothing."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import pytest

from tests import builders
from tests.fakes import unit_of_work
from worker import errors, handler, interfaces
from worker.core import claims, commands, events, providers, records, world

POLICY = claims.Policy()


def _handle(batch: handler.Batch, unit: interfaces.UnitOfWork) -> tuple[Any, ...]:
    return handler.handle(batch, unit, builders.NOW, POLICY)


def _task(message_id: str = "m1", wants_reply: bool = False, **changes: Any) -> commands.Task:
    return builders.a_task(commands.UpdateInstance(builders.an_instance(**changes)), message_id, wants_reply)


def _parked(message_id: str | None = "p1", body: bytes = b"{}", **headers: Any) -> interfaces.ParkedMessage:
    return interfaces.ParkedMessage("broken", body, builders.NOW, "accounts", message_id, headers=headers)


def test_one_transaction_holds_everything_that_belongs_together() -> None:
    unit = unit_of_work.UnitOfWork()

    (outcome,) = _handle(handler.Batch([_task()]), unit)

    store = unit.store
    assert outcome == events.Outcome("applied", "m1", builders.account_of("h1"), builders.account_of("h1"))
    assert store.marks == {"m1": interfaces.Mark("m1", "update_instance", "applied")}
    assert list(store.books) == [builders.VM]
    assert list(store.accounts) == [builders.account_of("h1")]
    assert len(store.entries) == len(store.events) == 1


def test_a_failed_commit_leaves_everything_as_it_was() -> None:
    unit = unit_of_work.UnitOfWork(failures=1)
    batch = handler.Batch([_task()], [_parked()])

    with pytest.raises(errors.Conflict):
        _handle(batch, unit)

    assert unit.store == unit_of_work.Store()
    assert [one.outcome for one in _handle(batch, unit)] == ["applied"]


def test_a_command_that_cannot_be_carried_out_leaves_everything_as_it_was() -> None:
    unit = unit_of_work.UnitOfWork()
    whole = builders.a_task(commands.UpdateInstance(builders.an_instance()), "m2")
    broken = msgspec.structs.replace(whole, command=commands.UpdateInstance(None))  # type: ignore[arg-type]

    with pytest.raises(AttributeError):
        _handle(handler.Batch([_task(), broken]), unit)

    assert unit.store == unit_of_work.Store()


def test_a_message_counts_once() -> None:
    unit = unit_of_work.UnitOfWork()
    task = builders.a_task(commands.RecordBuild(builders.NODE, succeeded=False), "m1")
    _handle(handler.Batch([task]), unit)

    (answer,) = _handle(handler.Batch([task]), unit)

    assert answer == interfaces.Mark("m1", "record_build", "applied")
    assert unit.store.nodes[builders.NODE].failed_builds == 1


def test_a_message_counts_once_within_one_batch_too() -> None:
    unit = unit_of_work.UnitOfWork()
    task = builders.a_task(commands.RecordBuild(builders.NODE, succeeded=False), "m1")

    first, second = _handle(handler.Batch([task, task]), unit)

    assert isinstance(first, events.Outcome)
    assert second == interfaces.Mark("m1", "record_build", "applied")
    assert unit.store.nodes[builders.NODE].failed_builds == 1


def test_a_redelivered_call_is_answered_with_its_stored_outcome() -> None:
    unit = unit_of_work.UnitOfWork()
    _handle(handler.Batch([builders.a_task(builders.a_report(), "m0")]), unit)
    claim = builders.a_task(commands.ClaimInstance(builders.an_instance()), "m1", wants_reply=True)
    (outcome,) = _handle(handler.Batch([claim]), unit)

    (mark,) = _handle(handler.Batch([claim]), unit)

    assert json.loads(mark.reply) == handler.wire_form(outcome)
    assert handler.wire_form(outcome) == {
        "outcome": "accepted",
        "message_id": "m1",
        "node_uuid": builders.NODE,
        "sequence": 2,
        "reason": None,
        "detail": {"allocations": {builders.NODE: builders.SMALL}, "pci_devices": [], "numa_topology": None},
    }


def test_the_tasks_of_a_batch_have_their_answers_in_order() -> None:
    tasks = [_task("m1", revision=2), _task("m2", revision=1), _task("m3", revision=3)]

    answers = _handle(handler.Batch(tasks), unit_of_work.UnitOfWork())

    assert [(one.message_id, one.outcome) for one in answers] == [
        ("m1", "applied"), ("m2", "stale"), ("m3", "applied")
    ]  # fmt: skip


def test_an_outcome_has_the_sequence_of_after_the_whole_batch() -> None:
    tasks = [
        builders.a_task(builders.a_report(), "m1"),
        _task("m2"),
        builders.a_task(commands.RecordBuild(builders.NODE, succeeded=True), "m3"),
    ]

    answers = _handle(handler.Batch(tasks), unit_of_work.UnitOfWork())

    assert [(one.node_uuid, one.sequence) for one in answers] == [(builders.NODE, 1)] * 3


def test_parked_messages_are_kept_marked_and_announced_with_the_rest() -> None:
    unit = unit_of_work.UnitOfWork()

    _handle(handler.Batch([_task()], [_parked(), _parked(None, b"?")]), unit)

    assert [(message.id, message.message_id) for message in unit.store.parked] == [(1, "p1"), (2, None)]
    assert [mark.outcome for mark in unit.store.marks.values()] == ["applied", "parked", "parked"]
    assert unit.store.events[-2:] == [
        events.Parked("p1", None, "broken", None, 1, "accounts", ""),
        events.Parked(None, None, "broken", None, 1, "accounts", ""),
    ]


def test_a_message_is_parked_once_however_often_it_is_delivered() -> None:
    unit = unit_of_work.UnitOfWork()

    _handle(handler.Batch(parked=[_parked(), _parked()]), unit)
    _handle(handler.Batch(parked=[_parked()]), unit)

    assert len(unit.store.parked) == len(unit.store.events) == len(unit.store.marks) == 1


@pytest.mark.parametrize("other", [_parked(body=b"[]"), _parked(compression="gzip")], ids=["body", "headers"])
def test_messages_of_other_content_are_parked_under_one_id(other: interfaces.ParkedMessage) -> None:
    unit = unit_of_work.UnitOfWork()

    _handle(handler.Batch(parked=[_parked(), other]), unit)

    assert len(unit.store.parked) == 2


def _redelivered(count: int) -> interfaces.ParkedMessage:
    return interfaces.ParkedMessage("broken", b"{}", builders.NOW, "accounts", headers={"x-delivery-count": count})


def test_a_redelivery_that_the_broker_has_counted_is_not_parked_again() -> None:
    unit = unit_of_work.UnitOfWork()

    _handle(handler.Batch(parked=[_redelivered(0)]), unit)
    _handle(handler.Batch(parked=[_redelivered(1)]), unit)

    assert len(unit.store.parked) == 1


def test_of_two_messages_with_one_id_the_first_counts() -> None:
    unit = unit_of_work.UnitOfWork()
    first, second = (builders.a_report(vcpus=vcpus) for vcpus in (4, 8))

    _handle(handler.Batch([builders.a_task(first, "m1"), builders.a_task(second, "m1")]), unit)

    assert unit.store.nodes[builders.NODE].capacity == providers.capacity(first.node)


def test_a_parked_message_does_not_stand_in_the_way_of_the_one_with_its_id() -> None:
    unit = unit_of_work.UnitOfWork()
    _handle(handler.Batch(parked=[_parked("m1")]), unit)

    (outcome,) = _handle(handler.Batch([_task("m1")]), unit)

    assert isinstance(outcome, events.Outcome)
    assert unit.store.marks["m1"].outcome == "applied"


def test_an_empty_batch_changes_nothing() -> None:
    unit = unit_of_work.UnitOfWork()

    assert _handle(handler.Batch(), unit) == ()
    assert unit.store == unit_of_work.Store()


class _Interrupted(unit_of_work.UnitOfWork):
    """A unit of work in which another worker commits ``first`` between reading and saving."""

    def __init__(self, store: unit_of_work.Store, first: commands.Command) -> None:
        super().__init__(store)
        self._first: commands.Command | None = first

    def commit(self) -> None:
        """Let the other worker go first, once."""
        first, self._first = self._first, None
        if first is not None:
            _handle(handler.Batch([builders.a_task(first)]), unit_of_work.UnitOfWork(self.store))
        super().commit()


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (_task(), commands.DeleteInstance(builders.VM, 1)),
        (_task(), commands.UpdateInstance(builders.an_instance(builders.uid(2)))),
        (builders.a_task(builders.a_report()), commands.RemoveNode(builders.NODE, 5)),
    ],
    ids=["same instance", "same account", "same node"],
)
def test_what_another_worker_changed_meanwhile_is_a_conflict(mine: commands.Task, theirs: commands.Command) -> None:
    store = unit_of_work.Store()
    unit = _Interrupted(store, theirs)

    with pytest.raises(errors.Conflict):
        _handle(handler.Batch([mine]), unit)
    assert mine.message_id not in store.marks

    (answer,) = _handle(handler.Batch([mine]), unit)
    assert isinstance(answer, events.Outcome)


def test_the_same_message_taken_by_two_workers_is_a_conflict_and_then_a_duplicate() -> None:
    store = unit_of_work.Store()
    order = commands.RecordBuild(builders.uid(509), succeeded=True)
    unit = _Interrupted(store, order)
    task = builders.a_task(order)

    with pytest.raises(errors.Conflict):
        _handle(handler.Batch([task]), unit)

    (answer,) = _handle(handler.Batch([task]), unit)
    assert answer == interfaces.Mark(task.message_id, "record_build", "applied")


class _Crowding(unit_of_work.Books):
    """Books in which another instance has come to the node since its residents were first asked for."""

    def __init__(self, store: unit_of_work.Store) -> None:
        super().__init__(store, [])
        self._asked = 0

    def residents(self, accounts: Collection[str]) -> Collection[str]:
        """Return one resident more than at first."""
        self._asked += 1
        return {*super().residents(accounts), *([builders.uid(77)] if self._asked > 1 else [])}


def test_an_instance_that_came_to_an_audited_node_meanwhile_is_a_conflict() -> None:
    unit = unit_of_work.UnitOfWork()
    _handle(handler.Batch([builders.a_task(builders.a_report())]), unit)
    audit = commands.AuditNode(builders.NODE, None, builders.NOW)

    with pytest.raises(errors.Conflict, match="another instance came"):
        handler.load(_Crowding(unit.store), [audit], world.World(builders.NOW, POLICY))


class _Counting(unit_of_work.Books):
    """Books that keep what they were asked for."""

    def __init__(self, store: unit_of_work.Store) -> None:
        super().__init__(store, [])
        self.asked: list[str] = []

    def instances(self, uuids: Collection[str]) -> Sequence[records.Book]:
        """Note the question."""
        self.asked.append("instances")
        return super().instances(uuids)

    def accounts(self, pairs: Collection[records.Pair], ids: Collection[str]) -> Sequence[records.Account]:
        """Note the question."""
        self.asked.append("accounts")
        return super().accounts(pairs, ids)

    def nodes(self, uuids: Collection[str], accounts: Collection[str]) -> Sequence[records.Node]:
        """Note the question."""
        self.asked.append("nodes")
        return super().nodes(uuids, accounts)

    def residents(self, accounts: Collection[str]) -> Collection[str]:
        """Note the question."""
        self.asked.append("residents")
        return super().residents(accounts)


@pytest.mark.parametrize(
    ("orders", "asked"),
    [
        ([], []),
        ([commands.RecordBuild(builders.NODE, succeeded=True)], ["nodes"]),
        ([commands.DeleteInstance(builders.uid(n), 1) for n in range(3)], ["instances"]),
        ([commands.UpdateInstance(builders.an_instance(builders.uid(n))) for n in range(3)],
         ["instances", "accounts", "nodes"]),
        ([builders.a_report()], ["nodes", "residents", "accounts", "nodes", "residents"]),
    ],
    ids=["nothing", "node", "unknown instances", "instances", "new node"],
)  # fmt: skip
def test_what_is_read_is_read_in_sets_and_not_one_by_one(orders: list[commands.Command], asked: list[str]) -> None:
    books = _Counting(unit_of_work.Store())

    handler.load(books, orders, world.World(builders.NOW, POLICY))

    assert [question for question in books.asked if question != "instances" or "instances" in asked] == asked


def test_a_report_that_only_repeats_itself_reads_no_instances() -> None:
    unit = unit_of_work.UnitOfWork()
    _handle(handler.Batch([builders.a_task(builders.a_report()), _task("m9")]), unit)
    books = _Counting(unit.store)

    handler.load(books, [builders.a_report(revision=2)], world.World(builders.NOW, POLICY))

    assert books.asked == ["nodes", "accounts", "nodes"]


def test_a_node_that_is_removed_unknown_reads_no_account() -> None:
    books = _Counting(unit_of_work.Store())

    handler.load(books, [commands.RemoveNode(builders.NODE, 1)], world.World(builders.NOW, POLICY))

    assert books.asked == ["nodes"]


def test_every_side_of_known_moves_is_read_with_the_instance() -> None:
    moves = (
        builders.a_move(builders.uid(901), source=builders.pair("h4"), dest=None),
        builders.a_move(builders.uid(902), source=builders.pair("h5"), status="done"),
    )

    found = handler.pairs_of(builders.a_book(None, *moves))

    assert found == {builders.pair("h1"), builders.pair("h4")}
    assert handler.pairs_of(records.Book(builders.VM)) == set()


class _Late(unit_of_work.Books):
    """Books in which nodes are seen only from the second look on: reported between the two."""

    looks = 0

    def nodes(self, uuids: Collection[str], accounts: Collection[str]) -> Sequence[records.Node]:
        """Return nothing at the first look."""
        self.looks += 1
        return super().nodes(uuids, accounts) if self.looks > 1 else ()


def test_a_node_reported_between_the_two_looks_of_its_audit_is_a_conflict_and_no_recount() -> None:
    unit = unit_of_work.UnitOfWork()
    _handle(handler.Batch([builders.a_task(builders.a_report(), "m1"), _task("m2")]), unit)
    listed = builders.an_instance(builders.uid(2))
    audit = commands.AuditNode(builders.NODE, (listed,), builders.NOW + 1)

    with pytest.raises(errors.Conflict, match="meanwhile"):
        handler.load(_Late(unit.store, []), [audit], world.World(builders.NOW, POLICY))


class _Renamed(unit_of_work.Books):
    """Books in which a node has another name from the second look on."""

    looks = 0

    def nodes(self, uuids: Collection[str], accounts: Collection[str]) -> Sequence[records.Node]:
        """Return the node by the name it had, then by the one it has."""
        self.looks += 1
        pair = builders.pair("h1" if self.looks == 1 else "h9")
        return [msgspec.structs.replace(node, pair=pair) for node in super().nodes(uuids, accounts)]


def test_a_node_renamed_between_the_two_looks_is_a_conflict() -> None:
    unit = unit_of_work.UnitOfWork()
    _handle(handler.Batch([builders.a_task(builders.a_report(), "m1")]), unit)

    with pytest.raises(errors.Conflict, match="another name"):
        handler.load(
            _Renamed(unit.store, []),
            [commands.SetNodeDisabled(builders.NODE, disabled=True, revision=9)],
            world.World(builders.NOW, POLICY),
        )
