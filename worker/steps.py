"""Names for the moments in the life of a batch between which a process may die.

Nothing listens here in a worker at work. A test sets ``WATCH.reached`` and lets the process die at each of them.
"""

from __future__ import annotations

from collections.abc import Callable

TAKEN = "taken"
READ = "read"
LOADED = "loaded"
DECIDED = "decided"
SAVED = "saved"
COMMITTED = "committed"
ANSWERED = "answered"
SETTLED = "settled"
DUE = "due"
WRITTEN = "written"
CONFIRMED = "confirmed"
MARKED = "marked"

ALL = (TAKEN, READ, LOADED, DECIDED, SAVED, COMMITTED, ANSWERED, SETTLED, DUE, WRITTEN, CONFIRMED, MARKED)
"""In the order of a batch: deliveries off the bus, understood, their records locked and read, decided upon, everything
written but not committed, committed, answered but not acknowledged, acknowledged; then its notifications: read from the
outbox, written to the broker, confirmed by it, marked as sent."""


class Watch:
    """Who is told that a step was reached: nobody, unless a test says otherwise."""

    def __init__(self) -> None:
        self.reached: Callable[[str], None] = _nobody


def _nobody(step: str) -> None:
    pass


WATCH = Watch()
