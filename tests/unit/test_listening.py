"""What a consumer of notifications is told, and what it is spared."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from worker import listening

NODE = "n1"


def _told(sequence: int, message_id: str = "", event_type: str = "resource_provider.update") -> listening.Notification:
    payload = {"node_uuid": NODE, "sequence": sequence}
    return listening.Notification(message_id or f"{event_type} {sequence}", event_type, payload)


def _exists(sequence: int) -> listening.Notification:
    return _told(sequence, event_type="resource_provider.exists")


class Desk:
    """An endpoint, and what it has handed on."""

    def __init__(self, tracker: listening.Tracker | None = None) -> None:
        self.handled: list[listening.Notification] = []
        self.gaps: list[listening.Gap] = []
        self.refusing = False
        self.endpoint = listening.Endpoint(self._handle, self.gaps.append, tracker)

    def _handle(self, notification: listening.Notification) -> None:
        if self.refusing:
            raise RuntimeError("not now")
        self.handled.append(notification)

    def hear(self, *told: listening.Notification) -> None:
        for one in told:
            payload = {"stocktake_object.data": dict(one.payload)}
            self.endpoint.info({}, "stocktake:h1", one.event_type, payload, {"message_id": one.message_id})

    @property
    def numbers(self) -> list[tuple[int, bool]]:
        return [(one.payload["sequence"], one.late) for one in self.handled]


def test_a_repeat_is_dropped_whatever_its_id() -> None:
    desk = Desk()

    desk.hear(_told(1), _told(2), _told(1), _told(2, "another id"), _told(3))

    assert desk.numbers == [(1, False), (2, False), (3, False)]
    assert desk.gaps == []


def test_the_first_number_of_a_node_is_where_it_begins() -> None:
    desk = Desk()

    desk.hear(_told(7), _told(8))

    assert desk.gaps == []
    assert desk.endpoint.tracker.positions == {NODE: 8}


def test_an_earlier_life_s_positions_show_what_was_lost_meanwhile() -> None:
    desk = Desk(listening.Tracker({NODE: 4}))

    desk.hear(_told(7))

    assert desk.gaps == [listening.Gap(NODE, 5, 6)]
    assert desk.gaps[0].command == "stocktake outbox resend --node n1 --from-seq 5"


def test_a_gap_is_asked_for_once_and_what_comes_of_it_is_late() -> None:
    desk = Desk()

    desk.hear(_told(1), _told(4), _told(5))
    missing = desk.endpoint.tracker.missing(NODE)
    desk.hear(_told(2), _told(3), _told(4), _told(5), _told(6))

    assert desk.gaps == [listening.Gap(NODE, 2, 3)]
    assert missing == {2, 3}
    assert desk.numbers == [(1, False), (4, False), (5, False), (2, True), (3, True), (6, False)]
    assert desk.endpoint.tracker.missing(NODE) == frozenset()


def test_a_snapshot_shows_a_gap_as_well_and_an_old_one_is_nothing() -> None:
    desk = Desk()

    desk.hear(_told(1), _exists(1), _exists(3), _exists(2))

    assert desk.numbers == [(1, False), (1, False), (3, False)]
    assert desk.gaps == [listening.Gap(NODE, 2, 3)]
    assert desk.endpoint.tracker.missing(NODE) == {2, 3}


def test_what_could_not_be_handled_is_no_repeat_when_it_comes_again() -> None:
    desk = Desk()

    desk.refusing = True
    with pytest.raises(RuntimeError):
        desk.hear(_told(1))
    desk.refusing = False
    desk.hear(_told(1))

    assert desk.numbers == [(1, False)]


def test_other_notifications_are_known_by_their_id() -> None:
    desk = Desk()
    told = listening.Notification("a", "claim.accept", {"sequence": 1})

    for hear in (desk.endpoint.warn, desk.endpoint.error):
        hear({}, "stocktake:h1", told.event_type, dict(told.payload), {"message_id": "a", "timestamp": "now"})

    assert [(one.message_id, one.publisher_id, one.timestamp) for one in desk.handled] == [("a", "stocktake:h1", "now")]


def _allocation(consumer: str, generation: int) -> listening.Notification:
    payload = {"consumer_uuid": consumer, "consumer_generation": generation}
    return listening.Notification(f"{consumer} {generation}", "allocation.update", payload)


def test_an_older_allocation_of_the_same_consumer_is_late() -> None:
    desk = Desk(listening.Tracker(generations={"b": 5}))

    desk.hear(_allocation("a", 3), _allocation("a", 2), _allocation("a", 4), _allocation("b", 4), _allocation("c", 1))

    assert [(one.message_id, one.late) for one in desk.handled] == [
        ("a 3", False), ("a 2", True), ("a 4", False), ("b 4", True), ("c 1", False),
    ]  # fmt: skip


def test_the_same_generation_told_again_is_as_good_as_new() -> None:
    desk = Desk()
    again = listening.Notification("other id", "allocation.update", _allocation("a", 3).payload)

    desk.hear(_allocation("a", 3), again)

    assert [one.late for one in desk.handled] == [False, False]


def test_of_consumers_only_so_many_are_remembered() -> None:
    desk = Desk(listening.Tracker(remembered=2))

    desk.hear(_allocation("a", 3), _allocation("b", 3), _allocation("a", 4), _allocation("c", 3))
    desk.hear(_allocation("a", 2), _allocation("b", 2))

    assert [one.late for one in desk.handled][-2:] == [True, False]


def test_only_so_many_ids_and_numbers_are_remembered() -> None:
    desk = Desk(listening.Tracker(remembered=3))

    desk.hear(_told(1), _told(100))
    desk.hear(*(listening.Notification(name, "claim.accept", {"sequence": 0}) for name in "abcda"))

    assert desk.endpoint.tracker.missing(NODE) == {97, 98, 99}
    assert len(desk.handled) == 2 + 5


def test_fields_are_those_of_the_objects_within_as_well() -> None:
    inner = {"stocktake_object.name": "Inventory", "stocktake_object.data": {"total": 1}}

    found = listening.fields({"stocktake_object.data": {"a": {"VCPU": inner}, "b": [inner, 2]}})

    assert found == {"a": {"VCPU": {"total": 1}}, "b": [{"total": 1}, 2]}


@hypothesis.given(strategies.lists(strategies.integers(1, 12), max_size=60))
def test_in_whatever_order_they_come_each_is_handed_on_once_and_every_gap_is_told(order: list[int]) -> None:
    desk = Desk(listening.Tracker({NODE: 0}))

    desk.hear(*map(_told, order))

    numbers = [number for number, _ in desk.numbers]
    newest: Any = [number for number, late in desk.numbers if not late]
    asked = {number for gap in desk.gaps for number in range(gap.first, gap.last + 1)}
    assert sorted(numbers) == sorted(set(order))
    assert newest == sorted(newest)
    assert desk.endpoint.tracker.missing(NODE) == set(range(1, max(order, default=0) + 1)) - set(order)
    assert asked == set(range(1, max(order, default=0) + 1)) - set(newest)
