"""What has to be known again after a restart: which providers and traits are our doing, and what could not be done yet."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Protocol


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """Our doing on one provider: whether we made it, and the traits that were not there before we set them."""

    made: bool
    traits: frozenset[str] = frozenset()


class Memory(Protocol):
    """Keeps marks by provider uuid and pending intents by subject, as text; every method raises DatabaseUnavailable."""

    def marks(self, uuids: Collection[str]) -> Mapping[str, Mark]:
        """Return what is kept of these providers."""

    def made(self) -> Collection[str]:
        """Return the providers that we made."""

    def mark(self, uuid: str, mark: Mark) -> None:
        """Keep this of a provider."""

    def forget(self, uuid: str) -> None:
        """Keep nothing of a provider any more."""

    def pending(self) -> Mapping[str, str]:
        """Return the intents that wait."""

    def keep(self, subject: str, intent: str) -> None:
        """Let an intent wait, in the place of an earlier one."""

    def drop(self, subject: str) -> None:
        """Let an intent wait no more."""


class ReadOnly:
    """A memory that changes nothing beneath it: for a dry run."""

    def __init__(self, beneath: Memory) -> None:
        self._beneath = beneath

    def marks(self, uuids: Collection[str]) -> Mapping[str, Mark]:
        """Return what is kept of these providers."""
        return self._beneath.marks(uuids)

    def made(self) -> Collection[str]:
        """Return the providers that we made."""
        return self._beneath.made()

    def mark(self, uuid: str, mark: Mark) -> None:
        """Keep nothing."""

    def forget(self, uuid: str) -> None:
        """Forget nothing."""

    def pending(self) -> Mapping[str, str]:
        """Return the intents that wait."""
        return self._beneath.pending()

    def keep(self, subject: str, intent: str) -> None:
        """Keep nothing."""

    def drop(self, subject: str) -> None:
        """Drop nothing."""


class MarksOnly(ReadOnly):
    """A memory that keeps marks and lets nothing wait: for who comes by once, while another process feeds Placement.

    An intent that it left behind would be old by the time that the other one finds it.
    """

    def mark(self, uuid: str, mark: Mark) -> None:
        """Keep this of a provider."""
        self._beneath.mark(uuid, mark)

    def forget(self, uuid: str) -> None:
        """Keep nothing of a provider any more."""
        self._beneath.forget(uuid)

    def pending(self) -> Mapping[str, str]:
        """Return nothing."""
        return {}
