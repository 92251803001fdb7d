"""The commands on parked messages and on the outbox."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from tests import builders, plain
from tests.functional import cli_desk
from worker import mapping
from worker.db import tables


@pytest.fixture
def desk(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Iterator[cli_desk.Desk]:
    """Lend a desk with an empty database."""
    with cli_desk.opened(tmp_path, capsys) as found:
        yield found


def _bad(message_id: str = "m1") -> bytes:
    return cli_desk.body("delete_instance", message_id, instance_uuid="no-uuid", revision=1)


def _too_long(message_id: str) -> bytes:
    return cli_desk.body("update_instance", message_id, instance=plain.instance(display_name="n" * 100))


def _set_string_length(desk: cli_desk.Desk, length: int) -> None:
    text = desk.file.read_text(encoding="utf-8").partition("[limits]")[0]
    desk.file.write_text(f"{text}[limits]\nstring_length = {length}\n", encoding="utf-8")
    desk.conf.reload_config_files()


def test_parked_messages_are_listed_with_their_reasons(desk: cli_desk.Desk) -> None:
    desk.deliver(_bad())

    (listed,) = desk.json("parked", "list")

    assert (listed["id"], listed["method"], listed["field"]) == (1, "delete_instance", "instance_uuid")
    assert listed["reason"].startswith("instance_uuid: ")


def test_a_parked_message_is_shown_with_its_body_and_without_the_token(desk: cli_desk.Desk) -> None:
    desk.deliver(_bad(), content_type="application/json")

    shown = desk.json("parked", "show", "1")

    assert (shown["message_id"], shown["attempts"], shown["queue"]) == ("m1", 1, "accounts")
    assert "no-uuid" in shown["body"]
    assert "hush" not in desk.out
    assert shown["headers"]["content_type"] == "application/json"


def test_a_message_that_is_still_bad_stays_with_one_more_attempt(desk: cli_desk.Desk) -> None:
    desk.deliver(_bad())

    said = desk.run("parked", "replay", "1")

    assert desk.code == 1
    assert said.startswith("1: parked: instance_uuid: ")
    (listed,) = desk.json("parked", "list")
    assert listed["attempts"] == 2


def test_a_message_whose_body_was_withheld_stays_and_says_why(desk: cli_desk.Desk) -> None:
    desk.deliver(b"\xff_context_auth_token=hush")

    desk.run("parked", "replay", "1")

    assert desk.code == 1
    assert "its body was withheld" in desk.json("parked", "show", "1")["reason"]


def test_a_message_is_applied_and_removed_after_a_fix(desk: cli_desk.Desk) -> None:
    _set_string_length(desk, 50)
    desk.deliver(_too_long("m1"))
    _set_string_length(desk, 200)

    said = desk.run("parked", "replay", "1")

    assert (desk.code, said) == (0, "1: applied\n")
    assert desk.json("parked", "list") == []
    assert desk.json("instance", "show", plain.uid(1))["host"] == plain.host()


def test_all_are_replayed_and_only_the_bad_one_stays(desk: cli_desk.Desk) -> None:
    _set_string_length(desk, 50)
    desk.deliver(_too_long("m1"))
    desk.deliver(_bad("m2"))
    desk.deliver(_too_long("m3"))
    _set_string_length(desk, 200)

    said = desk.run("parked", "replay", "--all")

    assert desk.code == 1
    assert [line.split(": ")[:2] for line in said.splitlines()] == [["1", "applied"], ["2", "parked"], ["3", "stale"]]
    assert [one["id"] for one in desk.json("parked", "list")] == [2]


def test_a_message_that_was_applied_meanwhile_counts_once(desk: cli_desk.Desk) -> None:
    _set_string_length(desk, 50)
    desk.deliver(_too_long("m1"))
    _set_string_length(desk, 200)
    desk.deliver(_too_long("m1"))

    said = desk.run("parked", "replay", "1")

    assert (desk.code, said) == (0, "1: duplicate\n")


def test_a_still_bad_message_is_not_parked_twice_once_its_mark_is_gone(desk: cli_desk.Desk) -> None:
    desk.deliver(_bad())
    with desk.bind.begin() as connection:
        connection.execute(tables.inbox.delete())

    desk.run("parked", "replay", "--all")

    assert [(one["id"], one["attempts"]) for one in desk.json("parked", "list")] == [(1, 2)]


def test_parked_messages_are_dropped(desk: cli_desk.Desk) -> None:
    for number in range(3):
        desk.deliver(_bad(f"m{number}"))

    first = desk.run("parked", "drop", "2")
    rest = desk.run("parked", "drop", "--all")

    assert (first, rest) == ("1 dropped\n", "2 dropped\n")
    assert desk.json("parked", "list") == []


@pytest.mark.parametrize("command", ["replay", "drop"])
def test_neither_a_number_nor_all_is_a_usage_error(desk: cli_desk.Desk, command: str) -> None:
    line = desk.refusal("parked", command)

    assert desk.code == 2
    assert line.startswith(f"stocktake parked {command}: ")


def test_the_outbox_says_what_is_due_and_since_when(desk: cli_desk.Desk) -> None:
    desk.tell(builders.a_report())

    shown = desk.json("outbox", "status")

    assert (shown["due"], shown["sent_and_kept"]) == (1, 0)
    assert shown["oldest_due_at"] == mapping.moment(builders.NOW)
    assert shown["oldest_due_seconds"] > 0


def test_an_empty_outbox_has_no_oldest(desk: cli_desk.Desk) -> None:
    shown = desk.json("outbox", "status")

    assert shown == {"due": 0, "oldest_due_at": None, "oldest_due_seconds": None, "sent_and_kept": 0}


def test_sent_notifications_are_sent_again_from_a_sequence_on(desk: cli_desk.Desk) -> None:
    for revision, memory_mb in ((1, 1024), (2, 2048), (3, 4096)):
        desk.tell(builders.a_report(revision=revision, memory_mb=memory_mb))
    with desk.bind.begin() as connection:
        connection.execute(tables.outbox.update().values(due=None, sent_at=builders.NOW))

    said = desk.run("outbox", "resend", "--node", "h1", "--from-seq", "2")

    assert (desk.code, said) == (0, f"2 notifications of node {builders.NODE} are due again\n")
    assert desk.json("outbox", "status")["due"] == 2


def test_a_sequence_that_is_no_longer_kept_is_refused(desk: cli_desk.Desk) -> None:
    desk.tell(builders.a_report())

    line = desk.refusal("outbox", "resend", "--node", "h1", "--from-seq", "9")

    assert desk.code == 1
    assert line == f"stocktake: node {builders.NODE}: no notification from sequence 9 on is kept"
