"""MariaDB drops a connection over a statement that is too long: none is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy import event

from tests import builders
from tests.contract import units_of_work
from tests.integration import db_servers
from worker import engine as batch_engine
from worker import handler, interfaces
from worker.core import claims, commands
from worker.db import bulk, engine, parked, reading, tables, texts, unit_of_work

NOW = builders.NOW
POLICY = claims.Policy(claims=claims.NONE)
SMALL = 64 * 1024


@pytest.fixture(scope="module")
def server() -> Iterator[sa.Engine]:
    with db_servers.migrated("mariadb") as made:
        yield made


@pytest.fixture
def bind(server: sa.Engine) -> Iterator[sa.Engine]:
    yield server
    units_of_work.clear(server)


@pytest.fixture
def narrow(bind: sa.Engine) -> Iterator[sa.Engine]:
    """Lend another engine on the same database, of a server that seems to take short statements only."""
    made = engine.of_url(bind.url.render_as_string(hide_password=False))
    event.listen(made, "connect", _narrow)
    yield made
    made.dispose()


def _narrow(connection: object, _record: object) -> None:
    connection.max_allowed_packet = SMALL  # type: ignore[attr-defined]


def a_message(body: bytes) -> interfaces.ParkedMessage:
    return interfaces.ParkedMessage("not JSON", body, NOW, "accounts", headers={"x": 1})


def park(bind: sa.Engine, message: interfaces.ParkedMessage) -> interfaces.ParkedMessage:
    with unit_of_work.UnitOfWork(bind) as unit:
        unit.parked.add([message])
        unit.commit()
    (kept,) = parked.listed(bind)
    return msgspec.structs.replace(kept, id=None)


def handle(bind: sa.Engine, *orders: commands.Command) -> None:
    tasks = [builders.a_task(order) for order in orders]
    handler.handle(handler.Batch(tasks), unit_of_work.UnitOfWork(bind), NOW, POLICY)


def an_update(number: int, revision: int, letters: int = 0) -> commands.UpdateInstance:
    flavor = builders.a_flavor(extra_specs={"quota:x": "\"'\\é" * (letters // 4)})
    return commands.UpdateInstance(builders.an_instance(builders.uid(number), revision, flavor=flavor))


def statements(bind: sa.Engine, start: str) -> list[str]:
    """Return what will have been sent as updates."""
    seen: list[str] = []

    @event.listens_for(bind, "before_cursor_execute")
    def note(_: object, __: object, statement: str, *___: object) -> None:
        if statement.startswith(start):
            seen.append(statement)

    return seen


def test_the_server_s_bound_is_known(bind: sa.Engine) -> None:
    with bind.connect() as connection:
        said = connection.scalar(sa.text("SELECT @@max_allowed_packet"))

        assert said - 4096 < (engine.packet(connection) or 0) < said


@pytest.mark.parametrize("letter", [b"x", b"\0"])
def test_a_body_longer_than_a_statement_is_parked_in_part(bind: sa.Engine, letter: bytes) -> None:
    body = letter * 17_000_000
    desk = batch_engine.Engine(
        lambda: unit_of_work.UnitOfWork(bind),
        reading.Library(bind, lambda: POLICY),
        lambda: NOW,
        batch_engine.Settings,
        batch_engine.Uncounted(),
    )

    answers = desk.process([interfaces.Delivery(tag=1, body=body)])

    (kept,) = parked.listed(bind)
    assert [answer.word for answer in answers] == ["parked"]
    assert 4_000_000 < len(kept.body) < len(body)
    assert body.startswith(kept.body)
    assert kept.headers["truncated"] == {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}


@pytest.mark.parametrize("body", [b"x" * 24_000, b"'" * 24_000, bytes(range(256)) * 94])
def test_a_body_that_just_fits_is_parked_whole(narrow: sa.Engine, body: bytes) -> None:
    message = a_message(body)

    assert park(narrow, message) == message


def test_a_body_that_does_not_fit_once_it_is_written_out_is_parked_in_part(narrow: sa.Engine) -> None:
    kept = park(narrow, a_message(b"'" * 40_000))

    assert 20_000 < len(kept.body) < 40_000
    assert kept.headers["x"] == 1
    assert kept.headers["truncated"]["length"] == 40_000


def test_a_traceback_of_any_length_is_parked(bind: sa.Engine) -> None:
    endless = msgspec.structs.replace(a_message(b"x"), traceback="\ud800" * 3_000_000, reason="y" * 17_000_000)

    kept = park(bind, endless)

    assert len(kept.reason) < 100_000
    assert (kept.traceback or "").startswith("\\ud800")


def test_one_statement_that_is_too_long_is_the_data_s_fault_and_is_not_sent(narrow: sa.Engine) -> None:
    with narrow.connect() as connection:
        number = connection.scalar(sa.text("SELECT connection_id()"))

        with pytest.raises(engine.TooLarge, match="max_allowed_packet"):
            connection.execute(sa.text("SELECT length(:text)"), {"text": "é" * (SMALL // 2)})

        assert connection.scalar(sa.text("SELECT connection_id()")) == number


def test_one_record_that_is_too_long_is_parked_and_the_others_of_its_batch_are_kept(narrow: sa.Engine) -> None:
    handle(narrow, *(an_update(number, 1) for number in range(3)))

    with pytest.raises(engine.TooLarge):
        handle(narrow, an_update(0, 2), an_update(1, 2, letters=2 * SMALL), an_update(2, 2))
    handle(narrow, an_update(0, 2))

    with narrow.connect() as connection:
        revisions = connection.scalars(sa.select(tables.instances.c.revision).order_by(tables.instances.c.uuid))
        assert revisions.all() == [2, 1, 1]


def test_a_batch_that_is_longer_than_a_statement_is_sent_in_parts(narrow: sa.Engine) -> None:
    handle(narrow, *(an_update(number, 1) for number in range(40)))
    sent = statements(narrow, "UPDATE instances")

    handle(narrow, *(an_update(number, 2, letters=4000) for number in range(40)))

    assert len(sent) > 4
    with narrow.connect() as connection:
        revisions = connection.scalars(sa.select(tables.instances.c.revision)).all()
    assert revisions == [2] * 40


def test_a_batch_that_fits_is_one_statement(bind: sa.Engine) -> None:
    handle(bind, *(an_update(number, 1) for number in range(40)))
    sent = statements(bind, "UPDATE instances")

    handle(bind, *(an_update(number, 2, letters=4000) for number in range(40)))

    assert len(sent) == 1


@pytest.mark.parametrize("value", ['"', "'", "\\", "é\U0001f600", "\n\0\x1a"])
def test_the_length_of_json_in_a_statement_is_not_underrated(bind: sa.Engine, value: str) -> None:
    text = texts.write([value * 1000])

    with bind.connect() as connection:
        sent = connection.connection.driver_connection.cursor().mogrify("%s", [text])  # type: ignore[union-attr]

    assert len(sent.encode()) - 2 <= texts.quoted(text) <= len(sent.encode()) + 2


@pytest.mark.parametrize("count", [10, 1500])
def test_many_ids_are_looked_up_by_the_key_and_in_its_order(bind: sa.Engine, count: int) -> None:
    with bind.connect() as connection:
        ids = [builders.uid(number) for number in range(count)]
        query = sa.select(tables.instances).where(bulk.among(connection, tables.instances.c.uuid, ids))
        locked = query.order_by(tables.instances.c.uuid).with_for_update()
        compiled = str(locked.compile(bind, compile_kwargs={"literal_binds": True}))

        plan = connection.exec_driver_sql(f"EXPLAIN {compiled}").all()

    assert [row.table for row in plan] == ["instances"]
