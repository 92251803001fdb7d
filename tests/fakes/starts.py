"""Starts kept in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class Starts:
    """Satisfies interfaces.Starts."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def known(self, contents: Sequence[str]) -> Mapping[str, int]:
        """Return the counts of those that are here."""
        return {content: self.counts[content] for content in contents if content in self.counts}

    def begin(self, contents: Sequence[str]) -> None:
        """Count a start of each."""
        for content in set(contents):
            self.counts[content] = self.counts.get(content, 0) + 1

    def finish(self, contents: Sequence[str]) -> None:
        """Forget them."""
        for content in contents:
            self.counts.pop(content, None)
