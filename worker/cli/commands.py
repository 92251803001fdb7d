"""What all commands share: the configuration, one-line errors, JSON for programs and tables for people."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any, cast

from cliff import command, display, lister, show
from oslo_config import cfg

from worker.cli import bars, failures

Shown = tuple[Sequence[str], Sequence[Any]]
Listed = tuple[Sequence[str], Iterable[Sequence[Any]]]
MACHINE_FORMATS = frozenset({"json", "yaml", "csv", "value", "shell"})


class Configured(command.Command):
    """A command of the application that has read the configuration."""

    @property
    def conf(self) -> cfg.ConfigOpts:
        """The options."""
        return cast("cfg.ConfigOpts", self.app.conf)  # type: ignore[attr-defined]

    @property
    def configured(self) -> bool:
        """Whether the command line names a configuration."""
        return bool(self.app.files_given)  # type: ignore[attr-defined]

    @property
    def glyphs(self) -> bars.Glyphs:
        """What bars are drawn with on this output."""
        return bars.glyphs(self.app.stdout)

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's own arguments."""
        return failures.in_one_line(super().get_parser(prog_name))

    def say(self, line: str) -> None:
        """Write a line for whoever asked."""
        self.app.stdout.write(f"{line}\n")


class Command(Configured):
    """A command that does something; ``take_action`` returns its exit code or None for 0."""


class _Judging(Configured, display.DisplayCommandBase[Any]):
    """A command that shows something and may find it wrong."""

    code = 0

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Show it and return the exit code."""
        return super().run(parsed_args) or self.code

    def conclude(self, parsed_args: argparse.Namespace, line: str, *, good: bool) -> None:
        """End with a verdict: the last line for people; for programs only what is wrong, on standard error."""
        self.code = 0 if good else failures.REFUSED
        if parsed_args.formatter not in MACHINE_FORMATS:
            self.say(line)
        elif not good:
            self.app.stderr.write(f"stocktake: {line}\n")


class Lister(_Judging, lister.Lister):
    """A command that shows rows."""


class ShowOne(_Judging, show.ShowOne):
    """A command that shows the fields of one thing."""
