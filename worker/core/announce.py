"""What a finished batch has to tell: one event per changed provider, and one per consumer whose holdings changed."""

from __future__ import annotations

from collections.abc import Collection, Iterator

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
        for consumer, held in holdings.by_consumer(book.holdings).items()
        if not held.keys().isdisjoint(accounts)
    )


def consumers_of(books: world.World, uuid: str) -> tuple[events.AllocationChanged, ...]:
    """Return what the consumers of one instance hold, the instance's own and those of its moves, perhaps nothing."""
    book = books.books[uuid]
    held = holdings.by_consumer(book.holdings)
    return tuple(
        _allocation(books, book, consumer, held.get(consumer, {}))
        for consumer in dict.fromkeys([uuid, *(move.uuid for move in book.moves), *held])
    )


def _touched_accounts(books: world.World) -> Iterator[str]:
    accounts = dict.fromkeys(books.first_accounts)
    for uuid, first in books.first_nodes.items():
        if uuid in books.unseen:
            continue
        for node in (first, books.nodes[uuid]):
            if node.pair is not None:
                accounts[records.account_id(node.pair.host, node.pair.node)] = None
    return iter(accounts)


def _provider_changes(books: world.World) -> Iterator[events.ProviderChanged]:
    """Yield one event for each provider that changed: a node that is renamed keeps its provider."""
    speakers = {
        node.uuid
        for account in _touched_accounts(books)
        for node in (books.first_speaker(account), books.speaker(account))
        if node is not None
    }
    for uuid in sorted(speakers):
        yield from _one_change(books, books.first_nodes.get(uuid, books.nodes[uuid]), books.nodes[uuid])


def _one_change(books: world.World, old: records.Node, new: records.Node) -> Iterator[events.ProviderChanged]:
    before, after = _first_view(books, old), _view(books, new)
    seen = after or _emptied(before)
    if before == after or seen is None:
        return
    pair = new.pair if after is not None else old.pair
    used_before = before.used if before is not None else resources.NOTHING
    used_after = after.used if after is not None else resources.NOTHING
    causes = (cause for node in (old, new) for cause in books.causes(_account_of(node)))
    yield events.ProviderChanged(
        change=events.UPDATE if before and after else events.CREATE if after else events.DELETE,
        node=books.next_sequence(new.uuid),
        generation=new.generation + 1,
        host=pair.host if pair is not None else "",
        view=seen,
        delta=resources.subtract(used_after, used_before),
        causes=tuple(dict.fromkeys(causes)),
    )


def _account_of(node: records.Node) -> str:
    return records.account_id(node.pair.host, node.pair.node) if node.pair is not None else ""


def _first_view(books: world.World, node: records.Node) -> providers.View | None:
    account = _account_of(node)
    figures = books.first_accounts.get(account) or books.accounts.get(account)
    return providers.view(node, figures) if books.first_speaker(account) == node else None


def _view(books: world.World, node: records.Node) -> providers.View | None:
    account = _account_of(node)
    return providers.view(node, books.accounts.get(account)) if books.speaker(account) == node else None


def _emptied(view: providers.View | None) -> providers.View | None:
    """Return what is left to say of a provider that is gone: its name."""
    return None if view is None else msgspec.structs.replace(view, inventories={}, used={}, settled={})


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
    before = holdings.by_consumer(books.first_books.get(uuid, book).holdings)
    after = holdings.by_consumer(book.holdings)
    for consumer in dict.fromkeys([*before, *after]):
        old, new = before.get(consumer, {}), after.get(consumer, {})
        if old != new or any(account in moved for account in new):
            yield _allocation(books, book, consumer, new)


def _allocation(
    books: world.World, book: records.Book, consumer: str, held: dict[str, resources.Amounts]
) -> events.AllocationChanged:
    record = book.record
    accounts = [books.accounts[account] for account in held] or [
        books.accounts[holding.account] for holding in books.first_books.get(book.uuid, book).holdings[:1]
    ]
    return events.AllocationChanged(
        consumer_uuid=consumer,
        consumer_type="INSTANCE" if consumer == book.uuid else "MIGRATION",
        instance_uuid=book.uuid,
        project_id=record.project_id if record is not None else None,
        user_id=record.user_id if record is not None else None,
        consumer_generation=book.generation + (book.uuid in books.first_books),
        allocations={books.provider_uuid(account): amounts for account, amounts in held.items()},
        host=accounts[0].pair.host if accounts else "",
        causes=_causes(books, book.uuid, held),
    )


def _causes(books: world.World, uuid: str, held: dict[str, resources.Amounts]) -> tuple[commands.Cause, ...]:
    own = books.causes(uuid)
    return own or tuple(dict.fromkeys(cause for account in held for cause in books.causes(account)))
