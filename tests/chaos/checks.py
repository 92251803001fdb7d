"""What must be true at the end, against the plain model: every difference is one line."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from tests import model, plain
from tests.acceptance import history
from tests.chaos import collector, load
from worker.core import events
from worker.db import invariants, reading, tables

SHOWN = 5
"""So many differences of one kind are told in full."""
UUIDS = [plain.node_uuid(number) for number in range(load.NODES)]
CLAIMS = ("claim_instance", "claim_migration")
UNKNOWN_TO_THE_MODEL = ("attach_devices", "detach_devices", "audit_node")


class Story:
    """All that was cast, once each, and what became of it by the inbox."""

    def __init__(self, seed: int, sent: int, outcomes: Mapping[str, str]) -> None:
        self.casts = told(seed, sent)
        self.repeated = load.NODES + sent - len(self.casts)
        self.outcomes = outcomes
        self.failed_builds: collections.Counter[str] = collections.Counter()
        self.oracle = model.Model(fact for one in self.casts.values() if one.good for fact in self._facts(one))

    def _facts(self, cast: load.Cast) -> Iterator[model.Fact]:
        """Yield what a cast states; of a claim only what it states by its outcome."""
        assert cast.method is not None
        arguments, outcome = history.fields(cast.arguments), self.outcomes.get(cast.id)
        if cast.method == "record_build":
            self.failed_builds[arguments["node_uuid"]] += 1
        elif cast.method in UNKNOWN_TO_THE_MODEL or (cast.method == "claim_instance" and outcome != events.ACCEPTED):
            return
        elif cast.method == "claim_migration" and outcome != events.ACCEPTED:
            yield "update_instance", {"instance": arguments["instance"]}
        else:
            yield cast.method, arguments


def told(seed: int, sent: int) -> dict[str, load.Cast]:
    """Return the casts of a run by their ids, once each."""
    return {one.id: one for one in (*load.first(), *itertools.islice(load.casts(seed), sent))}


def outcomes(bind: sa.Engine) -> dict[str, str]:
    """Return what became of each message that the inbox knows."""
    with bind.connect() as connection:
        rows = connection.execute(sa.select(tables.inbox.c.message_id, tables.inbox.c.outcome))
        return {row.message_id: row.outcome for row in rows}


def differences(bind: sa.Engine, story: Story, heard: collector.Collector) -> list[str]:
    """Return everything that is not as it must be."""
    found = {
        "the accounts do not add up": [str(one) for one in invariants.differences(bind)],
        "account": list(_unlike(*_accounts(bind, story.oracle))),
        "consumer": list(_unlike(*_consumers(bind, story.oracle))),
        "node": list(_unlike(*_nodes(bind, story))),
        "inbox": list(_marks(story)),
        "parked": list(_parked(bind, story)),
        "notification": list(_unheard(bind, heard)),
        "sequence": list(_sequences(bind, heard)),
        "allocation by notifications": list(_unlike(*_told(story.oracle, heard))),
        "usage by notifications": list(_unlike(*_usages(story.oracle, heard))),
    }  # fmt: skip
    return [line for kind, lines in found.items() for line in _shortened(kind, lines)]


def _shortened(kind: str, lines: list[str]) -> Iterator[str]:
    yield from (f"{kind}: {line}" for line in lines[:SHOWN])
    if len(lines) > SHOWN:
        yield f"{kind}: {len(lines) - SHOWN} more"


def _unlike(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*ours, *theirs}):
        if ours.get(name) != theirs.get(name):
            yield f"{name}: the worker says {ours.get(name)}, the model {theirs.get(name)}"


def _accounts(bind: sa.Engine, oracle: model.Model) -> tuple[dict[str, Any], dict[str, Any]]:
    ours = {
        sheet.account.pair.node: (dict(sheet.account.used), dict(sheet.account.settled), dict(sheet.account.counters))
        for sheet in reading.sheets(bind, UUIDS)
    }
    return ours, {pair[1]: (oracle.used(pair), oracle.settled(pair), oracle.counters(pair)) for pair in oracle.pairs()}


def _consumers(bind: sa.Engine, oracle: model.Model) -> tuple[dict[str, Any], dict[str, Any]]:
    ours: dict[str, Any] = collections.defaultdict(lambda: collections.defaultdict(dict))
    for sheet in reading.sheets(bind, UUIDS):
        assert sheet.node is not None
        for name, holding in reading.holdings(bind, sheet.account.id):
            held = ours[name][holding.consumer].setdefault(sheet.node.uuid, {})
            for resource, amount in holding.amounts.items():
                held[resource] = held.get(resource, 0) + amount
    return ours, {name: held for name in oracle.names() if (held := oracle.consumers(name))}


def _nodes(bind: sa.Engine, story: Story) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return whether each node is disabled, and the failed builds of those that are never removed."""
    nodes = [sheet.node for sheet in reading.sheets(bind, UUIDS) if sheet.node is not None]
    builders = {plain.node_uuid(number) for number in range(load.BUILDERS)}
    ours = {node.uuid: (node.disabled, node.failed_builds if node.uuid in builders else 0) for node in nodes}
    return ours, {name: (story.oracle.disabled[name][1], story.failed_builds[name]) for name in UUIDS}


