"""A whole worker with its relay behind a faulty bus, step by step in an order that the seed alone decides.

Engine, handler, database and relay are the real ones. Two hands take turns: the worker's own loop takes, commits and
settles, and whenever it asks for more the relay has its turn. So the same seed does the very same twice.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from tests import invariant, model, plain, stands
from tests.acceptance import history
from tests.contract import units_of_work
from tests.fakes import bus as fake_bus
from tests.fakes import clock as fake_clock
from worker import engine, errors, interfaces, relay, service
from worker.bus import wire
from worker.core import claims, events
from worker.db import engine as db_engine
from worker.db import reading, relay_store, schema, starts, tables, unit_of_work
from worker.testing import bus, faults

CASTS = 30
LIVES = 4
NODES = 3
NOW = 1_800_000_000_000_000
POLLS = 100_000
"""So many polls are more than any seed needs: a worker that polls on for ever has lost something."""
CALLER = "replies"
OTHERS = ("record_build", "audit_node")
"""Methods that state nothing that the model keeps."""


class Ward:
    """A database for one seed after the other; ``url`` is SQLite in memory unless told otherwise."""

    def __init__(self, url: str = "sqlite://", parts: Parts | None = None) -> None:
        self.bind = db_engine.of_url(url)
        self._parts = parts or RIGHT
        schema.sync(self.bind)

    def run(self, seed: int, rates: faults.Rates = faults.STORM, casts: int = CASTS) -> faults.Faults:
        """Send a history of this seed through the faults of this seed and prove the end; return the faults."""
        units_of_work.clear(self.bind)
        with faults.Faults(seed, rates) as plan:
            case = Case(self.bind, plan, casts, self._parts)
            case.run()
            case.prove()
        return plan

    def close(self) -> None:
        """Leave the database."""
        self.bind.dispose()


class Feed(fake_bus.Consumer):
    """The fake bus; at each poll its queue gets a few more of what is to be sent."""

    def __init__(self, broker: fake_bus.Broker, bodies: Sequence[bytes], chance: random.Random) -> None:
        super().__init__(broker, batch_size=chance.randint(2, 30))
        self._to_send = list(reversed(bodies))
        self._chance = chance

    def batch(self, idle: float = interfaces.IDLE, *, begun: int = 0, haste: float = 0.0) -> list[interfaces.Delivery]:
        for _ in range(min(self._chance.randint(0, 20), len(self._to_send))):
            self._broker.send(self._to_send.pop())
        return super().batch(idle, begun=begun, haste=haste)

    @property
    def done(self) -> bool:
        """Whether everything was sent, taken and settled."""
        return not (self._to_send or self._broker.queue or self._unsettled)


class Turns(bus.FaultyConsumer):
    """The faulty consumer, and between the worker's steps the turns of the relay, until there is nothing left to do."""

    def __init__(self, feed: Feed, plan: faults.Faults, case: Case) -> None:
        super().__init__(feed, plan)
        self._feed = feed
        self._case = case
        self._left = POLLS

    def open(self) -> None:
        self._case.wait_for_commits()
        super().open()

    def batch(self, idle: float = interfaces.IDLE, *, begun: int = 0, haste: float = 0.0) -> list[interfaces.Delivery]:
        if idle:  # nothing is in hand, so that nobody else is at the database
            self._case.turn()
            if self._feed.done and not self.pending and not self._case.due():
                self._case.worker.stop()
            self._left -= 1
            assert self._left, "the worker never comes to an end"
        taken = super().batch(idle, begun=begun, haste=haste)
        self._case.wait_for_commits()  # the next look is made or not by what is taken, not by how long that took
        return taken


class Flaps:
    """Whether the database goes away at a commit: before it, or after it and before it has said so."""

    def __init__(self, seed: int, rate: float) -> None:
        self._chance = random.Random(f"{seed}/database")
        self._rate = rate

    def now(self) -> bool:
        """Draw."""
        return self._chance.random() < self._rate / 2


