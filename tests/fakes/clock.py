"""Time and patience that tests decide on."""

from __future__ import annotations

from collections.abc import Callable


class Clock:
    """Microseconds since 1970 that go on when told to, or by ``step`` each time they are asked for."""

    def __init__(self, now: int, step: int = 0) -> None:
        self.now = now
        self._step = step

    def __call__(self) -> int:
        """Return the time."""
        self.now += self._step
        return self.now

    def pass_(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.now += int(seconds * 1_000_000)


class Backoff:
    """Waits for no time; counts, and does something meanwhile."""

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.waits = 0
        self.resets = 0
        self._meanwhile = meanwhile

    def wait(self) -> float:
        """Return no seconds."""
        self.waits += 1
        self._meanwhile()
        return 0.0

    def reset(self) -> None:
        """Count a success."""
        self.resets += 1
