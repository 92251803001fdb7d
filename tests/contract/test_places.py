"""What is given out one by one: every unit of work keeps it, finds it by account, and lets a device have one holder."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest

from tests import builders
from tests.contract import full_records, units_of_work
from worker import errors
from worker.core import places, records

OTHER = builders.uid(2)


def stored_book(place: units_of_work.Place, uuid: str = builders.VM) -> records.Book:
    with place.unit() as unit:
        (book,) = unit.books.instances([uuid])
    return book


def places_on(place: units_of_work.Place, *hosts: str) -> Mapping[str, Mapping[places.Key, records.Place]]:
    with place.unit() as unit:
        return unit.books.places_on([builders.account_of(host) for host in hosts])


def a_holder(uuid: str = builders.VM, host: str = "h1", held: records.Place | None = None) -> records.Book:
    """Return the book of an instance that holds a place on a host."""
    book = builders.holding(builders.a_book(builders.an_instance(uuid, host=host)))
    (holding,) = book.holdings
    return msgspec.structs.replace(book, holdings=(msgspec.structs.replace(holding, place=held),))


def a_grant(address: str, **changes: str) -> records.Grant:
    grant, _ = full_records.a_full_place(0x81, claimed=True).grants
    return msgspec.structs.replace(grant, address=address, **changes)


def with_devices(*addresses: str) -> records.Place:
    return records.Place(grants=tuple(map(a_grant, addresses)))


def test_a_place_is_found_by_its_account(place: units_of_work.Place) -> None:
    held = full_records.a_full_place(0x81, claimed=True)
    cells_only = msgspec.structs.replace(held, grants=())
    holders = (a_holder(held=held), a_holder(OTHER, held=cells_only), a_holder(builders.uid(3)))

    units_of_work.save(place, units_of_work.a_world(*holders, a_holder(builders.uid(4), "h2", held)))

    h1, h2 = builders.account_of("h1"), builders.account_of("h2")
    assert places_on(place, "h1", "h2", "h3") == {
        h1: {(builders.VM, "instance"): held, (OTHER, "instance"): cells_only},
        h2: {(builders.uid(4), "instance"): held},
        builders.account_of("h3"): {},
    }
    assert stored_book(place).holdings[0].place == held


def test_a_place_changes_and_goes_with_its_holding(place: units_of_work.Place) -> None:
    units_of_work.save(place, units_of_work.a_world(a_holder(held=with_devices("0000:01:00.0", "0000:01:00.1"))))
    first = stored_book(place)
    fewer = msgspec.structs.replace(a_holder(held=with_devices("0000:01:00.1")), generation=1)
    units_of_work.save_change(place, first, fewer)
    found = places_on(place, "h1")

    second = stored_book(place)
    units_of_work.save_change(place, second, msgspec.structs.replace(second, holdings=()))

    assert found == {builders.account_of("h1"): {(builders.VM, "instance"): with_devices("0000:01:00.1")}}
    assert places_on(place, "h1") == {builders.account_of("h1"): {}}


def test_what_a_node_has_is_read_from_its_newest_report(place: units_of_work.Place) -> None:
    node, report = full_records.a_full_node(), full_records.a_full_report()
    bare, silent = builders.uid(501), builders.uid(502)
    books = units_of_work.a_world(
        node,
        msgspec.structs.replace(node, uuid=bare, pair=builders.pair("h2")),
        msgspec.structs.replace(node, uuid=silent, pair=None),
    )
    books.reports[builders.NODE] = report
    books.reports[bare] = builders.a_node(bare, host="h2")
    units_of_work.save(place, books)

    with place.unit() as unit:
        found = unit.books.hardware_of([builders.NODE, bare, silent, builders.uid(503)])

    assert found == {
        builders.NODE: places.of_report(report),
        bare: places.NONE,
    }


def test_a_second_holder_of_a_device_is_a_conflict(place: units_of_work.Place) -> None:
    units_of_work.save(place, units_of_work.a_world(a_holder(held=with_devices("0000:01:00.0"))))
    rival = a_holder(OTHER, held=with_devices("0000:01:00.1", "0000:01:00.0"))

    with pytest.raises(errors.Conflict):
        units_of_work.save(place, units_of_work.a_world(rival))

    with place.unit() as unit:
        assert list(unit.books.instances([OTHER])) == []
    assert places_on(place, "h1") == {
        builders.account_of("h1"): {(builders.VM, "instance"): with_devices("0000:01:00.0")}
    }


def test_two_instances_that_take_one_device_together_are_a_conflict(place: units_of_work.Place) -> None:
    both = [a_holder(uuid, held=with_devices("0000:01:00.0")) for uuid in (builders.VM, OTHER)]

    with pytest.raises(errors.Conflict):
        units_of_work.save(place, units_of_work.a_world(*both))

    assert places_on(place, "h1") == {builders.account_of("h1"): {}}


def test_the_same_address_on_another_node_is_another_device(place: units_of_work.Place) -> None:
    held = with_devices("0000:01:00.0")

    units_of_work.save(place, units_of_work.a_world(a_holder(held=held), a_holder(OTHER, "h2", held)))

    assert [len(found) for found in places_on(place, "h1", "h2").values()] == [1, 1]


def test_a_device_passes_from_one_instance_to_another_in_one_transaction(place: units_of_work.Place) -> None:
    held = with_devices("0000:01:00.0")
    for turn, (giver, taker) in enumerate([(builders.VM, OTHER), (OTHER, builders.VM)]):
        start = units_of_work.a_world(a_holder(giver, held=held), a_holder(taker))
        place.clear()
        units_of_work.save(place, start)
        books = units_of_work.a_world()
        for uuid, now in ((giver, None), (taker, held)):
            first = stored_book(place, uuid)
            books.first_books[uuid] = first
            books.books[uuid] = msgspec.structs.replace(a_holder(uuid, held=now), generation=first.generation)

        units_of_work.save(place, books)

        assert list(places_on(place, "h1")[builders.account_of("h1")]) == [(taker, "instance")], turn


def test_a_device_is_given_to_another_request_of_its_holder(place: units_of_work.Place) -> None:
    units_of_work.save(place, units_of_work.a_world(a_holder(held=with_devices("0000:01:00.0"))))
    first = stored_book(place)
    now = records.Place(grants=(a_grant("0000:01:00.0", request_id=builders.uid(801)),))

    units_of_work.save_change(place, first, msgspec.structs.replace(a_holder(held=now), generation=first.generation))

    assert places_on(place, "h1") == {builders.account_of("h1"): {(builders.VM, "instance"): now}}
