"""Worker processes held to a part of a core each, by a control group of their own: as if there were a core for each of them.

On two cores that broker and database share, a second process has little left to run on. Held back like this, worker
processes are what is scarce, as they are on a larger machine.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator, Sequence

ROOT = pathlib.Path("/sys/fs/cgroup")
PERIOD_US = 10_000
"""Short, so that nobody stands still for long with rows locked."""
PROCESSES = "cgroup.procs"


def parent() -> pathlib.Path | None:
    """Return the control group below which processes can be held, or None where that is not allowed."""
    old, new, handed_down = ROOT / "cpu", ROOT, ROOT / "cgroup.subtree_control"
    if (old / "cpu.cfs_quota_us").exists() and os.access(old, os.W_OK):
        return old
    limits = handed_down.exists() and "cpu" in handed_down.read_text(encoding="ascii").split()
    return new if limits and os.access(new, os.W_OK) else None


@contextlib.contextmanager
def held(pids: Sequence[int], share: float, below: pathlib.Path) -> Iterator[None]:
    """Let each of these processes have no more than a share of one core."""
    groups = [below / f"stocktake-benchmark-{pid}" for pid in pids]
    try:
        for group, pid in zip(groups, pids, strict=True):
            group.mkdir()
            _limit(group, round(PERIOD_US * share))
            (group / PROCESSES).write_text(str(pid), encoding="ascii")
        yield
    finally:
        for group in groups:
            _end(group, below)


def _limit(group: pathlib.Path, quota_us: int) -> None:
    if (group / "cpu.cfs_quota_us").exists():
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_US), encoding="ascii")
        (group / "cpu.cfs_quota_us").write_text(str(quota_us), encoding="ascii")
    else:
        (group / "cpu.max").write_text(f"{quota_us} {PERIOD_US}", encoding="ascii")


def _end(group: pathlib.Path, below: pathlib.Path) -> None:
    """Give back who is still there, and remove the group."""
    if not group.exists():
        return
    for pid in (group / PROCESSES).read_text(encoding="ascii").split():
        with contextlib.suppress(ProcessLookupError):
            (below / PROCESSES).write_text(pid, encoding="ascii")
    group.rmdir()
