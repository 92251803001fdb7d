"""A small filesystem of its own that can be made full and given room again: a tmpfs in a namespace of the user's.

No rights are needed where the kernel lets users have namespaces; containers often do not.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal

from tests.chaos import programs

SIZE = 2 << 30
"""Bytes of the filesystem with room; only what is written takes memory."""
MADE_WITHIN = 10.0
PAGE = 65536


class Room:
    """A tmpfs at a folder, seen by what is started with ``inside``; raises Missing where it cannot be made."""

    def __init__(self, folder: pathlib.Path, person: programs.Person, log: pathlib.Path) -> None:
        self._folder = folder
        self._person = person
        made = folder / "made"
        resize = f"mount -o remount,size=$size {folder}"
        script = f"mount -t tmpfs -o size={SIZE},mode=700 tmpfs {folder} && touch {made} && while read size; do {resize}; done"
        command = [
            programs.find("unshare"),
            "--user",
            "--map-current-user",
            "--keep-caps",
            "--mount",
            "sh",
            "-c",
            script,
        ]
        self._holder = programs.Program(command, log, person, told=True)
        try:
            programs.wait(lambda: self._seen("made").exists() or not self._holder.alive, "a tmpfs", MADE_WITHIN)
        except (TimeoutError, PermissionError):
            self.close()
        if not self._holder.alive:
            said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise programs.Missing(
                f"no small tmpfs in a namespace of the user's: {said[-1] if said else 'unshare ended'}"
            )

    @property
    def inside(self) -> list[str]:
        """What a command begins with that is to see the filesystem."""
        enter = [programs.find("nsenter"), "--target", str(self._holder.pid), "--user", "--mount"]
        return [*enter, "--preserve-credentials"]

    def fill(self) -> None:
        """Leave no room: the filesystem becomes as large as what is in it."""
        programs.wait(self._filled, "a tmpfs without room", MADE_WITHIN)

    def _filled(self) -> bool:
        found = os.statvfs(self._seen("."))
        if self._left() > PAGE:  # refused if more was written meanwhile, and so tried again
            self._holder.tell(str((found.f_blocks - found.f_bfree) * found.f_frsize))
            return False
        return True

    def free(self) -> None:
        """Give it room again."""
        self._holder.tell(str(SIZE))
        programs.wait(lambda: self._left() > SIZE // 2, "a tmpfs with room", MADE_WITHIN)

    def _left(self) -> int:
        found = os.statvfs(self._seen("."))
        return found.f_bfree * found.f_frsize

    def _seen(self, name: str) -> pathlib.Path:
        """Return the path by which this process sees a file in it."""
        return pathlib.Path(f"/proc/{self._holder.pid}/root{self._folder}") / name

    def close(self) -> None:
        """Give it up, with all that is in it."""
        with contextlib.suppress(ProcessLookupError):
            self._holder.end(signal.SIGKILL)
