"""What a server uses: seconds of processor time, its own, of its threads, and of the broker and the database for it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import resource
import threading
import time
from collections.abc import Iterable


def process_seconds() -> float:
    """Return the processor time of this process, in user and in system mode."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def threads_seconds(prefix: str) -> dict[str, float]:
    """Return the processor time of each living thread of this process whose name begins so."""
    named = {thread.name: thread.ident for thread in threading.enumerate() if thread.name.startswith(prefix)}
    return {
        name: time.clock_gettime(time.pthread_getcpuclockid(ident))
        for name, ident in named.items()
        if ident is not None
    }


def machine_seconds() -> float:
    """Return the processor time of everything on this machine so far."""
    fields = _text(pathlib.Path("/proc/stat")).split("\n", 1)[0].split()[1:]
    idle, waiting = 3, 4
    busy = sum(int(field) for place, field in enumerate(fields[:8]) if place not in {idle, waiting})
    return busy / os.sysconf("SC_CLK_TCK")


def broker_seconds() -> float:
    """Return the processor time of RabbitMQ so far, of this machine's as a whole; 0 if there is none to be seen."""
    return _called("beam.smp")


def _called(name: str) -> float:
    return sum(_seconds(process) for process in _processes() if _text(process / "comm").strip() == name)


def storage_seconds(url: str) -> float:
    """Return the processor time so far of what serves a database: of MariaDB as a whole; SQLite has no process."""
    if url.startswith("postgresql"):
        return database_seconds(url.rpartition("/")[2])
    return _called("mariadbd") if url.startswith("mysql") else 0.0


def seconds_of(pids: Iterable[int]) -> float:
    """Return the processor time of other processes so far."""
    return sum(_seconds(pathlib.Path(f"/proc/{pid}")) for pid in pids)


def mib_of(pid: int, figure: str = "VmRSS") -> float:
    """Return the resident size of another process; with ``VmHWM`` the largest so far."""
    lines = _text(pathlib.Path(f"/proc/{pid}/status")).splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(f"{figure}:")) / 1024


def database_seconds(name: str) -> float:
    """Return the processor time so far of PostgreSQL's living processes that serve a database."""
    serving = (process for process in _processes() if _text(process / "cmdline").startswith("postgres: "))
    return sum(_seconds(process) for process in serving if name in _text(process / "cmdline"))


def _processes() -> list[pathlib.Path]:
    return [path for path in pathlib.Path("/proc").glob("[0-9]*") if path.is_dir()]


def _seconds(process: pathlib.Path) -> float:
    fields = _text(process / "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def _text(path: pathlib.Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")
    return ""


def memory_mib() -> float:
    """Return the largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@dataclasses.dataclass(slots=True)
class Race:
    """From the first delivery to the last effect, in seconds of the monotonic clock.

    What the services use is counted from the making of it, which is just before the server starts.
    """

    casts: int
    database: str = "-"
    began: float = 0.0
    ended: float = 0.0
    cpu_began: float = 0.0
    cpu: float = 0.0
    _services: tuple[float, ...] = ()
    _noted_at: float = 0.0

    def __post_init__(self) -> None:
        """Note what everything has used until now."""
        self._noted_at = time.monotonic()
        self._services = self._used()

    def _used(self) -> tuple[float, ...]:
        return broker_seconds(), database_seconds(self.database), process_seconds(), machine_seconds()

    def begin(self, at: float | None = None) -> None:
        """Note the first delivery; later ones change nothing."""
        if not self.began:
            self.began = at or time.monotonic()
            self.cpu_began = process_seconds()

    def end(self, at: float | None = None) -> None:
        """Note the last effect."""
        self.ended = at or time.monotonic()
        self.cpu = process_seconds() - self.cpu_began

    def result(self) -> dict[str, float]:
        """Return the figures of a server; ``foreign`` is the share of the machine that others used meanwhile."""
        seconds = self.ended - self.began
        whole = (time.monotonic() - self._noted_at) * (os.cpu_count() or 1)
        broker, database, own, machine = (now - then for now, then in zip(self._used(), self._services, strict=True))
        return {
            "casts": self.casts,
            "seconds": seconds,
            "rate": self.casts / seconds,
            "cpu_us": self.cpu / self.casts * 1e6,
            "broker_cpu_us": broker / self.casts * 1e6,
            "database_cpu_us": database / self.casts * 1e6,
            "foreign": max(machine - own - broker - database, 0.0) / whole,
            "memory_mib": memory_mib(),
        }
