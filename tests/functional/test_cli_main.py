"""The command line itself: what it is told wrongly, the schema, and the commands that need no configuration."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator

import pytest
from oslo_config import cfg

from tests.functional import cli_desk
from worker.cli import main

SCENARIO = """\
{"scenario": 1, "name": "short", "theme": "a node and an instance"}
{"op": "node_report", "host": "n1", "resources": {"vcpus": 16, "memory_mb": 65536, "local_gb": 1000}, \
"reserved": {"vcpus": 0, "memory_mb": 512, "disk_mb": 0}, \
"allocation_ratio": {"vcpus": 4.0, "memory_mb": 1.0, "disk": 1.0}}
{"op": "build_claim", "instance": "a", "host": "n1", \
"flavor": {"id": "s", "vcpus": 1, "memory_mb": 2048, "root_gb": 20, "ephemeral_gb": 0, "swap_mb": 0}}
"""


@pytest.fixture
def desk(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Iterator[cli_desk.Desk]:
    """Lend a desk whose database is not there yet."""
    found = cli_desk.Desk(tmp_path, capsys)
    yield found
    found.bind.dispose()


def test_the_schema_is_made_and_checked(desk: cli_desk.Desk) -> None:
    before = desk.json("db", "version")
    synced = desk.run("db", "sync")
    after = desk.json("db", "version")
    checked = desk.run("db", "check")

    assert before["found"] is None
    assert synced.rstrip().endswith(f"is at schema {after['needed']}")
    assert after["found"] == after["needed"]
    assert (desk.code, checked.rstrip().endswith("has the schema that is needed")) == (0, True)


@pytest.mark.parametrize("words", [("db", "check"), ("node", "list"), ("parked", "list"), ("outbox", "status")])
def test_a_database_that_is_not_there_is_said_and_not_made(desk: cli_desk.Desk, words: tuple[str, ...]) -> None:
    line = desk.refusal(*words)

    assert desk.code == 2
    assert line.startswith("stocktake: [database] connection: sqlite:///")
    assert line.endswith("run stocktake db sync")
    assert not (desk.file.parent / "books.db").exists()


def test_a_database_without_schema_says_what_to_do(desk: cli_desk.Desk) -> None:
    (desk.file.parent / "books.db").touch()

    line = desk.refusal("node", "list")

    assert desk.code == 2
    assert line.endswith("this database has no tables yet: run stocktake db sync")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "stocktake: which command? see stocktake --help"),
        (("nod",), "stocktake: nod: is not a command; see stocktake --help"),
        (("node", "shw"), "stocktake: node shw: is not a command; there is node list, node show"),
        (("node", "show"), "stocktake node show: the following arguments are required: NODE; see stocktake node show --help"),
        (("demo", "--seconds", "0"), "stocktake demo: argument --seconds: must be a whole number of at least 1, not '0'; see stocktake demo --help"),
        (("replay", "nowhere.jsonl"), "stocktake: nowhere.jsonl: No such file or directory"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_one_line(desk: cli_desk.Desk, words: tuple[str, ...], said: str) -> None:
    line = desk.refusal(*words)

    assert desk.code == 2
    assert line == said


def test_a_bad_option_is_named_with_its_file(desk: cli_desk.Desk) -> None:
    desk.file.write_text("[worker]\nbatch_size = 0\n", encoding="utf-8")

    line = desk.refusal("node", "list")

    assert desk.code == 2
    assert "[worker] batch_size" in line
    assert "stocktake.conf" in line


def test_a_column_that_is_not_there_is_a_usage_error(desk: cli_desk.Desk) -> None:
    desk.sync()

    line = desk.refusal("node", "list", "-c", "colour")

    assert desk.code == 2
    assert "colour" in line


def test_help_needs_no_configuration(desk: cli_desk.Desk) -> None:
    desk.file.unlink()

    said = desk.run("help", "node", "show")

    assert desk.code == 0
    assert "NODE" in said


def test_the_demo_needs_no_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    with cli_desk.logging_kept():
        code = main.run(["demo", "--seconds", "1", "--nodes", "2"], cfg.CONF)  # noqa: TID251 - oslo.messaging's own

    assert code == 0
    assert "invariant" in capsys.readouterr().out
    cfg.CONF.reset()  # noqa: TID251


def test_a_scenario_is_played_without_configuration(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario = tmp_path / "scenario.jsonl"
    scenario.write_text(SCENARIO, encoding="utf-8")

    with cli_desk.logging_kept():
        code = main.run(["replay", "--claim-policy", "all", str(scenario)], cfg.CONF)  # noqa: TID251
    cfg.CONF.reset()  # noqa: TID251

    played = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert played[-1]["nodes"]["n1"]["memory_mb_used"] == 2560


def test_a_scenario_that_cannot_be_followed_is_a_usage_error(desk: cli_desk.Desk, tmp_path: pathlib.Path) -> None:
    scenario = tmp_path / "scenario.jsonl"
    scenario.write_text("nonsense\n", encoding="utf-8")
    desk.sync()

    line = desk.refusal("replay", str(scenario))

    assert desk.code == 2
    assert "line 1" in line


def test_a_traceback_is_shown_only_with_debug(desk: cli_desk.Desk) -> None:
    quiet = desk.refusal("node", "list")

    desk.run("--debug", "node", "list")

    assert "Traceback" not in quiet
    assert "Traceback" in desk.err
    assert desk.code == 2


def test_the_version_is_that_of_the_distribution(desk: cli_desk.Desk) -> None:
    said = desk.run("--version")

    assert desk.code == 0
    assert json.dumps("0.1.0")[1:-1] in said
