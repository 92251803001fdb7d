"""``stocktake replay``."""

from __future__ import annotations

import argparse
import contextlib
import io
import pathlib

from worker import errors, replay, wiring
from worker.cli import commands, database

POLICIES = ("all", "local", "none")


class Replay(commands.Command):
    """Play a scenario as casts and print the accounts after each operation, as JSON, an object a line.

    Embedded, unless a configuration is given: then over its bus and into its database.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--claim-policy", metavar="POLICY", choices=POLICIES, help=", ".join(POLICIES))
        parser.add_argument(
            "-f", "--format", metavar="FORMAT", choices=("json",), help="json, which it is without this too"
        )
        parser.add_argument("scenario", metavar="SCENARIO", type=pathlib.Path, help="a file of operations")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int | None:
        """Play it."""
        with contextlib.ExitStack() as stack:
            lines = _lines(parsed_args.scenario)
            if self.configured:
                stack.enter_context(database.opened(self.conf))
            else:
                stack.enter_context(wiring.embedded(self.conf))
            return replay.play(self.conf, lines, self.app.stdout, parsed_args.claim_policy, str(parsed_args.scenario))


def _lines(file: pathlib.Path) -> list[str]:
    """Return the lines of a file; raises Misconfigured, which names it."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise errors.Misconfigured(f"{file}: {error.strerror}") from error
    try:
        return list(io.StringIO(content.decode("utf-8-sig"), newline=None))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise errors.Misconfigured(f"{file}: line {line}: is not UTF-8 at byte {error.start} of the file") from error
