"""A batch never ends within a transaction that moved the consumers of one instance."""

from __future__ import annotations

import json
from typing import Any

import hypothesis
from hypothesis import strategies

from tests.fakes import bus
from worker import interfaces, listening
from worker.placement import batches

NODE = "resource_provider.update"


def _read(delivery: interfaces.Delivery) -> listening.Notification | None:
    kind, *said = json.loads(delivery.body)
    if kind == "nonsense":
        return None
    if kind != listening.ALLOCATION:
        return listening.Notification("m", kind, {"node_uuid": "n", "sequence": 1})
    payload = {"instance_uuid": said[0], "consumer_generation": said[1], "consumer_uuid": said[2]}
    return listening.Notification("m", kind, payload)


def _taken(*told: tuple[Any, ...], size: int, again: int = 0) -> list[list[list[Any]]]:
    """Return the batches in which notifications come; the first ``again`` of them are redelivered."""
    broker = bus.Broker()
    for place, one in enumerate(told):
        broker.send(json.dumps(one).encode(), redelivered=place < again)
    consumer = bus.Consumer(broker, size)
    consumer.open()
    taking = batches.Batches(consumer, _read)
    found = []
    while taken := taking.next():
        consumer.settle([one.delivery for one in taken])
        found.append([json.loads(one.delivery.body) for one in taken])
    return found


def _held(instance: str, generation: int, consumer: str) -> tuple[Any, ...]:
    return (listening.ALLOCATION, instance, generation, consumer)


def test_the_consumers_of_one_instance_are_not_cut_apart() -> None:
    found = _taken((NODE,), _held("i", 1, "i"), _held("i", 1, "move"), (NODE,), size=2)

    assert found == [[[NODE]], [[*_held("i", 1, "i")], [*_held("i", 1, "move")], [NODE]]]


def test_nor_are_they_when_a_batch_is_as_small_as_can_be() -> None:
    found = _taken(_held("i", 1, "i"), _held("i", 1, "move"), _held("i", 2, "i"), size=1)

    assert [[one[3] for one in batch] for batch in found] == [["i", "move"], ["i"]]


def test_a_warning_in_between_and_what_cannot_be_read_part_nobody() -> None:
    found = _taken((NODE,), _held("i", 1, "i"), ("claim.refuse",), ("nonsense",), _held("i", 1, "move"), size=4)

    assert [len(batch) for batch in found] == [1, 4]


def test_what_comes_again_is_one_batch() -> None:
    told = [_held(f"i{number}", 1, f"i{number}") for number in range(5)]

    found = _taken(*told, (NODE,), (NODE,), size=2, again=5)

    assert [len(batch) for batch in found] == [7]


def test_it_may_come_again_after_a_while_of_nothing() -> None:
    broker = bus.Broker()
    consumer = bus.Consumer(broker, 1)
    consumer.open()
    taking = batches.Batches(consumer, _read)

    nothing = taking.next()
    for _ in range(3):
        broker.send(json.dumps([NODE]).encode(), redelivered=True)

    assert nothing == []
    assert len(taking.next()) == 3


STREAMS = strategies.lists(
    strategies.tuples(strategies.integers(0, 2), strategies.integers(1, 3), strategies.booleans()), max_size=12
)


@hypothesis.given(STREAMS, strategies.integers(1, 5), strategies.integers(0, 20))
def test_every_notification_comes_once_in_order_and_no_transaction_is_parted(
    transactions: list[tuple[int, int, bool]], size: int, again: int
) -> None:
    told: list[tuple[Any, ...]] = []
    for number, (instance, consumers, provider) in enumerate(transactions):
        told += [(NODE,)] * provider + [_held(f"i{instance}", number, f"c{one}") for one in range(consumers)]

    found = _taken(*told, size=size, again=again)

    flat = [tuple(one) for batch in found for one in batch]
    homes: dict[Any, set[int]] = {}
    for place, batch in enumerate(found):
        for one in batch:
            homes.setdefault(tuple(one[1:3]), set()).add(place)
    assert flat == told
    assert all(len(places) == 1 for transaction, places in homes.items() if transaction)
