"""What a fact does to the book of an instance: which one is news, and what is kept of it."""

from __future__ import annotations

import msgspec

from worker.core import commands, events, lifecycle, records, world


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
    return msgspec.structs.replace(book, revision=revision, deleted=True, moves=(), attachments=())


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


def answer(books: world.World, task: commands.Task, word: str, book: records.Book) -> events.Outcome:
    """Return an outcome for the node on which the instance is, or was before this transaction."""
    pair = book.record.pair if book.record is not None else None
    if pair is not None:
        return events.Outcome(word, task.message_id, account=records.account_id(pair.host, pair.node))
    before = books.first_books.get(book.uuid, book).holdings
    return events.Outcome(word, task.message_id, account=before[0].account if before else None)


def take(books: world.World, task: commands.Task, record: records.Instance) -> records.Book:
    """Take what an instance is now, if that is news, and return its book."""
    book = books.book(record.uuid)
    return books.put_book(with_record(book, record), task.cause) if newer(book, record) else book
