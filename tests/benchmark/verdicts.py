"""A figure and what it is held to, as one line."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """One figure; ``most`` and ``least`` are its targets, neither of them for one that is only told."""

    name: str
    value: float
    unit: str
    most: float | None = None
    least: float | None = None

    @property
    def passed(self) -> bool:
        """Whether every target is reached."""
        return (self.most is None or self.value <= self.most) and (self.least is None or self.value >= self.least)

    def line(self) -> str:
        """Return it as a line of a table."""
        targets = [
            f"{sign} {target:g}" for sign, target in (("<=", self.most), (">=", self.least)) if target is not None
        ]
        word = ("pass" if self.passed else "FAIL") if targets else ""
        return f"{self.name:62}{self.value:10.2f} {self.unit:12}{' and '.join(targets):>12}  {word}".rstrip()


def lines(verdicts: Iterable[Verdict]) -> list[str]:
    """Return them as lines of a table, with what they are held to."""
    return [f"{'':62}{'measured':>10} {'':12}{'target':>12}", *(verdict.line() for verdict in verdicts)]
