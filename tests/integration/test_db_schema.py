"""The schema is the sum of its steps, on each database."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

import alembic.autogenerate
import alembic.command
import alembic.config
import alembic.migration
import pytest
import sqlalchemy as sa

from tests.contract import units_of_work
from worker import errors
from worker.db import engine, schema, tables

NAMES = ("sqlite", "postgresql", "mariadb")


@contextlib.contextmanager
def an_empty_database(name: str, folder: pathlib.Path) -> Iterator[str]:
    if name == "sqlite":
        yield f"sqlite:///{folder / 'test.db'}"
    else:
        with units_of_work.scratch(name) as url:
            yield url


@pytest.fixture(params=NAMES)
def bind(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[sa.Engine]:
    with an_empty_database(request.param, tmp_path) as url:
        made = engine.of_url(url)
        yield made
        made.dispose()


def test_the_schema_is_the_sum_of_its_steps(bind: sa.Engine) -> None:
    schema.sync(bind)

    with bind.connect() as connection:
        context = alembic.migration.MigrationContext.configure(connection, opts={"compare_type": True})
        differences = alembic.autogenerate.compare_metadata(context, tables.metadata)
    assert differences == []


def test_ids_sort_by_byte_and_keep_their_case(bind: sa.Engine) -> None:
    schema.sync(bind)
    names = ["b", "B", "a-b", "ab", "a b"]

    with bind.begin() as connection:
        for name in names:
            connection.execute(tables.leases.insert().values(name=name, holder="h", expires_at=0))
        found = connection.scalars(sa.select(tables.leases.c.name).order_by(tables.leases.c.name)).all()

    assert list(found) == sorted(names)


def test_sync_can_be_repeated(bind: sa.Engine) -> None:
    before = schema.version(bind)

    first, second = schema.sync(bind), schema.sync(bind)

    assert before is None
    assert first == second == schema.version(bind) == schema.newest()
    schema.check(bind)


def test_every_step_can_be_taken_back(bind: sa.Engine) -> None:
    schema.sync(bind)
    config = alembic.config.Config()
    config.set_main_option("script_location", str(pathlib.Path(schema.__file__).parent / "alembic"))

    with bind.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.downgrade(config, "base")

    with bind.connect() as connection:
        assert set(sa.inspect(connection).get_table_names()) <= {"alembic_version"}


def test_a_database_without_tables_is_refused_with_the_remedy(bind: sa.Engine) -> None:
    with pytest.raises(errors.Misconfigured, match="no tables yet: run stocktake db sync"):
        schema.check(bind)


def test_a_database_of_a_newer_version_is_left_alone(bind: sa.Engine) -> None:
    schema.sync(bind)
    with bind.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'ffff'"))

    for refuse in (schema.check, schema.sync):
        with pytest.raises(errors.Misconfigured, match="revision ffff, which this version of stocktake does not know"):
            refuse(bind)


def test_a_database_at_an_older_step_is_refused_with_the_remedy(
    bind: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = schema.sync(bind)
    monkeypatch.setattr(schema, "newest", lambda: "9999")

    with pytest.raises(errors.Misconfigured, match=f"is at revision {found}, 9999 is needed: run stocktake db sync"):
        schema.check(bind)


@pytest.mark.parametrize("bind", ["postgresql"], indirect=True)
def test_postgresql_leaves_room_for_the_next_version_of_a_row_as_the_tables_say(bind: sa.Engine) -> None:
    schema.sync(bind)

    query = sa.text("SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL AND relkind = 'r'")
    with bind.connect() as connection:
        found = {row.relname: row.reloptions for row in connection.execute(query)}
    said = {name: table.dialect_options["postgresql"]["with"] for name, table in tables.metadata.tables.items()}
    assert found == {name: [f"fillfactor={room['fillfactor']}"] for name, room in said.items() if room}
