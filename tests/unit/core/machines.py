"""What the rule-based machines of the models share."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import stateful

from tests import builders
from worker.core import records


class Machine(stateful.RuleBasedStateMachine):
    """A worker, and revisions that go up whatever is told."""

    def __init__(self, worker: builders.Worker) -> None:
        super().__init__()
        self.worker = worker
        self.revision = 0

    def next(self) -> int:
        """Return a revision that is newer than all before."""
        self.revision += 1
        return self.revision

    def record(self, uuid: str, **changes: Any) -> records.Instance:
        """Return the newest record of an instance with changes, or a first one."""
        book = self.worker.store.books.get(uuid)
        known = book.record if book is not None and book.record is not None else builders.an_instance(uuid)
        return msgspec.structs.replace(known, revision=self.next(), **changes)
