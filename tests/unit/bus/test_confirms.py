"""The broker's confirm numbers, turned into how many leading frames are safe."""

from __future__ import annotations

from types import SimpleNamespace

from worker import interfaces
from worker.bus import publisher


def _frames(count: int) -> list[publisher.Outgoing]:
    return [
        publisher.Outgoing(interfaces.Frame(f"e{number}", "t", "INFO", "p", {}, "now"), b"") for number in range(count)
    ]


def _sent(places: list[int]) -> publisher.Confirms:
    confirms = publisher.Confirms()
    confirms.begin()
    for place in places:
        confirms.register(place)
    return confirms


def _come_back(confirms: publisher.Confirms, event_id: str) -> None:
    confirms.returned(Exception(), "", "", SimpleNamespace(properties={"message_id": event_id}))


def test_one_number_confirms_one_message() -> None:
    confirms = _sent([0, 1, 2])

    confirms.acked(1)

    assert (confirms.leading(_frames(3), 3), confirms.in_flight()) == (1, 2)


def test_a_multiple_confirm_covers_all_before_it() -> None:
    confirms = _sent([0, 1, 2])

    confirms.acked(2, multiple=True)

    assert (confirms.leading(_frames(3), 3), confirms.in_flight()) == (2, 1)


def test_a_confirm_out_of_order_waits_for_those_before_it() -> None:
    confirms = _sent([0, 1, 2])

    confirms.acked(3)
    confirms.acked(2)

    assert confirms.leading(_frames(3), 3) == 0


def test_a_refused_message_ends_the_leading_ones() -> None:
    confirms = _sent([0, 1, 2])

    confirms.nacked(2)
    confirms.acked(3, multiple=True)

    assert (confirms.leading(_frames(3), 3), confirms.in_flight(), confirms.troubled()) == (1, 0, True)


def test_a_multiple_refusal_covers_all_before_it() -> None:
    confirms = _sent([0, 1, 2])

    confirms.acked(1)
    confirms.nacked(3, multiple=True)

    assert (confirms.leading(_frames(3), 3), confirms.in_flight()) == (1, 0)


def test_a_returned_message_is_not_sent_though_it_is_confirmed() -> None:
    confirms = _sent([0, 1, 2])

    _come_back(confirms, "e1")
    confirms.acked(3, multiple=True)

    assert (confirms.leading(_frames(3), 3), confirms.unroutable()) == (1, True)


def test_a_frame_counts_only_with_all_its_copies() -> None:
    confirms = _sent([0, 0, 1, 1])

    confirms.acked(3, multiple=True)

    assert confirms.leading(_frames(2), 2) == 1


def test_numbers_go_on_in_the_next_batch() -> None:
    confirms = _sent([0, 1])
    confirms.acked(2, multiple=True)

    confirms.begin()
    confirms.register(0)
    confirms.acked(2)
    waiting = confirms.in_flight()
    confirms.acked(3)

    assert (waiting, confirms.in_flight(), confirms.leading(_frames(1), 1)) == (1, 0, 1)


def test_a_confirm_that_comes_twice_changes_nothing() -> None:
    confirms = _sent([0, 1])

    confirms.acked(1)
    confirms.acked(1)
    confirms.nacked(1)

    assert (confirms.leading(_frames(2), 2), confirms.troubled()) == (1, False)