def _marks(story: Story) -> Iterator[str]:
    wanted = {one.id for one in story.casts.values() if one.good}
    marked = {name for name, outcome in story.outcomes.items() if outcome != events.PARKED}
    yield from (f"{name} was not carried out" for name in sorted(wanted - marked))
    yield from (f"{name} was never cast" for name in sorted(marked - wanted))


def _parked(bind: sa.Engine, story: Story) -> Iterator[str]:
    """Yield what is parked and was good, and what was bad and is not parked once."""
    with bind.connect() as connection:
        rows = connection.execute(sa.select(tables.parked.c.body, tables.parked.c.reason)).all()
    bad = {one.body: one.id for one in story.casts.values() if not one.good}
    times = collections.Counter(_mark(row.body) for row in rows)
    wanted = {_mark(body): name for body, name in bad.items()}
    yield from (
        f"parked, and was good: {row.reason}: {row.body[:200]!r}" for row in rows if _mark(row.body) not in wanted
    )
    yield from (f"{name} is parked {times[mark]} times" for mark, name in wanted.items() if times[mark] != 1)


def _mark(body: bytes) -> bytes:
    """Return what tells one spoilt message from the others: secrets are taken out of what is kept."""
    found, _, rest = body.partition(b"bad-")
    return rest.split(b"\\")[0].split(b'"')[0] if rest else found


def _unheard(bind: sa.Engine, heard: collector.Collector) -> Iterator[str]:
    row = tables.outbox.c
    with bind.connect() as connection:
        for event in connection.execute(sa.select(row.event_id, row.event_type, row.due, row.node_uuid)):
            if not heard.heard[event.event_id]:
                yield f"{event.event_type} {event.event_id} of {event.node_uuid} was not heard (due: {event.due})"


def _sequences(bind: sa.Engine, heard: collector.Collector) -> Iterator[str]:
    yield from (f"two notifications are {name}" for name in heard.twice)
    for sheet in reading.sheets(bind, UUIDS):
        assert sheet.node is not None
        arrived, last = heard.arrived.get(sheet.node.uuid, []), sheet.node.sequence
        missing = sorted(set(range(1, last + 1)) - set(arrived))
        if missing or set(arrived) - set(range(1, last + 1)):
            yield f"{sheet.node.uuid} has come to {last}, heard {len(arrived)}, missing {missing[:10]}"
        elif arrived != sorted(arrived):
            late = next(number for number, (one, next_) in enumerate(itertools.pairwise(arrived)) if next_ < one)
            yield f"{sheet.node.uuid} came out of order: {arrived[max(late - 3, 0) : late + 4]}"


def _told(oracle: model.Model, heard: collector.Collector) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what each consumer holds as a listener knows it, and by the model."""
    ours = {consumer: held for consumer, (_, held) in heard.allocations.items() if held}
    theirs: dict[str, Any] = {}
    for name in oracle.names():
        theirs |= oracle.consumers(name)
    return ours, theirs


def _usages(oracle: model.Model, heard: collector.Collector) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what is used of each provider as a listener knows it, and by the model."""
    ours = {node: used for node, (_, used) in heard.usages.items() if used}
    return ours, {oracle.provider(pair): used for pair in oracle.pairs() if (used := oracle.used(pair))}
