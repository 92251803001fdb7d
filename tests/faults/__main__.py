"""Many seeds: ``python -m tests.faults --seeds 5000 --first 1000 [--casts 200] [--database URL]``."""

from __future__ import annotations

import argparse
import logging
import sys
import time
import traceback
from collections.abc import Sequence

from tests.faults import ward
from worker.testing import faults


def main(arguments: Sequence[str] | None = None, parts: ward.Parts = ward.RIGHT) -> int:
    """Try the seeds and say how it went; return 1 if one failed."""
    parser = argparse.ArgumentParser("python -m tests.faults", description="whole workers behind a faulty bus")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the first seed (0)")
    parser.add_argument("--seeds", type=int, default=1000, metavar="N", help="how many (1000)")
    parser.add_argument("--casts", type=int, default=ward.CASTS, metavar="N", help=f"casts a seed ({ward.CASTS})")
    parser.add_argument("--database", default="sqlite://", metavar="URL", help="a scratch database: it is emptied")
    said = parser.parse_args(arguments)
    began = time.monotonic()
    made = ward.Ward(said.database, parts)
    failed = sum(_fails(made, seed, said.casts) for seed in range(said.first, said.first + said.seeds))
    made.close()
    print(f"{said.seeds} seeds from {said.first} on: {failed} failed, {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


def _fails(made: ward.Ward, seed: int, casts: int) -> bool:
    try:
        made.run(seed, faults.STORM, casts)
    except Exception:  # noqa: BLE001 - whatever it is, the other seeds are tried as well
        print(f"seed {seed}:\n{traceback.format_exc()}", flush=True)
        return True
    return False


if __name__ == "__main__":
    logging.getLogger("worker").setLevel(logging.CRITICAL)  # each of the faults would be told
    sys.exit(main())
