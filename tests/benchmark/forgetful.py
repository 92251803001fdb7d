"""The daemon with one thing changed: marks are forgotten as early as sent notifications are.

The option for marks allows no less than an hour, so that no operator has a message count twice. A steady run of half an
hour has to see them go.
"""

from __future__ import annotations

import sys

from worker.cli import daemon
from worker.db import relay_store


def main() -> int:
    """Be the daemon."""
    purge = relay_store.RelayStore.purge

    def purging(self: relay_store.RelayStore, inbox_before: int, outbox_before: int) -> int:
        return purge(self, max(inbox_before, outbox_before), outbox_before)

    relay_store.RelayStore.purge = purging  # type: ignore[method-assign]
    return daemon.main()


if __name__ == "__main__":
    sys.exit(main())
