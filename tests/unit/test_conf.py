"""Options are checked when they are read, and an error names what is at fault."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import oslo_messaging
import pytest
from oslo_config import cfg

from objects import limits as object_limits
from worker import conf, errors
from worker.conf import limits

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: pathlib.Path) -> Write:
    """Write the configuration file anew and return its path."""

    def anew(text: str) -> str:
        file = tmp_path / "stocktake.conf"
        file.write_text(text)
        return str(file)

    return anew


def _configured(*argv: str) -> cfg.ConfigOpts:
    fresh = cfg.ConfigOpts()
    conf.configure(fresh, argv, default_config_files=[], default_config_dirs=[])
    return fresh


def test_without_a_file_the_defaults_are_ours() -> None:
    fresh = _configured()

    assert fresh.control_exchange == "stocktake"
    assert fresh.database.connection == "sqlite:///stocktake.db"
    assert fresh.oslo_messaging_notifications.topics == ["stocktake_notifications"]
    assert fresh.oslo_messaging_rabbit.rabbit_quorum_queue is True


def test_without_a_file_devices_are_no_providers_and_files_are_looked_for_in_etc() -> None:
    fresh = _configured()

    assert fresh.pci.report_in_placement is False
    assert fresh.compute.provider_config_location == "/etc/stocktake/provider_config/"


def test_a_file_beats_the_defaults(write: Write) -> None:
    fresh = _configured("--config-file", write("[worker]\nclaim_policy = local\n[database]\nconnection = sqlite://\n"))

    assert fresh.worker.claim_policy == "local"
    assert fresh.database.connection == "sqlite://"


def test_oslo_messaging_registers_its_own_options_after_ours() -> None:
    fresh = _configured()

    transport = oslo_messaging.get_rpc_transport(fresh, url="rabbit://127.0.0.1/?rabbit_quorum_queue=false")

    assert transport.conf.oslo_messaging_rabbit.rabbit_quorum_queue is False
    assert fresh.oslo_messaging_rabbit.rabbit_quorum_queue is True


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[worker]\nprocesses = 0\n", "[worker] processes: "),
        ("[worker]\nbatch_wait = soon\n", "[worker] batch_wait: "),
        ("[worker]\nclaim_policy = some\n", "[worker] claim_policy: "),
        ("[worker]\ntopic = a b\n", "[worker] topic: "),
        ("[limits]\nmessage_bytes = 1\n", "[limits] message_bytes: "),
        ("[notifications]\nexists_interval = -1\n", "[notifications] exists_interval: "),
        ("[upgrade_levels]\nstocktake = auto\n", "[upgrade_levels] stocktake: "),
        ("[pci]\nreport_in_placement = perhaps\n", "[pci] report_in_placement: "),
        ("[database]\nmax_retries = many\n", "[database] max_retries: "),
        ("[worker\n", "Failed to parse "),
    ],
)
def test_a_bad_value_is_one_line_that_names_option_and_file(write: Write, text: str, names: str) -> None:
    file = write(text)

    with pytest.raises(errors.Misconfigured) as refused:
        _configured("--config-file", file)

    said = str(refused.value)
    assert said.startswith(names)
    assert file in said
    assert "\n" not in said


def test_a_missing_file_is_named(tmp_path: pathlib.Path) -> None:
    missing = str(tmp_path / "nowhere.conf")

    with pytest.raises(errors.Misconfigured, match=r"nowhere\.conf"):
        _configured("--config-file", missing)


def test_wrong_usage_ends_the_process_with_two() -> None:
    with pytest.raises(SystemExit) as ended:
        _configured("--no-such-option")

    assert ended.value.code == 2


def test_a_bad_value_of_an_option_of_the_command_line_ends_with_two(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write("[DEFAULT]\ndebug = perhaps\n")

    with pytest.raises(SystemExit) as ended:
        _configured("--config-file", file)

    assert ended.value.code == 2
    assert "debug" in capsys.readouterr().err


def test_asking_for_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        _configured("--help")

    assert ended.value.code == 0
    assert "--config-file" in capsys.readouterr().out


def test_a_reload_takes_over_what_is_mutable_and_nothing_else(write: Write) -> None:
    fresh = _configured("--config-file", write("[worker]\nbatch_size = 10\nprocesses = 2\n"))
    write("[worker]\nbatch_size = 20\nprocesses = 3\n")

    changed = conf.reload(fresh)

    assert changed == {("worker", "batch_size"): ("10", "20")}
    assert (fresh.worker.batch_size, fresh.worker.processes) == (20, 2)


def test_a_reload_of_a_bad_file_changes_nothing(write: Write) -> None:
    fresh = _configured("--config-file", write("[worker]\nbatch_size = 10\nmax_attempts = 3\n"))
    write("[worker]\nbatch_size = 20\nmax_attempts = 0\n")

    with pytest.raises(errors.Misconfigured, match="max_attempts"):
        conf.reload(fresh)

    assert (fresh.worker.batch_size, fresh.worker.max_attempts) == (10, 3)


def test_a_reload_with_a_bad_log_option_leaves_the_daemon_alive(write: Write) -> None:
    fresh = _configured("--config-file", write("[DEFAULT]\ndebug = true\n"))
    write("[DEFAULT]\ndebug = perhaps\n")

    with pytest.raises(errors.Misconfigured, match="debug"):
        conf.reload(fresh)

    assert fresh.debug is True


def test_the_limits_of_the_objects_are_those_configured(write: Write) -> None:
    fresh = _configured("--config-file", write("[limits]\nlist_length = 7\n"))

    checked = limits.of_objects(fresh)

    assert checked == object_limits.Limits(list_length=7)


class _Read(cfg.ConfigOpts):
    """A configuration that another thread reads while the files are read again."""

    def _reload_config_files(self) -> Any:
        assert self.worker.batch_size == 10
        return super()._reload_config_files()


def test_a_thread_that_reads_during_a_reload_does_not_bring_the_old_value_back(write: Write) -> None:
    read = _Read()
    argv = ["--config-file", write("[worker]\nbatch_size = 10\n")]
    conf.configure(read, argv, default_config_files=[], default_config_dirs=[])
    write("[worker]\nbatch_size = 20\n")

    conf.reload(read)

    assert read.worker.batch_size == 20
