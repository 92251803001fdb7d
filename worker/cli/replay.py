"""``stocktake replay``."""

from __future__ import annotations

import argparse
import contextlib
import pathlib

from worker import errors, replay, wiring
from worker.cli import commands, database

POLICIES = ("all", "local", "none")


class Replay(commands.Command):
    """Play a scenario as casts and print the accounts after each operation.

    Embedded, unless a configuration is given: then over its bus and into its database.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--claim-policy", metavar="POLICY", choices=POLICIES, help=", ".join(POLICIES))
        parser.add_argument("scenario", metavar="SCENARIO", type=pathlib.Path, help="a file of operations")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int | None:
        """Play it."""
        with contextlib.ExitStack() as stack:
            try:
                lines = stack.enter_context(parsed_args.scenario.open(encoding="utf-8"))
            except OSError as error:
                raise errors.Misconfigured(f"{parsed_args.scenario}: {error.strerror}") from error
            if self.configured:
                stack.enter_context(database.opened(self.conf))
            else:
                stack.enter_context(wiring.embedded(self.conf))
            return replay.play(self.conf, lines, self.app.stdout, parsed_args.claim_policy)
