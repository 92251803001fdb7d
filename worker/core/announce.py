"""What a finished batch has to tell: one event per changed provider, and one per consumer whose holdings changed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import msgspec

from worker.core import commands, events, holdings, providers, records, resources, world


def announcements(books: world.World) -> tuple[events.Event, ...]:
    """Return everything to be announced of this transaction, providers first; raises the sequences of their nodes."""
    changed = tuple(_provider_changes(books))
    return (*changed, *books.happened, *_allocation_changes(books))


def answered(books: world.World, outcome: events.Outcome) -> events.Outcome:
    """Return the outcome with its node and the node's sequence as they are after the batch."""
    node_uuid = outcome.node_uuid
    if node_uuid is None and outcome.account is not None:
        node_uuid = books.provider_uuid(outcome.account)
    node = books.nodes.get(node_uuid or "")
    return msgspec.structs.replace(outcome, node_uuid=node_uuid, sequence=node.sequence if node is not None else None)


def standing(books: world.World, accounts: Collection[str]) -> tuple[events.AllocationChanged, ...]:
    """Return what every consumer holds that holds something on one of these accounts, as if it had just changed."""
    return tuple(
        _allocation(books, book, consumer, held)
        for book in sorted(books.books.values(), key=lambda book: book.uuid)
        for consumer, held in holdings.of_consumers(book.holdings).items()
        if any(holding.account in accounts for holding in held)
    )


def consumers_of(books: world.World, uuid: str) -> tuple[events.AllocationChanged, ...]:
    """Return what the consumers of one instance hold, the instance's own and those of its moves, perhaps nothing."""
    book = books.books[uuid]
    held = holdings.of_consumers(book.holdings)
    return tuple(
        _allocation(books, book, consumer, held.get(consumer, ()))
        for consumer in dict.fromkeys([uuid, *(move.uuid for move in book.moves), *held])
    )


def _touched_accounts(books: world.World) -> Iterator[str]:
    accounts = books.shared | dict.fromkeys(books.first_accounts)
    for uuid, first in books.first_nodes.items():
        if uuid in books.unseen:
            continue
        for node in (first, books.nodes[uuid]):
            if node.pair is not None:
                accounts[records.account_id(node.pair.host, node.pair.node)] = None
    return iter(accounts)


class _Change(msgspec.Struct, frozen=True, gc=False):
    """What has become of one provider of a node."""

    word: str
    node: records.Node
    host: str
    view: providers.View
    delta: resources.Amounts
    causes: tuple[commands.Cause, ...]


def _provider_changes(books: world.World) -> Iterator[events.ProviderChanged]:
    """Yield one event for each provider that changed: what is gone first, children before parents, then parents first."""
    speakers = {
        node.uuid
        for account in _touched_accounts(books)
        for node in (books.first_speaker(account), books.speaker(account))
        if node is not None
    }
    changes = [
        change
        for uuid in sorted(speakers)
        for change in _changes_of(books, books.first_nodes.get(uuid, books.nodes[uuid]), books.nodes[uuid])
    ]
    gone = [change for change in reversed(changes) if change.word == events.DELETE]
    for change in (*gone, *(change for change in changes if change.word != events.DELETE)):
        yield events.ProviderChanged(
            change=change.word,
            node=books.next_sequence(change.node.uuid),
            generation=change.node.generation + 1,
            host=change.host,
            view=change.view,
            delta=change.delta,
            causes=change.causes,
        )


def _changes_of(books: world.World, old: records.Node, new: records.Node) -> Iterator[_Change]:
    """Yield the changes of a node's providers, parents first; a node that is renamed keeps its providers."""
    before, after = _first_views(books, old), _views(books, new)
    if before == after:
        return
    pair = new.pair if after else old.pair
    whole = tuple(dict.fromkeys(cause for node in (old, new) for cause in books.causes(_account_of(node))))
    for uuid in dict.fromkeys([*before, *after]):
        was, is_ = before.get(uuid), after.get(uuid)
        if was != is_:
            word = events.UPDATE if was and is_ else events.CREATE if is_ else events.DELETE
            used = [one.used if one is not None else resources.NOTHING for one in (was, is_)]
            host = pair.host if pair is not None else ""
            seen = is_ or msgspec.structs.replace(before[uuid], inventories={}, used={}, settled={})
            causes = books.causes(uuid) if uuid != new.uuid else ()
            yield _Change(word, new, host, seen, resources.subtract(used[1], used[0]), causes or whole)


def _account_of(node: records.Node) -> str:
    return records.account_id(node.pair.host, node.pair.node) if node.pair is not None else ""


def _first_views(books: world.World, node: records.Node) -> dict[str, providers.View]:
    account = _account_of(node)
    if books.first_speaker(account) != node:
        return {}
    figures = books.first_accounts.get(account) or books.accounts.get(account)
    return {view.uuid: view for view in providers.views(node, figures, books.places_on(account, first=True))}


def _views(books: world.World, node: records.Node) -> dict[str, providers.View]:
    account = _account_of(node)
    if books.speaker(account) != node:
        return {}
    found = providers.views(node, books.accounts.get(account), books.places_on(account))
    return {view.uuid: view for view in found}


def _allocation_changes(books: world.World) -> Iterator[events.AllocationChanged]:
    moved = _accounts_with_another_provider(books)
    uuids = dict.fromkeys(
        uuid for uuid, first in books.first_books.items() if first.holdings != books.books[uuid].holdings
    )
    for account in moved:
        for book in books.residents(account):
            uuids[book.uuid] = None
            books.touch(book)  # its consumers get a new generation, for others to tell the order
    for uuid in uuids:
        yield from _consumers_of(books, uuid, moved)


def _accounts_with_another_provider(books: world.World) -> tuple[str, ...]:
    changed = []
    for account in _touched_accounts(books):
        old, new = books.first_speaker(account), books.speaker(account)
        if (old and old.uuid) != (new and new.uuid):
            changed.append(account)
    return tuple(changed)


def _consumers_of(books: world.World, uuid: str, moved: tuple[str, ...]) -> Iterator[events.AllocationChanged]:
    book = books.books[uuid]
    before = holdings.of_consumers(books.first_books.get(uuid, book).holdings)
    after = holdings.of_consumers(book.holdings)
    for consumer in dict.fromkeys([*before, *after]):
        old, new = before.get(consumer, ()), after.get(consumer, ())
        changed = old != new and holdings.by_provider(old) != holdings.by_provider(new)
        if changed or any(holding.account in moved for holding in new):
            yield _allocation(books, book, consumer, new)


def _allocation(
    books: world.World, book: records.Book, consumer: str, held: Sequence[records.Holding]
) -> events.AllocationChanged:
    record = book.record
    there = held or books.first_books.get(book.uuid, book).holdings[:1]
    return events.AllocationChanged(
        consumer_uuid=consumer,
        consumer_type="INSTANCE" if consumer == book.uuid else "MIGRATION",
        instance_uuid=book.uuid,
        project_id=record.project_id if record is not None else None,
        user_id=record.user_id if record is not None else None,
        consumer_generation=book.generation + (book.uuid in books.first_books),
        allocations=holdings.by_provider(held, books.provider_uuid),
        host=books.accounts[there[0].account].pair.host if there else "",
        causes=_causes(books, book.uuid, held),
    )


def _causes(books: world.World, uuid: str, held: Sequence[records.Holding]) -> tuple[commands.Cause, ...]:
    own = books.causes(uuid)
    return own or tuple(dict.fromkeys(cause for holding in held for cause in books.causes(holding.account)))
