"""The recount of one node, and what it finds: nothing here decides what an instance holds."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from worker.core import (
    commands,
    events,
    holdings,
    lifecycle,
    pci,
    places,
    providers,
    records,
    resources,
    stats,
    strains,
    world,
)

UNKNOWN_INSTANCE = "unknown_instance"
MISSING_INSTANCE = "missing_instance"
DUPLICATE_REPORT = "duplicate_report"
OVERDUE_MOVE = "overdue_move"
SUPERSEDED_MOVE = "superseded_move"
REMOVED_NODE_IN_USE = "removed_node_in_use"
RECOUNT_DIFFERS = "recount_differs"
DEVICE_MISSING = "device_missing"
DEVICE_DIFFERS = "device_differs"
NUMA_STRAINED = "numa_strained"
UNPLACED_INSTANCE = "unplaced_instance"
PROVIDER_CONFLICT = "provider_conflict"
PROVIDER_STRAINED = "provider_strained"

AHEAD = 3_600_000_000
"""A sender's clock may be so far ahead, in microseconds."""


def recount(books: world.World, cause: commands.Cause, command: commands.AuditNode) -> None:
    """Recount the node and compare it with the sender's list; what is found is said in the world's events."""
    node = books.node(command.node_uuid)
    if node.pair is None:
        return
    # A sender's clock that is ahead must not keep later audits out.
    books.put_node(msgspec.structs.replace(node, audited_at=min(command.taken_at, books.now + AHEAD)), cause)
    account = books.account(node.pair)
    _find_differences(books, account, cause)
    if command.instances is not None:
        _find_missing(books, cause, command, node.pair)
    for book in books.residents(account.id):
        _find_moves(books, book, node, cause)
        _find_unplaced(books, book, account.id, cause)
    find_strains(books, node, cause)
    find_rivals(books, node, account, cause)
    find_leftovers(books, node, cause)


def _find(books: world.World, node: records.Node, cause: commands.Cause, kind: str, text: str, **about: str) -> None:
    host = node.pair.host if node.pair is not None else ""
    books.happened.append(events.Found(kind, text, host, node.uuid, causes=(cause,), **about))  # type: ignore[arg-type]


def find_unknown(
    books: world.World, cause: commands.Cause, command: commands.AuditNode, record: records.Instance
) -> None:
    """Note an instance of the sender's list that nobody has told of; it is adopted from the snapshot."""
    text = f"instance {record.uuid} was not on record; it is adopted from the audit's snapshot"
    _find(books, books.node(command.node_uuid), cause, UNKNOWN_INSTANCE, text, instance_uuid=record.uuid)


def find_rivals(books: world.World, node: records.Node, account: records.Account, cause: commands.Cause) -> None:
    """Note that several uuids report the pair of this node; the greatest (revision, uuid) speaks for it."""
    live = sorted(one.uuid for one in books.nodes_of(account.id) if one.live)
    if len(live) > 1:
        text = f"{account.pair} is reported as {', '.join(live)}; {books.provider_uuid(account.id)} speaks for it"
        _find(books, node, cause, DUPLICATE_REPORT, text)


def find_leftovers(books: world.World, node: records.Node, cause: commands.Cause) -> None:
    """Note that something is held on a node that was removed."""
    if node.pair is None or node.live:
        return
    account = books.account(node.pair)
    speaker = books.speaker(account.id)
    if account.used and speaker is not None and speaker.uuid == node.uuid:
        amounts = ", ".join(f"{name} {amount}" for name, amount in sorted(account.used.items()))
        _find(books, node, cause, REMOVED_NODE_IN_USE, f"{node.pair} was removed, but {amounts} are held there")


def find_troubles(books: world.World, node: records.Node, cause: commands.Cause, troubles: Iterable[str]) -> None:
    """Note what of a node's providers does not go together and was left out."""
    for text in troubles:
        _find(books, node, cause, PROVIDER_CONFLICT, f"{node.pair}: {text}")


def _find_crowded(books: world.World, node: records.Node, account: records.Account, cause: commands.Cause) -> None:
    """Note what is held below the root beyond what a provider there can give: facts are not asked whether they fit."""
    capacities = {child.uuid: child.inventories for child in node.capacity.children} if node.capacity else {}
    for view in providers.views(node, account, books.places_on(account.id))[1:]:
        for name, used in sorted(view.used.items()):
            inventory = capacities[view.uuid].get(name)
            capacity = inventory.capacity if inventory is not None else 0
            if used > capacity:
                text = f"{node.pair}: provider {view.name} can give {capacity} {name}, {used} are held of it"
                _find(books, node, cause, PROVIDER_STRAINED, text)


