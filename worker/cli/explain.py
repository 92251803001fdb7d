"""``stocktake explain``: why a figure is what it is, entry by entry of the ledger, and whether that adds up to it."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from worker import mapping
from worker.cli import arguments, bars, commands, database, failures, lookup
from worker.core import holdings, providers, resources
from worker.db import reading

HELD = "held"
SETTLED = "settled"
RESERVED = "reserved"
CAPACITY = "capacity"
TRIES = 5
"""How often a ledger that grows while it is read is read again."""

NODE_COLUMNS = ("at", "kind", "method", "request_id", "instance", "delta", "sum")
INSTANCE_COLUMNS = ("at", "node", "method", "request_id", "delta", "sum")

Sums = Mapping[str, resources.Amounts]


@dataclasses.dataclass(frozen=True, slots=True)
class Explanation:
    """Rows to show, what the ledger sums up to and what is kept; both by name of the figure."""

    of: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    summed: Sums
    kept: Sums

    def verdict(self) -> tuple[str, bool]:
        """Return the last line, and whether everything adds up."""
        wrong = [_difference(name, amounts, self.kept.get(name, {})) for name, amounts in self.summed.items()]
        wrong = [one for one in wrong if one]
        if wrong:
            return f"{self.of} does not add up: {'; '.join(wrong)}", False
        shown = "; ".join(f"{name} {bars.Amounts(one)}" for name, one in self.kept.items() if one) or "nothing is held"
        return f"{self.of} adds up: {shown}", True


class _Explaining(commands.Lister):
    """Shows an explanation and its verdict."""

    _explanation: Explanation

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("id", metavar="ID", help="uuid; of a node also its hypervisor_hostname or HOST/NODE")
        parser.add_argument(
            "--last", metavar="N", type=arguments.natural, help="show only the last N entries; sums are over all"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> commands.Listed:
        """Read the ledger."""
        with database.opened(self.conf) as bind:
            self._explanation = self.explained(bind, parsed_args.id)
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

    def explained(self, bind: sa.Engine, name: str) -> Explanation:
        """Return the explanation of what is called so."""
        raise NotImplementedError


class Node(_Explaining):
    """Explain the figures of a node: every message that changed what is held, reserved or there."""

    def explained(self, bind: sa.Engine, name: str) -> Explanation:
        """Return the explanation of a node."""
        sheet = _speaking(bind, lookup.node(bind, name))
        for _ in range(TRIES):
            lines = list(reading.lines_of_account(bind, sheet.account.id))
            before, sheet = sheet, lookup.node(bind, lookup.uuid_of(sheet))
            if _generations(before) == _generations(sheet):
                return of_node(sheet, lines)
        raise failures.Refused(f"node {name} changes faster than it can be read; try again later")


class Instance(_Explaining):
    """Explain what an instance holds: every message that changed it, on every node."""

    def explained(self, bind: sa.Engine, name: str) -> Explanation:
        """Return the explanation of an instance."""
        book = lookup.book(bind, name)
        for _ in range(TRIES):
            lines = list(reading.lines_of_instance(bind, book.uuid))
            before, book = book, lookup.book(bind, name)
            if before.generation == book.generation:
                accounts = {line.account for line in lines} | {holding.account for holding in book.holdings}
                held = {account: holdings.amounts_on(book.holdings, account) for account in sorted(accounts)}
                return of_instance(book.uuid, held, lines, lookup.pair_names(bind, accounts))
        raise failures.Refused(f"instance {name} changes faster than it can be read; try again later")


def _speaking(bind: sa.Engine, sheet: reading.Sheet) -> reading.Sheet:
    if sheet.speaks:
        return sheet
    (speaker,) = reading.provider_uuids(bind, [sheet.account.id]).values()
    raise failures.Refused(f"node {lookup.uuid_of(sheet)} has no account: {speaker} speaks for {sheet.account.pair}")


def _generations(sheet: reading.Sheet) -> tuple[int, int]:
    return sheet.account.generation, 0 if sheet.node is None else sheet.node.generation


def of_node(sheet: reading.Sheet, lines: Sequence[reading.Line]) -> Explanation:
    """Return the explanation of a node's figures; ``lines`` is the whole ledger of its account."""
    kept = {
        HELD: sheet.account.used,
        SETTLED: sheet.account.settled,
        RESERVED: providers.reserved(sheet.node),
        CAPACITY: providers.totals(sheet.node),
    }
    summed: dict[str, resources.Amounts] = dict.fromkeys(kept, resources.NOTHING)
    rows = []
    for line in lines:
        figure = line.kind if line.kind in {RESERVED, CAPACITY} else HELD
        summed[figure] = resources.add(summed[figure], line.amounts)
        summed[SETTLED] = resources.add(summed[SETTLED], line.settled)
        running = summed[CAPACITY] if figure == CAPACITY else resources.add(summed[HELD], summed[RESERVED])
        told = (line.kind, line.cause.method, line.cause.request_id, line.instance_uuid)
        rows.append((mapping.moment(line.at), *told, bars.Changes(line.amounts), bars.Amounts(running)))
    return Explanation(f"node {lookup.uuid_of(sheet)}", NODE_COLUMNS, rows, summed, kept)


def of_instance(uuid: str, held: Sums, lines: Sequence[reading.Line], names: Mapping[str, str]) -> Explanation:
    """Return the explanation of what an instance holds by account; ``lines`` is its whole ledger."""
    summed: dict[str, resources.Amounts] = dict.fromkeys(held, resources.NOTHING)
    rows = []
    for line in lines:
        summed[line.account] = resources.add(summed.get(line.account, resources.NOTHING), line.amounts)
        told = (names[line.account], line.cause.method, line.cause.request_id)
        rows.append((mapping.moment(line.at), *told, bars.Changes(line.amounts), bars.Amounts(summed[line.account])))
    by_name = [{names[account]: amounts for account, amounts in sums.items()} for sums in (summed, held)]
    return Explanation(f"instance {uuid}", INSTANCE_COLUMNS, rows, *by_name)


def _difference(name: str, summed: resources.Amounts, kept: resources.Amounts) -> str:
    lacking = resources.subtract(kept, summed)
    if not lacking:
        return ""
    return f"{name} is {bars.Amounts(kept)}, but the ledger sums up to {bars.Amounts(summed)} ({bars.Changes(lacking)})"
