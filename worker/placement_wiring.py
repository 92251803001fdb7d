"""Puts stocktake-placement together: Placement, the database, the bus and the parts that know none of them."""

from __future__ import annotations

import functools
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from keystoneauth1 import adapter, loading
from keystoneauth1 import exceptions as ksa
from oslo_config import cfg
from oslo_log import log

from worker import errors, handler, interfaces, listening, maintenance, mapping, wiring
from worker.bus import connect, wire
from worker.core import announce, claims, events, records, world
from worker.db import placement_memory, reading, relay_store, unit_of_work
from worker.placement import check, client, desired, faults, memory, patience, service, sync

LOG = log.getLogger(__name__)

GROUP = "placement"
TRIES = 5
"""Of reading our own side while it changes."""


def placement(
    conf: cfg.ConfigOpts, pulse: Callable[[], None] = lambda: None, dry: Callable[[str], None] | None = None
) -> client.Placement:
    """Return the Placement of [placement]; connects to nothing yet. Raises Misconfigured."""
    return client.Placement(_adapter(conf), client.version(conf.placement.min_microversion), pulse, dry)


def _adapter(conf: cfg.ConfigOpts) -> adapter.Adapter:
    try:
        auth = loading.load_auth_from_conf_options(conf, GROUP)
        session = loading.load_session_from_conf_options(conf, GROUP, auth=auth)
        found: adapter.Adapter = loading.load_adapter_from_conf_options(conf, GROUP, session=session, auth=auth)
    except (ksa.ClientException, cfg.Error, ValueError, TypeError) as error:
        raise errors.Misconfigured(f"[placement] {' '.join(str(error).split())}") from error
    if auth is None:
        raise errors.Misconfigured("[placement] auth_type: is not set; none with endpoint_override asks no Keystone")
    if conf.placement.auth_type == "none" and not (conf.placement.endpoint_override or conf.placement.endpoint):
        raise errors.Misconfigured("[placement] endpoint_override: is not set, and auth_type = none has no catalog")
    return found


def patient(conf: cfg.ConfigOpts, sleep: Callable[[float], Any] = time.sleep) -> patience.Patience:
    """Return how often a change is tried against others."""
    return patience.Patience(conf.placement.max_attempts, random.random, sleep)


def synchronizer(conf: cfg.ConfigOpts, of: client.Placement, kept: memory.Memory) -> sync.Sync:
    """Return what brings this Placement to what is wanted."""
    return sync.Sync(of, kept, patient(conf), conf.placement.allocation_batch)


class Ours:
    """Our accounts as intents, read from the database as notifications would tell them."""

    def __init__(self, bind: sa.Engine) -> None:
        self._bind = bind
        self._store = relay_store.RelayStore(bind)

    def everything(self) -> desired.Wanted:
        """Return what is wanted of every provider and consumer."""
        found = desired.Wanted()
        for pairs in maintenance.pages(self._store):
            found = desired.joined(found, self.on(pairs))
        return found

    def on(self, pairs: list[records.Pair]) -> desired.Wanted:
        """Return what is wanted of the providers of these pairs and of the consumers there."""
        return _wanted(_again(lambda: self._standing(pairs)))

    def of_node(self, node_uuid: str) -> desired.Wanted:
        """Return what is wanted of one node; nothing for one that is not known."""
        pairs = [sheet.account.pair for sheet in reading.sheets(self._bind, [node_uuid])]
        return self.on(pairs) if pairs else desired.Wanted()

    def consumers(self, uuids: Collection[str]) -> dict[str, desired.Consumer]:
        """Return what these consumers hold, perhaps nothing; those that nobody told us of are left out."""
        found: dict[str, desired.Consumer] = {}
        left = set(uuids)
        for instance in self._instances(left):
            found |= _wanted(_again(functools.partial(self._of_instance, instance))).consumers
        return found

    def _instances(self, consumers: set[str]) -> Iterator[str]:
        """Yield the instances to which consumers belong: by their own uuid, or by that of one of their moves."""
        for consumer in sorted(consumers):
            if reading.book(self._bind, consumer) is not None:
                consumers.discard(consumer)
                yield consumer
        marker = None
        while consumers and (page := reading.books(self._bind, marker, reading.PAGE)):
            marker = page[-1].uuid
            for book in page:
                moves = {move.uuid for move in book.moves}
                if moves & consumers:
                    consumers -= moves
                    yield book.uuid

    def _standing(self, pairs: list[records.Pair]) -> Iterable[events.Event]:
        with unit_of_work.UnitOfWork(self._bind) as unit:
            return maintenance.standing(unit, pairs, wiring.clock())

    def _of_instance(self, instance: str) -> Iterable[events.Event]:
        with unit_of_work.UnitOfWork(self._bind) as unit:
            books = world.World(wiring.clock(), claims.Policy())
            books.add(books=unit.books.instances([instance]))
            handler.load_pairs(unit.books, frozenset(), books)
            return announce.consumers_of(books, instance)


