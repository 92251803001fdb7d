"""The kill switch: what engages it, and what releases it."""

from __future__ import annotations

from worker import brake


class Desk:
    """A brake on a clock of its own."""

    def __init__(self, **settings: float) -> None:
        self.now = 0.0
        self.brake = brake.Brake(lambda: brake.Settings(**settings), lambda: self.now)  # type: ignore[arg-type]

    def note(self, total: int, failed: int, after: float = 0.0) -> bool:
        self.now += after
        self.brake.note(total, failed)
        return self.brake.engaged


def test_it_engages_when_more_than_the_share_of_enough_messages_failed() -> None:
    assert Desk(share=0.5, minimum=10).note(10, 6)


def test_the_share_itself_is_not_too_much() -> None:
    assert not Desk(share=0.5, minimum=10).note(10, 5)


def test_a_few_messages_never_engage_it() -> None:
    assert not Desk(share=0.5, minimum=10).note(9, 9)


def test_what_is_older_than_the_window_is_forgotten() -> None:
    desk = Desk(share=0.5, minimum=10, window=60)

    assert not desk.note(9, 9)
    assert not desk.note(9, 9, after=61)


def test_batches_within_the_window_add_up() -> None:
    desk = Desk(share=0.5, minimum=10, window=60)

    assert not desk.note(9, 9)
    assert desk.note(9, 9, after=59)


def test_a_share_of_one_never_engages_it() -> None:
    assert not Desk(share=1, minimum=1).note(1000, 1000)


def test_one_message_that_goes_well_releases_it() -> None:
    desk = Desk(share=0.5, minimum=1)

    assert desk.note(1, 1)
    assert desk.note(1, 1)
    assert desk.note(0, 0)
    assert not desk.note(1, 0)


def test_what_failed_before_a_pause_does_not_engage_it_again() -> None:
    desk = Desk(share=0.5, minimum=10)
    desk.note(100, 100)
    desk.note(1, 0)

    assert not desk.note(10, 5)
