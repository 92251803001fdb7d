"""One line for people, an exit code for programs."""

from __future__ import annotations

import argparse
import logging
from typing import Any

import pytest
from oslo_config import cfg

from objects import exceptions
from worker import errors
from worker.cli import arguments, failures


def _record(message: Any, level: int = logging.ERROR) -> logging.LogRecord:
    return logging.LogRecord("worker", level, __file__, 1, message, None, None)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.Misconfigured("x"), 2),
        (errors.DatabaseUnavailable("x"), 2),
        (errors.BusUnavailable("x"), 2),
        (cfg.ConfigFilesNotFoundError(["x"]), 2),
        (ValueError("x"), 2),
        (exceptions.NotFound("x"), 1),
        (failures.Refused("x"), 1),
        (KeyError("x"), 1),
        (BrokenPipeError(), 141),
    ],
)
def test_the_exit_code_tells_whose_fault_it_is(error: Exception, code: int) -> None:
    assert failures.exit_code(error) == code


def test_an_error_of_many_lines_becomes_one() -> None:
    line = failures.OneLine(tracebacks=False).format(_record(errors.Misconfigured("one\n  two")))

    assert line == "stocktake: one two"


def test_an_error_that_nobody_expects_says_what_it_is() -> None:
    line = failures.OneLine(tracebacks=False).format(_record(KeyError("name")))

    assert line == "stocktake: unexpected KeyError: 'name' (--debug shows where)"


def test_what_is_no_error_is_left_as_it_is() -> None:
    line = failures.OneLine(tracebacks=False).format(_record("action=open", logging.INFO))

    assert line == "action=open"


def test_debugging_shows_everything() -> None:
    line = failures.OneLine(tracebacks=True).format(_record("one\ntwo"))

    assert line == "one\ntwo"


@pytest.mark.parametrize("text", ["-1", "x", "1.5", "", "\uff11"])
def test_what_is_no_whole_number_is_refused_by_name(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="at least 0"):
        arguments.natural(text)


def test_zero_is_natural_and_not_positive() -> None:
    assert arguments.natural("0") == 0
    with pytest.raises(argparse.ArgumentTypeError, match="at least 1"):
        arguments.positive("0")
