"""What stocktake-placement refuses at the start, in one line."""

from __future__ import annotations

import pathlib
import signal
from collections.abc import Iterator

import pytest
from oslo_config import cfg

from worker.cli import placement_daemon

RABBIT = "[DEFAULT]\ntransport_url = rabbit://nobody:s3cr3t@127.0.0.1:1/\n"


@pytest.fixture(autouse=True)
def signals_kept() -> Iterator[None]:
    """Put the signals back that the daemon takes for itself."""
    taken = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in taken.items():
        signal.signal(number, handler)


def test_the_help_says_what_it_is_and_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        placement_daemon.run(["--help"], cfg.ConfigOpts())

    said = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    assert placement_daemon.DESCRIPTION in said
    assert "--dry-run" in said


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (RABBIT, "[placement] auth_type: is not set; none with endpoint_override asks no Keystone"),
        (f"{RABBIT}[placement]\nauth_type = nonsense\n", "[placement] The plugin nonsense could not be found"),
        (f"{RABBIT}[placement]\nauth_type = none\n", "[placement] endpoint_override: is not set"),
        (f"{RABBIT}[placement]\ntimeout = soon\n", "[placement] timeout: "),
        (f"{RABBIT}[placement]\nmin_microversion = new\n", "[placement] min_microversion: "),
        ("[DEFAULT]\ntransport_url = kombu+memory://\n", "transport_url: kombu+memory:// reaches nobody outside"),
    ],
)
def test_what_it_cannot_work_with_is_one_line(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], text: str, line: str
) -> None:
    file = tmp_path / "stocktake.conf"
    file.write_text(f"{text}[database]\nconnection = sqlite:///{tmp_path / 'none.db'}\n", encoding="utf-8")

    code = placement_daemon.run([f"--config-file={file}"], cfg.ConfigOpts())

    (said,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("stocktake-placement:")]
    assert code == 2
    assert said.startswith(f"stocktake-placement: {line}")
    assert "s3cr3t" not in said
