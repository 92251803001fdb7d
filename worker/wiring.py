"""The composition root: from configuration to running parts; the only module that knows both sides."""

from __future__ import annotations

import contextlib
import gc
import os
import pathlib
import random
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Self

import sqlalchemy as sa
from oslo_config import cfg
from oslo_log import log

from worker import brake, engine, interfaces, maintenance, provider_config, relay, service, standard_names
from worker.bus import backoff, connect, wire
from worker.conf import limits as limit_options
from worker.core import claims, node_tree
from worker.db import engine as db_engine
from worker.db import reading, relay_store, schema, starts, unit_of_work

LOG = log.getLogger(__name__)

SECOND = 1_000_000
DRAIN_SECONDS = 30.0


def clock() -> int:
    """Return the time in microseconds since 1970."""
    return time.time_ns() // 1000


def database(conf: cfg.ConfigOpts) -> sa.Engine:
    """Return the database of [database]; connects to nothing yet. Raises Misconfigured."""
    return db_engine.create(conf)


def tune_collector() -> None:
    """Set Python's garbage collector for a process that does nothing but this work.

    What is loaded by now stays for good and is not looked at again. Batches make many short-lived values and no cycles to
    speak of: a collection every 20,000 of them finds what there is. It took a fifth of a cast's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def trees(conf: cfg.ConfigOpts) -> node_tree.Rules:
    """Return the rules for what is below the nodes' root providers, with the provider.yaml files; raises Misconfigured."""
    added, mark = provider_config.load(conf.compute.provider_config_location)
    return node_tree.Rules(added, standard_names.NAMES, conf.pci.report_in_placement, mark)


def policy(conf: cfg.ConfigOpts, rules: node_tree.Rules | None = None) -> claims.Policy:
    """Return what the operator decided on claims, audits and, for who carries out commands, trees."""
    return claims.Policy(
        claims=conf.worker.claim_policy,
        audit_grace=conf.worker.audit_grace * SECOND,
        migration_deadline=conf.worker.migration_deadline * SECOND,
        trees=rules or node_tree.Rules(),
    )


def settings(conf: cfg.ConfigOpts, rules: node_tree.Rules) -> engine.Settings:
    """Return the engine's settings as the options are now; the rules for trees are those of the start."""
    return engine.Settings(
        policy=policy(conf, rules),
        wire_limits=wire.Limits(conf.limits.message_bytes, conf.limits.nesting_depth),
        object_limits=limit_options.of_objects(conf),
        max_attempts=conf.worker.max_attempts,
        queue=conf.worker.topic,
        host=socket.gethostname(),
    )


def batch_engine(conf: cfg.ConfigOpts, bind: sa.Engine, rules: node_tree.Rules | None = None) -> engine.Engine:
    """Return the engine that carries out deliveries on this database, by rules for trees that may be read already."""
    rules = rules or trees(conf)
    return engine.Engine(
        unit_of_work=lambda: unit_of_work.UnitOfWork(bind),
        library=reading.Library(bind, lambda: policy(conf)),
        clock=clock,
        settings=lambda: settings(conf, rules),
        starts=starts.Starts(bind, clock),
    )


def pausing(conf: cfg.ConfigOpts) -> brake.Settings:
    """Return when the kill switch pauses the worker."""
    options = conf.worker
    return brake.Settings(options.pause_share, options.pause_window, options.pause_minimum, options.pause_seconds)


def waiting(conf: cfg.ConfigOpts) -> backoff.Backoff:
    """Return how long to wait between tries to connect."""
    options = conf.worker
    return backoff.Backoff(random.random, options.reconnect_wait, options.reconnect_limit, options.reconnect_splay)


def relay_loop(conf: cfg.ConfigOpts, bind: sa.Engine) -> relay.RelayLoop:
    """Return the loop that publishes what is due and does the chores while it is the active one."""
    store = relay_store.RelayStore(bind)
    holder = f"{socket.gethostname()[:32]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"

    def keep() -> None:
        one.keep()

    one = relay.Relay(
        store,
        connect.publisher(conf, keep),
        clock,
        holder,
        lambda: (conf.notifications.relay_batch, conf.notifications.lease_seconds),
    )
    chores = maintenance.Maintenance(
        store,
        lambda: unit_of_work.UnitOfWork(bind),
        clock,
        lambda: maintenance.Settings(
            conf.notifications.exists_interval, conf.worker.inbox_retention, conf.notifications.outbox_retention
        ),
    )
    return relay.RelayLoop(one, waiting(conf), lambda: maintenance.quietly(chores.turn))


class Running:
    """One worker and one relay at work in this process, on the bus and the database of ``conf``.

    ``consumer`` takes the place of the bus, ``health`` is told each change of state, ``rules`` are those of ``trees``.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        bind: sa.Engine | None = None,
        consumer: interfaces.Consumer | None = None,
        health: Callable[[str], None] = lambda _: None,
        rules: node_tree.Rules | None = None,
    ) -> None:
        self.bind = bind if bind is not None else database(conf)
        self.relay = relay_loop(conf, self.bind)
        options = conf.worker
        taken = consumer or connect.consumer(conf, options.topic, options.batch_size, options.batch_wait)
        self.worker = service.Worker(
            taken, batch_engine(conf, self.bind, rules), waiting(conf), self.relay.wake, health
        )
        self.worker.brake = brake.Brake(lambda: pausing(conf))
        self._threads = (
            threading.Thread(target=self.worker.run, name="stocktake-worker", daemon=True),
            threading.Thread(target=self.relay.run, name="stocktake-relay", daemon=True),
        )

    def start(self) -> None:
        """Begin to work."""
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float = DRAIN_SECONDS) -> None:
        """Finish the batch, give the rest back, publish what is due; for each of the two so many seconds at most."""
        for stop, thread in zip((self.worker.stop, self.relay.stop), self._threads, strict=True):
            stop()
            thread.join(seconds)
            if thread.is_alive():
                LOG.warning("action=drain %s did not end within %.0f s", thread.name, seconds)
        self.bind.dispose()

    def __enter__(self) -> Self:
        """Begin to work."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Drain."""
        self.stop()


@contextlib.contextmanager
def embedded(conf: cfg.ConfigOpts, transport_url: str = "kombu+memory://") -> Iterator[None]:
    """Set ``conf`` to an in-memory bus, a SQLite database of its own and no provider.yaml for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="stocktake-") as folder:
        conf.set_override("transport_url", transport_url)
        conf.set_override("provider_config_location", "", group="compute")
        conf.set_override("connection", f"sqlite:///{pathlib.Path(folder) / 'stocktake.db'}", group="database")
        bind = database(conf)
        schema.sync(bind)
        bind.dispose()
        try:
            yield
        finally:
            conf.clear_override("transport_url")
            conf.clear_override("connection", group="database")
            conf.clear_override("provider_config_location", group="compute")
