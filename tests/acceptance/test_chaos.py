"""The short form of ``python -m tests.chaos``: everything that a service can do to a worker, within a minute."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import sys

import pytest

from tests import services
from tests.chaos import schedule

SEED = 7
SECONDS = 60
LONGEST = 540.0
"""Seconds after which it is ended on a machine that has other work to do; 90 are what it takes on an idle one."""
MISSING = 2


def _run() -> tuple[int, str]:
    """Run the command and return its exit code and what it has said; told to stop, it ends what it has started."""
    # coverage of the tests around it would measure the workers as well, and so slow them down
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    command = [sys.executable, "-m", "tests.chaos", "--seed", str(SEED), "--seconds", str(SECONDS)]
    root = pathlib.Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        command, cwd=root, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            said, _ = process.communicate(timeout=LONGEST)
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=30)
    return process.returncode, said


@pytest.mark.timeout(600)
def test_a_minute_of_chaos_leaves_everything_as_the_plain_model_says() -> None:
    code, said = _run()

    if code == MISSING:
        services.missing(said.splitlines()[-1])
    assert code == 0, said
    done = {kind for kind in schedule.KINDS if f"fault: {kind} " in said or f"skipped: {kind}" in said}
    assert done == {*schedule.KINDS}, said
    assert said.endswith("\n0 differences\n")
