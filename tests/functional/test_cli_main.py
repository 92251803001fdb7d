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
    (desk.file.parent / "books.db").touch()
    before = desk.json("db", "version")
    synced = desk.run("db", "sync")
    after = desk.json("db", "version")
    checked = desk.run("db", "check")

    assert before["found"] is None
    assert synced.rstrip().endswith(f"is at schema {after['needed']}")
    assert after["found"] == after["needed"]
    assert (desk.code, checked.rstrip().endswith("has the schema that is needed")) == (0, True)


@pytest.mark.parametrize("words", [("db", "check"), ("db", "version"), ("node", "list"), ("parked", "list")])
def test_a_database_that_is_not_there_is_said_and_not_made(desk: cli_desk.Desk, words: tuple[str, ...]) -> None:
    line = desk.refusal(*words)

    assert desk.code == 2
    assert line.startswith("stocktake: [database] connection: sqlite:///")
    assert line.endswith("run stocktake db sync")
    assert not (desk.file.parent / "books.db").exists()


def _connect_to(desk: cli_desk.Desk, url: str) -> None:
    desk.file.write_text(f"[database]\nconnection = {url}\n", encoding="utf-8")


DB_COMMANDS = [("db", "sync"), ("db", "version"), ("db", "check"), ("node", "list")]


@pytest.mark.parametrize("words", DB_COMMANDS)
@pytest.mark.parametrize("driver", ["postgresql+psycopg", "mysql+pymysql"])
def test_a_server_that_refuses_is_named_with_its_option(
    desk: cli_desk.Desk, driver: str, words: tuple[str, ...]
) -> None:
    _connect_to(desk, f"{driver}://someone:hush@127.0.0.1:1/books")

    line = desk.refusal(*words)

    assert desk.code == 2
    assert line.startswith(f"stocktake: [database] connection: {driver}://127.0.0.1/books: ")
    assert "refused" in line
    assert "hush" not in line


@pytest.mark.parametrize("words", DB_COMMANDS)
def test_a_file_that_is_no_database_is_named_with_its_option(desk: cli_desk.Desk, words: tuple[str, ...]) -> None:
    (desk.file.parent / "books.db").write_text("no database, " * 100, encoding="utf-8")

    line = desk.refusal(*words)

    assert desk.code == 2
    assert line.startswith("stocktake: [database] connection: sqlite:///")
    assert line.endswith("file is not a database")


def test_a_place_where_no_database_can_be_made_is_named_with_its_option(desk: cli_desk.Desk) -> None:
    _connect_to(desk, f"sqlite:///{desk.file}/books.db")

    line = desk.refusal("db", "sync")

    assert desk.code == 2
    assert line.startswith(f"stocktake: [database] connection: sqlite:///{desk.file}/books.db: ")
    assert line.endswith("unable to open database file")


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

    said = [desk.run(*words) for words in (("help", "node", "show"), ("node", "show", "--help"))]

    assert desk.code == 0
    assert "stocktake node show" in said[0]
    assert "NODE" in said[0]
    assert said[1] == said[0]


def test_the_help_of_the_whole_says_what_there_is(desk: cli_desk.Desk) -> None:
    said = desk.run("--help")

    assert desk.code == 0
    assert "node show" in said
    assert "Exit codes" in said
    assert desk.err == ""


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
        code = main.run(["replay", "--claim-policy", "all", str(scenario), "-f", "json"], cfg.CONF)  # noqa: TID251
    cfg.CONF.reset()  # noqa: TID251

    played = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert played[-1]["nodes"]["n1"]["memory_mb_used"] == 2560


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"nonsense\n", "line 1: is not JSON"),
        (b"{}\n{}\n", "line 2: op: must be one of"),
        (b'{}\n{"op": "audit"}\n', "line 2: audit: host: is missing"),
        (b"{}\n# caf\xe9\n", "line 2: is not UTF-8 at byte 8"),
    ],
)
def test_a_scenario_that_cannot_be_followed_is_named_with_its_line(
    desk: cli_desk.Desk, tmp_path: pathlib.Path, content: bytes, said: str
) -> None:
    scenario = tmp_path / "scenario.jsonl"
    scenario.write_bytes(content)
    desk.sync()

    line = desk.refusal("replay", str(scenario))

    assert desk.code == 2
    assert line.startswith(f"stocktake: {scenario}: {said}")


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
