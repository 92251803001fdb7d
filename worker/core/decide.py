"""The table command -> rule, and the one entry point.

A rule looks at the world, puts what it changes into it and returns the outcome. Facts are judged by revision alone;
only claims look at what is free.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from worker.core import admit, audit, commands, events, facts, lifecycle, places, providers, records, world

Rule = Callable[[world.World, commands.Task, Any], events.Outcome]


def decide(books: world.World, task: commands.Task) -> events.Outcome:
    """Carry out one task in the world and return its outcome; ``sequence`` is not known before the whole batch is."""
    return RULES[type(task.command)](books, task, task.command)


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
    if repeats(node, command) and books.alone(node):
        books.put_revision(changed)
        return events.Outcome(events.APPLIED, task.message_id, node_uuid=node.uuid)
    news = command.digest != node.digest
    if news:
        changed = _with_report(changed, command)
    books.put_node(changed, task.cause, report if news else None)
    if news:
        audit.find_strains(books, changed, task.cause)
    if node.pair != changed.pair:
        audit.find_rivals(books, changed, books.account(report.pair), task.cause)
    word = events.APPLIED if changed.live else events.STALE
    return events.Outcome(word, task.message_id, node_uuid=node.uuid)


def repeats(node: records.Node, command: commands.ReportNode) -> bool:
    """Whether a report says of a node that is there what is known of it, so that only its revision counts."""
    report = command.node
    told = report.disabled == node.disabled or report.revision <= node.disabled_revision
    return node.live and told and command.digest == node.digest and report.pair == node.pair


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


def abort_claim(books: world.World, task: commands.Task, command: commands.AbortClaim) -> events.Outcome:
    """Withdraw a claim whatever has become of it: the instance is on no node, or the move is in error."""
    book = books.book(command.instance_uuid)
    if command.migration_uuid is None:
        return _abort_build(books, task, book, command.revision)
    known = facts.find_move(book, command.migration_uuid)
    base = known or records.Move(command.migration_uuid, command.revision, book.uuid, "error")
    move = msgspec.structs.replace(base, status="error", revision=command.revision)
    if book.deleted or not lifecycle.supersedes(move, known):
        return facts.answer(books, task, events.STALE, book)
    return facts.answer(books, task, events.APPLIED, books.put_book(facts.with_move(book, move), task.cause))


def _abort_build(books: world.World, task: commands.Task, book: records.Book, revision: int) -> events.Outcome:
    if book.deleted or revision <= book.revision:
        return facts.answer(books, task, events.STALE, book)
    record = book.record
    if record is not None:
        record = msgspec.structs.replace(record, revision=revision, host=None, node=None)
    aborted = msgspec.structs.replace(book, revision=revision, record=record)
    return facts.answer(books, task, events.APPLIED, books.put_book(aborted, task.cause))


def update_instance(books: world.World, task: commands.Task, command: commands.UpdateInstance) -> events.Outcome:
    """Take what the instance is now."""
    before = books.book(command.instance.uuid)
    after = facts.take(books, task, command.instance)
    return facts.answer(books, task, events.STALE if after is before else events.APPLIED, after)


def delete_instance(books: world.World, task: commands.Task, command: commands.DeleteInstance) -> events.Outcome:
    """Give everything back, on every node, for good."""
    book = books.book(command.instance_uuid)
    if book.deleted:
        return facts.answer(books, task, events.STALE, book)
    return facts.answer(
        books, task, events.APPLIED, books.put_book(facts.tombstone(book, command.revision), task.cause)
    )


def update_migration(books: world.World, task: commands.Task, command: commands.UpdateMigration) -> events.Outcome:
    """Take what the move and the instance are now, whichever is newer, together."""
    move, record = command.migration, command.instance
    book = books.book(move.instance_uuid)
    changed = book
    if not book.deleted and lifecycle.supersedes(move, facts.find_move(book, move.uuid)):
        changed = facts.with_move(changed, move)
    if record is not None and facts.newer(book, record):
        changed = facts.with_record(changed, record)
    if changed is book:
        return facts.answer(books, task, events.STALE, book)
    return facts.answer(books, task, events.APPLIED, books.put_book(changed, task.cause))


def detach_devices(books: world.World, task: commands.Task, command: commands.DetachDevices) -> events.Outcome:
    """Give the devices of these requests back, for good: one that is not attached yet never will be."""
    book = books.book(command.instance_uuid)
    gone = [id_ for id_ in dict.fromkeys(command.request_ids) if id_ not in places.detached(book)]
    if book.deleted or not gone:
        return facts.answer(books, task, events.STALE, book)
    kept = tuple(one for one in book.attachments if one.request_id not in gone)
    ended = tuple(records.Attachment(id_, command.revision) for id_ in gone)
    changed = msgspec.structs.replace(book, attachments=kept + ended)
    return facts.answer(books, task, events.APPLIED, books.put_book(changed, task.cause))


def audit_node(books: world.World, task: commands.Task, command: commands.AuditNode) -> events.Outcome:
    """Apply what the sender's snapshots know better, then recount and compare, unless a newer audit was there before."""
    node = books.node(command.node_uuid)
    late = command.taken_at <= node.audited_at
    first = len(books.happened)
    for record in command.instances or ():
        if facts.newer(books.book(record.uuid), record):
            if books.book(record.uuid).record is None and not late:
                audit.find_unknown(books, task.cause, command, record)
            facts.take(books, task, record)
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
    commands.ClaimInstance: admit.claim_instance,
    commands.AbortClaim: abort_claim,
    commands.UpdateInstance: update_instance,
    commands.DeleteInstance: delete_instance,
    commands.ClaimMigration: admit.claim_migration,
    commands.UpdateMigration: update_migration,
    commands.AttachDevices: admit.attach_devices,
    commands.DetachDevices: detach_devices,
    commands.AuditNode: audit_node,
}