class _Flapping:
    """A transaction of which one is not always told that it was committed."""

    def __init__(self, unit: unit_of_work.UnitOfWork, flaps: Flaps) -> None:
        self._unit = unit
        self._flaps = flaps

    def __enter__(self) -> Any:
        entered = self._unit.__enter__()
        self.inbox, self.books, self.ledger = entered.inbox, entered.books, entered.ledger
        self.outbox, self.parked = entered.outbox, entered.parked
        return self

    def __exit__(self, *error: object) -> None:
        self._unit.__exit__(*error)

    def commit(self) -> None:
        if self._flaps.now():
            raise errors.DatabaseUnavailable("the database is away")
        self._unit.commit()
        if self._flaps.now():
            raise errors.DatabaseUnavailable("the database has not answered")


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a worker is made of where it may be wrong: a test of the tests takes another one."""

    consumer: type[Turns] = Turns
    publisher: type[bus.FaultyPublisher] = bus.FaultyPublisher
    unit: type[unit_of_work.UnitOfWork] = unit_of_work.UnitOfWork


RIGHT = Parts()


class Case:
    """One seed: what is sent, who works, and what must be so afterwards."""

    def __init__(self, bind: sa.Engine, plan: faults.Faults, casts: int, parts: Parts) -> None:
        self.bind = bind
        chance = random.Random(plan.seed)
        # on small nodes some claims are refused
        self.policy = claims.Policy(claims=chance.choice([claims.ALL, claims.NONE]), audit_grace=0)
        self.sent = _with_others(history.facts(casts, plan.seed, NODES, LIVES, vcpus=chance.choice([4, 8])), chance)
        self.calls = {number for number in range(len(self.sent)) if chance.random() < 0.2}
        bodies = [self._body(number, *cast) for number, cast in enumerate(self.sent)]
        self.flaps = Flaps(plan.seed, chance.choice([0.0, 0.0, 0.1, 0.4]))
        self.clock = fake_clock.Clock(NOW, step=1)
        self.broker = fake_bus.Broker()
        self.parts = parts
        self.consumer = parts.consumer(Feed(self.broker, bodies, chance), plan, self)
        self.store = relay_store.RelayStore(bind)
        publisher = parts.publisher(fake_bus.Publisher(self.broker), plan)
        self.relay = relay.Relay(self.store, publisher, self.clock, "relay", lambda: (chance.randint(1, 20), 30.0))
        self.worker = service.Worker(self.consumer, self._engine(), fake_clock.Backoff(), lambda: None, lambda _: None)
        self.worker.AGAIN = 0.0
        self.worker.LOOK = 30.0  # a commit ends before the next look: how long it takes decides nothing

    def _engine(self) -> engine.Engine:
        return engine.Engine(
            unit_of_work=lambda: _Flapping(self.parts.unit(self.bind), self.flaps),
            library=reading.Library(self.bind, lambda: self.policy),
            clock=self.clock,
            settings=lambda: engine.Settings(policy=self.policy),
            starts=starts.Starts(self.bind, self.clock),
        )

    def _body(self, number: int, method: str, arguments: Any) -> bytes:
        call = {"_msg_id": f"call-{number}", "_reply_q": CALLER} if number in self.calls else {}
        return stands.body(method, arguments, _unique_id=f"m{number}", **call)

    def run(self) -> None:
        """Work until everything is done."""
        self.worker.run()

    def wait_for_commits(self) -> None:
        """Wait until no commit is on its way: the next step finds the database as the last one left it."""
        self.worker._committer.submit(lambda: None).result(timeout=30)

    def turn(self) -> None:
        """Let the relay publish a batch; what goes wrong is waited out, as its loop does."""
        try:
            self.relay.turn()
        except errors.BusUnavailable:
            self.relay.stand_down()

    def due(self) -> bool:
        """Tell whether a notification is still to be sent."""
        return self.store.last_due() is not None

    def prove(self) -> None:
        """Hold everything that must be so in the end."""
        invariant.prove(self.bind)
        self._prove_marks()
        self._prove_accounts()
        self._prove_builds()
        self._prove_answers()
        self._prove_notifications()

    def _prove_builds(self) -> None:
        """What has no revision counted once as well."""
        failed = Counter(arguments["node_uuid"] for method, arguments in self.sent if method == "record_build")
        counted = self._rows(tables.nodes.c.uuid, tables.nodes.c.failed_builds)
        assert {uuid: count for uuid, count in counted if count} == failed

    def _rows(self, *columns: Any) -> list[Any]:
        with self.bind.connect() as connection:
            return list(connection.execute(sa.select(*columns)).all())

    def _outcomes(self) -> dict[str, str]:
        marks = self._rows(tables.inbox.c.message_id, tables.inbox.c.outcome)
        return {name: outcome for name, outcome in marks if not name.startswith("parked ")}

    def _prove_marks(self) -> None:
        """Each message counted once; parked is what was cut off and nothing else; nothing waits anywhere."""
        outcomes = self._outcomes()
        assert outcomes.keys() == {f"m{number}" for number in range(len(self.sent))}
        assert events.PARKED not in outcomes.values()
        parked = [bytes(body) for (body,) in self._rows(tables.parked.c.body)]
        assert len(parked) == len(set(self.consumer.truncated))
        for body in parked:
            assert not _readable(body)
        assert self._rows(tables.starts.c.content) == []
        assert not self.broker.queue

    def _prove_accounts(self) -> None:
        oracle = model.Model(self._effective())
        nodes = [plain.node_uuid(number) for number in range(NODES)]
        accounts, consumers = {}, defaultdict[str, Any](dict)
        for sheet in reading.sheets(self.bind, nodes):
            account = sheet.account
            accounts[account.pair.host] = tuple(map(dict, (account.used, account.settled, account.counters)))
            assert sheet.node is not None
            for name, holding in reading.holdings(self.bind, account.id):
                _add(consumers[name].setdefault(holding.consumer, {}).setdefault(sheet.node.uuid, {}), holding.amounts)
        assert accounts == {
            pair[0]: (oracle.used(pair), oracle.settled(pair), oracle.counters(pair)) for pair in oracle.pairs()
        }
        assert consumers == {name: held for name in oracle.names() if (held := oracle.consumers(name))}

    def _effective(self) -> list[model.Fact]:
        """Return what counts as a fact: all that was sent, less the claims that were refused or came late."""
        outcomes = self._outcomes()
        return [
            fact
            for number, cast in enumerate(self.sent)
            for fact in _counted(*cast, accepted=outcomes[f"m{number}"] == events.ACCEPTED)
        ]

    def _prove_answers(self) -> None:
        """Each call was answered, and however often always with what became of it first."""
        given = defaultdict(list)
        for to, reply in self.broker.answers:
            given[to.msg_id].append(reply)
        outcomes = self._outcomes()
        assert given.keys() == {f"call-{number}" for number in self.calls}
        for name, replies in given.items():
            assert all(reply == replies[0] for reply in replies)
            assert replies[0]["outcome"] == outcomes[f"m{name.removeprefix('call-')}"]

    def _prove_notifications(self) -> None:
        """Each notification arrived, the same however often; those of a node are numbered without a gap."""
        heard: dict[str, bytes] = {}
        numbers = defaultdict(set)
        for frame in self.broker.frames:
            body = wire.encode_notification(frame)
            assert heard.setdefault(frame.event_id, body) == body
            payload = json.loads(json.loads(body)["oslo.message"])["payload"]["stocktake_object.data"]
            if frame.event_type.startswith("resource_provider."):
                numbers[payload["node_uuid"]].add(payload["sequence"])
        assert heard.keys() == {event_id for (event_id,) in self._rows(tables.outbox.c.event_id)}
        sequences = dict(self._rows(tables.nodes.c.uuid, tables.nodes.c.sequence))
        assert numbers == {uuid: set(range(1, last + 1)) for uuid, last in sequences.items() if last}


def _counted(method: str, arguments: Any, *, accepted: bool) -> list[model.Fact]:
    """Return what a cast states: of a move's claim that was not accepted what it says of the instance stays true."""
    stated = history.fields(arguments)
    if method in OTHERS or (method == "claim_instance" and not accepted):
        return []
    if method == "claim_migration" and not accepted:
        return [("update_instance", {"instance": stated["instance"]})]
    return [(method, stated)]


def _with_others(facts: list[model.Fact], chance: random.Random) -> list[model.Fact]:
    """Return the facts with failed builds and recounts here and there."""
    for _ in range(len(facts) // 10):
        node = plain.node_uuid(chance.randrange(NODES))
        audit: dict[str, Any] = {"node_uuid": node, "instances": None, "taken_at": "2027-01-15T08:00:00.000000+00:00"}
        failed: dict[str, Any] = {"node_uuid": node, "succeeded": False}
        other: model.Fact = chance.choice([("record_build", failed), ("audit_node", audit)])
        facts.insert(chance.randint(0, len(facts)), other)
    return facts


def _add(held: dict[str, int], amounts: Any) -> None:
    for name, amount in amounts.items():
        held[name] = held.get(name, 0) + amount


def _readable(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True
