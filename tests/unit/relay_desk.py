"""Relays on one store and one broker, and a loop that waits for nobody."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests import builders
from tests.fakes import bus, clock, relay_store
from worker import interfaces, relay

SECONDS = 15


class Desk:
    """Relays on one store and one broker."""

    def __init__(self, batch: int = 100) -> None:
        self.clock = clock.Clock(builders.NOW)
        self.store = relay_store.Store(lambda: self.clock())  # noqa: PLW0108 - a test may replace it
        self.broker = bus.Broker()
        self.batch = batch
        self.meanwhile: Callable[[], None] = nothing

    def relay(self, holder: str = "first") -> relay.Relay:
        publisher = _Slow(self)
        one = relay.Relay(self.store, publisher, self.clock, holder, lambda: (self.batch, SECONDS))
        one.monotonic = lambda: self.clock.now / 1_000_000
        return one

    def heard(self) -> list[str]:
        return [frame.event_id for frame in self.broker.frames]


class _Slow(bus.Publisher):
    """Lets something happen, once, while it publishes."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk.broker)
        self._desk = desk

    def publish(self, frames: Sequence[interfaces.Frame]) -> int:
        meanwhile, self._desk.meanwhile = self._desk.meanwhile, nothing
        meanwhile()
        return super().publish(frames)


class Loop(relay.RelayLoop):
    """A loop that waits for nobody."""

    INTERVAL = 0.0
    STANDBY = 0.0


def nothing() -> None:
    """Do no chores."""


def after(turns: int, act: Callable[[], None]) -> Callable[[], None]:
    """Return chores that act once at their so-manieth turn."""
    left = [turns]

    def chores() -> None:
        left[0] -= 1
        if not left[0]:
            act()

    return chores
