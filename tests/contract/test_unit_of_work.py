"""What every unit of work does: one suite for the fake and for each database."""

from __future__ import annotations

import msgspec
import pytest

from tests import builders
from tests.contract import full_records, units_of_work
from worker import errors, interfaces
from worker.core import events, records

NOW = builders.NOW


def mark(place: units_of_work.Place, *marks: interfaces.Mark) -> None:
    with place.unit() as unit:
        unit.inbox.add(marks, NOW)
        unit.commit()


def stored_book(place: units_of_work.Place) -> records.Book:
    with place.unit() as unit:
        (book,) = unit.books.instances([builders.VM])
    return book


def stored_node(place: units_of_work.Place, uuid: str = builders.NODE) -> records.Node:
    with place.unit() as unit:
        (node,) = unit.books.nodes([uuid], ())
    return node


def stored_account(place: units_of_work.Place) -> records.Account:
    with place.unit() as unit:
        (account,) = unit.books.accounts([builders.pair("h1")], ())
    return account


@pytest.mark.parametrize("ids", [["\x1f", "m2"], ["a\x1fb", "\x1e"], ["m1", "", "m 3"], [""]])
def test_marks_of_messages_with_any_id_are_kept_as_they_are(place: units_of_work.Place, ids: list[str]) -> None:
    with place.unit() as unit:
        unit.inbox.add([interfaces.Mark(id_, "report_node", "applied") for id_ in ids], NOW)
        unit.commit()

    with place.unit() as unit:
        assert unit.inbox.seen([*ids, "m9"]).keys() == set(ids)


def test_a_message_is_known_after_the_commit(place: units_of_work.Place) -> None:
    mark(place, full_records.a_mark("m1"), full_records.a_mark("m2"))

    with place.unit() as unit:
        known = unit.inbox.seen(["m1", "m3"])

    assert known == {"m1": full_records.a_mark("m1")}


def test_a_message_marked_already_is_a_conflict(place: units_of_work.Place) -> None:
    mark(place, full_records.a_mark("m1"))

    with pytest.raises(errors.Conflict):
        mark(place, full_records.a_mark("m2"), full_records.a_mark("m1"))

    with place.unit() as unit:
        assert unit.inbox.seen(["m2"]) == {}


def test_ids_that_differ_in_case_only_are_two(place: units_of_work.Place) -> None:
    mark(place, full_records.a_mark("Ab"), full_records.a_mark("aB"))

    with place.unit() as unit:
        assert unit.inbox.seen(["aB", "ab"]) == {"aB": full_records.a_mark("aB")}


def test_what_is_not_committed_never_was(place: units_of_work.Place) -> None:
    with place.unit() as unit:
        unit.books.save(
            units_of_work.a_world(full_records.a_full_book(), full_records.a_full_node(), full_records.an_account())
        )
        unit.ledger.add([full_records.an_entry()], NOW)
        unit.outbox.add([full_records.a_parking()], NOW)
        unit.parked.add([full_records.a_parked_message()])
        unit.inbox.add([full_records.a_mark()], NOW)

    with place.unit() as unit:
        assert unit.inbox.seen(["m1"]) == {}
        assert list(unit.books.instances([builders.VM])) == []
        assert list(unit.books.nodes([builders.NODE], [builders.account_of()])) == []
        assert list(unit.books.accounts((), [builders.account_of()])) == []
        assert set(unit.books.residents([builders.account_of()])) == set()
    assert (list(place.entries()), list(place.event_types()), list(place.parked())) == ([], [], [])


