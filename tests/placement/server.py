"""A real Placement in a process of its own, to be started, stopped and killed by a test."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from urllib import request

STARTED_WITHIN = 30.0


class Server:
    """A Placement on a port of 127.0.0.1 that can be stopped and started on the same database."""

    def __init__(self, database: str, folder: pathlib.Path, *, everybody: bool = False) -> None:
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = int(found.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.database = database
        self._command = [sys.executable, "-m", "tests.placement", "--port", str(self.port)]
        self._command += ["--database", database, *(["--open"] if everybody else [])]
        self._log = folder / "placement.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        root = pathlib.Path(__file__).resolve().parents[2]
        with self._log.open("ab") as log:
            # coverage of the tests around it would measure it as well, and so slow it down
            environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, cwd=root, env=environment)
        end, never = time.monotonic() + STARTED_WITHIN, threading.Event()
        while not self._answers():
            if time.monotonic() > end or self._process.poll() is not None:
                raise AssertionError(f"Placement does not start: {self._log.read_text(encoding='utf-8')[-2000:]}")
            never.wait(0.05)

    def stop(self) -> None:
        """End it at once, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with request.urlopen(self.url, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@contextlib.contextmanager
def running(folder: pathlib.Path, database: str | None = None, *, everybody: bool = False) -> Iterator[Server]:
    """Lend a Placement over a database of its own: a file in the folder, or what the URL names."""
    server = Server(database or f"sqlite:///{folder / 'placement.db'}", folder, everybody=everybody)
    server.start()
    try:
        yield server
    finally:
        server.stop()
