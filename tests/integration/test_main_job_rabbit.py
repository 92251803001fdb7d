"""The main job over RabbitMQ and PostgreSQL, and several workers on one queue."""

from __future__ import annotations

import concurrent.futures
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests import bus_sides, main_job, model, plain, stands
from worker import interfaces, wiring

pytestmark = [pytest.mark.rabbitmq, pytest.mark.postgresql]

NODES, INSTANCES = 6, 60
FACTS = 2000
STATUSES = ("migrating", "finished", "running", "confirmed", "error", "done")


@pytest.fixture
def stand() -> Iterator[stands.Stand]:
    with stands.real() as made:
        yield made


class TestMainJob(main_job.MainJob):
    pass


def test_three_workers_on_one_queue_come_to_the_accounts_of_the_plain_model(stand: stands.Stand) -> None:
    facts = _history(random.Random(7))
    bodies = [stands.body(method, arguments) for method, arguments in facts]
    sent = _with_duplicates(bodies, random.Random(8))
    others = [wiring.Running(stand.conf), wiring.Running(stand.conf)]

    for other in others:
        other.start()
    _send(stand, sent)
    workers = [stand.running.worker, *(other.worker for other in others)]
    bus_sides.until(lambda: _carried_out(workers) == len(sent), f"{len(sent)} facts to be carried out")
    for other in others:
        other.stop()

    reference = model.Model((method, _fields(arguments)) for method, arguments in facts)
    assert sum(worker.outcomes.get("duplicate", 0) for worker in workers) == len(sent) - len(facts)
    assert len([worker for worker in workers if worker.outcomes]) >= 2
    assert stand.parked() == []
    for number in range(1, NODES + 1):
        _compare(stand.conductor.usage(number), reference, (plain.host(number), plain.host(number)))


def test_two_workers_on_the_same_nodes_in_opposite_order_lose_no_update(stand: stands.Stand) -> None:
    engines = [wiring.batch_engine(stand.conf, stand.bind) for _ in range(2)]
    rounds, nodes = 15, list(range(1, 9))

    def work(who: int) -> set[str]:
        words = set()
        for turn in range(rounds):
            order = nodes if who == 0 else nodes[::-1]
            batch = [_placed(10_000 * (who + 1) + 100 * turn + on, on) for on in order]
            words |= {answer.word for answer in engines[who].process(batch)}
        return words

    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        words = list(threads.map(work, (0, 1)))

    assert words == [{"applied"}, {"applied"}]
    for on in nodes:
        stand.conductor.cast("report_node", node=plain.node(on))
    stand.finish()
    expected = {name: amount * 2 * rounds for name, amount in plain.SMALL.items()}
    assert [stand.conductor.used(on) for on in nodes] == [expected] * len(nodes)


def _placed(number: int, on: int) -> interfaces.Delivery:
    body = stands.body("update_instance", {"instance": plain.instance(number, on=on)})
    return interfaces.Delivery(tag=number, body=body)


def _history(chance: random.Random) -> list[model.Fact]:
    """Return facts in an order in which no sender would send them."""
    facts: list[model.Fact] = [("report_node", {"node": plain.node(number)}) for number in range(1, NODES + 1)]
    while len(facts) < FACTS:
        number = chance.randint(1, INSTANCES)
        facts.append(_fact(chance, number, revision=len(facts)))
    chance.shuffle(facts)
    return facts


def _fact(chance: random.Random, number: int, revision: int) -> model.Fact:
    kind = chance.random()
    flavor = plain.flavor(chance.choice(["small", "big"]))
    here = plain.instance(
        number, revision, chance.choice([None, *range(1, NODES + 1)]), flavor=flavor,
        vm_state=chance.choice(["active", "building", "stopped", "shelved_offloaded"]),
        task_state=chance.choice([None, "spawning", "resize_migrating"]),
        resources=chance.choice([{}, {"CUSTOM_GOLD": 3}]),
    )  # fmt: skip
    if kind < 0.01:
        return "delete_instance", {"instance_uuid": plain.uid(number), "revision": revision}
    if kind < 0.1:
        report = plain.node(chance.randint(1, NODES), revision, memory_mb=chance.choice([16384, 8192]))
        return "report_node", {"node": report}
    if kind < 0.6:
        return "update_instance", {"instance": here}
    ends = chance.sample(range(1, NODES + 1), 2)
    move = plain.migration(
        10 * number + chance.randint(0, 2), revision, chance.choice(STATUSES), instance_uuid=plain.uid(number),
        created_at=f"2026-01-02T03:04:{chance.randint(10, 59)}+00:00",
        source_compute=plain.host(ends[0]), source_node=plain.host(ends[0]),
        dest_compute=plain.host(ends[1]), dest_node=plain.host(ends[1]),
    )  # fmt: skip
    return "update_migration", {"migration": move, "instance": chance.choice([None, here])}


def _with_duplicates(bodies: list[bytes], chance: random.Random) -> list[bytes]:
    sent = bodies + chance.sample(bodies, len(bodies) // 5)
    chance.shuffle(sent)
    return sent


def _send(stand: stands.Stand, bodies: list[bytes]) -> None:
    with bus_sides.broker_session(stand.conf) as live:
        for body in bodies:
            stands.put(live, interfaces.Delivery(tag=0, body=body))
        stands.wait_until_taken(live)


def _carried_out(workers: list[Any]) -> int:
    return sum(sum(worker.outcomes.copy().values()) for worker in workers)


def _fields(value: Any) -> Any:
    """Return objects as dictionaries of their fields, at any depth."""
    if isinstance(value, dict):
        return {name: _fields(child) for name, child in value.get("stocktake_object.data", value).items()}
    return [_fields(child) for child in value] if isinstance(value, list) else value


def _compare(usage: Any, reference: model.Model, pair: model.HostNode) -> None:
    used, settled = reference.used(pair), reference.settled(pair)
    for name, amounts in usage["usages"].items():
        assert (amounts["used"], amounts["settled"]) == (used.get(name, 0), settled.get(name, 0)), (pair, name)
    assert used.keys() <= usage["usages"].keys()
    assert {name: usage[name] for name in reference.figures(pair)} == reference.figures(pair)
    counted = {name: number for name, number in usage["stats"].items() if name.startswith("num_")}
    assert {name: number for name, number in counted.items() if number} == reference.counters(pair)
