"""Compares a running Placement with our accounts, by Placement's API alone and none of the code that writes to it."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib import parse

import sqlalchemy as sa

from worker import mapping
from worker.cli import nodes
from worker.core import providers, records, resources
from worker.db import reading


class Api:
    """Asks Placement at a URL as ``admin``, on one connection."""

    def __init__(self, url: str, token: str = "admin") -> None:
        self._connection = http.client.HTTPConnection(parse.urlsplit(url).netloc, timeout=30)
        self._headers = {"X-Auth-Token": token, "OpenStack-API-Version": "placement 1.39"}

    def get(self, path: str) -> Any:
        """Return the JSON of a path."""
        return self.send("GET", path)

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """Ask or write as somebody else would."""
        headers = {**self._headers, **({} if body is None else {"Content-Type": "application/json"})}
        self._connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self._connection.getresponse()
        text = answer.read()
        assert answer.status < 300, f"{method} {path}: {answer.status} {text.decode()}"
        return json.loads(text or b"null")

    def close(self) -> None:
        """Ask no more."""
        self._connection.close()


def differences(url: str, bind: sa.Engine, but_for: str = "") -> list[str]:
    """Return one line for each thing in which Placement is not equal to our accounts.

    Compared are the set of providers, names, parents, inventories, traits (ours are all there), usages, and what each consumer
    holds, its type and project. Whatever else is in Placement counts as a difference as well, ``but_for`` one provider.
    """
    ours = {seen.uuid: (seen, held) for sheet in nodes.sheets(bind) for seen, held in _ours(bind, sheet)}
    with contextlib.closing(Api(url)) as api:
        theirs = {one["uuid"]: one for one in api.get("/resource_providers")["resource_providers"]}
        theirs.pop(but_for, None)
        found = [f"provider {uuid}: only in Placement" for uuid in sorted(theirs.keys() - ours.keys())]
        found += [f"provider {uuid}: missing in Placement" for uuid in sorted(ours.keys() - theirs.keys())]
        for uuid in sorted(ours.keys() & theirs.keys()):
            seen, held = ours[uuid]
            found += _provider(api, theirs[uuid], seen, held)
        return found + _types(api, bind, {consumer for _, held in ours.values() for consumer in held})


Held = dict[str, dict[str, int]]


def _ours(bind: sa.Engine, sheet: reading.Sheet) -> Iterator[tuple[providers.View, Held]]:
    """Yield every provider of a node with what each consumer holds there, counted holding by holding."""
    if sheet.node is None or not sheet.speaks:
        return
    held: dict[tuple[str, str], resources.Amounts] = {}
    for _, holding in reading.holdings(bind, sheet.account.id):
        left = holding.amounts
        for share in holding.place.shares if holding.place is not None else ():
            here = {share.resource_class: share.amount}
            left = left if share.device is not None else resources.subtract(left, here)
            key = share.provider_uuid, holding.consumer
            held[key] = resources.add(held.get(key, {}), here)
        key = sheet.node.uuid, holding.consumer
        held[key] = resources.add(held.get(key, {}), left)
    for seen in providers.views(sheet.node, sheet.account, sheet.places.values()):
        own = {consumer: dict(amounts) for (uuid, consumer), amounts in held.items() if uuid == seen.uuid and amounts}
        yield seen, own


def _provider(api: Api, theirs: dict[str, Any], seen: providers.View, held: Held) -> list[str]:
    at = f"/resource_providers/{theirs['uuid']}"
    pairs: list[tuple[str, Any, Any]] = [("name", seen.name, theirs["name"])]
    pairs.append(("parent", seen.parent_uuid, theirs["parent_provider_uuid"]))
    pairs.append(("inventories", _inventories(seen), api.get(f"{at}/inventories")["inventories"]))
    pairs.append(("traits", [], sorted({*seen.traits} - {*api.get(f"{at}/traits")["traits"]})))
    used = {name: amount for name, amount in api.get(f"{at}/usages")["usages"].items() if amount}
    pairs.append(("usages", {name: amount for name, amount in seen.used.items() if amount}, used))
    holders = api.get(f"{at}/allocations")["allocations"]
    pairs.append(("allocations", held, {uuid: one["resources"] for uuid, one in holders.items()}))
    return [f"provider {theirs['uuid']}: {what} {left} / {right}" for what, left, right in pairs if left != right]


def _inventories(seen: providers.View) -> dict[str, Any]:
    found = {}
    for name, one in seen.inventories.items():
        if one.total:
            found[name] = mapping.inventory(one) | {"reserved": min(one.reserved, one.total)}
    for name, held in seen.used.items():
        if held and name not in found:  # nothing is left of it: Placement keeps what is held, with nothing free
            found[name] = mapping.inventory(records.Inventory(held, held, max_unit=held))
    return found


def _types(api: Api, bind: sa.Engine, consumers: set[str]) -> list[str]:
    found = []
    for consumer in sorted(consumers):
        told = api.get(f"/allocations/{consumer}")
        book = reading.book(bind, consumer)
        expected = "INSTANCE" if book is not None else "MIGRATION"
        if told.get("consumer_type") != expected:
            found.append(f"consumer {consumer}: type {expected} / {told.get('consumer_type')}")
        record = book.record if book is not None else None
        if record is not None and record.project_id is not None and record.project_id != told.get("project_id"):
            found.append(f"consumer {consumer}: project {record.project_id} / {told.get('project_id')}")
    return found
