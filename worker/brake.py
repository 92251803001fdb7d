"""The kill switch: when nearly everything fails, something is wrong that no message is to blame for.

A schema that was not upgraded, a conductor of another version, a bug: each would park a whole queue in minutes. So taking
pauses, one message tries whether all is well again, and only then it goes on.
"""

from __future__ import annotations

import collections
import dataclasses
import time
from collections.abc import Callable


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """When to pause: more than ``share`` of at least ``minimum`` messages failed within ``window`` seconds.

    ``seconds`` is how long a pause lasts. A share of 1 never pauses.
    """

    share: float = 0.9
    window: float = 60.0
    minimum: int = 100
    seconds: float = 30.0


class Brake:
    """Counts what failed; ``engaged`` until a single message has gone well."""

    def __init__(self, settings: Callable[[], Settings], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._monotonic = monotonic
        self._noted: collections.deque[tuple[float, int, int]] = collections.deque()
        self.engaged = False

    @property
    def seconds(self) -> float:
        """How long a pause lasts."""
        return self._settings().seconds

    def note(self, total: int, failed: int) -> None:
        """Take in what became of messages; while engaged any that went well releases."""
        if not total:
            return
        if self.engaged:
            self.engaged = failed == total
            return
        settings, now = self._settings(), self._monotonic()
        self._noted.append((now, total, failed))
        while self._noted[0][0] < now - settings.window:
            self._noted.popleft()
        everything, bad = (sum(one[place] for one in self._noted) for place in (1, 2))
        if everything >= settings.minimum and bad > settings.share * everything:
            self.engaged = True
            self._noted.clear()
