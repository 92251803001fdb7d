"""What stocktake-placement remembers, on each database."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests import plain
from tests.integration import test_db_schema as schemas
from worker.db import engine, placement_memory, schema
from worker.placement import memory


@pytest.fixture(params=schemas.NAMES)
def bind(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[sa.Engine]:
    with schemas.an_empty_database(request.param, tmp_path) as url:
        made = engine.of_url(url)
        schema.sync(made)
        yield made
        made.dispose()


def test_marks_and_what_waits_are_there_in_the_next_life(bind: sa.Engine) -> None:
    ours, theirs, unknown = map(plain.uid, (1, 2, 3))
    kept = placement_memory.PlacementMemory(bind)
    kept.mark(ours, memory.Mark(made=True))
    kept.mark(ours, memory.Mark(made=True, traits=frozenset({"A", "B"})))
    kept.mark(theirs, memory.Mark(made=False))
    kept.keep(ours, "first")
    kept.keep(ours, "second")
    kept.keep(theirs, "gone")
    kept.drop(theirs)

    again = placement_memory.PlacementMemory(bind)

    marks = {ours: memory.Mark(True, frozenset({"A", "B"})), theirs: memory.Mark(False)}
    assert again.marks([ours, theirs, unknown]) == marks
    assert again.made() == [ours]
    assert again.pending() == {ours: "second"}
    again.forget(ours)
    assert again.marks([ours]) == {}


def test_who_comes_by_once_keeps_marks_and_lets_nothing_wait(bind: sa.Engine) -> None:
    beneath = placement_memory.PlacementMemory(bind)
    beneath.keep(plain.uid(1), "an intent")
    once, dry = memory.MarksOnly(beneath), memory.ReadOnly(beneath)

    once.mark(plain.uid(1), memory.Mark(made=True))
    once.keep(plain.uid(2), "another")
    once.drop(plain.uid(1))
    dry.mark(plain.uid(2), memory.Mark(made=True))
    dry.forget(plain.uid(1))

    assert (once.pending(), dry.pending()) == ({}, {plain.uid(1): "an intent"})
    assert (list(once.made()), list(dry.made())) == ([plain.uid(1)], [plain.uid(1)])
    once.forget(plain.uid(1))
    assert dry.marks([plain.uid(1)]) == {}