def test_an_error_within_changes_nothing(place: units_of_work.Place) -> None:
    def fail(unit: interfaces.UnitOfWork) -> None:
        with unit:
            unit.inbox.add([full_records.a_mark()], NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail(place.unit())

    with place.unit() as unit:
        assert unit.inbox.seen(["m1"]) == {}


def test_everything_of_a_book_comes_back(place: units_of_work.Place) -> None:
    book = full_records.a_full_book()

    units_of_work.save(place, units_of_work.a_world(book))

    assert {holding.side for holding in book.holdings} == {"source", "destination"}
    assert stored_book(place) == msgspec.structs.replace(book, generation=1)


def test_a_tombstone_comes_back(place: units_of_work.Place) -> None:
    book = records.Book(builders.VM, revision=4, deleted=True, saved_at=NOW)

    units_of_work.save(place, units_of_work.a_world(book))

    assert stored_book(place) == msgspec.structs.replace(book, generation=1)


def test_everything_of_a_node_comes_back(place: units_of_work.Place) -> None:
    node = full_records.a_full_node()

    units_of_work.save(place, units_of_work.a_world(node))

    assert stored_node(place) == msgspec.structs.replace(node, generation=1)


def test_a_node_that_was_never_reported_comes_back(place: units_of_work.Place) -> None:
    node = records.Node(builders.NODE, removed_revision=3)

    units_of_work.save(place, units_of_work.a_world(node))

    assert stored_node(place) == msgspec.structs.replace(node, generation=1)


def test_everything_of_an_account_comes_back(place: units_of_work.Place) -> None:
    account = full_records.an_account()

    units_of_work.save(place, units_of_work.a_world(account))

    assert stored_account(place) == msgspec.structs.replace(account, generation=1)


@pytest.mark.parametrize(
    "kind",
    [
        full_records.a_full_book,
        full_records.a_full_node,
        full_records.an_account,
        full_records.a_full_report,
        full_records.a_full_instance,
        full_records.a_full_move,
    ],
)
def test_the_full_records_leave_no_field_at_its_default(kind: object) -> None:
    record = kind()  # type: ignore[operator]

    silent = {"generation", "deleted"}
    defaults = {
        field.name: field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        for field in msgspec.structs.fields(record)
    }
    assert [name for name, default in defaults.items() if name not in silent and getattr(record, name) == default] == []


def test_a_report_comes_back_whole(place: units_of_work.Place) -> None:
    books, report = units_of_work.a_world(full_records.a_full_node()), full_records.a_full_report()
    books.reports[builders.NODE] = report

    units_of_work.save(place, books)

    assert dict(place.reports()) == {builders.NODE: report}


def test_a_change_without_a_report_keeps_the_last_one(place: units_of_work.Place) -> None:
    books, report = units_of_work.a_world(full_records.a_full_node()), full_records.a_full_report()
    books.reports[builders.NODE] = report
    units_of_work.save(place, books)
    first = stored_node(place)

    units_of_work.save_change(place, first, msgspec.structs.replace(first, sequence=10, digest="other"))

    assert dict(place.reports()) == {builders.NODE: report}
    assert stored_node(place) == msgspec.structs.replace(first, sequence=10, digest="other", generation=2)


def test_an_unknown_pair_has_an_empty_account(place: units_of_work.Place) -> None:
    pair = builders.pair("h1")

    with place.unit() as unit:
        found = unit.books.accounts([pair], [builders.account_of("h2")])

    assert list(found) == [records.Account(builders.account_of("h1"), pair)]


def test_accounts_are_found_by_pair_and_by_id(place: units_of_work.Place) -> None:
    other = records.Account(builders.account_of("h2"), builders.pair("h2"), {"VCPU": 5})
    units_of_work.save(place, units_of_work.a_world(full_records.an_account(), other))

    with place.unit() as unit:
        found = unit.books.accounts([builders.pair("h1")], [builders.account_of("h2")])

    assert {account.id: account.used for account in found} == {
        builders.account_of("h1"): {"VCPU": 2},
        builders.account_of("h2"): {"VCPU": 5},
    }


def test_nothing_asked_for_is_nothing_found(place: units_of_work.Place) -> None:
    units_of_work.save(
        place, units_of_work.a_world(full_records.a_full_book(), full_records.a_full_node(), full_records.an_account())
    )

    with place.unit() as unit:
        assert list(unit.books.instances(())) == []
        assert list(unit.books.accounts((), ())) == []
        assert list(unit.books.nodes((), ())) == []
        assert set(unit.books.residents(())) == set()
        assert unit.inbox.seen(()) == {}


def test_a_node_is_found_by_its_account_once(place: units_of_work.Place) -> None:
    rival = full_records.a_full_node(pair=builders.pair("h1"))
    rival = msgspec.structs.replace(rival, uuid=builders.uid(501))
    units_of_work.save(
        place,
        units_of_work.a_world(
            full_records.a_full_node(), rival, msgspec.structs.replace(rival, uuid=builders.uid(502), pair=None)
        ),
    )

    with place.unit() as unit:
        found = unit.books.nodes([builders.NODE], [builders.account_of("h1")])

    assert sorted(node.uuid for node in found) == [builders.NODE, builders.uid(501)]


def test_a_node_is_found_by_the_pair_of_its_newest_report_only(place: units_of_work.Place) -> None:
    units_of_work.save(place, units_of_work.a_world(full_records.a_full_node()))
    first = stored_node(place)

    units_of_work.save_change(place, first, msgspec.structs.replace(first, pair=builders.pair("h2")))
    with place.unit() as unit:
        assert list(unit.books.nodes((), [builders.account_of("h1")])) == []
        assert [node.uuid for node in unit.books.nodes((), [builders.account_of("h2")])] == [builders.NODE]


def test_residents_are_those_that_hold_something_there_now(place: units_of_work.Place) -> None:
    units_of_work.save(place, units_of_work.a_world(full_records.a_full_book()))
    first = stored_book(place)
    with place.unit() as unit:
        before = [set(unit.books.residents([builders.account_of(host)])) for host in ("h1", "h2")]

    ended = builders.holding(msgspec.structs.replace(first, moves=()))
    units_of_work.save_change(place, first, ended)

    with place.unit() as unit:
        after = [set(unit.books.residents([builders.account_of(host)])) for host in ("h1", "h2")]
    assert before == [{builders.VM}, {builders.VM}]
    assert after == [{builders.VM}, set()]
    assert stored_book(place).holdings == ended.holdings


def test_what_did_not_change_is_not_written(place: units_of_work.Place) -> None:
    units_of_work.save(
        place, units_of_work.a_world(full_records.a_full_book(), full_records.a_full_node(), full_records.an_account())
    )
    book, node, account = stored_book(place), stored_node(place), stored_account(place)

    units_of_work.save_change(place, book, book)
    units_of_work.save_change(place, node, node)
    units_of_work.save_change(place, account, account)

    assert (stored_book(place), stored_node(place), stored_account(place)) == (book, node, account)


def test_a_book_that_is_not_as_it_was_read_is_a_conflict(place: units_of_work.Place) -> None:
    units_of_work.save(place, units_of_work.a_world(full_records.a_full_book()))
    first = stored_book(place)
    units_of_work.save_change(place, first, msgspec.structs.replace(first, revision=8))

    with pytest.raises(errors.Conflict):
        units_of_work.save_change(place, first, msgspec.structs.replace(first, revision=9))

    assert stored_book(place).revision == 8


def test_an_account_that_is_not_as_it_was_read_is_a_conflict(place: units_of_work.Place) -> None:
    units_of_work.save(place, units_of_work.a_world(full_records.an_account()))
    first = stored_account(place)
    units_of_work.save_change(place, first, msgspec.structs.replace(first, used={"VCPU": 3}))

    with pytest.raises(errors.Conflict):
        units_of_work.save_change(place, first, msgspec.structs.replace(first, used={"VCPU": 4}))

    assert stored_account(place).used == {"VCPU": 3}


@pytest.mark.parametrize("change", [{"sequence": 10}, {"digest": "other"}])
def test_a_node_that_is_not_as_it_was_read_is_a_conflict(place: units_of_work.Place, change: dict[str, int]) -> None:
    units_of_work.save(place, units_of_work.a_world(full_records.a_full_node()))
    first = stored_node(place)
    units_of_work.save_change(place, first, msgspec.structs.replace(first, failed_builds=7))

    with pytest.raises(errors.Conflict):
        units_of_work.save_change(place, first, msgspec.structs.replace(first, **change))

    assert stored_node(place) == msgspec.structs.replace(first, failed_builds=7, generation=2)


@pytest.mark.parametrize("kind", [full_records.a_full_book, full_records.a_full_node, full_records.an_account])
def test_a_new_record_that_is_there_by_now_is_a_conflict(place: units_of_work.Place, kind: object) -> None:
    units_of_work.save(place, units_of_work.a_world(kind()))  # type: ignore[operator]

    with pytest.raises(errors.Conflict):
        units_of_work.save(place, units_of_work.a_world(kind()))  # type: ignore[operator]


def test_entries_come_back_in_their_order(place: units_of_work.Place) -> None:
    with place.unit() as unit:
        unit.ledger.add([full_records.an_entry(2), full_records.an_entry(1)], NOW)
        unit.ledger.add([full_records.an_entry(3)], NOW)
        unit.commit()

    assert list(place.entries()) == [full_records.an_entry(2), full_records.an_entry(1), full_records.an_entry(3)]


def test_notifications_keep_their_order(place: units_of_work.Place) -> None:
    found = events.Found("duplicate_report", "two", "h1", builders.NODE)

    with place.unit() as unit:
        unit.outbox.add([full_records.a_parking(1), found, full_records.a_parking(2)], NOW)
        unit.outbox.add([], NOW)
        unit.outbox.add([found], NOW)
        unit.commit()

    assert list(place.event_types()) == ["cast.park", "audit.finding", "cast.park", "audit.finding"]


def test_parked_messages_get_numbers(place: units_of_work.Place) -> None:
    with place.unit() as unit:
        unit.parked.add([full_records.a_parked_message("m1"), full_records.a_parked_message(None)])
        unit.commit()

    first, second = place.parked()
    assert first.id is not None
    assert second.id is not None
    assert first.id < second.id
    assert msgspec.structs.replace(first, id=None) == full_records.a_parked_message("m1")
    assert msgspec.structs.replace(second, id=None) == full_records.a_parked_message(None)


def test_a_unit_may_be_entered_again(place: units_of_work.Place) -> None:
    unit = place.unit()
    with unit:
        unit.inbox.add([full_records.a_mark("m1")], NOW)
        unit.commit()

    with unit:
        known = unit.inbox.seen(["m1"])
        unit.inbox.add([full_records.a_mark("m2")], NOW)

    with unit:
        assert list(known) == ["m1"]
        assert unit.inbox.seen(["m2"]) == {}
