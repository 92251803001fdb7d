"""``python -m tests.acceptance.doomed URL DATABASE BATCH_SIZE STEP [MESSAGE]``: a worker that dies like a machine.

At the first STEP; with ``read`` and the id of a MESSAGE, whenever it reads that one. Else it works until its parent ends it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

from tests import stands
from worker import intake, interfaces, steps, wiring
from worker.bus import publisher

WRITTEN_AT_ONCE = 4
"""Notifications in one write: who dies at the first has published a part of them."""


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _poison(message_id: str) -> None:
    """Make reading one message deadly."""
    read = intake.cause

    def cause(envelope: interfaces.Envelope, *arguments: Any) -> Any:
        if envelope.message_id == message_id:
            _die()
        return read(envelope, *arguments)

    vars(intake)["cause"] = cause


def main() -> None:
    """Work."""
    url, database, batch_size, step, *message = sys.argv[1:]
    if message:
        _poison(*message)
    else:
        steps.WATCH.reached = lambda reached: _die() if reached == step else None
    publisher.AT_ONCE = WRITTEN_AT_ONCE
    conf = stands.configuration(
        url, database, claim_policy="none", batch_size=int(batch_size), batch_wait=0.2, max_attempts=3, reconnect_splay=0.0,
        notifications__lease_seconds=2,
    )  # fmt: skip
    wiring.Running(conf).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
