"""What the relay, the read methods and the command line find in the database; on SQLite, in a file."""

from __future__ import annotations

import pathlib
import threading
from collections.abc import Callable, Iterator, Sequence

import msgspec
import pytest
import sqlalchemy as sa
from oslo_config import cfg

from tests import builders
from worker import conf, errors, handler, interfaces
from worker.core import claims, commands, events
from worker.db import bulk, engine, inbox, outbox, parked, relay_store, schema, tables, unit_of_work, writes

NOW = builders.NOW
SECOND = 1_000_000
Marks = Callable[[Sequence[int], int], bool]
POLICY = claims.Policy(claims=claims.NONE)


@pytest.fixture
def bind(tmp_path: pathlib.Path) -> Iterator[sa.Engine]:
    made = engine.of_url(f"sqlite:///{tmp_path / 'test.db'}")
    schema.sync(made)
    yield made
    made.dispose()


@pytest.fixture
def store(bind: sa.Engine) -> relay_store.RelayStore:
    return relay_store.RelayStore(bind)


@pytest.fixture
def held(store: relay_store.RelayStore) -> Marks:
    """Return how the holder of the lease marks rows as sent."""
    store.acquire("relay", "me", 3600)
    return lambda ids, now: store.sent("relay", "me", ids, now)


def handle(bind: sa.Engine, *orders: commands.Command, now: int = NOW) -> None:
    tasks = [builders.a_task(order) for order in orders]
    handler.handle(handler.Batch(tasks), unit_of_work.UnitOfWork(bind), now, POLICY)


def park(bind: sa.Engine, count: int) -> None:
    with unit_of_work.UnitOfWork(bind) as unit:
        unit.parked.add([interfaces.ParkedMessage(f"reason {number}", b"x", NOW, "q") for number in range(count)])
        unit.commit()


def test_the_database_of_the_configuration_is_opened(tmp_path: pathlib.Path) -> None:
    options = cfg.ConfigOpts()
    conf.register_opts(options)
    options([], project="stocktake", default_config_files=[])
    options.set_override("connection", f"sqlite:///{tmp_path / 'x.db'}", group="database")

    made = engine.create(options)

    schema.sync(made)
    assert (tmp_path / "x.db").exists()
    made.dispose()


def test_threads_take_turns_with_a_database_in_memory() -> None:
    made = engine.of_url("sqlite://")
    schema.sync(made)

    def mark(first: int) -> None:
        for number in range(first, first + 20):
            with unit_of_work.UnitOfWork(made) as unit:
                unit.inbox.add([interfaces.Mark(f"m{number}", "x", "applied")], NOW)
                unit.commit()

    threads = [threading.Thread(target=mark, args=(first,)) for first in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    with made.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(tables.inbox)) == 60
    made.dispose()


def shift_leases(bind: sa.Engine, seconds: int) -> None:
    """Let leases run out sooner by so many seconds, or later: as if the clock had been put on, or back."""
    later = tables.leases.c.expires_at + seconds * SECOND
    with bind.execution_options(**{engine.WRITING: True}).begin() as connection:
        connection.execute(tables.leases.update().values(expires_at=later))


def test_a_lease_that_was_made_before_the_clock_was_put_back_has_run_out(
    bind: sa.Engine, store: relay_store.RelayStore
) -> None:
    store.acquire("relay", "dead", 15)

    shift_leases(bind, 3600)

    assert store.acquire("relay", "b", 15)
    assert not store.acquire("relay", "dead", 15)


def test_a_lease_has_one_holder_until_it_runs_out(bind: sa.Engine, store: relay_store.RelayStore) -> None:
    assert store.acquire("relay", "a", 15)
    assert not store.acquire("relay", "b", 15)
    assert store.acquire("relay", "a", 15)

    shift_leases(bind, -15)

    assert store.acquire("relay", "b", 15)
    assert not store.acquire("relay", "a", 15)


def test_a_lease_is_given_up_by_its_holder_only(store: relay_store.RelayStore) -> None:
    store.acquire("relay", "a", 15)

    store.release("relay", "b")
    refused = store.acquire("relay", "b", 15)
    store.release("relay", "a")

    assert not refused
    assert store.acquire("relay", "b", 15)