def _again(read: Callable[[], Iterable[events.Event]]) -> Iterable[events.Event]:
    for _ in range(TRIES - 1):
        try:
            return read()
        except errors.Conflict:
            continue
    return read()


def _wanted(told: Iterable[events.Event]) -> desired.Wanted:
    now = wiring.clock()
    frames = (mapping.notification(event, str(uuid.uuid4()), now) for event in told)
    return desired.coalesced(notification(frame) for frame in frames)


def notification(frame: interfaces.Frame) -> listening.Notification:
    """Return a frame in the form of the consumers' library; raises Malformed for a payload that is not what it says."""
    try:
        told = listening.Notification(
            frame.event_id, frame.event_type, listening.fields(frame.payload), frame.publisher_id, frame.timestamp
        )
        desired.coalesced([told])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise errors.Malformed(f"payload of {frame.event_type}: {type(error).__name__} {error}") from error
    return told


def checker(bind: sa.Engine, of: client.Placement, kept: memory.Memory) -> check.Check:
    """Return what compares our accounts with this Placement."""
    return check.Check(of, kept, Ours(bind).consumers)


class Feeding:
    """stocktake-placement at work in this process."""

    def __init__(self, conf: cfg.ConfigOpts, health: Callable[[str], None] = lambda _: None) -> None:
        options = conf.placement
        self._bind = wiring.database(conf)
        self._ours = Ours(self._bind)
        self._stopped = threading.Event()
        self._placement = placement(conf, pulse=self._pulse)
        self._kept = placement_memory.PlacementMemory(self._bind)
        self._sync = sync.Sync(self._placement, self._kept, patient(conf, self._stopped.wait), options.allocation_batch)
        limits = wire.Limits(conf.limits.message_bytes, conf.limits.nesting_depth)
        parts = service.Parts(
            consumer=connect.notifications(conf, options.topic, options.batch_size, options.batch_wait),
            read=lambda delivery: notification(wire.decode_notification(delivery, limits)),
            sync=self._sync,
            heal=self._heal,
            lapse=self._placement.forget_version,
            leases=relay_store.RelayStore(self._bind),
            backoff=wiring.waiting(conf),
        )
        holder = f"{socket.gethostname()[:32]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        settings = service.Settings(options.retry_interval, conf.notifications.lease_seconds, holder)
        self.feeder = service.Feeder(parts, settings, health)
        self._thread = threading.Thread(target=self.feeder.run, name="stocktake-placement", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Finish the batch and give the rest back, within so many seconds."""
        self.feeder.stop()
        self._stopped.set()
        self._thread.join(seconds)
        if self._thread.is_alive():
            LOG.warning("action=drain the batch in hand did not end within %.0f s and is given back", seconds)
        self._bind.dispose()

    def _pulse(self) -> None:
        self.feeder.pulse()

    def _heal(self, node_uuid: str) -> None:
        """Make one node right from the database; what its notifications still say is older, and what comes later newer."""
        wanted = self._ours.of_node(node_uuid)
        try:
            report = checker(self._bind, self._placement, self._kept).compare(wanted, whole=False)
        except faults.Stale as error:
            raise faults.Unavailable(f"a provider vanished while it was looked at: {error}") from error
        LOG.info("action=heal node %s: %d differences", node_uuid, len(report.differences))
        self._sync.apply(report.remedy)


def rehearse(conf: cfg.ConfigOpts, say: Callable[[str], None]) -> int:
    """Say what would be written for what waits in the queue, as far as it is given out at once; return how many messages.

    Nothing is written and nothing acknowledged.
    """
    bind = wiring.database(conf)
    options = conf.placement
    dry = placement(conf, dry=say)
    limits = wire.Limits(conf.limits.message_bytes, conf.limits.nesting_depth)
    consumer = connect.notifications(conf, options.topic, options.batch_size, options.batch_wait)
    told: list[listening.Notification] = []
    try:
        consumer.open()
        while deliveries := consumer.batch():
            told += [notification(wire.decode_notification(delivery, limits)) for delivery in deliveries]
        synchronizer(conf, dry, memory.ReadOnly(placement_memory.PlacementMemory(bind))).apply(desired.coalesced(told))
    finally:
        consumer.close()
        bind.dispose()
    return len(told)
