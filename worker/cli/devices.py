"""``stocktake device list``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from worker import place_mapping
from worker.cli import bars, commands, database, lookup, nodes
from worker.core import pci_states
from worker.db import reading

COLUMNS = (
    "node", "address", "vendor:product", "type", "numa_node", "parent", "status", "missing", "owner", "request",
)  # fmt: skip
STATUSES = (
    pci_states.AVAILABLE,
    pci_states.CLAIMED,
    pci_states.ALLOCATED,
    pci_states.UNCLAIMABLE,
    pci_states.UNAVAILABLE,
)


class List(commands.Lister):
    """List the PCI devices of the nodes: state, and who has them."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--node", metavar="NODE", help="of this node: uuid, hypervisor_hostname or HOST/NODE")
        parser.add_argument("--owner", metavar="INSTANCE", help="held by this instance: uuid")
        parser.add_argument("--status", metavar="STATUS", choices=STATUSES, help=f"one of {', '.join(STATUSES)}")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> commands.Listed:
        """Read them, node by node."""
        with database.opened(self.conf) as bind:
            owner = lookup.book(bind, parsed_args.owner).uuid if parsed_args.owner is not None else None
            return COLUMNS, [
                _row(lookup.short(sheet.account.pair), device)
                for sheet in _sheets(bind, parsed_args.node, owner)
                for device in of_sheet(sheet)
                if owner in {None, device.owner} and parsed_args.status in {None, device.status}
            ]


def _sheets(bind: sa.Engine, node: str | None, owner: str | None) -> Iterator[reading.Sheet]:
    """Yield the nodes to look at; those of an owner are known without looking at the others."""
    accounts = None if owner is None else reading.accounts_with_devices_of(bind, owner)
    if node is not None:
        sheet = lookup.account(bind, node)
        if accounts is None or sheet.account.id in accounts:
            yield sheet
    elif accounts is not None:
        yield from reading.sheets(bind, lookup.placeholders(bind, accounts))
    else:
        yield from nodes.sheets(bind)


def of_sheet(sheet: reading.Sheet) -> tuple[place_mapping.DeviceRow, ...]:
    """Return the devices of a node; of one that is not reported any more, those that are held."""
    live = sheet.node is not None and sheet.node.live and sheet.speaks
    reported = sheet.report.pci_devices if live and sheet.report is not None else ()
    return tuple(place_mapping.devices(reported, sheet.places))


def _row(node: str, device: place_mapping.DeviceRow) -> tuple[Any, ...]:
    kind = f"{device.vendor_id}:{device.product_id}"
    near, missing = bars.Maybe(device.numa_node), bars.Maybe(device.missing)
    relative, owner, request = (bars.Maybe(one) for one in (device.parent_addr, device.owner, device.request_id))
    return (
        node, device.address, kind, device.dev_type, near, relative, device.status, missing, owner, request,
    )  # fmt: skip


def state(address: str, all_devices: Sequence[place_mapping.DeviceRow]) -> str:
    """Return what a device is now and what keeps it from others; one that is neither held nor reported is gone."""
    found = next((device for device in all_devices if device.address == address), None)
    if found is None:
        return "free, and not in the report"
    if found.owner is not None:
        missing = ", missing: it is not in the report" if found.missing else ""
        return f"held, {found.status}: instance {found.owner} has it for request {found.request_id}{missing}"
    holders = [device for device in all_devices if device.owner is not None and device.is_relative(found)]
    if not holders:
        return f"free, {found.status}"
    return f"free, {found.status}: {'; '.join(map(_relative, holders))}"


def _relative(device: place_mapping.DeviceRow) -> str:
    return f"its relative {device.address} ({device.dev_type}) is {device.status} to instance {device.owner}"
