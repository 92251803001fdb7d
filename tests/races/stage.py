"""Plays a script in every order in which its messages can come, through the real decoder and handler.

Orders that have told the same messages, and have left the same records behind, go on together: what comes afterwards
cannot tell them apart. That makes all of them affordable. At every step of every order the figures are the oracle's, the
sums and the ledger add up, no device has two owners and nothing is held by who is deleted.

``senders`` keep their own order, as parties do that wait for each of their casts; ``jumble`` keeps none, and tells
everything at every step once more: facts must not care.
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from tests import builders, model, plain
from tests.acceptance import history
from tests.fakes import unit_of_work
from tests.races import oracle
from tests.unit.core import histories, place_cases
from worker import handler, intake, interfaces
from worker.core import claims, commands, events, places, records

Cast = model.Fact
Told = tuple[int, ...]
"""How many messages of each sender were told."""

NOW = datetime.datetime.fromtimestamp(builders.NOW / 1_000_000, datetime.UTC)
LATER = (NOW + datetime.timedelta(minutes=10)).isoformat()
"""When an audit's list was taken that knows of everything that is on record."""
BEFORE = (NOW - datetime.timedelta(minutes=10)).isoformat()
"""When one was taken that is older than everything on record."""

MOST_AT_ONCE = 3


@dataclasses.dataclass(frozen=True)
class Moment:
    """What is so after some messages: ``outcomes`` by the place of the sender and of the message with it, in order."""

    told: Told
    store: unit_of_work.Store
    outcomes: Mapping[tuple[int, int], str]
    counted: tuple[model.Fact, ...]

    def outcome(self, sender: int, number: int = 0) -> str | None:
        """Return what became of a message, or None while it is not told."""
        return self.outcomes.get((sender, number))

    def used(self, node: int = 1) -> dict[str, int]:
        """Return what is held on a node."""
        return dict(self.store.account(plain.host(node), plain.host(node)).used)

    def settled(self, node: int = 1) -> dict[str, int]:
        """Return the part of it that is not in move."""
        return dict(self.store.account(plain.host(node), plain.host(node)).settled)

    def held(self, instance: int = 1) -> dict[str, str]:
        """Return on which node which consumer of an instance holds something, by side."""
        book = self.store.books.get(plain.uid(instance))
        pairs = {account.id: account.pair.host for account in self.store.accounts.values()}
        return {one.side: pairs[one.account] for one in book.holdings} if book is not None else {}

    def devices(self, instance: int = 1) -> list[str]:
        """Return the addresses of the devices of an instance, on whatever side."""
        return sorted(grant.address for place in self.places(instance) for grant in place.grants)

    def cpus(self, instance: int = 1) -> list[int]:
        """Return the CPUs that are pinned by an instance, on whatever side."""
        return sorted(cpu for place in self.places(instance) for cpu in place_cases.cpus(place))

    def places(self, instance: int) -> list[records.Place]:
        """Return what an instance was given of what is given out one by one."""
        book = self.store.books.get(plain.uid(instance), records.Book(""))
        return [one.place for one in book.holdings if one.place is not None]

    def findings(self) -> set[str]:
        """Return the kinds of what audits have found."""
        return {event.kind for event in self.store.events if isinstance(event, events.Found)}


@dataclasses.dataclass(frozen=True)
class Played:
    """Every moment of every order, ``ends`` are those after the last message; ``orders`` is how many there are."""

    moments: tuple[Moment, ...]
    ends: tuple[Moment, ...]
    orders: int

    def always(self, holds: Callable[[Moment], object]) -> bool:
        """Tell whether something is so at every moment."""
        return all(holds(moment) for moment in self.moments)

    def finally_(self, of: Callable[[Moment], Any]) -> list[Any]:
        """Return what something may be in the end, each once."""
        found: list[Any] = []
        for end in self.ends:
            value = of(end)
            if value not in found:
                found.append(value)
        return found


