"""A PostgreSQL cluster of its own, on a filesystem that can be full where the machine lets us make one."""

from __future__ import annotations

import contextlib
import pathlib
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import psycopg

from tests.acceptance import site
from tests.chaos import programs, room

STARTED_WITHIN = 60.0
NAME = "chaos"
"""What our own sessions are called, which no fault ends."""
SETTINGS = {
    "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "deadlock_timeout": "200ms",
    "min_wal_size": "8MB", "max_wal_size": "64MB", "shared_buffers": "64MB",
}  # fmt: skip


class Database:
    """A cluster that is stopped and started on the same data; raises Missing where PostgreSQL is not installed."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._postgres, self._initdb = programs.find("postgres"), programs.find("initdb")
        self._person = programs.unprivileged()
        self._log = folder / "output"
        mounted = folder / "room"
        mounted.mkdir(mode=0o700)
        self._person.own(mounted)
        self.no_room = ""
        self._room: room.Room | None = None
        try:
            self._room = room.Room(mounted, self._person, folder / "room.log")
        except programs.Missing as error:
            self.no_room = str(error)
        self._data = mounted / "data"
        self.port = site.free_port()
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"
        self._server: programs.Program | None = None

    def make(self) -> None:
        """Make the cluster."""
        command = [self._initdb, "-D", str(self._data), "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8",
                   "--locale=C", "--wal-segsize=1"]  # fmt: skip
        done = subprocess.run(
            [*self._inside(), *command], capture_output=True, text=True, check=False, cwd="/", **self._person.arguments
        )
        if done.returncode:
            raise programs.Missing(f"initdb: {done.stderr.strip()}")

    def _inside(self) -> list[str]:
        return [] if self._room is None else self._room.inside

    @property
    def running(self) -> bool:
        """Whether the server's process is there."""
        return self._server is not None and self._server.alive

    def start(self) -> None:
        """Start the server; it answers soon."""
        options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        command = [*self._inside(), self._postgres, "-D", str(self._data), "-p", str(self.port), *options]
        self._server = programs.Program(command, self._log, self._person)

    def wait(self) -> None:
        """Wait until the server answers; raises TimeoutError with what it has said."""
        try:
            programs.wait(self.answers, "PostgreSQL", STARTED_WITHIN)
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {self._log.read_text(errors='replace')[-1000:]}") from error

    def answers(self) -> bool:
        """Whether a client is let in; a server that has ended is started again."""
        with contextlib.suppress(psycopg.Error), self.session():
            return True
        if not self.running:
            self.start()
        return False

    @contextlib.contextmanager
    def session(self) -> Iterator[psycopg.Connection[Any]]:
        """Lend a session of the administrator's; raises psycopg.Error."""
        where = {"host": "127.0.0.1", "port": self.port, "user": "postgres", "dbname": "postgres"}
        with psycopg.connect(**where, application_name=NAME, connect_timeout=5, autocommit=True) as found:  # type: ignore[arg-type]
            yield found

    def stop(self, *, hard: bool) -> None:
        """Stop the server: its sessions are told, or dropped with what they have not committed."""
        if self._server is not None:
            self._server.end(signal.SIGQUIT if hard else signal.SIGINT)

    def end_sessions(self) -> int:
        """End every session but our own and return how many; raises psycopg.Error."""
        query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        with self.session() as session:
            row = session.execute(f"{query} AND application_name <> '{NAME}'").fetchone()
        return 0 if row is None else int(row[0])

    def fill(self) -> None:
        """Leave no room on its disk."""
        assert self._room is not None
        self._room.fill()

    def free(self) -> None:
        """Give its disk room again."""
        assert self._room is not None
        self._room.free()

    def close(self) -> None:
        """End everything."""
        if self._server is not None:
            self._server.end(signal.SIGQUIT, 10)
        if self._room is not None:
            self._room.close()

    def said(self, words: str) -> int:
        """Return how often the server has written these words into its log."""
        return self._log.read_text(encoding="utf-8", errors="replace").count(words)
