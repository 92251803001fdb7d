"""When which fault is done: a plan from a seed."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence

KINDS = {
    "kill": (0.0, 0.0), "pause": (0.5, 6.0), "broker": (0.2, 3.0), "cut": (0.0, 0.0), "database": (0.2, 4.0),
    "sessions": (0.0, 0.0), "deadlock": (2.0, 4.0), "full": (1.0, 5.0), "clock": (0.0, 0.0),
}  # fmt: skip
"""The kinds of faults and how many seconds each lasts, at least and at most."""
APART = (1.0, 4.0)
"""Seconds between the beginnings of two faults: the next one often comes while the last one goes on."""
ALONE = {"broker": ("broker", 12.0), "cut": ("broker", 2.0), "database": ("database", 2.0), "full": ("database", 2.0)}
"""What a fault needs to itself, and for how many seconds after its end: a broker takes its time to come back."""

SETTLED = 6.0
"""Seconds before which the broker is left alone: RabbitMQ 3.10 loses a quorum queue if it is killed right after it was
declared, and keeps its name, so that nothing can be published to it any more."""


@dataclasses.dataclass(frozen=True)
class Fault:
    """One fault: when it begins, how long it lasts, and a number by which it chooses among what is there."""

    at: float
    kind: str
    seconds: float
    pick: int


def plan(seed: int, seconds: float, kinds: Sequence[str]) -> list[Fault]:
    """Return faults for so many seconds, each kind about as often as any other; the same for the same seed."""
    chance = random.Random(seed)
    found: list[Fault] = []
    free = {"broker": SETTLED, "database": 0.0}
    at, deck = chance.uniform(*APART), list[str]()
    while kinds:
        deck = deck or chance.sample(list(kinds), len(kinds))
        kind = deck.pop()
        needed, after = ALONE.get(kind, ("", 0.0))
        lasting = round(chance.uniform(*KINDS[kind]), 2)
        at = max(at, free.get(needed, 0.0))
        if at + lasting > seconds:
            break
        found.append(Fault(round(at, 2), kind, lasting, chance.randrange(1 << 30)))
        if needed:
            free[needed] = at + lasting + after
        at += chance.uniform(*APART)
    return found
