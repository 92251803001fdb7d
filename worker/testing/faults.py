"""Which faults happen, by a seed, and which have happened.

Each kind of fault at each place draws from a sequence of its own, made of seed, place and kind alone. So the same seed
gives the same faults wherever the same calls come in the same order, and a rate that is changed moves no other fault.
"""

from __future__ import annotations

import dataclasses
import random
from typing import Any, Self


@dataclasses.dataclass(frozen=True, slots=True)
class Rates:
    """How often each fault is done, as a share of the occasions for it, from 0 to 1; none is done by default.

    A delayed or duplicated message waits for 1 to ``polls`` calls that ask for messages.
    """

    refuse: float = 0.0
    """An attempt to connect, or to send, fails and nothing has happened."""
    drop: float = 0.0
    """The connection breaks at a call: what is not acknowledged comes again."""
    lose_acks: float = 0.0
    """Some acknowledgements never reach the broker: the connection breaks right after the call that sent them."""
    lose_confirms: float = 0.0
    """What was sent has arrived, or a part of it, but the sender is told of less, or of none."""
    nack: float = 0.0
    """The broker refuses one notification and takes some of those behind it."""
    duplicate: float = 0.0
    """A message comes a second time, with the same id, as if its sender had not heard of the first."""
    redeliver: float = 0.0
    """A message is marked as redelivered: another one had it, and is gone."""
    delay: float = 0.0
    """A message comes later than those behind it."""
    reorder: float = 0.0
    """What comes together comes in another order."""
    truncate: float = 0.0
    """A copy of a message that is cut off somewhere comes as well; the whole message is not lost."""
    lose: float = 0.0
    """A message never comes. No broker does this to a sender that waits for confirms; a queue that was deleted does."""
    polls: int = 5

    def __post_init__(self) -> None:
        """Refuse what is no share: ValueError."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name != "polls" and not 0 <= value <= 1:
                raise ValueError(f"{field.name} is {value}, and is to be from 0 to 1")
        if self.polls < 1:
            raise ValueError(f"polls is {self.polls}, and is to be at least 1")


STORM = Rates(
    refuse=0.2,
    drop=0.05,
    lose_acks=0.1,
    lose_confirms=0.2,
    nack=0.1,
    duplicate=0.1,
    redeliver=0.1,
    delay=0.1,
    reorder=0.3,
    truncate=0.03,
)
"""Everything that a broker may do to parties that are correct, often."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One that was done: where, of which kind (a field of Rates), and to what."""

    place: str
    kind: str
    what: str

    def __str__(self) -> str:
        """Return it as a line says it."""
        return f"{self.place}: {self.kind}: {self.what}"


class Faults:
    """The faults of one seed. As a context, whatever fails inside tells them with its traceback.

        with faults.Faults(seed) as plan:
            consumer = bus.FaultyConsumer(consumer, plan)

    ``done`` has those that were done, in order.
    """

    def __init__(self, seed: int, rates: Rates = STORM) -> None:
        self.seed = seed
        self.rates = rates
        self.done: list[Fault] = []
        self._places: dict[str, int] = {}

    def __enter__(self) -> Self:
        """Begin to watch over what fails."""
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        """Add seed and faults to what has failed."""
        if error is not None:
            error.add_note(str(self))

    def __str__(self) -> str:
        """Return the seed, the rates that are not 0, and each fault that was done."""
        found = ((field.name, getattr(self.rates, field.name)) for field in dataclasses.fields(self.rates))
        rates = ", ".join(f"{name}={value:g}" for name, value in found if value)
        lines = [f"{number}. {fault}" for number, fault in enumerate(self.done, 1)]
        return "\n".join([f"faults.Faults(seed={self.seed}, rates=faults.Rates({rates})) has done:", *lines])

    def at(self, place: str) -> Place:
        """Return what decides at a place, such as ``consumer``; the second place of one name is ``consumer 2``."""
        number = self._places[place] = self._places.get(place, 0) + 1
        return Place(self, place if number == 1 else f"{place} {number}")

    def calm(self) -> None:
        """Do no more faults from now on."""
        self.rates = Rates(polls=self.rates.polls)


class Place:
    """Decides what happens at one place."""

    def __init__(self, faults: Faults, name: str) -> None:
        self._faults = faults
        self._name = name
        self._chances: dict[str, random.Random] = {}

    def happens(self, kind: str, what: Any) -> bool:
        """Tell whether this fault happens now, and note it if it does."""
        if self._chance(kind).random() >= getattr(self._faults.rates, kind):
            return False
        self._faults.done.append(Fault(self._name, kind, str(what)))
        return True

    def number(self, kind: str, least: int, most: int) -> int:
        """Return a number of a fault that happens, both ends included."""
        return self._chance(f"{kind} number").randint(least, most)

    def polls(self, kind: str) -> int:
        """Return for how many polls a message is kept away."""
        return self.number(kind, 1, self._faults.rates.polls)

    def shuffle(self, things: list[Any]) -> None:
        """Bring things into another order, in place."""
        self._chance("reorder number").shuffle(things)

    def lost(self, doing: str) -> str:
        """Return the words of an error that this place has made up."""
        return f"fault of seed {self._faults.seed} at the {self._name}: the connection is lost {doing}"

    def _chance(self, kind: str) -> random.Random:
        if kind not in self._chances:
            self._chances[kind] = random.Random(f"{self._faults.seed}/{self._name}/{kind}")  # noqa: S311
        return self._chances[kind]
