"""A restart storm: reports that say nothing new cost a lock, one read and one narrow write a batch, and tell nobody."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator
from concurrent import futures

import pytest
import sqlalchemy as sa

from tests import builders
from tests.integration import db_servers
from worker import handler
from worker.core import claims, commands, decide, world
from worker.db import engine, reading, schema, tables, unit_of_work

NOW = builders.NOW
POLICY = claims.Policy(claims=claims.NONE)
NODES = 40
PATIENCE = 20
OTHER = builders.uid(999)
WORDS = re.compile(r"(SELECT)\s.*?FROM (\w+)|(UPDATE) (\w+)|(INSERT) INTO (\w+)|(DELETE) FROM (\w+)", re.DOTALL)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def bind(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[sa.Engine]:
    if request.param != "sqlite":
        with db_servers.migrated(request.param) as made:
            yield made
        return
    made = engine.of_url(f"sqlite:///{tmp_path / 'test.db'}")
    schema.sync(made)
    yield made
    made.dispose()


def tell(bind: sa.Engine, *orders: commands.Command) -> None:
    tasks = [builders.a_task(order) for order in orders]
    handler.handle(handler.Batch(tasks), unit_of_work.UnitOfWork(bind), NOW, POLICY)


def reports(revision: int) -> list[commands.Command]:
    return [builders.a_report(builders.a_node(builders.uid(n), revision, host=f"h{n}")) for n in range(NODES)]


def statements(bind: sa.Engine, *orders: commands.Command) -> list[tuple[str, str, str]]:
    """Carry the orders out in one batch; return verb, table and text of each statement."""
    sent = [text for text, _ in db_servers.watched(bind, lambda on: tell(on, *orders))]
    matches = [(found, text) for text in sent if (found := WORDS.match(text))]
    return [(*[word for word in found.groups() if word], text) for found, text in matches]  # type: ignore[misc]


def rows(bind: sa.Engine) -> dict[str, int]:
    with bind.connect() as connection:
        query = {name: sa.select(sa.func.count()).select_from(table) for name, table in tables.metadata.tables.items()}
        return {name: connection.scalar(count) or 0 for name, count in query.items()}


def revisions(bind: sa.Engine) -> set[int]:
    with bind.connect() as connection:
        return set(connection.scalars(sa.select(tables.nodes.c.revision)))


def test_reports_that_say_nothing_new_cost_one_read_and_one_narrow_write(bind: sa.Engine) -> None:
    tell(bind, *reports(1))
    tell(bind, *(commands.UpdateInstance(builders.an_instance(builders.uid(100 + n), host=f"h{n}")) for n in range(9)))
    before = rows(bind)

    seen = statements(bind, *reports(2))

    assert [(verb, table) for verb, table, _ in seen] == [
        ("SELECT", "inbox"), ("SELECT", "accounts"), ("SELECT", "nodes"), ("UPDATE", "nodes"), ("INSERT", "inbox")
    ]  # fmt: skip
    _, lock, _, write, _ = (text for _, _, text in seen)
    columns = re.sub(r"^UPDATE.* SET | FROM unnest.*| WHERE .*", "", write, flags=re.DOTALL)
    assert set(re.findall(r"(?<![.:\w])(?:nodes\.)?(\w+) = ", columns)) >= {
        "revision",
        "disabled_revision",
        "generation",
    }
    assert not re.search(r"capacity|digest|report|sequence", columns)
    assert "used" not in lock
    assert revisions(bind) == {2}
    assert rows(bind) == before | {"inbox": before["inbox"] + NODES}


def test_one_report_with_news_among_them_is_told_and_the_others_are_not(bind: sa.Engine) -> None:
    tell(bind, *reports(1))
    before = rows(bind)
    *others, _ = reports(2)

    tell(bind, *others, builders.a_report(builders.a_node(builders.uid(NODES - 1), 2, host=f"h{NODES - 1}", vcpus=9)))

    assert revisions(bind) == {2}
    assert rows(bind)["outbox"] == before["outbox"] + 1
    assert rows(bind)["ledger"] == before["ledger"] + 1


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    with db_servers.migrated(request.param) as made:
        yield made


@pytest.mark.parametrize("rival", [2, 9])
def test_a_report_that_says_nothing_new_sees_the_rival_that_came_while_it_waited(server: sa.Engine, rival: int) -> None:
    tell(server, builders.a_report())
    order = builders.a_report(builders.a_node(OTHER, rival))
    task = builders.a_task(order)

    with futures.ThreadPoolExecutor(1) as pool:
        with unit_of_work.UnitOfWork(server) as first:
            books = handler.load(first.books, [order], world.World(NOW, POLICY))
            second = pool.submit(tell, server, builders.a_report(builders.a_node(revision=5)))
            db_servers.until_somebody_waits(server)
            decide.decide(books, task)
            first.books.save(books)
            first.ledger.add(books.entries, NOW)
            first.commit()
        second.result(PATIENCE)

    sheets = reading.sheets(server, [builders.NODE, OTHER])
    assert {sheet.node.uuid: sheet.speaks for sheet in sheets if sheet.node is not None} == {
        builders.NODE: rival == 2,
        OTHER: rival == 9,
    }
