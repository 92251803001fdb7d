"""Claims: a place asked for, tested against what is free, and admitted whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from worker.core import (
    cells,
    claims,
    commands,
    events,
    facts,
    holdings,
    lifecycle,
    places,
    records,
    resources,
    shares,
    world,
)


class Ask(msgspec.Struct, frozen=True, gc=False):
    """What a claim is for: a place on ``pair``, for an instance, for its ``move``, or for more devices there.

    ``reasons`` are those against it that stand before anything is looked at.
    """

    instance_uuid: str
    pair: records.Pair | None
    move: records.Move | None = None
    limits: records.Limits | None = None
    reasons: tuple[str, ...] = ()
    requests: frozenset[str] | None = None

    @property
    def account(self) -> str | None:
        """The account that is asked."""
        return records.account_id(self.pair.host, self.pair.node) if self.pair is not None else None

    def sides(self, held: tuple[records.Holding, ...]) -> tuple[records.Holding, ...]:
        """Return those of the holdings that are claimed: devices are attached where the instance is."""
        return tuple(
            holding
            for holding in held
            if holding.account == self.account
            and (self.move is None or holding.side == holdings.DESTINATION)
            and (self.requests is None or holding.settled)
        )


def claim_instance(books: world.World, task: commands.Task, command: commands.ClaimInstance) -> events.Outcome:
    """Admit an instance on the node that its record names, or leave everything as it was."""
    record = command.instance
    book = books.book(record.uuid)
    if not facts.newer(book, record):
        return facts.answer(books, task, events.STALE, book)
    reasons = places.contradiction(record.numa_topology, record.flavor)
    ask = Ask(record.uuid, record.pair, limits=command.limits, reasons=reasons)
    return _admit(books, task, facts.with_record(book, record), ask)


def claim_migration(books: world.World, task: commands.Task, command: commands.ClaimMigration) -> events.Outcome:
    """Apply the instance as a fact, then admit the move at its destination, or leave the move unknown."""
    move = command.migration
    book = facts.take(books, task, command.instance)
    if book.deleted or not lifecycle.supersedes(move, facts.find_move(book, move.uuid)):
        return facts.answer(books, task, events.STALE, book)
    reasons = places.contradiction(*places.destined(book.record, move)) if book.record is not None else ()
    ask = Ask(book.uuid, move.dest, move, command.limits, reasons)
    return _admit(books, task, facts.with_move(book, move), ask)


def attach_devices(books: world.World, task: commands.Task, command: commands.AttachDevices) -> events.Outcome:
    """Admit more devices for an instance where it is; each request is a record of its own."""
    book = books.book(command.instance_uuid)
    known = {one.request_id: one for one in book.attachments}
    fresh = {one.request_id: one for one in command.requests if _is_news(known.get(one.request_id), command.revision)}
    if book.deleted or (command.requests and not fresh):
        return facts.answer(books, task, events.STALE, book)
    pair = book.record.pair if book.record is not None else None
    reasons = () if any(request.count for request in fresh.values()) else ("no device is asked for",)
    kept = tuple(one for one in book.attachments if one.request_id not in fresh)
    new = tuple(records.Attachment(id_, command.revision, request) for id_, request in fresh.items())
    ask = Ask(book.uuid, pair, reasons=reasons, requests=frozenset(fresh))
    return _admit(books, task, msgspec.structs.replace(book, attachments=kept + new), ask)


def _is_news(known: records.Attachment | None, revision: int) -> bool:
    return known is None or (known.request is not None and revision > known.revision)


def _admit(books: world.World, task: commands.Task, asked: records.Book, ask: Ask) -> events.Outcome:
    """Admit what is asked for if nothing speaks against it; a refused claim leaves no trace but its announcement."""
    tested = books.policy.claims != claims.NONE
    wanted, lacks = books.draft(asked, _terms(books, asked, ask) if tested else None)
    claimed = ask.sides(wanted.holdings)
    reasons = _objections(books, wanted, lacks, ask) if tested else ()
    if not reasons:
        books.put_book(wanted, task.cause, drafted=True)
    outcome = events.Outcome(
        events.REFUSED if reasons else events.ACCEPTED,
        task.message_id,
        account=ask.account,
        node_uuid=books.provider_uuid(ask.account) if ask.account is not None else None,
        reason="; ".join(reasons) or None,
        detail={} if reasons else _granted(books, wanted, _given(claimed, ask)),
    )
    _announce(books, task, ask, outcome, claimed)
    return outcome


def _terms(books: world.World, asked: records.Book, ask: Ask) -> shares.Terms | None:
    """Return how the claim is tested; more devices for an instance ask for no class."""
    if ask.account is None:
        return None
    extra = asked.record.resources if asked.record is not None else resources.NOTHING
    return shares.Terms(
        ask.account,
        ask.limits or _own_limits(books, ask.account),
        lambda holding: ask.requests is None and bool(ask.sides((holding,))),
        lambda amounts: claims.tested(books.policy, amounts, extra),
    )


def _own_limits(books: world.World, account: str) -> records.Limits | None:
    """Return the node's own ratios."""
    speaker = books.speaker(account)
    if speaker is None or speaker.capacity is None:
        return None
    inventories = speaker.capacity.inventories
    cpu, ram = inventories.get(resources.VCPU), inventories.get(resources.MEMORY_MB)
    return records.Limits(
        cpu.allocation_ratio if cpu is not None else None, ram.allocation_ratio if ram is not None else None
    )


