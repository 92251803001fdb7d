"""What an instance holds, where, and for which consumer: the one rule of the accounts (contract, section 3).

An instance and its moves go in, holdings come out; every figure of a node is a sum of them. Nothing else adds to or
takes from an account.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from worker.core import lifecycle, records, resources, usage

INSTANCE = "instance"
SOURCE = "source"
DESTINATION = "destination"
EVACUATION = "evacuation"


def newest_move(book: records.Book) -> records.Move | None:
    """Return the newest move that has not failed, whether it is in progress or ended."""
    return max(
        (move for move in book.moves if move.status not in lifecycle.FAILED),
        key=lambda move: (move.created_at, move.uuid),
        default=None,
    )


def deciding_move(book: records.Book) -> records.Move | None:
    """Return the move that decides what the instance holds: the newest, if it is in progress and the instance is on it."""
    newest = newest_move(book)
    if newest is None or newest.status in lifecycle.TERMINAL or book.record is None:
        return None
    here = book.record.pair
    return newest if here is not None and here in {newest.source, newest.dest} else None


def superseded_moves(book: records.Book) -> tuple[records.Move, ...]:
    """Return the moves still in progress that hold nothing because a newer one decides."""
    newest = newest_move(book)
    return tuple(move for move in book.moves if move.status in lifecycle.IN_PROGRESS and move is not newest)


def held(book: records.Book) -> tuple[records.Holding, ...]:
    """Return what the instance of this book holds now."""
    record = book.record
    pair = record.pair if record is not None else None
    if book.deleted or record is None or pair is None or lifecycle.releases(record):
        return ()
    move = deciding_move(book) if book.moves else None
    if move is not None:
        return _both_sides(record, move)
    amounts = usage.usage(record.flavor, record.volume_backed, record.numa_topology, record.resources)
    return (_holding(pair, record.uuid, INSTANCE, True, amounts),)


def _both_sides(record: records.Instance, move: records.Move) -> tuple[records.Holding, ...]:
    settled = settled_side(record, move)
    source_consumer = record.uuid if move.migration_type == EVACUATION else move.uuid
    ends = (
        (SOURCE, move.source, source_consumer, move.old_flavor, None),
        (DESTINATION, move.dest, record.uuid, move.new_flavor, move.new_numa_topology),
    )
    sides = []
    for side, pair, consumer, flavor, topology in ends:
        if pair is not None:
            amounts = usage.usage(
                flavor or record.flavor, record.volume_backed, topology or record.numa_topology, record.resources
            )
            sides.append(_holding(pair, consumer, side, settled == side, amounts))
    return tuple(sides)


def settled_side(record: records.Instance, move: records.Move) -> str:
    """Return the side of the move on which the instance's record is; on one node the flavor tells, then the source."""
    if move.source == move.dest:
        old = (move.old_flavor or record.flavor).flavorid
        return SOURCE if record.flavor.flavorid == old else DESTINATION
    return SOURCE if record.pair == move.source else DESTINATION


def one_flavor(record: records.Instance, move: records.Move) -> bool:
    """Whether the flavor of the instance is the same on both sides of the move."""
    return (move.old_flavor or record.flavor).flavorid == (move.new_flavor or record.flavor).flavorid


def _holding(
    pair: records.Pair, consumer: str, side: str, settled: bool, amounts: resources.Amounts
) -> records.Holding:
    return records.Holding(records.account_id(pair.host, pair.node), consumer, side, settled, amounts)


def amounts_on(holdings: tuple[records.Holding, ...], account: str) -> resources.Amounts:
    """Return the sum of what these holdings take from one account."""
    return resources.total(holding.amounts for holding in holdings if holding.account == account)


def settled_on(holdings: tuple[records.Holding, ...], account: str) -> resources.Amounts:
    """Return the part of what these holdings take from one account that is settled."""
    return resources.total(holding.amounts for holding in holdings if holding.account == account and holding.settled)


def on_children(holding: records.Holding, *, devices: bool = True) -> dict[str, resources.Amounts]:
    """Return what a holding has on other providers than the root; without ``devices`` only the part of its amounts."""
    found: dict[str, resources.Amounts] = {}
    for share in holding.place.shares if holding.place is not None else ():
        if devices or share.device is None:
            name, there = share.resource_class, found.get(share.provider_uuid, resources.NOTHING)
            found[share.provider_uuid] = {**there, name: there.get(name, 0) + share.amount}
    return found


def on_root(holding: records.Holding) -> resources.Amounts:
    """Return what a holding has on the root provider: its amounts less what is elsewhere."""
    if holding.place is None or not holding.place.shares:
        return holding.amounts
    return resources.subtract(holding.amounts, resources.total(on_children(holding, devices=False).values()))


def by_provider(held: Iterable[records.Holding], root: Callable[[str], str] = str) -> dict[str, resources.Amounts]:
    """Return provider uuid -> amounts; ``root`` names the root provider of an account, which is told in any case."""
    result: dict[str, resources.Amounts] = {}
    for holding in held:
        parts = {root(holding.account): on_root(holding)}
        if holding.place is not None:
            parts |= on_children(holding)
        for uuid, amounts in parts.items():
            result[uuid] = resources.add(result[uuid], amounts) if uuid in result else amounts
    return result


def of_consumers(held: Iterable[records.Holding]) -> dict[str, tuple[records.Holding, ...]]:
    """Return consumer -> its holdings."""
    result: dict[str, tuple[records.Holding, ...]] = {}
    for holding in held:
        result[holding.consumer] = (*result.get(holding.consumer, ()), holding)
    return result
