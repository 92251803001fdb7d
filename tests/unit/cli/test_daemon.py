"""The parts of the daemon that need no process."""

from __future__ import annotations

import logging
import pathlib
import signal
from collections.abc import Iterator

import pytest
from oslo_config import cfg

from tests.functional import cli_desk
from worker import conf as options
from worker import errors
from worker.cli import daemon


def _configured(file: pathlib.Path) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    options.configure(conf, [f"--config-file={file}"])
    return conf


def test_a_database_that_is_away_is_tried_again_until_it_answers() -> None:
    left = [errors.DatabaseUnavailable("away"), errors.DatabaseUnavailable("away")]
    pauses: list[float] = []

    def check() -> None:
        if left:
            raise left.pop()

    daemon.wait_for_database(check, pauses.append)

    assert pauses == [daemon.DATABASE_EVERY] * 2


@pytest.fixture
def signals_kept() -> Iterator[None]:
    """Put the signals back that the daemon takes for itself."""
    taken = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in taken.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals_kept")
def test_the_help_says_what_it_is_and_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        daemon.run(["--help"], cfg.ConfigOpts())

    said = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    assert daemon.DESCRIPTION in said
    assert "[database] connection are needed" in said


@pytest.mark.usefixtures("signals_kept")
def test_a_faulty_provider_yaml_is_refused_before_anything_is_started(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "site.yaml").write_text("meta: {}\n", encoding="utf-8")
    file = tmp_path / "x.conf"
    file.write_text(f"[compute]\nprovider_config_location = {tmp_path}\n", encoding="utf-8")

    with cli_desk.logging_kept():
        code = daemon.run([f"--config-file={file}"], cfg.ConfigOpts())

    assert code == 2
    assert capsys.readouterr().err.startswith(f"stocktake-worker: {tmp_path / 'site.yaml'}:")


def test_a_database_that_does_not_fit_is_not_waited_for() -> None:
    def check() -> None:
        raise errors.Misconfigured("no tables")

    with pytest.raises(errors.Misconfigured, match="no tables"):
        daemon.wait_for_database(check, lambda _: pytest.fail("nobody waits"))


def test_a_reload_says_what_has_changed(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "x.conf"
    file.write_text("[worker]\nclaim_policy = all\n", encoding="utf-8")
    conf = _configured(file)
    file.write_text("[worker]\nclaim_policy = none\n", encoding="utf-8")

    with caplog.at_level(logging.INFO):
        daemon.reload(conf)

    assert conf.worker.claim_policy == "none"
    assert "action=reload [worker] claim_policy" in caplog.messages


def test_a_reload_without_a_change_says_so(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "x.conf"
    file.write_text("", encoding="utf-8")
    conf = _configured(file)

    with caplog.at_level(logging.INFO):
        daemon.reload(conf)

    assert "action=reload nothing has changed" in caplog.messages


def test_a_bad_file_leaves_everything_as_it_was(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "x.conf"
    file.write_text("", encoding="utf-8")
    conf = _configured(file)
    file.write_text("[worker]\nclaim_policy = some\n", encoding="utf-8")

    daemon.reload(conf)

    assert conf.worker.claim_policy == "all"
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert "[worker] claim_policy" in record.getMessage()


@pytest.mark.parametrize("url", ["fake://", "kombu+memory://"])
def test_a_bus_that_nobody_else_reaches_is_refused(url: str) -> None:
    conf = cfg.ConfigOpts()
    options.configure(conf, [], default_config_files=[], default_config_dirs=[])
    conf.set_override("transport_url", url)

    with pytest.raises(errors.Misconfigured, match="reaches nobody outside this process"):
        daemon.check(conf)
