"""The table command -> rule, and the one entry point.

A rule looks at the world, puts what it changes into it and returns the outcome. Facts are judged by revision alone;
only claims look at what is free.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from worker.core import audit, claims, commands, events, holdings, lifecycle, providers, records, resources, world

Rule = Callable[[world.World, commands.Task, Any], events.Outcome]


def decide(books: world.World, task: commands.Task) -> events.Outcome:
    """Carry out one task in the world and return its outcome; ``sequence`` is not known before the whole batch is."""
    return RULES[type(task.command)](books, task, task.command)


def newer(book: records.Book, record: records.Instance) -> bool:
    """Whether a fact about an instance is news: a deletion is final and beats every revision."""
    if book.deleted:
        return False
    return record.revision > book.revision or record.vm_state == lifecycle.DELETED


def with_record(book: records.Book, record: records.Instance) -> records.Book:
    """Return the book with a newer record; of a deleted instance only the tombstone stays."""
    if record.vm_state == lifecycle.DELETED:
        return tombstone(book, record.revision)
    return msgspec.structs.replace(book, revision=record.revision, record=record)


def tombstone(book: records.Book, revision: int) -> records.Book:
    """Return the book of an instance that is gone for good; who owned it stays for its last notification."""
    return msgspec.structs.replace(book, revision=revision, deleted=True, moves=())


ENDED_MOVES = 50
"""So many ended moves of an instance are kept, the newest ones; a late word on an older one holds nothing anyway."""


def with_move(book: records.Book, move: records.Move) -> records.Book:
    """Return the book with newer knowledge of one move; of one that has ended only its end is kept."""
    others = [known for known in book.moves if known.uuid != move.uuid]
    if move.status in lifecycle.TERMINAL:
        move = msgspec.structs.replace(
            move, old_flavor=None, new_flavor=None, new_numa_topology=None, new_pci_requests=None
        )
    moves = [*others, move]
    ended = [known for known in moves if known.status in lifecycle.TERMINAL]
    if len(ended) > ENDED_MOVES:
        ended.sort(key=lambda known: (known.created_at, known.uuid))
        moves = [known for known in moves if known not in ended[:-ENDED_MOVES]]
    return msgspec.structs.replace(book, moves=tuple(moves))


def find_move(book: records.Book, uuid: str) -> records.Move | None:
    """Return what is known of a move, or None."""
    return next((move for move in book.moves if move.uuid == uuid), None)


def _answer(books: world.World, task: commands.Task, word: str, book: records.Book) -> events.Outcome:
    """Return an outcome for the node on which the instance is, or was before this transaction."""
    pair = book.record.pair if book.record is not None else None
    if pair is not None:
        return events.Outcome(word, task.message_id, account=records.account_id(pair.host, pair.node))
    before = books.first_books.get(book.uuid, book).holdings
    return events.Outcome(word, task.message_id, account=before[0].account if before else None)


def report_node(books: world.World, task: commands.Task, command: commands.ReportNode) -> events.Outcome:
    """Take a report that is newer than the last one.

    One that is not newer than the last removal is stale, but it is kept all the same, so that the removed node has
    the same name in whatever order the two come.
    """
    report = command.node
    node = books.node(report.uuid)
    if report.revision <= node.revision:
        return events.Outcome(events.STALE, task.message_id, node_uuid=node.uuid)
    changed = msgspec.structs.replace(_with_disabled(node, report.disabled, report.revision), revision=report.revision)
    news = command.digest != node.digest
    if news:
        changed = _with_report(changed, command)
    books.put_node(changed, task.cause, report if news else None)
    if node.pair != changed.pair:
        audit.find_rivals(books, changed, books.account(report.pair), task.cause)
    word = events.APPLIED if changed.live else events.STALE
    return events.Outcome(word, task.message_id, node_uuid=node.uuid)


def _with_report(node: records.Node, command: commands.ReportNode) -> records.Node:
    report = command.node
    return msgspec.structs.replace(node, pair=report.pair, capacity=providers.capacity(report), digest=command.digest)


def _with_disabled(node: records.Node, disabled: bool, revision: int) -> records.Node:
    if revision <= node.disabled_revision:
        return node
    return msgspec.structs.replace(node, disabled=disabled, disabled_revision=revision)


def remove_node(books: world.World, task: commands.Task, command: commands.RemoveNode) -> events.Outcome:
    """Record that a node is gone; what is still held there stays counted and is a finding."""
    node = books.node(command.node_uuid)
    if command.revision <= node.removed_revision:
        return events.Outcome(events.STALE, task.message_id, node_uuid=node.uuid)
    removed = msgspec.structs.replace(node, removed_revision=command.revision)
    if node.live and removed.live:
        books.put_node(removed, task.cause)
        return events.Outcome(events.STALE, task.message_id, node_uuid=node.uuid, reason="a newer report is on record")
    books.put_node(msgspec.structs.replace(removed, failed_builds=0), task.cause)
    audit.find_leftovers(books, books.node(node.uuid), task.cause)
    return events.Outcome(events.APPLIED, task.message_id, node_uuid=node.uuid)


def set_node_disabled(books: world.World, task: commands.Task, command: commands.SetNodeDisabled) -> events.Outcome:
    """Take a newer word on whether the node is disabled."""
    node = books.node(command.node_uuid)
    changed = _with_disabled(node, command.disabled, command.revision)
    if changed is node:
        return events.Outcome(events.STALE, task.message_id, node_uuid=node.uuid)
    books.put_node(changed, task.cause)
    return events.Outcome(events.APPLIED, task.message_id, node_uuid=node.uuid)


def record_build(books: world.World, task: commands.Task, command: commands.RecordBuild) -> events.Outcome:
    """Count a failed build; a build that succeeded forgets them."""
    node = books.node(command.node_uuid)
    failed = 0 if command.succeeded else node.failed_builds + 1
    if failed != node.failed_builds:
        books.put_node(msgspec.structs.replace(node, failed_builds=failed), task.cause)
    return events.Outcome(events.APPLIED, task.message_id, node_uuid=node.uuid)


def claim_instance(books: world.World, task: commands.Task, command: commands.ClaimInstance) -> events.Outcome:
    """Admit an instance on the node that its record names, or leave everything as it was."""
    record = command.instance
    book = books.book(record.uuid)
    if not newer(book, record):
        return _answer(books, task, events.STALE, book)
    wanted = holdings.refreshed(with_record(book, record))
    return _admit(books, task, book, wanted, _Ask(record.uuid, record.pair, None, record.pci_requests))


def claim_migration(books: world.World, task: commands.Task, command: commands.ClaimMigration) -> events.Outcome:
    """Apply the instance as a fact, then admit the move at its destination, or leave the move unknown."""
    move = command.migration
    book = _fact(books, task, command.instance)
    if book.deleted or not lifecycle.supersedes(move, find_move(book, move.uuid)):
        return _answer(books, task, events.STALE, book)
    wanted = holdings.refreshed(with_move(book, move))
    return _admit(books, task, book, wanted, _Ask(book.uuid, move.dest, move, move.new_pci_requests or ()))


class _Ask(msgspec.Struct, frozen=True, gc=False):
    """What a claim is for: a place on ``pair``, for an instance or for its ``move``."""

    instance_uuid: str
    pair: records.Pair | None
    move: records.Move | None
    requests: tuple[records.DeviceRequest, ...]


def _admit(
    books: world.World, task: commands.Task, book: records.Book, wanted: records.Book, ask: _Ask
) -> events.Outcome:
    account = records.account_id(ask.pair.host, ask.pair.node) if ask.pair is not None else None
    side = tuple(
        holding
        for holding in wanted.holdings
        if holding.account == account and (ask.move is None or holding.side == holdings.DESTINATION)
    )
    asked = resources.total(holding.amounts for holding in side)
    reasons = () if books.policy.claims == claims.NONE else _objections(books, book, wanted, ask)
    if not reasons:
        books.put_book(wanted, task.cause)
    outcome = events.Outcome(
        events.REFUSED if reasons else events.ACCEPTED,
        task.message_id,
        account=account,
        node_uuid=books.provider_uuid(account) if account is not None else None,
        reason="; ".join(reasons) or None,
        detail={} if reasons else _granted(books, wanted),
    )
    _announce_claim(books, task, ask, outcome, asked)
    return outcome


def _objections(books: world.World, book: records.Book, wanted: records.Book, ask: _Ask) -> tuple[str, ...]:
    """Return every reason against a claim; none means it is admitted."""
    if ask.pair is None:
        return ("the claim names no destination",)
    account = books.account(ask.pair)
    speaker = books.speaker(account.id)
    if speaker is None or speaker.capacity is None or not speaker.live:
        return (f"node {ask.pair} is not reported",)
    there = tuple(holding for holding in wanted.holdings if holding.account == account.id)
    new = tuple(holding for holding in there if ask.move is None or holding.side == holdings.DESTINATION)
    if not new or (ask.move is not None and holdings.deciding_move(wanted) != ask.move):
        return (_idle(wanted, ask),)
    record = wanted.record
    extra = record.resources if record is not None else resources.NOTHING
    others = resources.subtract(account.used, holdings.amounts_on(book.holdings, account.id))
    kept = resources.total(holding.amounts for holding in there if holding not in new)
    asked = claims.tested(books.policy, resources.total(holding.amounts for holding in new), extra)
    shortages = claims.lacking(speaker.capacity.inventories, others, kept, asked)
    return shortages + _devices(ask)


def _devices(ask: _Ask) -> tuple[str, ...]:
    count = sum(request.count for request in ask.requests)
    return (f"PCI devices: asked {count}, available 0 (this version keeps no device accounts)",) if count else ()


def _idle(wanted: records.Book, ask: _Ask) -> str:
    """Say why a claim that would hold nothing cannot be admitted."""
    record = wanted.record
    if ask.move is None:
        return f"instance {ask.instance_uuid} holds nothing in the vm_state and task_state of its claim"
    where = record.pair if record is not None else None
    return f"the move does not count: the instance is on {where or 'no node'}, or a newer move of it is known"


def _granted(books: world.World, book: records.Book) -> dict[str, object]:
    return {"allocations": _allocations(books, book), "pci_devices": [], "numa_topology": None}


def _allocations(books: world.World, book: records.Book) -> dict[str, resources.Amounts]:
    accounts = dict.fromkeys(holding.account for holding in book.holdings)
    return {books.provider_uuid(account): holdings.amounts_on(book.holdings, account) for account in accounts}


def _announce_claim(
    books: world.World, task: commands.Task, ask: _Ask, outcome: events.Outcome, asked: resources.Amounts
) -> None:
    accepted = outcome.outcome == events.ACCEPTED
    books.happened.append(
        events.ClaimDecided(
            accepted=accepted,
            instance_uuid=ask.instance_uuid,
            migration_uuid=ask.move.uuid if ask.move is not None else None,
            node_uuid=outcome.node_uuid,
            host=ask.pair.host if ask.pair is not None else "",
            method=task.cause.method,
            reason=outcome.reason,
            requested=asked,
            allocations=_allocations(books, books.book(ask.instance_uuid)) if accepted else {},
            causes=(task.cause,),
        )
    )


def abort_claim(books: world.World, task: commands.Task, command: commands.AbortClaim) -> events.Outcome:
    """Withdraw a claim whatever has become of it: the instance is on no node, or the move is in error."""
    book = books.book(command.instance_uuid)
    if command.migration_uuid is None:
        return _abort_build(books, task, book, command.revision)
    known = find_move(book, command.migration_uuid)
    base = known or records.Move(command.migration_uuid, command.revision, book.uuid, "error")
    move = msgspec.structs.replace(base, status="error", revision=command.revision)
    if book.deleted or not lifecycle.supersedes(move, known):
        return _answer(books, task, events.STALE, book)
    return _answer(books, task, events.APPLIED, books.put_book(with_move(book, move), task.cause))


def _abort_build(books: world.World, task: commands.Task, book: records.Book, revision: int) -> events.Outcome:
    if book.deleted or revision <= book.revision:
        return _answer(books, task, events.STALE, book)
    record = book.record
    if record is not None:
        record = msgspec.structs.replace(record, revision=revision, host=None, node=None)
    aborted = msgspec.structs.replace(book, revision=revision, record=record)
    return _answer(books, task, events.APPLIED, books.put_book(aborted, task.cause))


def _fact(books: world.World, task: commands.Task, record: records.Instance) -> records.Book:
    """Take what an instance is now, if that is news, and return its book."""
    book = books.book(record.uuid)
    return books.put_book(with_record(book, record), task.cause) if newer(book, record) else book


def update_instance(books: world.World, task: commands.Task, command: commands.UpdateInstance) -> events.Outcome:
    """Take what the instance is now."""
    before = books.book(command.instance.uuid)
    after = _fact(books, task, command.instance)
    return _answer(books, task, events.STALE if after is before else events.APPLIED, after)


def delete_instance(books: world.World, task: commands.Task, command: commands.DeleteInstance) -> events.Outcome:
    """Give everything back, on every node, for good."""
    book = books.book(command.instance_uuid)
    if book.deleted:
        return _answer(books, task, events.STALE, book)
    return _answer(books, task, events.APPLIED, books.put_book(tombstone(book, command.revision), task.cause))


def update_migration(books: world.World, task: commands.Task, command: commands.UpdateMigration) -> events.Outcome:
    """Take what the move and the instance are now, whichever is newer, together."""
    move, record = command.migration, command.instance
    book = books.book(move.instance_uuid)
    changed = book
    if not book.deleted and lifecycle.supersedes(move, find_move(book, move.uuid)):
        changed = with_move(changed, move)
    if record is not None and newer(book, record):
        changed = with_record(changed, record)
    if changed is book:
        return _answer(books, task, events.STALE, book)
    return _answer(books, task, events.APPLIED, books.put_book(changed, task.cause))


def attach_devices(books: world.World, task: commands.Task, command: commands.AttachDevices) -> events.Outcome:
    """Refuse a claim for devices: no node has any in the accounts."""
    book = books.book(command.instance_uuid)
    if book.deleted:
        return _answer(books, task, events.STALE, book)
    pair = book.record.pair if book.record is not None else None
    ask = _Ask(book.uuid, pair, None, command.requests)
    reasons = _devices(ask) or ("no device is asked for",)
    outcome = msgspec.structs.replace(_answer(books, task, events.REFUSED, book), reason="; ".join(reasons))
    _announce_claim(books, task, ask, outcome, resources.NOTHING)
    return outcome


def detach_devices(books: world.World, task: commands.Task, command: commands.DetachDevices) -> events.Outcome:
    """Give devices back; nothing is attached that could be."""
    return _answer(books, task, events.STALE, books.book(command.instance_uuid))


def audit_node(books: world.World, task: commands.Task, command: commands.AuditNode) -> events.Outcome:
    """Apply what the sender's snapshots know better, then recount and compare, unless a newer audit was there before."""
    node = books.node(command.node_uuid)
    late = command.taken_at <= node.audited_at
    first = len(books.happened)
    for record in command.instances or ():
        if newer(books.book(record.uuid), record):
            if books.book(record.uuid).record is None and not late:
                audit.find_unknown(books, task.cause, command, record)
            _fact(books, task, record)
    if not late:
        audit.recount(books, task.cause, command)
    reason = "a newer audit of this node is on record: only the snapshots were applied" if late else None
    if node.pair is None:
        reason = f"node {node.uuid} has not been reported: only the snapshots were applied"
    found = [event.text for event in books.happened[first:] if isinstance(event, events.Found)]
    return events.Outcome(
        events.APPLIED, task.message_id, node_uuid=command.node_uuid, reason=reason, detail={"findings": found}
    )


RULES: Mapping[type, Rule] = {
    commands.ReportNode: report_node,
    commands.RemoveNode: remove_node,
    commands.SetNodeDisabled: set_node_disabled,
    commands.RecordBuild: record_build,
    commands.ClaimInstance: claim_instance,
    commands.AbortClaim: abort_claim,
    commands.UpdateInstance: update_instance,
    commands.DeleteInstance: delete_instance,
    commands.ClaimMigration: claim_migration,
    commands.UpdateMigration: update_migration,
    commands.AttachDevices: attach_devices,
    commands.DetachDevices: detach_devices,
    commands.AuditNode: audit_node,
}
