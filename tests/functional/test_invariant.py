"""The proof that stands behind every test with a database finds what does not add up."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests import builders, invariant
from worker import handler
from worker.core import claims, commands
from worker.db import engine, schema, unit_of_work


@pytest.fixture
def bind(tmp_path: pathlib.Path) -> Iterator[sa.Engine]:
    made = engine.of_url(f"sqlite:///{tmp_path / 'stocktake.db'}")
    schema.sync(made)
    yield made
    made.dispose()


def _work(bind: sa.Engine) -> None:
    tasks = [builders.a_task(builders.a_report()), builders.a_task(commands.UpdateInstance(builders.an_instance()))]
    handler.handle(handler.Batch(tasks), unit_of_work.UnitOfWork(bind), builders.NOW, claims.Policy())


def test_a_database_that_is_worked_on_is_noticed_and_proved(bind: sa.Engine) -> None:
    with invariant.Watch() as databases:
        _work(bind)

    assert databases.prove() == 1


def test_a_database_that_is_gone_or_not_ours_is_passed_over(tmp_path: pathlib.Path) -> None:
    foreign, gone = (engine.of_url(f"sqlite:///{tmp_path / name}") for name in ("foreign.db", "gone.db"))

    with invariant.Watch() as databases:
        for other in (foreign, gone):
            other.connect().close()
            other.dispose()
    (tmp_path / "gone.db").unlink()

    assert databases.prove() == 0


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE accounts SET used = '{}'",
        "UPDATE holdings SET amounts = '{\"VCPU\": 2}'",
        "DELETE FROM ledger WHERE kind = 'holding'",
        "DELETE FROM ledger WHERE kind = 'capacity'",
    ],
)
def test_a_figure_that_does_not_add_up_is_found(change: str) -> None:
    bind = engine.of_url("sqlite://")
    schema.sync(bind)
    _work(bind)
    invariant.prove(bind)

    with bind.begin() as connection:
        assert connection.execute(sa.text(change)).rowcount

    with pytest.raises(AssertionError, match="do not add up"):
        invariant.prove(bind)
    bind.dispose()
