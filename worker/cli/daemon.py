"""The daemon ``stocktake-worker``: a parent that watches over worker processes and hands its signals down.

SIGTERM drains, SIGHUP reads the mutable options again, in the parent first, so that a worker that is started later has
them too. A worker that dies is started anew. What cannot work is refused before the first worker is started; what is
only away, the database or the broker, is waited for.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from importlib import metadata
from types import FrameType
from typing import Any, NoReturn

import cotyledon
from cotyledon import types
from oslo_config import cfg
from oslo_log import log

from worker import conf as options
from worker import errors, wiring
from worker.bus import connect, urls
from worker.cli import database, failures
from worker.core import node_tree

LOG = log.getLogger(__name__)

PROG = "stocktake-worker"
DESCRIPTION = "Keep the accounts: take casts and calls off the bus, write the database, send notifications."
EPILOG = f"""\
Without --config-file the files stocktake.conf and {PROG}.conf of ~/.stocktake, ~, /etc/stocktake or /etc are
read. [DEFAULT] transport_url and [database] connection are needed; "stocktake db sync" makes the database's tables.
SIGTERM drains and ends, SIGHUP reads the mutable options again. Exit code 2: one line says what cannot be worked with.
"""
DATABASE_EVERY = 2.0
"""Seconds between two tries to reach the database at start."""
DRAIN_SECONDS = 20.0
"""For the worker and for the relay each; what is not published by then is published by the next process."""
KILL_SECONDS = 60


class Accounts(cotyledon.Service):
    """One worker process: a consumer with its engine, and a relay."""

    name = "accounts"
    graceful_shutdown_timeout = KILL_SECONDS

    def __init__(self, worker_id: types.WorkerId, conf: cfg.ConfigOpts, rules: node_tree.Rules) -> None:
        """Build everything; nothing is connected yet."""
        super().__init__(worker_id)
        self._conf = conf
        wiring.tune_collector()
        self._running = wiring.Running(conf, rules=rules)

    def run(self) -> None:
        """Start to work, in threads of their own."""
        threading.excepthook = end_process
        self._running.start()

    def terminate(self) -> None:
        """Finish the batch, give the rest back, publish what is due."""
        self._running.stop(DRAIN_SECONDS)

    def reload(self) -> None:
        """Take over the mutable options; the parent has said it if the files are bad."""
        try:
            options.reload(self._conf)
        except errors.Misconfigured as error:
            LOG.debug("action=reload refused, the options stay as they were: %s", error)


def end_process(failed: threading.ExceptHookArgs) -> None:
    """End a process whose thread has failed, for the parent to start it anew: without it, it would be deaf."""
    about = (failed.exc_type, failed.exc_value or failed.exc_type(), failed.exc_traceback)
    LOG.critical("action=stop the thread %s failed", failed.thread and failed.thread.name, exc_info=about)
    os._exit(1)


def main() -> int:
    """Be the command ``stocktake-worker``."""
    # oslo.messaging registers its tracing options on the global object only, so that one is handed down
    return run(sys.argv[1:], cfg.CONF)  # noqa: TID251 - the composition root


def run(argv: Sequence[str], conf: cfg.ConfigOpts) -> int:
    """Run workers until told to stop; return 2 with one line on standard error for what cannot be worked with."""
    # until the workers' parent takes the signals: stop at once, and there is nothing to read again yet
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        version = metadata.version("stocktake")
        options.configure(conf, argv, prog=PROG, version=version, description=DESCRIPTION, epilog=EPILOG)
        set_up_log(conf)
        rules = wiring.trees(conf)
        check(conf)
    except errors.Misconfigured as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        return failures.UNUSABLE
    conf.log_opt_values(LOG, logging.DEBUG)
    manager = cotyledon.ServiceManager(graceful_shutdown_timeout=KILL_SECONDS)
    manager.add(Accounts, workers=conf.worker.processes, args=(conf, rules))
    manager.register_hooks(on_reload=lambda: reload(conf))
    manager.run()
    return 0


def set_up_log(conf: cfg.ConfigOpts) -> None:
    """Let oslo.log write as it is configured; raises Misconfigured for a file that it cannot use."""
    try:
        log.setup(conf, options.PROJECT)
    except log.LogConfigError as error:
        raise errors.Misconfigured(f"log_config_append: {' '.join(str(error).split())}") from error
    except OSError as error:
        raise errors.Misconfigured(f"log_file: {error.filename}: {error.strerror}") from error


def check(conf: cfg.ConfigOpts) -> None:
    """Raise Misconfigured for what this daemon cannot work with; wait for a database that is away."""
    for url in (None, urls.notification_url(conf)):
        refuse_in_process(conf, url, PROG)
    connect.consumer(conf, conf.worker.topic, conf.worker.batch_size, conf.worker.batch_wait)
    connect.publisher(conf)
    bind = wiring.database(conf)
    LOG.info(
        "action=start version=%s processes=%d topic=%s claim_policy=%s database=%s",
        metadata.version("stocktake"),
        conf.worker.processes,
        conf.worker.topic,
        conf.worker.claim_policy,
        database.described(bind),
    )
    try:
        wait_for_database(lambda: database.check(bind), threading.Event().wait)
    finally:
        bind.dispose()


def refuse_in_process(conf: cfg.ConfigOpts, url: str | None, prog: str) -> None:
    """Raise Misconfigured for a transport that lives in one process only."""
    scheme = urls.scheme(conf, url)
    if scheme != urls.RABBIT:
        raise errors.Misconfigured(
            f"transport_url: {scheme}:// reaches nobody outside this process; {prog} needs {urls.RABBIT}://"
        )


def wait_for_database(check_it: Callable[[], None], pause: Callable[[float], Any]) -> None:
    """Try until the database answers; raises Misconfigured if it is not one to work with."""
    while True:
        try:
            check_it()
        except errors.DatabaseUnavailable as error:
            LOG.warning("action=wait the database cannot be reached, next try in %g s: %s", DATABASE_EVERY, error)
            pause(DATABASE_EVERY)
        else:
            return


def reload(conf: cfg.ConfigOpts) -> None:
    """Take over the mutable options of the files, or say in one line why everything stays as it was."""
    try:
        changed = options.reload(conf)
    except errors.Misconfigured as error:
        LOG.error("action=reload refused, the options stay as they were: %s", error)  # noqa: TRY400 - one line says it
        return
    names = ", ".join(f"[{group or 'DEFAULT'}] {name}" for group, name in sorted(changed, key=str))
    LOG.info("action=reload %s", names or "nothing has changed")


def leave(_number: int, _frame: FrameType | None) -> NoReturn:
    """End while there is no worker yet."""
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
