"""``python -m tests.chaos.launcher --config-file FILE``: the daemon ``stocktake-worker`` with a clock that can be put.

The file ``clock`` beside FILE says by how many seconds the worker's clock is ahead. The machine's own clock, and that of
the database, are left alone.
"""

from __future__ import annotations

import pathlib
import sys

from worker import wiring
from worker.cli import daemon

CLOCK = "clock"


def put(folder: pathlib.Path, seconds: int) -> None:
    """Put the clock of every worker whose configuration is in this folder."""
    fresh = folder / f"{CLOCK}.new"
    fresh.write_text(str(seconds), encoding="ascii")
    fresh.replace(folder / CLOCK)


def main() -> int:
    """Be the daemon."""
    file, clock = pathlib.Path(sys.argv[2]).with_name(CLOCK), wiring.clock
    vars(wiring)["clock"] = lambda: clock() + int(file.read_text(encoding="ascii")) * wiring.SECOND
    return daemon.main()


if __name__ == "__main__":
    sys.exit(main())
