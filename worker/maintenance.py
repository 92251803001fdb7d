"""What the active relay's process does on the side: periodic snapshots of providers, and retention."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from oslo_log import log

from worker import errors, handler, interfaces
from worker.core import announce as announcing
from worker.core import claims, events, providers, records, world

LOG = log.getLogger(__name__)

PAGE = 200
SECOND = 1_000_000
CHORES_EVERY = 60.0  # seconds
MANY = 10000
"""So many rows purged in one turn mean that there are more: they go in the next turn, not in a minute."""


class Store(Protocol):
    """What retention and snapshots need of the database."""

    def pairs(self, after: str, limit: int) -> Sequence[tuple[str, records.Pair]]:
        """Return the next accounts by id, with their pairs."""

    def purge(self, inbox_before: int, outbox_before: int) -> int:
        """Delete some of the marks and sent notifications older than that; return how many."""


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Intervals and ages in seconds; an interval of 0 switches the snapshots off."""

    exists_interval: int
    inbox_retention: int
    outbox_retention: int


class Maintenance:
    """Runs chores when they are due; ``clock`` gives microseconds since 1970, ``monotonic`` seconds of whatever start."""

    def __init__(
        self,
        store: Store,
        unit_of_work: Callable[[], interfaces.UnitOfWork],
        clock: Callable[[], int],
        settings: Callable[[], Settings],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._settings = settings
        self._monotonic = monotonic
        self._next_chores = monotonic()
        self._next_snapshot = monotonic() + settings().exists_interval

    def turn(self) -> None:
        """Do what is due now; raises DatabaseUnavailable."""
        moment, settings = self._monotonic(), self._settings()
        if moment >= self._next_chores:
            self._next_chores = moment + CHORES_EVERY
            if self._purge(settings) >= MANY:
                self._next_chores = moment
        interval = settings.exists_interval
        if interval and moment >= self._next_snapshot:
            self._next_snapshot = moment + min(interval, CHORES_EVERY)  # what fails is tried again sooner
            LOG.info("action=announce %d providers", announce_all(self._store, self._unit_of_work, self._clock()))
            self._next_snapshot = moment + interval

    def _purge(self, settings: Settings) -> int:
        now = self._clock()
        purged = self._store.purge(now - settings.inbox_retention * SECOND, now - settings.outbox_retention * SECOND)
        if purged:
            LOG.debug("action=purge %d rows are past their retention", purged)
        return purged


def announce_all(store: Store, unit_of_work: Callable[[], interfaces.UnitOfWork], now: int) -> int:
    """Put a resource_provider.exists of every provider into the outbox, page by page; return how many."""
    return sum(announce(unit_of_work, pairs, now) for pairs in pages(store))


def pages(store: Store) -> Iterator[list[records.Pair]]:
    """Yield every pair, page by page."""
    after = ""
    while page := store.pairs(after, PAGE):
        after = page[-1][0]
        yield [pair for _, pair in page]


def announce(unit_of_work: Callable[[], interfaces.UnitOfWork], pairs: Sequence[records.Pair], now: int) -> int:
    """Put a snapshot of these pairs' providers into the outbox, consistent with their sequence; return how many."""
    with unit_of_work() as unit:
        books = world.World(now, claims.Policy())
        handler.load_pairs(unit.books, frozenset(pairs), books)
        snapshots = _snapshots(books, pairs)
        unit.outbox.add(snapshots, now)
        unit.commit()
    return len(snapshots)


def announce_whole(unit_of_work: Callable[[], interfaces.UnitOfWork], pairs: Sequence[records.Pair], now: int) -> int:
    """Do as ``announce`` does, and repeat what every consumer on these pairs holds; return how many notifications.

    For a consumer that comes late: after it, all that is held there has been told. Raises Conflict if another instance
    came there meanwhile.
    """
    with unit_of_work() as unit:
        told = standing(unit, pairs, now)
        unit.outbox.add(told, now)
        unit.commit()
    return len(told)


def standing(unit: interfaces.UnitOfWork, pairs: Sequence[records.Pair], now: int) -> tuple[events.Event, ...]:
    """Return the snapshots of these pairs' providers, then those of all consumers there; raises Conflict."""
    accounts = frozenset(handler.account_of(pair) for pair in pairs)
    books = world.World(now, claims.Policy())
    books.add(books=unit.books.instances(unit.books.residents(accounts)))
    handler.load_pairs(unit.books, frozenset(pairs), books)
    if not frozenset(unit.books.residents(accounts)) <= books.books.keys():
        raise errors.Conflict("another instance came meanwhile to a node that is announced")
    return (*_snapshots(books, pairs), *announcing.standing(books, accounts))


def _snapshots(books: world.World, pairs: Sequence[records.Pair]) -> tuple[events.ProviderChanged, ...]:
    return tuple(one for pair in pairs for one in _snapshots_of(books, pair))


def _snapshots_of(books: world.World, pair: records.Pair) -> Iterator[events.ProviderChanged]:
    account = books.account(pair)
    node = books.speaker(account.id)
    if node is not None:
        for seen in providers.views(node, account, books.places_on(account.id)):
            yield events.ProviderChanged(events.EXISTS, node, node.generation, pair.host, seen, {}, ())


def quietly(turn: Callable[[], None]) -> None:
    """Do a chore; a database that is away, or busy, lets it wait for its next turn."""
    try:
        turn()
    except (errors.DatabaseUnavailable, errors.Conflict) as error:
        LOG.info("action=wait chores are put off: %s", error)
