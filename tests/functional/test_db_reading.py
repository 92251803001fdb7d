"""What the read methods, the command line and the proof of the accounts find in the database; on SQLite, in a file."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator

import msgspec
import pytest
import sqlalchemy as sa

from objects import exceptions
from tests import builders
from tests.contract import full_records
from worker import handler
from worker.core import claims, commands, events
from worker.db import engine, invariants, reading, schema, tables, unit_of_work

NOW = builders.NOW
POLICY = claims.Policy(claims=claims.NONE)


@pytest.fixture
def bind(tmp_path: pathlib.Path) -> Iterator[sa.Engine]:
    made = engine.of_url(f"sqlite:///{tmp_path / 'test.db'}")
    schema.sync(made)
    yield made
    made.dispose()


def handle(bind: sa.Engine, *orders: commands.Command, now: int = NOW) -> None:
    tasks = [builders.a_task(order) for order in orders]
    handler.handle(handler.Batch(tasks), unit_of_work.UnitOfWork(bind), now, POLICY)


def execute(bind: sa.Engine, statement: sa.Executable) -> None:
    with bind.begin() as connection:
        connection.execute(statement)


def test_the_sheet_of_a_node_has_its_report(bind: sa.Engine) -> None:
    report = full_records.a_full_report()
    handle(bind, builders.a_report(report), commands.UpdateInstance(builders.an_instance()))

    (sheet,) = reading.sheets(bind, [builders.NODE, builders.uid(999)])

    assert sheet.report == report
    assert sheet.speaks
    assert sheet.node is not None
    assert sheet.node.pair == builders.pair("h1")
    assert sheet.account.used == builders.SMALL


def test_a_pair_that_nobody_reported_is_found_by_its_placeholder(bind: sa.Engine) -> None:
    handle(bind, commands.UpdateInstance(builders.an_instance()))
    placeholder = builders.account_of("h1")

    before = reading.sheets(bind, [placeholder])
    handle(bind, builders.a_report())
    after = reading.sheets(bind, [placeholder])

    assert [(sheet.node, sheet.account.used) for sheet in before] == [(None, builders.SMALL)]
    assert after == []


def test_a_node_without_anything_held_has_an_empty_account(bind: sa.Engine) -> None:
    handle(bind, builders.a_report())

    (sheet,) = reading.sheets(bind, [builders.NODE])

    assert dict(sheet.account.used) == {}
    assert sheet.account.pair == builders.pair("h1")


def test_of_two_nodes_with_one_pair_only_the_speaker_shows_the_account(bind: sa.Engine) -> None:
    rival = builders.a_node(builders.uid(501), 2)
    handle(bind, builders.a_report(), builders.a_report(rival), commands.UpdateInstance(builders.an_instance()))

    silent, speaker = reading.sheets(bind, [builders.NODE, builders.uid(501)])

    assert (silent.speaks, dict(silent.account.used)) == (False, {})
    assert (speaker.speaks, dict(speaker.account.used)) == (True, builders.SMALL)


def test_a_node_that_was_only_spoken_of_is_unknown(bind: sa.Engine) -> None:
    handle(bind, commands.SetNodeDisabled(builders.NODE, True, 1))

    assert reading.sheets(bind, [builders.NODE]) == []


def test_nodes_are_listed_by_uuid_with_unreported_pairs_that_are_in_use(bind: sa.Engine) -> None:
    gone, used = builders.a_node(builders.uid(502), host="h3"), builders.a_node(builders.uid(503), host="h4")
    handle(
        bind,
        *(builders.a_report(node) for node in (builders.a_node(), gone, used)),
        commands.UpdateInstance(builders.an_instance(host="h2")),
        commands.UpdateInstance(builders.an_instance(builders.uid(2), host="h4")),
        commands.UpdateInstance(builders.an_instance(builders.uid(3), host="h5")),
        commands.DeleteInstance(builders.uid(3), 9),
        commands.RemoveNode(gone.uuid, 9),
        commands.RemoveNode(used.uuid, 9),
    )
    expected = sorted([builders.NODE, used.uuid, builders.account_of("h2")])

    everything = reading.node_uuids(bind, None, 100)
    paged = [*reading.node_uuids(bind, None, 2), *reading.node_uuids(bind, expected[1], 2)]

    assert everything == expected
    assert paged == expected


def test_the_library_answers_the_read_methods(bind: sa.Engine) -> None:
    handle(bind, builders.a_report(), commands.UpdateInstance(builders.an_instance()))
    library = reading.Library(bind, claims.Policy)

    node = library.node_usage(builders.NODE)["stocktake_object.data"]
    nodes = library.node_usages(None, 10)
    instance = library.instance_usage(builders.VM, NOW)["stocktake_object.data"]

    assert (node["uuid"], node["memory_mb_used"]) == (builders.NODE, 512)
    assert [one["stocktake_object.data"]["uuid"] for one in nodes] == [builders.NODE]
    assert list(instance["allocations"]) == [builders.NODE]


def test_the_library_names_what_it_does_not_know(bind: sa.Engine) -> None:
    library = reading.Library(bind, claims.Policy)

    with pytest.raises(exceptions.NotFound, match=f"node {builders.NODE}"):
        library.node_usage(builders.NODE)
    with pytest.raises(exceptions.NotFound, match=f"instance {builders.VM}"):
        library.instance_usage(builders.VM, NOW)


def test_books_come_page_by_page(bind: sa.Engine) -> None:
    handle(bind, *(commands.UpdateInstance(builders.an_instance(builders.uid(number))) for number in range(3)))

    first = reading.books(bind, None, 2)
    rest = reading.books(bind, first[-1].uuid, 2)

    assert [book.uuid for book in [*first, *rest]] == [builders.uid(number) for number in range(3)]
    assert reading.book(bind, builders.uid(0)) == first[0]
    assert reading.book(bind, builders.uid(9)) is None


def test_what_is_held_on_an_account_is_listed(bind: sa.Engine) -> None:
    book = full_records.a_full_book()
    handle(bind, commands.UpdateMigration(book.moves[0], book.record))

    found = reading.holdings(bind, builders.account_of("h2"))

    assert found == [
        (builders.VM, msgspec.structs.replace(holding, place=None))
        for holding in book.holdings
        if holding.account == builders.account_of("h2")
    ]
    assert len(found) == 1


def test_the_ledger_explains_the_figures_entry_by_entry(bind: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PAGE", 2)
    for revision in range(1, 5):
        record = builders.an_instance(revision=revision, flavor=builders.a_flavor(vcpus=revision))
        handle(bind, commands.UpdateInstance(record), now=NOW + revision)

    lines = list(reading.lines_of_account(bind, builders.account_of()))
    early = list(reading.lines_of_instance(bind, builders.VM, until=NOW + 2))

    assert [line.amounts["VCPU"] for line in lines] == [1, 1, 1, 1]
    assert [line.at for line in lines] == [NOW + revision for revision in range(1, 5)]
    assert early == lines[:2]
    assert lines[0].entry == events.Entry(
        "holding", builders.account_of(), None, builders.VM, builders.SMALL, builders.SMALL, lines[0].cause
    )
    assert lines[0].cause.method == "update_instance"


def a_busy_cloud(bind: sa.Engine) -> None:
    handle(
        bind,
        builders.a_report(builders.a_node(reserved_host_cpus=2)),
        commands.UpdateInstance(builders.an_instance()),
        commands.UpdateMigration(builders.a_move(), None),
        commands.UpdateInstance(builders.an_instance(builders.uid(2), host="h3")),
    )
    handle(bind, commands.DeleteInstance(builders.uid(2), 9), commands.RemoveNode(builders.NODE, 5))
    handle(bind, builders.a_report(builders.a_node(revision=6, vcpus=16, reserved_host_cpus=2)))


def test_every_total_is_the_sum_of_its_parts(bind: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invariants, "PAGE", 1)
    a_busy_cloud(bind)

    assert list(invariants.differences(bind)) == []


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (tables.accounts.update().values(used='{"VCPU":99}'), {("used", "holdings"), ("used", "ledger")}),
        (tables.accounts.update().values(settled='{"VCPU":99}'), {("settled", "holdings"), ("settled", "ledger")}),
        (tables.holdings.delete(), {(one, by) for one in ("used", "settled") for by in ("holdings", "instances")}),
        (tables.ledger.delete().where(tables.ledger.c.kind == "capacity"), {("capacity", "ledger")}),
        (tables.ledger.delete().where(tables.ledger.c.kind == "reserved"), {("reserved", "ledger")}),
        (tables.ledger.delete().where(tables.ledger.c.kind == "holding"), {("used", "ledger"), ("settled", "ledger")}),
    ],
    ids=["used", "settled", "holdings", "capacity", "reserved", "ledger"],
)
def test_what_does_not_add_up_is_found(damage: sa.Executable, found: set[tuple[str, str]]) -> None:
    bind = engine.of_url("sqlite://")
    schema.sync(bind)
    a_busy_cloud(bind)
    execute(bind, damage)

    differences = [one for one in invariants.differences(bind) if one.account == builders.account_of("h1")]

    assert {(one.figure, one.by) for one in differences} == found
    bind.dispose()


def test_lines_equal_what_was_entered() -> None:
    line = reading.Line(1, NOW, "holding", "a", None, "i", {"VCPU": 1}, {}, builders.a_cause())

    assert msgspec.structs.asdict(line.entry).items() <= dataclasses.asdict(line).items()


def test_a_node_whose_account_is_not_stored_is_proved_all_the_same(bind: sa.Engine) -> None:
    handle(bind, builders.a_report())
    execute(bind, tables.accounts.delete())
    proved = list(invariants.differences(bind))

    execute(bind, tables.ledger.delete().where(tables.ledger.c.kind == "capacity"))

    assert proved == []
    ((account, figure, by),) = [(one.account, one.figure, one.by) for one in invariants.differences(bind)]
    assert (account, figure, by) == (builders.account_of("h1"), "capacity", "ledger")
    execute(bind, tables.nodes.delete())  # so that what is left adds up
