"""What goes wrong with a real database, and what it means for the batch."""

from __future__ import annotations

import pathlib
import socket
import sqlite3
from collections.abc import Callable, Iterator

import oslo_db.exception
import psycopg
import pytest
import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy import event

from tests import builders
from tests.contract import units_of_work
from tests.integration import db_servers
from worker import errors, handler, interfaces
from worker.core import claims, commands
from worker.db import engine, failures, schema, unit_of_work

NOW = builders.NOW
MARK = interfaces.Mark("m1", "report_node", "applied")


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
def bind(request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    with db_servers.migrated(request.param) as made:
        yield made


@pytest.fixture
def file(tmp_path: pathlib.Path) -> Iterator[sa.Engine]:
    made = engine.of_url(f"sqlite:///{tmp_path / 'test.db'}")
    schema.sync(made)
    yield made
    made.dispose()


def a_closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


@pytest.mark.parametrize("driver", ["postgresql+psycopg", "mysql+pymysql"])
def test_a_server_that_is_not_there_is_waited_for(driver: str) -> None:
    away = engine.of_url(f"{driver}://root@127.0.0.1:{a_closed_port()}/none")

    with pytest.raises(errors.DatabaseUnavailable), unit_of_work.UnitOfWork(away):
        pass


def test_a_folder_that_is_not_there_is_waited_for(tmp_path: pathlib.Path) -> None:
    away = engine.of_url(f"sqlite:///{tmp_path / 'none' / 'test.db'}")

    with pytest.raises(errors.DatabaseUnavailable, match="unable to open database file"), unit_of_work.UnitOfWork(away):
        pass


def look(unit: unit_of_work.UnitOfWork) -> None:
    unit.inbox.seen(["m1"])


def insert(unit: unit_of_work.UnitOfWork) -> None:
    unit.inbox.add([interfaces.Mark("m5", "report_node", "applied")], NOW)
    unit.commit()


def commit(unit: unit_of_work.UnitOfWork) -> None:
    unit.commit()


def fail(_: unit_of_work.UnitOfWork) -> None:
    raise ZeroDivisionError


def write(unit: unit_of_work.UnitOfWork, *marks: interfaces.Mark) -> None:
    with unit:
        unit.inbox.add(marks, NOW)
        unit.commit()


def dropped_before(unit: unit_of_work.UnitOfWork, bind: sa.Engine, doing: Callable[..., None]) -> None:
    with unit:
        unit.inbox.add([interfaces.Mark("m9", "report_node", "applied")], NOW)
        db_servers.drop_connections(bind)
        doing(unit)


@pytest.mark.parametrize("doing", [look, insert, commit])
def test_a_dropped_connection_is_waited_for_and_the_next_works(bind: sa.Engine, doing: Callable[..., None]) -> None:
    unit = unit_of_work.UnitOfWork(bind)

    with pytest.raises(errors.DatabaseUnavailable):
        dropped_before(unit, bind, doing)

    with unit:
        assert unit.inbox.seen(["m5", "m9"]) == {}


def test_leaving_a_unit_whose_connection_was_dropped_raises_nothing_else(bind: sa.Engine) -> None:
    with pytest.raises(ZeroDivisionError):
        dropped_before(unit_of_work.UnitOfWork(bind), bind, fail)


def test_a_lock_that_is_not_given_is_a_conflict(bind: sa.Engine) -> None:
    short = db_servers.impatient(bind)
    order = builders.a_task(commands.UpdateInstance(builders.an_instance()))
    handler.handle(handler.Batch([order]), unit_of_work.UnitOfWork(bind), NOW, claims.Policy())

    with unit_of_work.UnitOfWork(bind) as first:
        first.books.accounts([builders.pair("h1")], ())
        with pytest.raises(errors.Conflict), unit_of_work.UnitOfWork(short) as second:
            second.books.accounts([builders.pair("h1")], ())
    short.dispose()


def test_a_value_that_does_not_fit_is_the_data_s_fault(bind: sa.Engine) -> None:
    too_long = interfaces.Mark("m" * 65, "report_node", "applied")

    with pytest.raises((psycopg.DataError, oslo_db.exception.DBDataError)):
        write(unit_of_work.UnitOfWork(bind), too_long)


def test_a_value_of_a_sender_is_not_shown_by_an_error(bind: sa.Engine) -> None:
    secret = "hunter2" * 40

    with pytest.raises(Exception, match=r"(?i)too long") as raised, bind.begin() as connection:
        connection.execute(sa.text("INSERT INTO leases VALUES ('x', :holder, 0)"), {"holder": secret})

    assert "hunter2" not in str(raised.value)


def test_a_text_that_no_database_takes_is_written_out(bind: sa.Engine, file: sa.Engine) -> None:
    strange = interfaces.ParkedMessage(
        reason="\x00", body=b"\x00", parked_at=NOW, queue="\ud800", headers={"a\x00": ["\udfff", 1.5, b"x", None]}
    )

    for one in (bind, file):
        place = units_of_work.place(one)
        with place.unit() as unit:
            unit.parked.add([strange])
            unit.commit()
        (kept,) = place.parked()
        assert (kept.reason, kept.queue, kept.body) == ("\\x00", "\\ud800", b"\x00")
        assert kept.headers == {"a\\x00": ["\\udfff", 1.5, "eA==", None]}


def test_a_locked_file_is_waited_for(file: sa.Engine, tmp_path: pathlib.Path) -> None:
    impatient = engine.of_url(f"sqlite:///{tmp_path / 'test.db'}")
    event.listen(impatient, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout = 10"))

    with (
        unit_of_work.UnitOfWork(file),
        pytest.raises(errors.DatabaseUnavailable, match="locked"),
        unit_of_work.UnitOfWork(impatient),
    ):
        pass
    with unit_of_work.UnitOfWork(impatient) as unit:
        unit.inbox.add([MARK], NOW)
        unit.commit()

    with unit_of_work.UnitOfWork(impatient) as unit:
        assert unit.inbox.seen(["m1"]) == {"m1": MARK}
    impatient.dispose()


def test_a_file_is_read_while_it_is_written(file: sa.Engine) -> None:
    place = units_of_work.place(file)

    with unit_of_work.UnitOfWork(file) as unit:
        unit.parked.add([interfaces.ParkedMessage("r", b"", NOW, "q")])
        seen_within = list(place.parked())
        unit.commit()

    assert seen_within == []
    assert len(place.parked()) == 1


def test_a_full_disk_is_waited_for(tmp_path: pathlib.Path) -> None:
    full = engine.of_url(f"sqlite:///{tmp_path / 'test.db'}")
    schema.sync(full)
    full.dispose()
    event.listen(full, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count = 1"))
    message = interfaces.ParkedMessage("r", b"x" * 1_000_000, NOW, "q")

    with pytest.raises(errors.DatabaseUnavailable, match="full"), unit_of_work.UnitOfWork(full) as unit:
        unit.parked.add([message])
    full.dispose()


def test_an_error_that_nobody_knows_passes_through() -> None:
    with pytest.raises(sqlalchemy.exc.OperationalError), failures.translated():
        raise sqlalchemy.exc.OperationalError("SELECT", {}, sqlite3.OperationalError("no such table"))


@pytest.mark.parametrize(
    ("url", "words"),
    [("mongodb://x/y", "mongodb:// is not one of"), ("nonsense", "not the URL"), ("postgresql://x/y", "is not one of")],
)
def test_a_database_that_we_do_not_know_is_refused(url: str, words: str) -> None:
    with pytest.raises(errors.Misconfigured, match=words):
        engine.of_url(url)


@pytest.fixture
def postgresql() -> Iterator[sa.Engine]:
    with db_servers.migrated("postgresql") as made:
        yield made


@pytest.mark.parametrize(
    ("statement", "compression"),
    [
        ("ALTER ROLE {} SET work_mem = '8MB'", "lz4"),
        ("ALTER ROLE {} SET default_toast_compression = 'pglz'", "pglz"),
        ("REVOKE SELECT ON pg_settings FROM public; ALTER ROLE {} RESET ALL", "pglz"),
    ],
)
def test_long_texts_are_compressed_faster_unless_the_operator_says_otherwise(
    postgresql: sa.Engine, statement: str, compression: str
) -> None:
    role = f"{postgresql.url.database}_role"
    with postgresql.begin() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN; {statement.format(role)}")
    bare = engine.of_url(postgresql.url.set(username=role).render_as_string(hide_password=False))

    with bare.connect() as connection:
        found = connection.exec_driver_sql("SHOW default_toast_compression").scalar()
    bare.dispose()
    with postgresql.begin() as connection:
        connection.exec_driver_sql(f"DROP ROLE {role}")

    assert found == compression