def test_what_is_due_comes_in_the_order_it_happened(bind: sa.Engine, store: relay_store.RelayStore) -> None:
    handle(bind, builders.a_report(), commands.UpdateInstance(builders.an_instance()))
    handle(bind, commands.DeleteInstance(builders.VM, 9))

    due = store.due(100)

    assert [number for number, _ in due] == sorted(number for number, _ in due)
    assert [frame.event_type for _, frame in due] == [
        "resource_provider.create", "allocation.update", "resource_provider.update", "allocation.update",
    ]  # fmt: skip
    assert len({frame.event_id for _, frame in due}) == 4
    assert {frame.publisher_id for _, frame in due} == {"stocktake:h1"}
    assert all(frame.payload and frame.timestamp and frame.priority for _, frame in due)
    assert store.due(1) == due[:1]


def test_what_was_sent_is_not_due_any_more(bind: sa.Engine, store: relay_store.RelayStore, held: Marks) -> None:
    handle(bind, builders.a_report(), commands.UpdateInstance(builders.an_instance()))
    first, second = store.due(100)

    held([], NOW)
    held([first[0]], NOW + SECOND)

    assert store.due(100) == [second]
    assert outbox.status(bind) == outbox.Status(due=1, sent=1, oldest_due=NOW)


def test_a_node_s_notifications_are_sent_again_from_a_sequence_on(
    bind: sa.Engine, store: relay_store.RelayStore, held: Marks
) -> None:
    handle(bind, builders.a_report(), builders.a_report(builders.a_node(builders.uid(501), host="h2")))
    for revision, flavor in ((1, builders.a_flavor()), (2, builders.a_big_flavor())):
        handle(bind, commands.UpdateInstance(builders.an_instance(revision=revision, flavor=flavor)))
    everything = store.due(100)
    held([number for number, _ in everything], NOW)

    count = outbox.resend(bind, builders.NODE, 2)

    again = [frame for _, frame in store.due(100)]
    assert count == 2
    assert again == list(outbox.frames(bind, builders.NODE, 2))
    assert again == [frame for _, frame in everything if frame.event_type == "resource_provider.update"]


def test_frames_come_page_by_page(bind: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "PAGE", 2)
    handle(bind, builders.a_report())
    for revision in range(1, 6):
        flavor = builders.a_flavor(vcpus=revision)
        handle(bind, commands.UpdateInstance(builders.an_instance(revision=revision, flavor=flavor)))

    found = [msgspec.json.decode(frame.payload) for frame in outbox.frames(bind, builders.NODE, 1)]

    sequences = [payload["stocktake_object.data"]["sequence"] for payload in found]
    assert sequences == [1, 2, 3, 4, 5, 6]


def test_old_marks_and_sent_notifications_are_purged(
    bind: sa.Engine, store: relay_store.RelayStore, monkeypatch: pytest.MonkeyPatch, held: Marks
) -> None:
    monkeypatch.setattr(relay_store, "PURGED_AT_ONCE", 2)
    for number in range(5):
        record = builders.an_instance(builders.uid(number))
        handle(bind, commands.UpdateInstance(record), now=NOW + number * SECOND)
    due = store.due(100)
    held([number for number, _ in due[:3]], NOW + SECOND)
    held([number for number, _ in due[3:4]], NOW + 9 * SECOND)

    purged = store.purge(NOW + 4 * SECOND, NOW + 5 * SECOND)

    assert len(due) == 5
    assert purged == 4 + 3
    assert outbox.status(bind) == outbox.Status(due=1, sent=1, oldest_due=NOW + 4 * SECOND)
    with bind.connect() as connection:
        assert len(inbox.Inbox(writes.Writes(connection)).seen([builders.a_task(commands.UpdateInstance(builders.an_instance(
            builders.uid(4)))).message_id])) == 1  # fmt: skip


def test_a_purge_ends_even_if_there_is_more(
    bind: sa.Engine, store: relay_store.RelayStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_store, "PURGED_AT_ONCE", 1)
    monkeypatch.setattr(relay_store, "PURGES", 2)
    for number in range(5):
        handle(bind, commands.UpdateInstance(builders.an_instance(builders.uid(number))))

    assert [store.purge(NOW + 1, 0) for _ in range(3)] == [2, 2, 1]