class Script:
    """Messages of several senders after what was told ``before``, in order, by a worker with this claim policy."""

    def __init__(self, senders: Sequence[Sequence[Cast]], before: Sequence[Cast], policy: str) -> None:
        _check_consistent([*before, *itertools.chain(*senders)])
        self.senders = senders
        self._policy = claims.Policy(claims=policy)
        self._tasks = {
            (sender, number): _task(f"s{sender}-{number}", *cast)
            for sender, said in enumerate(senders)
            for number, cast in enumerate(said)
        }
        first = Moment((0,) * len(senders), unit_of_work.Store(), {}, ())
        for number, cast in enumerate(before):
            first = self._after(first, [(_task(f"b{number}", *cast), cast, None)], first.told)
        self.first = first

    @property
    def orders(self) -> int:
        """In how many orders the messages can come while each sender keeps its own."""
        lengths = [len(said) for said in self.senders]
        return math.factorial(sum(lengths)) // math.prod(map(math.factorial, lengths))

    def step(self, moment: Moment, *senders: int) -> Moment:
        """Return the moment after the next messages of these senders, told in one transaction."""
        told, items = list(moment.told), []
        for sender in senders:
            place = sender, told[sender]
            items.append((self._tasks[place], self.senders[sender][place[1]], place))
            told[sender] += 1
        return self._after(moment, items, tuple(told))

    def repeat(self, moment: Moment, sender: int, number: int) -> tuple[str, unit_of_work.Store]:
        """Return outcome and store after a message is told once more, with another id."""
        again = self._tasks[sender, number]
        told = msgspec.structs.replace(again, message_id=f"{again.message_id}-again")
        store = moment.store.copy()
        (outcome,) = self._handle([told], store)
        return outcome, store

    def open(self, moment: Moment) -> list[int]:
        """Return the senders that have something left to say."""
        return [sender for sender, said in enumerate(self.senders) if moment.told[sender] < len(said)]

    def _after(self, moment: Moment, items: Sequence[tuple[commands.Task, Cast, Any]], told: Told) -> Moment:
        store = moment.store.copy()
        words = self._handle([task for task, _, _ in items], store)
        _check_step(moment.store, store)
        outcomes, counted = dict(moment.outcomes), list(moment.counted)
        for (_, cast, place), word in zip(items, words, strict=True):
            if place is not None:
                outcomes[place] = word
            counted.extend(_counted(*cast, word=word))
        return Moment(told, store, outcomes, tuple(counted))

    def _handle(self, tasks: Sequence[commands.Task], store: unit_of_work.Store) -> list[str]:
        unit = unit_of_work.UnitOfWork(store)
        answers = handler.handle(handler.Batch(tasks), unit, builders.NOW, self._policy)
        return [answer.outcome for answer in answers]


def _check_consistent(casts: Iterable[Cast]) -> None:
    """A script in which one revision of one record has two contents says nothing: no order could be right."""
    known: dict[tuple[Any, ...], Any] = {}
    for _, arguments in casts:
        for one in [*arguments.values(), *(arguments.get("instances") or ())]:
            if isinstance(one, dict):
                data = plain.data(one)
                key = one["stocktake_object.name"], data["uuid"], data["revision"]
                assert known.setdefault(key, data) == data, f"{key} has two contents"


def play(senders: Sequence[Sequence[Cast]], before: Sequence[Cast] = (), policy: str = claims.ALL) -> Played:
    """Play every order in which each sender keeps its own, each two and three messages in one transaction as well."""
    script = Script(senders, before, policy)
    check(script.first)
    moments = [script.first]
    level = {_key(script.first): script.first}
    for _ in range(sum(map(len, senders))):
        following: dict[Any, Moment] = {}
        for moment in level.values():
            for sender in script.open(moment):
                after = script.step(moment, sender)
                if following.setdefault(_key(after), after) is after:
                    check(after)
            _check_batches(script, moment)
        moments += following.values()
        level = following
    return Played(tuple(moments), tuple(level.values()), script.orders)


def jumble(casts: Iterable[Cast], before: Sequence[Cast] = ()) -> Played:
    """Play every order at all of what are facts, claims as well (policy ``none``), each told again at every step.

    Whatever the order, the accounts depend on nothing but which messages were told.
    """
    script = Script([[cast] for cast in casts], before, claims.NONE)
    moments = [script.first]
    level = {script.first.told: script.first}
    for _ in script.senders:
        following: dict[Told, Moment] = {}
        for moment in level.values():
            for sender in script.open(moment):
                after = script.step(moment, sender)
                known = following.setdefault(after.told, after)
                if known is after:
                    check(after)
                    _check_repeats(script, after)
                else:
                    assert histories.picture(after.store) == histories.picture(known.store)
        moments += following.values()
        level = following
    return Played(tuple(moments), tuple(level.values()), script.orders)


def check(moment: Moment) -> None:
    """Hold everything that must be so at any moment."""
    told = oracle.Oracle(NOW)
    for fact in moment.counted:
        told.take(*fact)
    assert histories.picture(moment.store) == histories.expected_by(told)
    histories.check_all(moment.store)
    _check_owners(moment.store, told)
    if any(places.concerns(book) for book in moment.store.books.values()):
        place_cases.check_places(moment.store, list(moment.store.accounts))
    for book in moment.store.books.values():
        assert not (book.deleted and book.holdings), "something is held by who is deleted"


