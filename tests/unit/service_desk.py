"""A worker on fakes that stops when its queue is empty, for the tests of its life."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests import builders, plain, stands
from tests.fakes import bus, clock, failing, library, unit_of_work
from worker import engine, interfaces, service

PATIENCE = 30.0


def nothing() -> None:
    """Do nothing."""


class Consumer(bus.Consumer):
    """A consumer that says when there is nothing more to take."""

    def __init__(self, broker: bus.Broker, idle: Callable[[], None]) -> None:
        super().__init__(broker, batch_size=2)
        self._idle = idle
        self.closed = 0
        self.asked: list[tuple[int, float]] = []
        self.at_batch: Callable[[], None] = nothing
        self.at_beat: Callable[[], None] = nothing
        self.at_settle: Callable[[], None] = nothing

    def batch(self, idle: float = interfaces.IDLE, *, begun: int = 0, haste: float = 0.0) -> list[interfaces.Delivery]:
        self.asked.append((begun, haste))
        self.at_batch()
        taken = super().batch(idle, begun=begun, haste=haste)
        if idle and not taken:
            self._idle()
        return taken

    def beat(self) -> None:
        self.at_beat()
        super().beat()

    def settle(self, deliveries: Sequence[interfaces.Delivery]) -> None:
        self.at_settle()
        super().settle(deliveries)

    def close(self) -> None:
        super().close()
        self.closed += 1


class Impatient(service.Worker):
    """A worker that waits for nobody."""

    AGAIN = 0.0


class GivesUp(service.Worker):
    """A worker that keeps no batch."""

    PATIENCE = 0.0


class Desk:
    """A worker on fakes, which stops when the queue is empty."""

    def __init__(self, kind: type[service.Worker] = Impatient, meanwhile: Callable[[], None] = nothing) -> None:
        self.broker = bus.Broker()
        self.store = unit_of_work.Store()
        self.plan = failing.Plan()
        self.backoff = clock.Backoff(meanwhile)
        self.health: list[str] = []
        self.commits = 0
        self.at_committed: Callable[[], None] = nothing
        self.consumer = Consumer(self.broker, lambda: self.worker.stop())  # noqa: PLW0108 - there is none yet
        batches = engine.Engine(
            lambda: failing.UnitOfWork(self.store, self.plan),
            library.Library(),
            lambda: builders.NOW,
            engine.Settings,
            engine.Uncounted(),
        )
        self.worker = kind(self.consumer, batches, self.backoff, self._committed, self.health.append)

    def send(self, *numbers: int, **call: Any) -> None:
        for number in numbers:
            arguments = {"instance": plain.instance(number)}
            self.broker.send(stands.body("update_instance", arguments, _unique_id=f"m{number}", **call))

    def _committed(self) -> None:
        self.commits += 1
        self.at_committed()


def explode() -> None:
    """Raise what nobody expects."""
    raise ZeroDivisionError
