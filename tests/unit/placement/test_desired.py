"""From payloads to what Placement is to have."""

from __future__ import annotations

import itertools
from typing import Any

import hypothesis
from hypothesis import strategies

from tests import builders
from worker import listening
from worker.placement import desired, sync

ONE: dict[str, Any] = {
    "total": 8, "reserved": 0, "min_unit": 1, "max_unit": 8, "step_size": 1, "allocation_ratio": 4.0,
}  # fmt: skip


def _provider(number: int, sequence: int, change: str = "update", **changes: Any) -> listening.Notification:
    payload = {
        "uuid": builders.uid(number), "name": f"h{number}", "parent_provider_uuid": None,
        "root_provider_uuid": builders.uid(1), "node_uuid": builders.uid(1), "sequence": sequence,
        "inventories": {"VCPU": ONE}, "usages": {}, "traits": ["B", "A"],
    }  # fmt: skip
    return listening.Notification(f"{number} {sequence}", f"resource_provider.{change}", payload | changes)


def _allocation(number: int, generation: int, instance: int = 0, **held: dict[str, int]) -> listening.Notification:
    payload = {
        "consumer_uuid": builders.uid(number), "consumer_type": "INSTANCE", "project_id": "p", "user_id": None,
        "instance_uuid": builders.uid(instance or number), "consumer_generation": generation, "allocations": held,
    }  # fmt: skip
    return listening.Notification(f"a{number} {generation}", "allocation.update", payload)


def test_the_newest_word_on_each_counts_in_whatever_order_it_comes() -> None:
    told = [
        _provider(1, 1, "create"), _provider(1, 3, name="new"), _provider(1, 2, "delete"),
        _allocation(5, 1, P={"VCPU": 1}), _allocation(5, 2, P={"VCPU": 2}),
    ]  # fmt: skip

    results = [desired.coalesced(order) for order in itertools.permutations(told)]

    assert all(one == results[0] for one in results)
    assert results[0].providers[builders.uid(1)].name == "new"
    assert results[0].consumers[builders.uid(5)].allocations == {"P": {"VCPU": 2}}


def test_other_notifications_ask_for_nothing() -> None:
    wanted = desired.coalesced([listening.Notification("c", "claim.refuse", {})])

    assert not wanted


def test_after_a_snapshot_was_heard_of_a_provider_it_is_looked_at() -> None:
    wanted = desired.coalesced([_provider(1, 3, "exists"), _provider(1, 4)])

    (found,) = wanted.providers.values()
    assert (found.sequence, found.doubtful, found.gone) == (4, True, False)


def test_an_inventory_of_nothing_is_left_out_and_no_more_reserved_than_there_is() -> None:
    found = desired.inventories({"A": ONE | {"total": 0}, "B": ONE | {"reserved": 9}}, {})

    assert found == {"B": ONE | {"reserved": 8}}


def test_what_is_held_of_nothing_stays_with_nothing_free() -> None:
    found = desired.inventories({"VCPU": ONE}, {"VCPU": {"used": 3}, "DISK_GB": {"used": 5}, "PCPU": {"used": 0}})

    held = {
        "total": 5, "reserved": 5, "min_unit": 1, "max_unit": 5, "step_size": 1, "allocation_ratio": 1.0,
    }  # fmt: skip
    assert found == {"VCPU": ONE, "DISK_GB": held}


def test_parents_come_before_their_children_and_a_circle_ends() -> None:
    chain = [
        _provider(3, 1, parent_provider_uuid=builders.uid(2)),
        _provider(2, 1, parent_provider_uuid=builders.uid(1)),
    ]
    circle = [
        _provider(8, 1, parent_provider_uuid=builders.uid(9)),
        _provider(9, 1, parent_provider_uuid=builders.uid(8)),
    ]

    found = desired.top_down(desired.coalesced([*chain, _provider(1, 1), *circle]).providers.values())

    names = [one.name for one in found]
    assert names.index("h1") < names.index("h2") < names.index("h3")
    assert set(names) == {"h1", "h2", "h3", "h8", "h9"}


def test_consumers_of_one_instance_stay_together_and_what_is_given_back_comes_first() -> None:
    told = [_allocation(5, 1, P={"VCPU": 1}), _allocation(6, 1), _allocation(7, 2, 5), _allocation(8, 1, P={"VCPU": 0})]

    found = desired.groups(desired.coalesced(told).consumers.values())

    assert [[one.uuid for one in group] for group in found] == [
        [builders.uid(6)], [builders.uid(8)], [builders.uid(5), builders.uid(7)],
    ]  # fmt: skip
    assert desired.providers_of(found[2]) == {"P"}


def test_what_waits_can_be_written_down_and_read_again() -> None:
    wanted = desired.coalesced([_provider(1, 1, "delete"), _allocation(5, 1, P={"VCPU": 1})])

    assert sync.read(sync.written(wanted)) == wanted


CHANGES = strategies.lists(
    strategies.tuples(strategies.integers(1, 3), strategies.integers(1, 9), strategies.booleans()), max_size=20
)


@hypothesis.given(CHANGES, CHANGES)
def test_two_batches_joined_ask_for_the_same_as_both_at_once(first: Any, second: Any) -> None:
    def told(changes: Any) -> list[listening.Notification]:
        providers = [_provider(number, sequence, name=f"s{sequence}") for number, sequence, one in changes if one]
        return providers + [
            _allocation(number, sequence, P={"VCPU": sequence}) for number, sequence, one in changes if not one
        ]

    joined = desired.joined(desired.coalesced(told(first)), desired.coalesced(told(second)))

    assert joined == desired.coalesced([*told(first), *told(second)])