def test_pairs_come_page_by_page(bind: sa.Engine, store: relay_store.RelayStore) -> None:
    handle(bind, *(commands.UpdateInstance(builders.an_instance(builders.uid(n), host=f"h{n}")) for n in range(3)))

    first = store.pairs("", 2)
    rest = store.pairs(first[-1][0], 2)

    assert sorted(pair.host for _, pair in [*first, *rest]) == ["h0", "h1", "h2"]
    assert [id_ for id_, _ in [*first, *rest]] == sorted(builders.account_of(f"h{n}") for n in range(3))
    assert store.pairs(rest[-1][0], 2) == []


def test_parked_messages_are_listed_shown_and_dropped(bind: sa.Engine) -> None:
    park(bind, 3)

    first, second, third = parked.listed(bind)
    dropped = parked.delete(bind, [first.id or 0, third.id or 0, 999])

    assert [first.reason, second.reason, third.reason] == ["reason 0", "reason 1", "reason 2"]
    assert dropped == 2
    assert parked.listed(bind) == [second]
    assert parked.get(bind, second.id or 0) == second
    assert parked.get(bind, first.id or 0) is None


def test_a_parking_number_is_never_given_twice(bind: sa.Engine) -> None:
    park(bind, 1)
    (first,) = parked.listed(bind)
    parked.delete(bind, [first.id or 0])

    park(bind, 1)

    (second,) = parked.listed(bind, after=first.id or 0)
    assert (second.id or 0) > (first.id or 0)


def test_a_purge_of_a_database_that_is_away_says_so(tmp_path: pathlib.Path) -> None:
    away = relay_store.RelayStore(engine.of_url(f"sqlite:///{tmp_path / 'none' / 'x.db'}"))

    for ask in (lambda: away.purge(1, 1), lambda: away.due(1), lambda: away.acquire("relay", "a", 1)):
        with pytest.raises(errors.DatabaseUnavailable):
            ask()


def test_only_the_holder_of_the_lease_marks_what_was_sent(bind: sa.Engine, store: relay_store.RelayStore) -> None:
    handle(bind, builders.a_report())
    ((number, _),) = store.due(100)
    store.acquire("relay", "a", 15)
    shift_leases(bind, -15)
    store.acquire("relay", "b", 15)

    late = store.sent("relay", "a", [number], NOW)
    still_due = store.due(100)

    assert (late, len(still_due)) == (False, 1)
    assert store.sent("relay", "b", [number], NOW)
    assert store.due(100) == []


def test_the_highest_number_that_is_due_is_found(bind: sa.Engine, store: relay_store.RelayStore, held: Marks) -> None:
    before = store.last_due()
    handle(bind, builders.a_report(), commands.UpdateInstance(builders.an_instance()))
    numbers = [number for number, _ in store.due(100)]

    found = store.last_due()
    held(numbers[-1:], NOW)

    assert (before, found, store.last_due()) == (None, numbers[-1], numbers[-2])


def test_a_notification_of_any_text_is_kept(bind: sa.Engine, store: relay_store.RelayStore) -> None:
    odd = events.Parked("m1", "\ud800", "argument \udfff\x00: no", None, 1, "accounts")

    with unit_of_work.UnitOfWork(bind) as unit:
        unit.outbox.add([odd], NOW)
        unit.commit()

    ((_, frame),) = store.due(1)
    said = msgspec.json.decode(msgspec.json.encode(frame.payload))["stocktake_object.data"]
    assert (said["method"], said["reason"]) == ("\\ud800", "argument \\udfff\\x00: no")


def test_ids_are_looked_for_in_their_order(bind: sa.Engine) -> None:
    with bind.connect() as connection:
        condition = bulk.among(connection, tables.inbox.c.message_id, {"c", "a", "d", "b"})

    assert list(condition.compile().params.values()) == [["a", "b", "c", "d"]]


def test_columns_are_told_by_their_names_in_whatever_order_a_row_has_them() -> None:
    rows = [{"content": "one", "times": 1, "at": 10}, {"at": 20, "times": 2, "content": "two"}]

    _, values = bulk.insertion(tables.starts, rows)
    _, single = bulk.removal(tables.starts, [{"content": "one"}, {"content": "two"}])

    assert values == {"content": "one\x1ftwo", "times": "1\x1f2", "at": "10\x1f20"}
    assert single == {"content": "one\x1ftwo"}
