"""Runs a real Placement as a server process of its own: ``python -m tests.placement.server --port 8778``.

Its database is given as a URL and made if it is empty; without one it is a SQLite file of the moment. There is no
Keystone: the token is the user, and ``admin`` may do everything, which is ``auth_type = admin_token``, ``token = admin``.
With ``--open`` everybody may, which is ``auth_type = none``. SIGTERM ends it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from urllib import request

import waitress
from placement import wsgi

STARTED_WITHIN = 30.0
RULES = ("admin_api", "admin_or_service_api", "admin_or_project_reader_or_service_api")
CONFIGURATION = """\
[api]
auth_strategy = noauth2
[placement_database]
connection = {url}
sync_on_startup = true
[oslo_policy]
policy_file = {rules}
"""


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m tests.placement.server", description=__doc__)
    parser.add_argument("--port", type=int, default=8778, help="on 127.0.0.1")
    parser.add_argument("--database", metavar="URL", help="as SQLAlchemy writes it; SQLite without it")
    parser.add_argument("--open", action="store_true", help="let everybody do everything")
    said = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="placement-") as folder:
        _serve(said.port, said.database, pathlib.Path(folder), everybody=said.open)


def _serve(port: int, database: str | None, folder: pathlib.Path, *, everybody: bool) -> None:
    url = database or f"sqlite:///{folder / 'placement.db'}"
    rules = folder / "policy.yaml"
    rules.write_text("".join(f'"{name}": "{"@" if everybody else "role:admin"}"\n' for name in RULES), encoding="utf-8")
    (folder / "placement.conf").write_text(CONFIGURATION.format(url=url, rules=rules), encoding="utf-8")
    os.environ["OS_PLACEMENT_CONFIG_DIR"] = str(folder)
    # SQLite takes one writer at a time, and Placement answers 500 to a second one
    threads = 1 if url.startswith("sqlite") else 4
    waitress.serve(wsgi.init_application(), host="127.0.0.1", port=port, threads=threads, _quiet=True)


class Server:
    """A Placement on a port of 127.0.0.1 that can be stopped and started on the same database."""

    def __init__(self, database: str, folder: pathlib.Path, *, everybody: bool = False) -> None:
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = int(found.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", "tests.placement.server", "--port", str(self.port)]
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


if __name__ == "__main__":
    main()