def _check_owners(store: unit_of_work.Store, told: oracle.Oracle) -> None:
    """Nobody has a device for a request that was detached, or that it never made, or more than were asked for."""
    for book in store.books.values():
        allowed = told.requests(book.uuid)
        for holding in book.holdings:
            grants = holding.place.grants if holding.place is not None else ()
            for request_id in {grant.request_id for grant in grants}:
                count = sum(grant.request_id == request_id for grant in grants)
                moving = told.deciding_move(book.uuid) is not None and request_id not in _detached(told, book.uuid)
                assert count <= allowed.get(request_id, 9 if moving else 0), "a device too many"


def _detached(told: oracle.Oracle, name: str) -> set[str]:
    return {request_id for of, request_id in told.detached if of == name}


def _check_step(before: unit_of_work.Store, after: unit_of_work.Store) -> None:
    """What was entered since explains by how much the figures changed."""
    moved: dict[str, dict[str, int]] = {}
    for entry in after.entries[len(before.entries) :]:
        if entry.kind in {"holding", "recount"}:
            sums = moved.setdefault(entry.account, {})
            for name, amount in entry.amounts.items():
                sums[name] = sums.get(name, 0) + amount
    for key, account in after.accounts.items():
        old = before.accounts[key].used if key in before.accounts else {}
        changed = {name: account.used.get(name, 0) - old.get(name, 0) for name in {*account.used, *old}}
        entered = {name: amount for name, amount in moved.get(key, {}).items() if amount}
        assert {name: amount for name, amount in changed.items() if amount} == entered


def _check_batches(script: Script, moment: Moment) -> None:
    """Two or three messages in one transaction come to the same as one after the other.

    So does every grouping of any order into batches of up to three: each begins where another one has ended.
    """
    for count in range(2, MOST_AT_ONCE + 1):
        for chosen in itertools.product(script.open(moment), repeat=count):
            if all(moment.told[one] + chosen.count(one) <= len(script.senders[one]) for one in set(chosen)):
                apart = moment
                for sender in chosen:
                    apart = script.step(apart, sender)
                together = script.step(moment, *chosen)
                assert _key(together) == _key(apart)


def _check_repeats(script: Script, moment: Moment) -> None:
    for sender, count in enumerate(moment.told):
        for number in range(count):
            outcome, store = script.repeat(moment, sender, number)
            assert _records(store) == _records(moment.store), script.senders[sender][number]
            assert outcome == events.STALE or script.senders[sender][number][0] == "audit_node"


def _key(moment: Moment) -> Any:
    """Return what decides what comes next, what became of what was told, and what the oracle goes by.

    Facts are in no order, unless an audit has taken something off.
    """
    counted = [repr(fact) for fact in moment.counted]
    ordered = any(told.get("authoritative") and told["taken_at"] != BEFORE for _, told in moment.counted)
    outcomes = frozenset(moment.outcomes.items())
    return moment.told, outcomes, _records(moment.store), tuple(counted) if ordered else frozenset(counted)


def _records(store: unit_of_work.Store) -> bytes:
    """Return all that is kept, but for how often it was written."""
    kept = (
        [msgspec.structs.replace(one, generation=0, saved_at=0) for _, one in sorted(store.books.items())],
        [msgspec.structs.replace(one, generation=0) for _, one in sorted(store.accounts.items())],
        [msgspec.structs.replace(one, generation=0, sequence=0) for _, one in sorted(store.nodes.items())],
        sorted(store.reports.items()),
    )
    plainly = msgspec.to_builtins(kept, str_keys=True, order="deterministic")
    return msgspec.json.encode(plainly, order="deterministic")


def _counted(method: str, arguments: Mapping[str, Any], *, word: str) -> list[model.Fact]:
    """Return what a cast states, given what became of it: what was not admitted is no fact."""
    stated = history.fields(arguments)
    if word == events.ACCEPTED or method not in {"claim_instance", "claim_migration", "attach_devices"}:
        return [(method, stated)]
    return [("update_instance", {"instance": stated["instance"]})] if method == "claim_migration" else []


def _task(message_id: str, method: str, arguments: Mapping[str, Any]) -> commands.Task:
    envelope = interfaces.Envelope(message_id, method, dict(arguments), "1.0", None, {}, None)
    return intake.task(envelope)
