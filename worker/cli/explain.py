"""``stocktake explain``: why a figure is what it is, entry by entry of the ledger, and whether that adds up to it."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from objects import exceptions
from worker import mapping
from worker.cli import arguments, bars, commands, database, devices, failures, hardware, lookup
from worker.core import holdings, places, providers, records, resources
from worker.db import reading

HELD = "held"
SETTLED = "settled"
RESERVED = "reserved"
CAPACITY = "capacity"
DEVICES = "devices"
CELLS = "cells"
SHARES = "shares"
_FIGURES = {
    RESERVED: RESERVED,
    CAPACITY: CAPACITY,
    places.DEVICE: DEVICES,
    places.CELL: CELLS,
    places.SHARE: SHARES,
}
"""Kinds of entries that are figures of their own; all others change what is held."""
TRIES = 5
"""How often a ledger that grows while it is read is read again."""

NODE_COLUMNS = ("at", "kind", "method", "request_id", "instance", "delta", "sum")
INSTANCE_COLUMNS = ("at", "node", "kind", "method", "request_id", "delta", "sum")
DEVICE_COLUMNS = ("at", "method", "request_id", "instance", "delta", "held")

Sums = Mapping[str, resources.Amounts]


@dataclasses.dataclass(frozen=True, slots=True)
class Explanation:
    """Rows to show, what the ledger sums up to and what is kept; both by name of the figure.

    Figures named in ``by_address`` are of devices. ``state`` is said instead of the figures that add up.
    """

    of: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    summed: Sums
    kept: Sums
    by_address: frozenset[str] = frozenset()
    state: str = ""

    def verdict(self) -> tuple[str, bool]:
        """Return the last line, and whether everything adds up."""
        wrong = [self._difference(name) for name in self.summed.keys() | self.kept.keys()]
        wrong = sorted(one for one in wrong if one)
        if wrong:
            return f"{self.of} does not add up: {'; '.join([*wrong, self.state] if self.state else wrong)}", False
        shown = "; ".join(f"{name} {self._shown(name, one)}" for name, one in self.kept.items() if one)
        return f"{self.of} adds up: {self.state or shown or 'nothing is held'}", True

    def _shown(self, name: str, amounts: resources.Amounts) -> str:
        return str(hardware.Addresses(amounts) if name in self.by_address else bars.Amounts(amounts))

    def _difference(self, name: str) -> str:
        kept, summed = (sums.get(name, resources.NOTHING) for sums in (self.kept, self.summed))
        lacking = resources.subtract(kept, summed)
        if not lacking:
            return ""
        change = hardware.AddressChanges(lacking) if name in self.by_address else bars.Changes(lacking)
        told = f"{self._shown(name, kept)}, but the ledger sums up to {self._shown(name, summed)} ({change})"
        return f"{name} is {told}"


class _Explaining(commands.Lister):
    """Shows an explanation and its verdict."""

    called = "ID"
    help = "uuid; of a node also its hypervisor_hostname or HOST/NODE"
    _explanation: Explanation

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("id", metavar=self.called, help=self.help)
        parser.add_argument(
            "--last", metavar="N", type=arguments.natural, help="show only the last N entries; sums are over all"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> commands.Listed:
        """Read the ledger."""
        with database.opened(self.conf) as bind:
            self._explanation = self.explained(bind, parsed_args)
        rows = self._explanation.rows
        return self._explanation.columns, rows if parsed_args.last is None else rows[
            max(len(rows) - parsed_args.last, 0) :
        ]

    def produce_output(self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Iterable[Any]) -> int:
        """Show the entries, then the verdict."""
        code = super().produce_output(parsed_args, column_names, data)
        line, good = self._explanation.verdict()
        self.conclude(parsed_args, line, good=good)
        return code

    def explained(self, bind: sa.Engine, asked: argparse.Namespace) -> Explanation:
        """Return the explanation of what is called ``asked.id``."""
        raise NotImplementedError


class Node(_Explaining):
    """Explain the figures of a node: every message that changed what is held, reserved or there."""

    def explained(self, bind: sa.Engine, asked: argparse.Namespace) -> Explanation:
        """Return the explanation of a node."""
        return of_node(*at_rest(bind, asked.id, reading.lines_of_account))


class Instance(_Explaining):
    """Explain what an instance holds: every message that changed it, on every node."""

    def explained(self, bind: sa.Engine, asked: argparse.Namespace) -> Explanation:
        """Return the explanation of an instance."""
        book = lookup.book(bind, asked.id)
        for _ in range(TRIES):
            lines = list(reading.lines_of_instance(bind, book.uuid))
            before, book = book, lookup.book(bind, asked.id)
            if before.generation == book.generation:
                accounts = {line.account for line in lines} | {holding.account for holding in book.holdings}
                return of_instance(book, lines, lookup.pair_names(bind, accounts))
        raise failures.Refused(f"instance {asked.id} changes faster than it can be read; try again later")


class Device(_Explaining):
    """Explain who has a PCI device: every message that gave it or gave it back, and what keeps it from others now."""

    called = "ADDRESS"
    help = "PCI address, dddd:bb:ss.f"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--node", metavar="NODE", required=True, help="uuid, hypervisor_hostname or HOST/NODE")
        return parser

    def explained(self, bind: sa.Engine, asked: argparse.Namespace) -> Explanation:
        """Return the explanation of a device; raises NotFound for one that was never held and is not reported."""
        address = asked.id.lower()

        def lines_of(bind: sa.Engine, account: str) -> Iterable[reading.Line]:
            return reading.lines_of_device(bind, account, address)

        sheet, lines = at_rest(bind, asked.node, lines_of)
        if not lines and all(device.address != address for device in devices.of_sheet(sheet)):
            raise exceptions.NotFound(f"device {asked.id} of node {asked.node} is not known")
        return of_device(address, sheet, lines)


def at_rest(
    bind: sa.Engine, name: str, lines_of: Callable[[sa.Engine, str], Iterable[reading.Line]]
) -> tuple[reading.Sheet, Sequence[reading.Line]]:
    """Return a node and entries of its account that belong together; raises Refused when it never stands still."""
    sheet = lookup.account(bind, name)
    for _ in range(TRIES):
        lines = list(lines_of(bind, sheet.account.id))
        before, sheet = sheet, lookup.account(bind, lookup.uuid_of(sheet))
        if _state(before) == _state(sheet):
            return sheet, lines
    raise failures.Refused(f"node {name} changes faster than it can be read; try again later")


def _state(sheet: reading.Sheet) -> tuple[object, ...]:
    """Return what tells whether a node has changed; devices that are attached change no figure of the account."""
    return sheet.account.generation, 0 if sheet.node is None else sheet.node.generation, sheet.places


def of_node(sheet: reading.Sheet, lines: Sequence[reading.Line]) -> Explanation:
    """Return the explanation of a node's figures; ``lines`` is the whole ledger of its account."""
    kept = {
        HELD: sheet.account.used,
        SETTLED: sheet.account.settled,
        RESERVED: providers.reserved(sheet.node),
        CAPACITY: providers.totals(sheet.node),
        **_given(sheet.places.values()),
    }
    summed: dict[str, resources.Amounts] = dict.fromkeys(kept, resources.NOTHING)
    rows = []
    for line in lines:
        figure = _FIGURES.get(line.kind, HELD)
        summed[figure] = resources.add(summed[figure], line.amounts)
        if figure == HELD:
            summed[SETTLED] = resources.add(summed[SETTLED], line.settled)
        both = figure in {HELD, RESERVED}
        running = resources.add(summed[HELD], summed[RESERVED]) if both else summed[figure]
        told = (line.kind, line.cause.method, line.cause.request_id, line.instance_uuid)
        rows.append((mapping.moment(line.at), *told, *_change(line, running)))
    of = f"node {lookup.uuid_of(sheet)}"
    return Explanation(of, NODE_COLUMNS, rows, summed, kept, frozenset({DEVICES}))


