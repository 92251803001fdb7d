"""A bounded number of tries against somebody who changes the same thing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TypeVar

from worker.placement import faults

Result = TypeVar("Result")
FIRST = 0.05
LONGEST = 2.0


@dataclasses.dataclass(frozen=True, slots=True)
class Patience:
    """``random`` gives a float in [0, 1), ``sleep`` waits for seconds."""

    attempts: int
    random: Callable[[], float]
    sleep: Callable[[float], object]

    def tries(self) -> Iterator[int]:
        """Yield the number of each try, with a wait by chance before each but the first, longer from try to try."""
        for number in range(self.attempts):
            if number:
                self.sleep(self.random() * min(FIRST * 2**number, LONGEST))
            yield number

    def insist(self, work: Callable[[], Result]) -> Result:
        """Return what the work returns once nobody is faster; raises Unavailable after so many tries."""
        last: faults.Stale | None = None
        for _ in self.tries():
            try:
                return work()
            except faults.Stale as error:
                last = error
        raise self.exhausted(last)

    def exhausted(self, last: Exception | None) -> faults.Unavailable:
        """Return the error of having tried often enough for now."""
        return faults.Unavailable(f"something there was changed by others at {self.attempts} tries in a row: {last}")
