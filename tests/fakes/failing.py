"""Transactions that fail as they are told to: the fake store behind a database with bad days."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Self

from tests.fakes import unit_of_work
from worker import interfaces


def _nothing() -> None:
    """Let a commit go on."""


@dataclasses.dataclass
class Plan:
    """What goes wrong: ``begin`` and ``commit`` are raised one by one, ``poison`` whenever one of these ids is marked."""

    begin: list[Exception] = dataclasses.field(default_factory=list)
    commit: list[Exception] = dataclasses.field(default_factory=list)
    poison: dict[str, list[Exception]] = dataclasses.field(default_factory=dict)
    at_commit: Callable[[], object] = _nothing
    transactions: int = 0
    commits: list[list[str]] = dataclasses.field(default_factory=list)


class UnitOfWork(unit_of_work.UnitOfWork):
    """A transaction over a store, according to plan."""

    def __init__(self, store: unit_of_work.Store, plan: Plan) -> None:
        super().__init__(store)
        self._plan = plan

    def __enter__(self) -> Self:
        """Begin, if the plan allows it."""
        self._plan.transactions += 1
        if self._plan.begin:
            raise self._plan.begin.pop(0)
        super().__enter__()
        self._marked: list[str] = []
        self.inbox = _Inbox(self.inbox, self._plan, self._marked)
        return self

    def commit(self) -> None:
        """Commit, if the plan allows it."""
        if self._plan.commit:
            raise self._plan.commit.pop(0)
        self._plan.at_commit()
        super().commit()
        self._plan.commits.append(self._marked)


class _Inbox:
    def __init__(self, inner: interfaces.Inbox, plan: Plan, marked: list[str]) -> None:
        self.seen = inner.seen
        self._inner = inner
        self._plan = plan
        self._marked = marked

    def add(self, marks: Sequence[interfaces.Mark], now: int) -> None:
        for mark in marks:
            raised = self._plan.poison.get(mark.message_id)
            if raised:
                raise raised.pop(0)
        self._inner.add(marks, now)
        self._marked.extend(mark.message_id for mark in marks)
