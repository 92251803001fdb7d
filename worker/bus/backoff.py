"""How long to wait before the next try to connect: doubled each time, splayed so that workers do not return at once."""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """Waits in seconds. ``random`` gives a float in [0, 1), as ``random.random`` does."""

    def __init__(
        self, random: Callable[[], float], first: float = 1.0, limit: float = 30.0, splay: float = 1.0
    ) -> None:
        self._random = random
        self._first = first
        self._limit = limit
        self._splay = splay
        self._next = first

    def wait(self) -> float:
        """Return the seconds to wait now: the present step and up to ``splay`` more."""
        step = self._next
        self._next = min(step * 2, self._limit)
        return step + self._random() * self._splay

    def reset(self) -> None:
        """Begin anew after a success."""
        self._next = self._first