def _objections(
    books: world.World, wanted: records.Book, lacks: Mapping[str, places.Reasons], ask: Ask
) -> tuple[str, ...]:
    """Return every reason against a claim; none means it is admitted."""
    if ask.pair is None:
        attached = ask.requests is not None
        return (
            *ask.reasons,
            f"instance {ask.instance_uuid} is on no node" if attached else "the claim names no destination",
        )
    speaker = books.speaker(books.account(ask.pair).id)
    if speaker is None or speaker.capacity is None or not speaker.live:
        return (f"node {ask.pair} is not reported",)
    new = ask.sides(wanted.holdings)
    if not new or (ask.move is not None and holdings.deciding_move(wanted) != ask.move):
        return (_idle(wanted, ask),)
    placed = tuple(reason for holding in new for reason in lacks.get(holding.side, ()))
    return ask.reasons + _shortages(books, wanted, new, ask) + tuple(dict.fromkeys(placed))


def _shortages(books: world.World, wanted: records.Book, new: tuple[records.Holding, ...], ask: Ask) -> tuple[str, ...]:
    """Return what lacks of the classes; more devices for an instance that is there ask for none."""
    account = books.account(ask.pair) if ask.pair is not None else None
    speaker = books.speaker(account.id) if account is not None else None
    if account is None or speaker is None or speaker.capacity is None or ask.requests is not None:
        return ()
    record = wanted.record
    extra = record.resources if record is not None else resources.NOTHING
    others = resources.subtract(account.used, holdings.amounts_on(books.book(wanted.uuid).holdings, account.id))
    others = resources.subtract(others, shares.elsewhere(books.ground(account.id).others(wanted.uuid).values()))
    there = (holding for holding in wanted.holdings if holding.account == account.id)
    kept = resources.total(holdings.on_root(holding) for holding in there if holding not in new)
    asked = claims.tested(books.policy, resources.total(map(holdings.on_root, new)), extra)
    below = shares.offered(speaker.capacity)  # what of these is asked of the root yet has been refused by the children
    asked = {name: amount for name, amount in asked.items() if name not in below}
    return claims.lacking(speaker.capacity.inventories, others, kept, asked)


def _idle(wanted: records.Book, ask: Ask) -> str:
    """Say why a claim that would hold nothing cannot be admitted."""
    record = wanted.record
    if ask.move is None:
        return f"instance {ask.instance_uuid} holds nothing in the vm_state and task_state of its claim"
    where = record.pair if record is not None else None
    return f"the move does not count: the instance is on {where or 'no node'}, or a newer move of it is known"


def _given(claimed: tuple[records.Holding, ...], ask: Ask) -> records.Place:
    """Return what the claim was given: the devices of its own requests, and where the cells of the guest are."""
    held = [holding.place for holding in claimed if holding.place is not None]
    grants = tuple(
        grant for place in held for grant in place.grants if ask.requests is None or grant.request_id in ask.requests
    )
    return records.Place(next((place.topology for place in held if place.topology is not None), None), grants)


def _granted(books: world.World, book: records.Book, given: records.Place) -> dict[str, object]:
    return {
        "allocations": allocations(books, book),
        "pci_devices": [msgspec.structs.asdict(grant) for grant in given.grants],
        "numa_topology": cells.plain_topology(given),
    }


def allocations(books: world.World, book: records.Book) -> dict[str, resources.Amounts]:
    """Return what the instance holds, by provider."""
    return holdings.by_provider(book.holdings, books.provider_uuid)


def _announce(
    books: world.World, task: commands.Task, ask: Ask, outcome: events.Outcome, claimed: tuple[records.Holding, ...]
) -> None:
    accepted = outcome.outcome == events.ACCEPTED
    more = ask.requests is not None
    books.happened.append(
        events.ClaimDecided(
            accepted=accepted,
            instance_uuid=ask.instance_uuid,
            migration_uuid=ask.move.uuid if ask.move is not None else None,
            node_uuid=outcome.node_uuid,
            host=ask.pair.host if ask.pair is not None else "",
            method=task.cause.method,
            reason=outcome.reason,
            requested=resources.NOTHING if more else resources.total(holding.amounts for holding in claimed),
            allocations=allocations(books, books.book(ask.instance_uuid)) if accepted else {},
            place=_given(claimed, ask) if accepted else None,
            causes=(task.cause,),
        )
    )
