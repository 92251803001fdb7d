"""The daemon ``stocktake-placement``: takes notifications and keeps a Placement service equal to our accounts.

SIGTERM finishes the batch in hand and ends. What cannot work is refused at the start; what is only away, the broker, the
database or Placement, is waited for. A second one stands by until the first is gone.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Sequence
from importlib import metadata

import cotyledon
from cotyledon import types
from oslo_config import cfg
from oslo_log import log

from worker import conf as options
from worker import errors, placement_wiring, wiring
from worker.bus import connect, urls
from worker.cli import daemon, database, failures
from worker.placement import faults

LOG = log.getLogger(__name__)

PROG = "stocktake-placement"
DESCRIPTION = "Keep a Placement service equal to our accounts, from the notifications of the workers."
EPILOG = """\
[placement] says where Placement is; [placement] topic must be among [oslo_messaging_notifications] topics of the workers.
The database is the workers'. SIGTERM ends it. Exit code 2: one line says what cannot be worked with.
"""
DRAIN_SECONDS = 30.0
DRY_RUN = cfg.BoolOpt(
    "dry-run",
    default=False,
    help="Print the requests that would be sent for the notifications that wait, acknowledge none of them, and end.",
)


class Feeding(cotyledon.Service):
    """The one process that works."""

    name = "placement"
    graceful_shutdown_timeout = daemon.KILL_SECONDS

    def __init__(self, worker_id: types.WorkerId, conf: cfg.ConfigOpts) -> None:
        """Build everything; nothing is connected yet."""
        super().__init__(worker_id)
        self._feeding = placement_wiring.Feeding(conf)

    def run(self) -> None:
        """Start to work, in a thread of its own."""
        threading.excepthook = daemon.end_process
        self._feeding.start()

    def terminate(self) -> None:
        """Finish the batch and give the rest back."""
        self._feeding.stop(DRAIN_SECONDS)


def main() -> int:
    """Be the command ``stocktake-placement``."""
    # oslo.messaging registers its tracing options on the global object only, so that one is handed down
    return run(sys.argv[1:], cfg.CONF)  # noqa: TID251 - the composition root


def run(argv: Sequence[str], conf: cfg.ConfigOpts) -> int:
    """Work until told to stop; return 2 with one line on standard error for what cannot be worked with."""
    signal.signal(signal.SIGTERM, daemon.leave)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    conf.register_cli_opt(DRY_RUN)
    try:
        version = metadata.version("stocktake")
        options.configure(conf, argv, prog=PROG, version=version, description=DESCRIPTION, epilog=EPILOG)
        daemon.set_up_log(conf)
        check(conf)
        if conf.dry_run:
            return rehearse(conf)
    except errors.Misconfigured as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        return failures.UNUSABLE
    conf.log_opt_values(LOG, logging.DEBUG)
    manager = cotyledon.ServiceManager(graceful_shutdown_timeout=daemon.KILL_SECONDS)
    manager.add(Feeding, workers=1, args=(conf,))
    manager.run()
    return 0


def rehearse(conf: cfg.ConfigOpts) -> int:
    """Say what would be done, and nothing else."""
    try:
        count = placement_wiring.rehearse(conf, print)
    except (faults.Unavailable, errors.BusUnavailable, errors.DatabaseUnavailable, errors.Malformed) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        return failures.UNUSABLE
    print(f"# {count} notifications, left where they are")
    return 0


def check(conf: cfg.ConfigOpts) -> None:
    """Raise Misconfigured for what this daemon cannot work with; wait for a database that is away."""
    daemon.refuse_in_process(conf, urls.notification_url(conf), PROG)
    placement_wiring.placement(conf)
    said = conf.placement
    connect.notifications(conf, said.topic, said.batch_size, said.batch_wait)
    bind = wiring.database(conf)
    where = said.endpoint_override or f"the endpoint of {said.service_type}"
    LOG.info(
        "action=start version=%s topic=%s database=%s placement=%s",
        metadata.version("stocktake"), said.topic, database.described(bind), where,
    )  # fmt: skip
    try:
        daemon.wait_for_database(lambda: database.check(bind), threading.Event().wait)
    finally:
        bind.dispose()


if __name__ == "__main__":
    sys.exit(main())
