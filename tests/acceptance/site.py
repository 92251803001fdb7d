"""A site of its own to run the worker on, as an operator would: a virtual host, a database, a configuration file."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import kombu.connection
import sqlalchemy as sa

from tests import services
from tests.contract import units_of_work
from worker.db import engine, tables

DEADLINE = 30.0
BLINK = 0.05


def until(condition: Callable[[], Any], what: str, seconds: float = DEADLINE) -> Any:
    """Return what the condition gives once it is true; fails after the deadline."""
    end, never = time.monotonic() + seconds, threading.Event()
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        never.wait(BLINK)
    raise AssertionError(f"waited {seconds:g} s for {what}")


class Site:
    """A worker's configuration, its broker and its database."""

    def __init__(self, folder: pathlib.Path, url: str, database: str) -> None:
        self.url = url
        self.database = database
        self.bind = engine.of_url(database)
        self.file = folder / "stocktake.conf"
        self.log = folder / "worker.log"
        self.options: dict[str, dict[str, Any]] = {
            "DEFAULT": {"transport_url": url},
            "database": {"connection": database},
            "worker": {"reconnect_wait": 0.1, "reconnect_limit": 0.5, "reconnect_splay": 0},
            "notifications": {"lease_seconds": 2},
        }
        self.write()

    @property
    def sender_url(self) -> str:
        """The url of another party: the exchange is durable, and so must be its own."""
        return f"{self.url}?rabbit_quorum_queue=true"

    def write(self, **worker: Any) -> None:
        """Write the configuration, with other options of [worker]."""
        self.options["worker"].update(worker)
        lines = [
            line
            for group, values in self.options.items()
            for line in (f"[{group}]", *(f"{name} = {value}" for name, value in values.items()))
        ]
        self.file.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def run(self, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        command = [sys.executable, "-m", module, "--config-file", str(self.file), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)

    def stocktake(self, *arguments: str) -> Any:
        """Run a command of the command line and return what it says in JSON."""
        done = self.run("worker.cli.main", *arguments, "-f", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def sync(self) -> None:
        """Bring the database to the schema, by the command."""
        done = self.run("worker.cli.main", "db", "sync")
        assert done.returncode == 0, done.stderr

    @contextlib.contextmanager
    def worker(self, module: str = "worker.cli.daemon") -> Iterator[Worker]:
        """Run the daemon, or another one; it is killed at the end unless it has ended."""
        written = self.log.with_name(f"{module}.log")
        with written.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, "--config-file", str(self.file)],
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            yield Worker(process, written)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self.bind.dispose()

    def count(self, table: sa.Table) -> int:
        """Return the number of rows of a table."""
        with self.bind.connect() as connection:
            return int(connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0)

    def due(self) -> int:
        """Return how many notifications are still to be sent."""
        with self.bind.connect() as connection:
            query = sa.select(sa.func.count()).where(tables.outbox.c.due == sa.true())
            return int(connection.scalar(query) or 0)

    @contextlib.contextmanager
    def admin(self) -> Iterator[Callable[[str], Any]]:
        """Lend a function that runs SQL as the server's administrator, from another database."""
        server = sa.make_url(services.URLS["postgresql"])
        bind = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with bind.connect() as connection:
            yield lambda text: connection.execute(sa.text(text))

    def close_database(self) -> None:
        """Let nobody into the database, and put out who is in."""
        name = sa.make_url(self.database).database
        self.bind.dispose()
        with self.admin() as run:
            run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")

    def open_database(self) -> None:
        """Let everybody in again."""
        with self.admin() as run:
            run(f"ALTER DATABASE {sa.make_url(self.database).database} ALLOW_CONNECTIONS true")

    @contextlib.contextmanager
    def channel(self) -> Iterator[Any]:
        """Lend a channel of the broker."""
        with kombu.connection.Connection(  # type: ignore[no-untyped-call]
            self.url.replace("rabbit://", "amqp://")
        ) as connection:
            yield connection.channel()

    def waiting(self, queue: str = "accounts") -> int:
        """Return how many messages are ready in a queue."""
        with self.channel() as channel:
            return int(channel.queue_declare(queue, passive=True).message_count)

    def notifications(self) -> list[dict[str, Any]]:
        """Take every notification that waits off the queue of priority info."""
        taken = []
        with self.channel() as channel:
            while (message := channel.basic_get("stocktake_notifications.info", no_ack=True)) is not None:
                taken.append(json.loads(json.loads(message.body)["oslo.message"]))
        return taken


class Worker:
    """A daemon at work."""

    def __init__(self, process: subprocess.Popen[bytes], log: pathlib.Path) -> None:
        self.process = process
        self._log = log

    @property
    def said(self) -> str:
        """Everything that it has written so far."""
        return self._log.read_text(encoding="utf-8")

    def says(self, pattern: str, times: int = 1) -> None:
        """Wait until it has written this so many times."""
        until(lambda: len(re.findall(pattern, self.said)) >= times or self._ended(), f"{pattern} in the log")
        assert len(re.findall(pattern, self.said)) >= times, self.said

    def working(self, processes: int = 1) -> None:
        """Wait until so many worker processes consume."""
        self.says("action=health working", processes)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the parent."""
        self.process.send_signal(number)

    def end(self) -> int:
        """Tell it to stop and return its exit code."""
        self.signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)

    def children(self) -> list[int]:
        """Return the worker processes."""
        threads = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/children")
        found = [int(pid) for thread in threads for pid in thread.read_text().split()]
        return sorted(found)

    def _ended(self) -> bool:
        return self.process.poll() is not None


class Forwarder:
    """Stands for a broker that comes late: passes what comes on a port on to the real one."""

    def __init__(self, port: int, to: tuple[str, int]) -> None:
        self._to = to
        self._listening = socket.create_server(("127.0.0.1", port))
        self._open = [self._listening]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(self._to)
                self._open += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Drop everything."""
        for one in self._open:
            one.close()


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextlib.contextmanager
def lent(folder: pathlib.Path) -> Iterator[Site]:
    """Lend a site on real services, without a schema yet."""
    with services.rabbit_vhost() as url, units_of_work.scratch("postgresql") as database:
        site = Site(folder, url, database)
        try:
            yield site
        finally:
            site.bind.dispose()
