"""The programs of the services: where they are, as whom they run, and how their processes are ended."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

BLINK = 0.05
FOLDERS = ("usr/lib/rabbitmq/bin", "usr/lib/postgresql/*/bin", "usr/sbin", "sbin", "usr/lib/erlang/bin")
_NEVER = threading.Event()


class Missing(Exception):
    """A program or a right that is needed is not there."""


def find(name: str) -> str:
    """Return the path of a program: a package's own folders first, the newest version; raises Missing."""
    folders = [
        folder
        for pattern in FOLDERS
        for folder in sorted(map(str, pathlib.Path("/").glob(pattern)), key=_version, reverse=True)
    ]
    found = shutil.which(name, path=os.pathsep.join([*folders, os.environ.get("PATH", "")]))
    if found is None:
        raise Missing(f"no program {name} on this machine")
    return found


def _version(folder: str) -> tuple[int, ...]:
    return tuple(int(part) for part in pathlib.Path(folder).parts if part.isdigit())


@dataclasses.dataclass(frozen=True)
class Person:
    """As whom a process runs; ``name`` None is whoever started us."""

    name: str | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of Popen for it."""
        if self.name is None:
            return {}
        entry = pwd.getpwnam(self.name)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    def own(self, folder: pathlib.Path) -> None:
        """Give it a folder."""
        if self.name is not None:
            shutil.chown(folder, self.name)


def unprivileged() -> Person:
    """Return who may run PostgreSQL, which refuses to run as root; raises Missing."""
    if os.geteuid():
        return Person()
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            pwd.getpwnam(name)
            return Person(name)
    raise Missing("neither a user postgres nor a user nobody, and PostgreSQL does not run as root")


def wait(condition: Callable[[], Any], what: str, seconds: float) -> Any:
    """Return what the condition gives once it is true; raises TimeoutError naming ``what``."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() >= end:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        _NEVER.wait(BLINK)
    return found


class Program:
    """A process in a group of its own that is ended with all its children."""

    def __init__(
        self,
        command: Sequence[str],
        log: pathlib.Path,
        person: Person | None = None,
        env: Mapping[str, str] | None = None,
        *,
        told: bool = False,
    ) -> None:
        with log.open("ab") as written:
            self._process = subprocess.Popen(
                list(command), stdin=subprocess.PIPE if told else subprocess.DEVNULL, stdout=written, stderr=written, start_new_session=True,
                env=None if env is None else dict(env), cwd=log.parent, **(person or Person()).arguments,
            )  # fmt: skip
        self.pid = self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def tell(self, line: str) -> None:
        """Write a line to its standard input, for one that was started with ``told``."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self.alive:
            self._process.send_signal(number)

    def end(self, number: signal.Signals, seconds: float = 30.0) -> None:
        """Send a signal to the process and wait; what is still there after a while is killed, with its children."""
        if self.alive:
            self.send(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        self.kill()

    def kill(self) -> None:
        """End the process and its children at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
