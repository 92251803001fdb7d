"""Errors that tell whose fault it is and what happens next."""

from __future__ import annotations

from typing import Any


class StocktakeError(Exception):
    """The base of every error of ours."""


class BusUnavailable(StocktakeError):
    """The message bus cannot be reached or dropped us: connect anew, later."""


class DatabaseUnavailable(StocktakeError):
    """The database cannot be reached or dropped us: keep the batch and try it again."""


class Conflict(StocktakeError):
    """Another worker changed the same rows first: read everything again and repeat the batch."""


class Misconfigured(StocktakeError):
    """An option or a file says what cannot be followed; the message names it."""


class Malformed(StocktakeError):
    """A message that cannot be taken as it is: park it with this reason, which names the field at fault.

    ``message_id``, ``method`` and ``reply`` (where a call waits for its answer) are what could still be read of it, else
    None.
    """

    def __init__(
        self, reason: str, *, field: str | None = None, message_id: str | None = None, method: str | None = None
    ) -> None:
        super().__init__(reason)
        self.field = field
        self.message_id = message_id
        self.method = method
        self.reply: Any = None
