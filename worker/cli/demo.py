"""``stocktake demo``."""

from __future__ import annotations

import argparse

from worker import demo
from worker.cli import arguments, commands


class Demo(commands.Command):
    """Show everything at work in one process: a simulated conductor, an in-memory bus, a database in a file."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--seconds", metavar="N", type=arguments.positive, default=30, help="how long (30)")
        parser.add_argument("--nodes", metavar="N", type=arguments.positive, default=8, help="compute nodes (8)")
        parser.add_argument("--seed", metavar="N", type=int, default=1, help="the same seed does the same (1)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Run it; what does not add up at the end is a finding."""
        return demo.run(self.conf, parsed_args.seconds, parsed_args.nodes, parsed_args.seed, self.app.stdout)
