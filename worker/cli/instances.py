"""``stocktake instance show``."""

from __future__ import annotations

import argparse

from objects import exceptions
from worker import wiring
from worker.cli import bars, commands, database, hardware, lookup, nodes
from worker.db import reading


class Show(commands.ShowOne):
    """Show an instance: where it is, what it holds on which provider, devices, cells, and its moves."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("instance", metavar="INSTANCE", help="uuid")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> commands.Shown:
        """Read it."""
        wanted = lookup.as_uuid(parsed_args.instance)
        if wanted is None:
            raise exceptions.NotFound(f"instance {parsed_args.instance} is not known")
        with database.opened(self.conf) as bind:
            library = reading.Library(bind, lambda: wiring.policy(self.conf))
            shown = nodes.plain(library.instance_usage(wanted, wiring.clock()))
        for name in ("allocations", "migrations"):
            shown[name] = bars.Lines(shown[name])
        shown["pci_devices"] = hardware.Devices(shown["pci_devices"])
        shown["numa_topology"] = hardware.GuestCells(shown["numa_topology"])
        return tuple(shown), tuple(shown.values())
