"""A server in a process of its own: a task as JSON on standard input, its figures as JSON on standard output."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from tests.benchmark import floor, noop, ours, plain, settings

SERVERS: Mapping[str, Callable[[settings.Task], dict[str, Any]]] = {
    "noop": noop.run,
    "plain": plain.run,
    "ours": ours.run,
    "floor": floor.run,
}


def main() -> None:
    """Measure, and leave without waiting for threads of libraries."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    task = settings.Task(**json.loads(sys.stdin.readline()))
    result = SERVERS[task.server](task)
    sys.stdout.write(json.dumps(result))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
