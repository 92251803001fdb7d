"""What stocktake-placement has to know again, in plain Python."""

from __future__ import annotations

from typing import Any

from worker.placement import memory


class Memory:
    """Keeps marks and intents in this process; satisfies ``memory.Memory``."""

    def __init__(self) -> None:
        self.kept: dict[str, memory.Mark] = {}
        self.waiting: dict[str, str] = {}

    def marks(self, uuids: Any) -> dict[str, memory.Mark]:
        return {uuid: self.kept[uuid] for uuid in uuids if uuid in self.kept}

    def made(self) -> list[str]:
        return [uuid for uuid, mark in self.kept.items() if mark.made]

    def mark(self, uuid: str, mark: memory.Mark) -> None:
        self.kept[uuid] = mark

    def forget(self, uuid: str) -> None:
        self.kept.pop(uuid, None)

    def pending(self) -> dict[str, str]:
        return dict(self.waiting)

    def keep(self, subject: str, intent: str) -> None:
        self.waiting[subject] = intent

    def drop(self, subject: str) -> None:
        del self.waiting[subject]
