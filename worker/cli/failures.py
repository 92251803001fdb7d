"""What went wrong as one line for people and an exit code for programs."""

from __future__ import annotations

import argparse
import logging
import types
from typing import NoReturn

from oslo_config import cfg

from objects import exceptions
from worker import errors

REFUSED = 1
UNUSABLE = 2
BROKEN_PIPE = 141

# an unreachable database or broker is told apart from findings: nothing was looked at
_UNUSABLE = (errors.Misconfigured, errors.DatabaseUnavailable, errors.BusUnavailable, cfg.Error, ValueError)
_EXPECTED = (errors.StocktakeError, exceptions.NotFound, cfg.Error, ValueError, OSError)


class Refused(errors.StocktakeError):
    """What was asked cannot be done; nothing has changed."""


def exit_code(error: BaseException) -> int:
    """Return 2 for usage, configuration and what cannot be reached, 1 for everything else."""
    if isinstance(error, BrokenPipeError):
        return BROKEN_PIPE
    return UNUSABLE if isinstance(error, _UNUSABLE) else REFUSED


class OneLine(logging.Formatter):
    """Writes each record as one line; an exception that nobody expects says so. Tracebacks only when asked for."""

    def __init__(self, tracebacks: bool) -> None:
        super().__init__("%(message)s")
        self._tracebacks = tracebacks

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        if self._tracebacks:
            return super().format(record)
        line = " ".join(record.getMessage().split())
        if isinstance(record.msg, Exception) and not isinstance(record.msg, _EXPECTED):
            line = f"unexpected {type(record.msg).__name__}: {line} (--debug shows where)"
        return line if record.levelno < logging.ERROR else f"stocktake: {line}"


def in_one_line(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Make the parser's errors one line; argparse itself puts the whole usage before them."""
    parser.error = types.MethodType(_error, parser)  # type: ignore[method-assign]
    return parser


def _error(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    parser.exit(UNUSABLE, f"{parser.prog}: {message}; see {parser.prog} --help\n")