def find_strains(books: world.World, node: records.Node, cause: commands.Cause) -> None:
    """Note what is held of the node's cells and devices and is not there any more, or not as it was: nobody loses it."""
    if node.pair is None or not node.live:
        return
    account = books.account(node.pair).id
    speaker, ground = books.speaker(account), books.ground(account)
    if speaker is None or speaker.uuid != node.uuid or not ground.places:
        return
    for one in pci.differences(ground.hardware.devices, places.granted(ground.places)):
        kind = DEVICE_MISSING if one.device is None else DEVICE_DIFFERS
        text = f"{one.text}; instance {one.owner.instance_uuid} holds it"
        _find(books, node, cause, kind, text, instance_uuid=one.owner.instance_uuid)
    placed = [place.topology for place in ground.places.values() if place.topology is not None]
    for text in strains.strains(ground.hardware.cells, placed):
        _find(books, node, cause, NUMA_STRAINED, f"{node.pair}: {text}")
    _find_crowded(books, node, books.account(node.pair), cause)


def _find_unplaced(books: world.World, book: records.Book, account: str, cause: commands.Cause) -> None:
    """Give an instance what a fact could not have when it came; note what it still lacks."""
    hardware = books.ground(account).hardware
    if not places.lacking(book, account, hardware):
        return
    wanted, _ = books.draft(book)
    if wanted.holdings != book.holdings:
        books.put_book(wanted, cause, drafted=True)
    speaker = books.speaker(account)
    if speaker is not None and places.lacking(wanted, account, hardware):
        where = books.accounts[account].pair
        text = f"instance {book.uuid} has not all the CPUs, pages or devices that it asks for on {where}"
        _find(books, speaker, cause, UNPLACED_INSTANCE, text, instance_uuid=book.uuid)


def _find_differences(books: world.World, account: records.Account, cause: commands.Cause) -> None:
    """Compare the node's figures with the sum of what its residents hold; where they differ, the sum is right."""
    residents = books.residents(account.id)
    used = resources.total(holdings.amounts_on(book.holdings, account.id) for book in residents)
    settled = resources.total(holdings.settled_on(book.holdings, account.id) for book in residents)
    counters: dict[str, int] = {}
    for book in residents:
        if book.record is not None and stats.counted_on(book) == account.pair:
            counters = dict(stats.counted(counters, (), stats.keys(book.record)))
    recounted = msgspec.structs.replace(account, used=used, settled=settled, counters=counters)
    if recounted == account:
        return
    change, moved = resources.subtract(used, account.used), resources.subtract(settled, account.settled)
    text = f"{account.pair}: the figures differ from the sum of the holdings by {dict(change)}; set to the sum"
    speaker = books.speaker(account.id)
    node_uuid = speaker.uuid if speaker is not None else None
    books.put_account(recounted)
    books.enter(events.Entry("recount", account.id, node_uuid, None, change, moved, cause))
    books.happened.append(events.Found(RECOUNT_DIFFERS, text, account.pair.host, node_uuid, causes=(cause,)))


def _find_missing(books: world.World, cause: commands.Cause, command: commands.AuditNode, pair: records.Pair) -> None:
    """Note what is on record here and missing in the sender's list; an authoritative list takes it off the node."""
    listed = {record.uuid for record in command.instances or ()}
    before = command.taken_at - books.policy.audit_grace
    node = books.node(command.node_uuid)
    for book in books.residents(records.account_id(pair.host, pair.node)):
        record = book.record
        if record is None or record.pair != pair or book.uuid in listed or book.saved_at > before:
            continue
        fate = "it is taken off the node" if command.authoritative else "it stays counted"
        text = f"instance {book.uuid} is on record at {pair} but not in the audit's list; {fate}"
        _find(books, node, cause, MISSING_INSTANCE, text, instance_uuid=book.uuid)
        if command.authoritative:
            nowhere = msgspec.structs.replace(record, host=None, node=None)
            books.put_book(msgspec.structs.replace(book, record=nowhere), cause)


def _find_moves(books: world.World, book: records.Book, node: records.Node, cause: commands.Cause) -> None:
    """Note moves that take too long, and moves in progress that a newer one has put out of force."""
    move = holdings.newest_move(book)
    if (
        move is not None
        and move.status in lifecycle.IN_PROGRESS
        and books.now - move.created_at > books.policy.migration_deadline
    ):
        text = f"migration {move.uuid} of instance {book.uuid} is {move.status} for longer than the deadline"
        _find(books, node, cause, OVERDUE_MOVE, text, instance_uuid=book.uuid, migration_uuid=move.uuid)
    for old in holdings.superseded_moves(book):
        text = f"migration {old.uuid} of instance {book.uuid} is {old.status} but a newer one decides; it holds nothing"
        _find(books, node, cause, SUPERSEDED_MOVE, text, instance_uuid=book.uuid, migration_uuid=old.uuid)
