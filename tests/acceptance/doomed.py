"""``python -m tests.acceptance.doomed URL DATABASE STEP``: a worker that dies like a machine at the first STEP."""

from __future__ import annotations

import os
import signal
import sys
import threading

from tests import stands
from worker import steps, wiring


def main() -> None:
    """Work until the step, or until a patient parent ends it."""
    url, database, step = sys.argv[1:]

    def die(reached: str) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    steps.WATCH.reached = die
    conf = stands.configuration(url, database, claim_policy="none", batch_size=50, batch_wait=0.2)
    wiring.Running(conf).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
