"""What Placement answers when it does not do what is asked: wait, look again, or report."""

from __future__ import annotations

import dataclasses

from worker import errors


class Unavailable(errors.StocktakeError):
    """Placement cannot be reached, does not let us in, is too old or is broken: wait, and try the same again."""


class Stale(errors.StocktakeError):
    """Somebody else changed the same thing first: look again, and apply the same intent."""


class Missing(Stale):
    """What was there a moment ago is there no more."""


class Refused(errors.StocktakeError):
    """Placement does not do this, and would not if it were asked again: something else has to change first."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        """Take what it answered; ``code`` is Placement's own word, such as placement.duplicate_name."""
        super().__init__(detail)
        self.status = status
        self.code = code


DUPLICATE_NAME = "placement.duplicate_name"
CONCURRENT_UPDATE = "placement.concurrent_update"
INVENTORY_IN_USE = "placement.inventory.inuse"

NAME = "name"
NOT_OURS = "not ours"
UNKNOWN = "unknown"
CAPACITY = "capacity"
IN_USE = "in use"
REFUSED = "refused"


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """Something that cannot be done now: of what, in one word why, and in words; ``blockers`` are other providers."""

    subject: str
    kind: str
    text: str
    blockers: frozenset[str] = frozenset()
    final: bool = False
    """Nothing is to be tried again."""