def _given(held: Iterable[records.Place]) -> dict[str, resources.Amounts]:
    """Return what places take of devices and of cells, by name of the figure."""
    taken = [places.figures(place) for place in held]
    return {_FIGURES[kind]: resources.total(one[kind] for one in taken) for kind in places.KINDS}


def _change(line: reading.Line, running: resources.Amounts) -> tuple[object, object]:
    """Return delta and sum as columns; of cells and shares, which have many figures, the sums of those that changed."""
    if line.kind == places.DEVICE:
        return hardware.AddressChanges(line.amounts), hardware.Addresses(running)
    if line.kind in {places.CELL, places.SHARE}:
        running = {name: running.get(name, 0) for name in line.amounts}
    return bars.Changes(line.amounts), bars.Amounts(running)


def of_instance(book: records.Book, lines: Sequence[reading.Line], names: Mapping[str, str]) -> Explanation:
    """Return the explanation of what an instance holds by account; ``lines`` is its whole ledger."""
    kept: dict[str, resources.Amounts] = {}
    for account in sorted(names):
        there = [holding for holding in book.holdings if holding.account == account]
        given = _given(holding.place for holding in there if holding.place is not None)
        kept[names[account]] = holdings.amounts_on(book.holdings, account)
        kept |= {f"{names[account]} {figure}": amounts for figure, amounts in given.items()}
    summed: dict[str, resources.Amounts] = {}
    rows = []
    for line in lines:
        name, figure = names[line.account], _FIGURES.get(line.kind)
        key = name if figure is None else f"{name} {figure}"
        summed[key] = resources.add(summed.get(key, resources.NOTHING), line.amounts)
        told = (name, line.kind, line.cause.method, line.cause.request_id)
        rows.append((mapping.moment(line.at), *told, *_change(line, summed[key])))
    by_address = frozenset(f"{name} {DEVICES}" for name in names.values())
    return Explanation(f"instance {book.uuid}", INSTANCE_COLUMNS, rows, summed, kept, by_address)


def of_device(address: str, sheet: reading.Sheet, lines: Sequence[reading.Line]) -> Explanation:
    """Return the explanation of who has a device; ``lines`` are the entries that name it."""
    rows = []
    held = 0
    for line in lines:
        held += line.amounts[address]
        told = (line.cause.method, line.cause.request_id, line.instance_uuid)
        rows.append((mapping.moment(line.at), *told, f"{line.amounts[address]:+d}", held))
    count = _given(sheet.places.values())[DEVICES].get(address, 0)
    summed, kept = ({DEVICES: {address: one}} if one else {} for one in (held, count))
    of = f"device {address} of node {lookup.uuid_of(sheet)}"
    state = devices.state(address, devices.of_sheet(sheet))
    return Explanation(of, DEVICE_COLUMNS, rows, summed, kept, frozenset({DEVICES}), state)
