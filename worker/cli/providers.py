"""``stocktake provider list`` and ``provider show``: the nodes as their consumers see them."""

from __future__ import annotations

import argparse
from typing import Any

import sqlalchemy as sa

from objects import exceptions
from worker import errors, maintenance, mapping, wiring
from worker.cli import bars, commands, database, failures, lookup, nodes
from worker.core import holdings, providers, records
from worker.db import reading, relay_store, unit_of_work

TRIES = 5
COLUMNS = ("uuid", "name", "generation", "sequence", "usages", "traits")


class List(commands.Lister):
    """List the resource providers with what is used of each class."""

    def take_action(self, _: argparse.Namespace) -> commands.Listed:
        """Read them all."""
        with database.opened(self.conf) as bind:
            seen = [provider for sheet in nodes.sheets(bind) for provider in _providers(sheet)]
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
            sheet, provider = _found(bind, parsed_args.provider)
            held = reading.holdings(bind, sheet.account.id) if sheet.speaks else []
        provider["usages"] = bars.Bars(_with_capacity(provider), self.glyphs)
        for name in ("inventories", "traits"):
            provider[name] = bars.Lines(provider[name])
        provider["consumers"] = bars.Lines(_consumers(held, provider))
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


def _providers(sheet: reading.Sheet) -> list[dict[str, Any]]:
    """Return the providers of a node, the root first; none for a pair that has none."""
    node = sheet.node
    if node is None:
        return []
    return [
        {
            "uuid": seen.uuid,
            "name": seen.name,
            "parent_provider_uuid": seen.parent_uuid,
            "root_provider_uuid": node.uuid,
            "generation": node.generation,
            "sequence": node.sequence,
            "inventories": {name: mapping.inventory(one) for name, one in seen.inventories.items()},
            "usages": providers.usages(seen),
            "traits": list(seen.traits),
        }
        for seen in providers.views(node, sheet.account, sheet.places.values())
    ]


def _found(bind: sa.Engine, name: str) -> tuple[reading.Sheet, dict[str, Any]]:
    """Return the node and the provider of a uuid or a name; raises NotFound, or Refused for a name of several."""
    try:
        sheet = lookup.node(bind, name)
    except exceptions.NotFound:
        wanted = lookup.as_uuid(name) or name
        found = [
            (sheet, provider)
            for sheet in nodes.sheets(bind)
            for provider in _providers(sheet)
            if wanted in {provider["uuid"], provider["name"]}
        ]
        if not found:
            raise exceptions.NotFound(f"provider {name} is not known") from None
    else:
        found = [(sheet, provider) for provider in _providers(sheet)[:1]]
    if not found:
        raise exceptions.NotFound(f"provider {name} is not known: no node reports it")
    if len(found) > 1:
        uuids = ", ".join(provider["uuid"] for _, provider in found[: lookup.SHOWN])
        raise failures.Refused(f"provider {name} is not one but {len(found)}; say which by its uuid: {uuids}")
    return found[0]


def _with_capacity(provider: dict[str, Any]) -> dict[str, dict[str, int]]:
    capacities = {name: records.Inventory(**one).capacity for name, one in provider["inventories"].items()}
    return {name: {**one, "capacity": capacities.get(name, 0)} for name, one in provider["usages"].items()}


def _consumers(held: list[tuple[str, records.Holding]], provider: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Return consumer to resource class to amount."""
    found = {}
    for consumer, own in holdings.of_consumers(holding for _, holding in held).items():
        amounts = holdings.by_provider(own, lambda _: provider["root_provider_uuid"]).get(provider["uuid"])
        if amounts:
            found[consumer] = dict(amounts)
    return found
