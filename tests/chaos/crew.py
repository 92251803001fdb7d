"""The workers: two daemons as an operator runs them, killed, paused and started again."""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import signal

from tests.acceptance import site as sites
from tests.chaos import launcher

DAEMONS = 2
MODULE = "tests.chaos.launcher"


class Crew:
    """The daemons of one site; ``deaths`` has what no fault explains."""

    def __init__(self, site: sites.Site) -> None:
        self._site = site
        self._open = [contextlib.ExitStack() for _ in range(DAEMONS)]
        self._workers: list[sites.Worker] = []
        self.starts = 0
        self.deaths: list[str] = []
        self.clock(0)

    def start(self) -> None:
        """Start every daemon."""
        self._workers = [self._begin(number) for number in range(DAEMONS)]

    def _begin(self, number: int) -> sites.Worker:
        self.starts += 1
        return self._open[number].enter_context(self._site.worker(MODULE))

    def ready(self) -> bool:
        """Whether every daemon has begun to consume."""
        return self.said("action=health working") >= DAEMONS

    def said(self, words: str) -> int:
        """Return how often the workers have written these words into their log."""
        return self._workers[0].said.count(words)

    def watch(self) -> None:
        """Note a daemon that has ended by itself, and start it again."""
        for number, worker in enumerate(self._workers):
            if worker.process.poll() is not None:
                self.deaths.append(f"a daemon ended by itself with {worker.process.returncode}")
                self._again(number)

    def _again(self, number: int) -> None:
        self._open[number].close()  # kills the whole group
        self._workers[number] = self._begin(number)

    def kill(self, pick: int) -> str:
        """Kill a worker process, or now and then a whole daemon, which is started again; say which."""
        chance = random.Random(pick)
        number = chance.randrange(DAEMONS)
        if chance.random() < 0.3:
            self._again(number)
            return f"daemon {number}"
        return f"worker of daemon {number}: {_signal(self._children(number), signal.SIGKILL)}"

    def pause(self, pick: int) -> tuple[list[int], str]:
        """Stop the worker of one daemon where it is; return its processes, to go on with."""
        number = random.Random(pick).randrange(DAEMONS)
        found = self._children(number)
        return found, f"worker of daemon {number}: {_signal(found, signal.SIGSTOP)}"

    def proceed(self, processes: list[int]) -> str:
        """Let processes go on."""
        return _signal(processes, signal.SIGCONT)

    def clock(self, seconds: int) -> None:
        """Put the workers' clocks."""
        launcher.put(pathlib.Path(self._site.file).parent, seconds)

    def _children(self, number: int) -> list[int]:
        with contextlib.suppress(OSError):  # one ends while we look
            return self._workers[number].children()
        return []

    def end(self) -> list[int]:
        """Tell every daemon to stop and return their exit codes."""
        for worker in self._workers:
            worker.signal(signal.SIGTERM)
        return [worker.process.wait(sites.DEADLINE) for worker in self._workers]

    def close(self) -> None:
        """Kill what is left."""
        for one in self._open:
            one.close()


def _signal(processes: list[int], number: signal.Signals) -> str:
    done = []
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)
            done.append(str(process))
    return " ".join(done) or "none"
