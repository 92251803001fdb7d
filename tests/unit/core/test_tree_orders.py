"""Facts in any order, any number of times, and in any batches end on the same providers."""

from __future__ import annotations

from typing import Any

import hypothesis
from hypothesis import strategies as st

from tests import builders
from tests.unit.core import histories, test_trees_model, tree_cases
from worker.core import commands, records

INSTANCES = [builders.uid(number) for number in (1, 2, 3)]
STATUSES = ("accepted", "migrating", "finished", "confirmed", "error")


@st.composite
def facts(draw: st.DrawFn) -> list[commands.Command]:
    """Return reports and removals of two nodes, instances in a few revisions, and moves of them."""
    found: list[commands.Command] = []
    for host in ("h1", "h2"):
        for revision in draw(st.lists(st.integers(1, 6), max_size=3, unique=True)):
            chosen = draw(test_trees_model.trees())
            children = tree_cases.of_host(host, *chosen) if chosen else ()
            root = draw(st.sampled_from(({}, {}, {"VGPU": records.Inventory(2)})))
            node = tree_cases.a_node(host, revision, providers=children, inventories=root)
            found.append(builders.a_report(node))
        if draw(st.booleans()):
            found.append(commands.RemoveNode(tree_cases.a_node(host).uuid, draw(st.integers(0, 7))))
    for number, uuid in enumerate(INSTANCES):
        versions = [
            builders.an_instance(
                uuid, revision, host=draw(st.sampled_from(("h1", "h2"))),
                flavor=draw(st.sampled_from(test_trees_model.FLAVORS)), resources=draw(test_trees_model.RESOURCES),
            )
            for revision in draw(st.lists(st.integers(1, 6), max_size=3, unique=True))
        ]  # fmt: skip
        found += map(commands.UpdateInstance, versions)
        flavor = draw(st.sampled_from(test_trees_model.FLAVORS))
        for revision in draw(st.lists(st.integers(1, 6), max_size=2, unique=True)) if versions else ():
            move = builders.a_move(
                builders.uid(900 + number), revision, instance_uuid=uuid, status=draw(st.sampled_from(STATUSES)),
                new_flavor=flavor,
            )  # fmt: skip
            found.append(commands.UpdateMigration(move, draw(st.sampled_from((*versions, None)))))
    return found


def picture(worker: builders.Worker) -> dict[str, Any]:
    """Return who holds what where, and what is used of each provider."""
    held = {uuid: tree_cases.shares(worker, uuid) for uuid in worker.store.books}
    seen = {host: tree_cases.views(worker, host) for host in ("h1", "h2")}
    return {"held": {uuid: one for uuid, one in held.items() if one}, "providers": seen}


@hypothesis.settings(max_examples=100, suppress_health_check=[hypothesis.HealthCheck.too_slow])
@hypothesis.given(data=st.data())
def test_facts_in_any_order_end_on_the_same_providers(data: st.DataObject) -> None:
    told = data.draw(facts())
    found = []

    for _ in range(2):
        worker = builders.Worker(trees=test_trees_model.RULES[1])
        again = data.draw(st.lists(st.sampled_from(told), max_size=3)) if told else []
        for batch in data.draw(histories.split(data.draw(st.permutations([*told, *again])))):
            if batch:
                worker.tell(*batch)
                tree_cases.check_trees(worker.store)
        found.append(picture(worker))

    assert found[0] == found[1]
