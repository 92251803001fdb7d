"""A batch, once: the transaction script.

Inbox, then everything the commands touch (set-based), then one decision after the other against one picture of the
world, then everything that changed (set-based), ledger, outbox, inbox marks, commit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from worker import errors, interfaces, steps
from worker.core import announce, claims, commands, decide, events, lifecycle, node_tree, places, records, world


class Batch(msgspec.Struct, frozen=True, gc=False):
    """What goes into one transaction: tasks to carry out, and messages that are parked as they came."""

    tasks: Sequence[commands.Task] = ()
    parked: Sequence[interfaces.ParkedMessage] = ()


def handle(
    batch: Batch, unit_of_work: interfaces.UnitOfWork, now: int, policy: claims.Policy
) -> tuple[events.Outcome | interfaces.Mark, ...]:
    """Carry out a batch in one transaction and return, for each task, its outcome, or the mark of one known before.

    Raises Conflict (repeat the batch), DatabaseUnavailable (repeat it later) or whatever a command that cannot be
    carried out raises; then nothing of the batch has happened.
    """
    if all(isinstance(task.command, commands.ReportNode) for task in batch.tasks):
        try:
            return _carry_out(batch, unit_of_work, world.World(now, policy), load_reported)
        except _MoreIsNeeded:  # what is to be locked besides comes before what is locked by now
            pass
    return _carry_out(batch, unit_of_work, world.World(now, policy), load)


class _MoreIsNeeded(Exception):
    """Reports of nodes that are not known, or not as they are reported, or not alone, or with other providers below."""


Load = Callable[[interfaces.Books, Sequence[commands.Command], world.World], world.World]


def _carry_out(
    batch: Batch, unit_of_work: interfaces.UnitOfWork, into: world.World, load_: Load
) -> tuple[events.Outcome | interfaces.Mark, ...]:
    now = into.now
    with unit_of_work as unit:
        parked = {parking_key(message): message for message in batch.parked}
        known = unit.inbox.seen([*(task.message_id for task in batch.tasks), *parked])
        parked = {key: message for key, message in parked.items() if key not in known}
        fresh: dict[str, commands.Task] = {}
        for task in batch.tasks:  # of two messages with one id the first counts
            if task.message_id not in known:
                fresh.setdefault(task.message_id, task)
        books = load_(unit.books, [task.command for task in fresh.values()], into)
        steps.WATCH.reached(steps.LOADED)
        decided = {task.message_id: decide.decide(books, task) for task in fresh.values()}
        announced = announce.announcements(books)
        answers = {message_id: announce.answered(books, outcome) for message_id, outcome in decided.items()}
        steps.WATCH.reached(steps.DECIDED)
        unit.books.save(books)
        unit.ledger.add(books.entries, now)
        unit.outbox.add((*announced, *map(_parked_event, parked.values())), now)
        unit.parked.add(tuple(parked.values()))
        marks = [_mark(task, answers[task.message_id]) for task in fresh.values()]
        unit.inbox.add([*marks, *(interfaces.Mark(key, "", events.PARKED) for key in parked)], now)
        steps.WATCH.reached(steps.SAVED)
        unit.commit()
        steps.WATCH.reached(steps.COMMITTED)
    return tuple(_answers(batch.tasks, answers, known))


def _answers(
    tasks: Sequence[commands.Task],
    answers: dict[str, events.Outcome],
    known: Mapping[str, interfaces.Mark],
) -> Iterable[events.Outcome | interfaces.Mark]:
    """Yield one answer a task; a second task of the same id in one batch is a duplicate as well."""
    given: set[str] = set()
    for task in tasks:
        mark = known.get(task.message_id)
        if mark is None and task.message_id not in given:
            given.add(task.message_id)
            yield answers[task.message_id]
        else:
            yield mark or _mark(task, answers[task.message_id])


def parking_key(message: interfaces.ParkedMessage) -> str:
    """Return what identifies a parked message, so that a redelivery of it is not parked again.

    Not its own id: what cannot be read may carry any id, and must not stand in the way of the message that has it. The
    space keeps it apart from every id. Of the headers only those count that say how the body is to be read: the broker
    adds its own at a redelivery.
    """
    form = [message.headers.get(name) for name in ("compression", "content_type", "content_encoding", "withheld")]
    content = message.body + json.dumps(form, default=str).encode()
    return "parked " + hashlib.blake2b(content, digest_size=24).hexdigest()


def _parked_event(message: interfaces.ParkedMessage) -> events.Parked:
    return events.Parked(
        message_id=message.message_id,
        method=message.method,
        reason=message.reason,
        field=message.field,
        attempts=message.attempts,
        queue=message.queue,
        host=message.host,
        causes=() if message.cause is None else (message.cause,),
    )


def _mark(task: commands.Task, outcome: events.Outcome) -> interfaces.Mark:
    reply = json.dumps(wire_form(outcome)) if task.wants_reply else None
    return interfaces.Mark(task.message_id, task.cause.method, outcome.outcome, reply)


def wire_form(outcome: events.Outcome) -> dict[str, object]:
    """Return the outcome as a caller receives it (contract, section 4)."""
    return {
        "outcome": outcome.outcome,
        "message_id": outcome.message_id,
        "node_uuid": outcome.node_uuid,
        "sequence": outcome.sequence,
        "reason": outcome.reason,
        "detail": dict(outcome.detail),
    }


def load_reported(books: interfaces.Books, orders: Sequence[commands.Command], into: world.World) -> world.World:
    """Lock what reports are about and read their nodes, once, and accounts and hardware only for those with news.

    Raises _MoreIsNeeded unless each node is known under the names that it reports, alone: most are, most of the time.
    """
    reports = [order for order in orders if isinstance(order, commands.ReportNode)]
    accounts = {account_of(order.node.pair) for order in reports}
    books.hold(accounts)
    into.add(nodes=books.nodes((), accounts) if accounts else ())
    news = []
    for order in reports:
        known = into.node(order.node.uuid)
        if known.pair != order.node.pair or not into.alone(known) or _grows(order, into):
            raise _MoreIsNeeded
        if not decide.repeats(into, known, order):
            news.append(order)
    if news:
        load_pairs(books, frozenset(order.node.pair for order in news), into)
        _load_places(books, news, [commands.touches(order) for order in news], into)
    return into


def load(books: interfaces.Books, orders: Sequence[commands.Command], into: world.World) -> world.World:
    """Read everything that these commands can touch into the world: instances, then accounts, then their nodes."""
    touched = [commands.touches(order) for order in orders]
    uuids = frozenset[str]().union(*(touch.instances for touch in touched))
    pairs = frozenset[records.Pair]().union(*(touch.pairs for touch in touched))
    node_uuids = frozenset[str]().union(*(touch.nodes for touch in touched))
    reported = {account_of(order.node.pair) for order in orders if isinstance(order, commands.ReportNode)}
    # A first look, without a lock: which accounts are to be locked. The nodes are read again once they are.
    glimpse = world.World(into.now, into.policy)
    glimpse.add(nodes=books.nodes(node_uuids, reported) if node_uuids else ())
    pairs |= {node.pair for node in glimpse.nodes.values() if node.pair is not None}
    crowded = _crowded(orders, glimpse)
    if crowded:
        uuids |= frozenset(books.residents(crowded))
    into.add(books=books.instances(uuids) if uuids else ())
    load_pairs(books, pairs, into, node_uuids)
    into.add(nodes=glimpse.nodes.values())
    _load_places(books, orders, touched, into)
    if any(node.pair is not None and account_of(node.pair) not in into.accounts for node in into.nodes.values()):
        raise errors.Conflict("a node was reported under another name meanwhile")
    if not _crowded(orders, into) <= crowded:
        raise errors.Conflict("a node of which everything is needed was reported meanwhile")
    if crowded and not frozenset(books.residents(crowded)) <= into.books.keys():
        raise errors.Conflict("another instance came to a node of which everything is needed")
    return into


def _load_places(
    books: interfaces.Books, orders: Sequence[commands.Command], touched: Sequence[commands.Touch], into: world.World
) -> None:
    """Read what is given out one by one, and to whom, of the accounts on which it may change or is looked at.

    They are locked by now. Most batches have none.
    """
    asking = {uuid for uuid, book in into.books.items() if places.concerns(book)}
    for order, touch in zip(orders, touched, strict=True):
        if commands.asks_for_a_place(order):
            asking |= touch.instances
    into.asking = asking
    pairs = {pair for touch in touched if touch.instances & asking for pair in touch.pairs}
    pairs |= {pair for uuid in asking if uuid in into.books for pair in pairs_of(into.books[uuid])}
    accounts = {account_of(pair) for pair in pairs} | _inspected(orders, into)
    accounts |= {holding.account for uuid in asking if uuid in into.books for holding in into.books[uuid].holdings}
    if accounts:
        nodes = {node.uuid for account in accounts for node in into.nodes_of(account)}
        into.add_places(books.hardware_of(nodes) if nodes else {}, books.places_on(accounts))


def _inspected(orders: Sequence[commands.Command], into: world.World) -> set[str]:
    """Return the accounts whose cells and devices are compared with what is held: audited ones, and those with news."""
    found = set()
    for order in orders:
        if isinstance(order, commands.AuditNode):
            pair = into.node(order.node_uuid).pair
        elif isinstance(order, commands.ReportNode) and into.digest(order) != into.node(order.node.uuid).digest:
            pair = order.node.pair
        else:
            continue
        if pair is not None:
            found.add(account_of(pair))
    return found


def load_pairs(
    books: interfaces.Books,
    pairs: frozenset[records.Pair],
    into: world.World,
    node_uuids: frozenset[str] = frozenset(),
) -> None:
    """Read the accounts of these pairs and of all books in the world, locked, then the nodes of these and by uuid.

    Where a node has providers below its root, who has what is read as well: their figures are sums of that.
    """
    pairs |= {pair for book in into.books.values() for pair in pairs_of(book)}
    held = {holding.account for book in into.books.values() for holding in book.holdings}
    named = {account_of(pair) for pair in pairs}
    if pairs or held:
        into.add(accounts=books.accounts(pairs, held - named))
        into.add(nodes=books.nodes(node_uuids, into.accounts.keys()))
    trees = {account for account in into.accounts if any(map(_branches, into.nodes_of(account)))}
    if trees:
        into.add_places({}, books.places_on(trees))


def _branches(node: records.Node) -> bool:
    return node.capacity is not None and bool(node.capacity.children)


def pairs_of(book: records.Book) -> set[records.Pair]:
    """Return the pairs on which an instance may come to hold something without being named in a command."""
    pairs = {move.source for move in book.moves if move.status in lifecycle.IN_PROGRESS}
    pairs |= {move.dest for move in book.moves if move.status in lifecycle.IN_PROGRESS}
    pairs |= {book.record.pair if book.record is not None else None}
    return {pair for pair in pairs if pair is not None}


def _crowded(orders: Sequence[commands.Command], into: world.World) -> set[str]:
    """Return the accounts of which everything held is needed: audited ones, and those whose speaker may change."""
    pairs: set[records.Pair | None] = set()
    for order in orders:
        if isinstance(order, commands.AuditNode):
            pairs.add(into.node(order.node_uuid).pair)
        elif isinstance(order, commands.ReportNode):
            known, pair = into.node(order.node.uuid), order.node.pair
            if known.pair != pair or len(into.nodes_of(account_of(pair))) > 1 or _grows(order, into):
                pairs |= {known.pair, pair}
        elif isinstance(order, commands.RemoveNode):
            pairs.add(into.node(order.node_uuid).pair)
    return {account_of(pair) for pair in pairs if pair is not None}


def _grows(order: commands.ReportNode, into: world.World) -> bool:
    """Whether a report may change what is below the node's root, and so where what is held there belongs."""
    known = into.node(order.node.uuid)
    return into.digest(order) != known.digest and (
        _branches(known) or node_tree.branches(into.policy.trees, order.node)
    )


def account_of(pair: records.Pair) -> str:
    """Return the id of a pair's account."""
    return records.account_id(pair.host, pair.node)
