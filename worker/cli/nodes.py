"""``stocktake node list`` and ``node show``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from objects import stocktake_object
from worker import mapping
from worker.cli import bars, commands, database, hardware, lookup
from worker.core import resources
from worker.db import reading

COLUMNS = ("uuid", "host", "hypervisor_hostname", "state", "vcpu", "memory_mb", "disk_gb", "running_vms")
SHOWN_CLASSES = (resources.VCPU, resources.MEMORY_MB, resources.DISK_GB)
NOTHING = {"used": 0, "settled": 0, "in_move": 0, "capacity": 0}
DATA = stocktake_object.KEY_DATA


class List(commands.Lister):
    """List the nodes: what is held of what they have."""

    def take_action(self, _: argparse.Namespace) -> commands.Listed:
        """Read them all."""
        with database.opened(self.conf) as bind:
            return COLUMNS, [self._row(usage(sheet)) for sheet in sheets(bind)]

    def _row(self, figures: dict[str, Any]) -> list[Any]:
        held = [bars.Bar(figures["usages"].get(name, NOTHING), self.glyphs) for name in SHOWN_CLASSES]
        return [*(figures[name] for name in COLUMNS[:3]), state(figures), *held, figures["running_vms"]]


class Show(commands.ShowOne):
    """Show a node: every figure of its account."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("node", metavar="NODE", help="uuid, hypervisor_hostname or HOST/NODE")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> commands.Shown:
        """Read it."""
        with database.opened(self.conf) as bind:
            figures = usage(lookup.node(bind, parsed_args.node))
        shown = {
            **figures,
            "usages": bars.Bars(figures["usages"], self.glyphs),
            "stats": bars.Amounts(figures["stats"]),
            "numa_topology": hardware.HostCells(figures["numa_topology"], self.glyphs),
            "pci_device_pools": hardware.Pools(figures["pci_device_pools"]),
        }
        return tuple(shown), tuple(shown.values())


def sheets(bind: sa.Engine) -> Iterator[reading.Sheet]:
    """Yield the sheets of all nodes, page by page."""
    marker = None
    while uuids := reading.node_uuids(bind, marker, reading.PAGE):
        yield from reading.sheets(bind, uuids)
        marker = uuids[-1]


def usage(sheet: reading.Sheet) -> dict[str, Any]:
    """Return the fields of a node's NodeUsage."""
    fields: dict[str, Any] = plain(mapping.node_usage(sheet.node, sheet.account, sheet.report, sheet.places))
    return fields


def plain(primitive: Any) -> Any:
    """Return the fields of a versioned object's primitive, those of the objects in it likewise."""
    if isinstance(primitive, dict):
        return {name: plain(value) for name, value in primitive.get(DATA, primitive).items()}
    return [plain(value) for value in primitive] if isinstance(primitive, list) else primitive


def state(figures: dict[str, Any]) -> str:
    """Return unreported, disabled or enabled."""
    if not figures["reported"]:
        return "unreported"
    return "disabled" if figures["disabled"] else "enabled"
