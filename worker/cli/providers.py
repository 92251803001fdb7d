"""``stocktake provider list`` and ``provider show``: the nodes as their consumers see them."""

from __future__ import annotations

import argparse
from typing import Any

import sqlalchemy as sa

from objects import exceptions
from worker import errors, maintenance, mapping, wiring
from worker.cli import bars, commands, database, lookup, nodes
from worker.core import providers, records
from worker.db import reading, relay_store, unit_of_work

TRIES = 5
COLUMNS = ("uuid", "name", "generation", "sequence", "usages", "traits")


class List(commands.Lister):
    """List the resource providers with what is used of each class."""

    def take_action(self, _: argparse.Namespace) -> commands.Listed:
        """Read them all."""
        with database.opened(self.conf) as bind:
            seen = [provider for sheet in nodes.sheets(bind) if (provider := _provider(sheet)) is not None]
        return COLUMNS, [self._row(provider) for provider in seen]

    def _row(self, provider: dict[str, Any]) -> list[Any]:
        usages = bars.Bars(_with_capacity(provider), self.glyphs)
        return [*(provider[name] for name in COLUMNS[:4]), usages, bars.Lines(provider["traits"])]


class Show(commands.ShowOne):
    """Show a resource provider: inventories, usages, traits and what each consumer holds of it."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("provider", metavar="PROVIDER", help="uuid or name")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> commands.Shown:
        """Read it."""
        with database.opened(self.conf) as bind:
            sheet = lookup.node(bind, parsed_args.provider)
            provider = _provider(sheet)
            held = reading.holdings(bind, sheet.account.id) if sheet.speaks else []
        if provider is None:
            raise exceptions.NotFound(f"provider {parsed_args.provider} is not known: no node reports it")
        provider["usages"] = bars.Bars(_with_capacity(provider), self.glyphs)
        for name in ("inventories", "traits"):
            provider[name] = bars.Lines(provider[name])
        provider["consumers"] = bars.Lines(_consumers(held))
        return tuple(provider), tuple(provider.values())


class Announce(commands.Command):
    """Send what providers are now, and what every consumer there holds, for a consumer that comes late."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--node", metavar="NODE", help="only this one: uuid, hypervisor_hostname or HOST/NODE")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Put the notifications into the outbox; the active relay sends them."""
        with database.opened(self.conf) as bind:
            if parsed_args.node is None:
                pages = maintenance.pages(relay_store.RelayStore(bind))
            else:
                pages = iter([[lookup.node(bind, parsed_args.node).account.pair]])
            count = sum(_announce(bind, pairs) for pairs in pages)
        self.say(f"{count} notifications are due")


def _announce(bind: sa.Engine, pairs: list[records.Pair]) -> int:
    """Announce these pairs, each by itself, so that what changes there meanwhile waits for no other; return how many."""
    count = 0
    for pair in pairs:
        for left in reversed(range(TRIES)):
            try:
                count += maintenance.announce_whole(lambda: unit_of_work.UnitOfWork(bind), [pair], wiring.clock())
                break
            except errors.Conflict:
                if not left:
                    raise
    return count


def _provider(sheet: reading.Sheet) -> dict[str, Any] | None:
    """Return the root provider of a node, or None for a pair that has none."""
    seen = None if sheet.node is None else providers.view(sheet.node, sheet.account)
    if sheet.node is None or seen is None:
        return None
    return {
        "uuid": sheet.node.uuid,
        "name": seen.name,
        "parent_provider_uuid": None,
        "root_provider_uuid": sheet.node.uuid,
        "generation": sheet.node.generation,
        "sequence": sheet.node.sequence,
        "inventories": {name: mapping.inventory(one) for name, one in seen.inventories.items()},
        "usages": providers.usages(seen),
        "traits": list(seen.traits),
    }


def _with_capacity(provider: dict[str, Any]) -> dict[str, dict[str, int]]:
    capacities = {name: records.Inventory(**one).capacity for name, one in provider["inventories"].items()}
    return {name: {**one, "capacity": capacities.get(name, 0)} for name, one in provider["usages"].items()}


def _consumers(held: list[tuple[str, records.Holding]]) -> dict[str, dict[str, int]]:
    """Return consumer to resource class to amount."""
    found: dict[str, dict[str, int]] = {}
    for _, holding in held:
        amounts = found.setdefault(holding.consumer, {})
        for name, amount in holding.amounts.items():
            amounts[name] = amounts.get(name, 0) + amount
    return found
