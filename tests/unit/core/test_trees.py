"""What is held below the root: claims find a child with room, facts have theirs, and every provider is told of."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from tests import builders
from tests.unit.core import place_cases, tree_cases
from worker.core import commands, events, records

OTHER = builders.uid(2)
THIRD = builders.uid(3)


def told(worker: builders.Worker) -> list[tuple[str, str]]:
    """Return the changes of providers and their names, as they were told."""
    return [(event.change, event.view.name) for event in worker.events(events.ProviderChanged)]


def test_a_report_tells_of_the_whole_tree_parents_first() -> None:
    worker = builders.Worker()

    worker.tell(builders.a_report(tree_cases.a_node()))

    assert told(worker) == [
        ("create", "h1"), ("create", "h1_gpu_a"), ("create", "h1_gpu_b"), ("create", "h1_nic"), ("create", "h1_port"),
    ]  # fmt: skip
    found = tree_cases.views(worker)
    assert found["h1_port"].parent_uuid == found["h1_nic"].uuid
    assert found["h1_nic"].parent_uuid == builders.uid(501)
    assert found["h1_gpu_a"].traits == ("CUSTOM_CHILD",)
    tree_cases.check_trees(worker.store)


def test_a_claim_takes_what_the_root_lacks_from_a_child_with_room() -> None:
    worker = tree_cases.a_worker()

    outcomes = [
        worker.tell(tree_cases.claim(builders.uid(number), flavor=tree_cases.a_flavor(VGPU=2)))
        for number in range(1, 5)
    ]

    assert [outcome.outcome for outcome in outcomes] == ["accepted", "accepted", "accepted", "refused"]
    assert outcomes[3].reason == ("VGPU: asked 2, available 0 (capacity 4, used 4) on provider h1_gpu_a")
    assert tree_cases.used(worker) == {"h1_gpu_a": {"VGPU": 4}, "h1_gpu_b": {"VGPU": 2}}
    assert outcomes[0].detail["allocations"] == {
        builders.uid(501): builders.SMALL, tree_cases.GPU_A: {"VGPU": 2},
    }  # fmt: skip
    tree_cases.check_trees(worker.store)


def test_a_class_is_not_split_between_children() -> None:
    worker = tree_cases.a_worker()

    outcome = worker.tell(tree_cases.claim(flavor=tree_cases.a_flavor(VGPU=5)))

    assert outcome.reason == "VGPU: asked 5, available 4 (capacity 4, used 0) on provider h1_gpu_a"
    assert tree_cases.used(worker) == {}


def test_what_nobody_of_the_tree_has_is_asked_of_the_root() -> None:
    worker = tree_cases.a_worker()

    outcome = worker.tell(tree_cases.claim(flavor=tree_cases.a_flavor(CUSTOM_NONE=1, VGPU=9)))

    assert outcome.reason.split("; ") == [
        "CUSTOM_NONE: asked 1, available 0 (the node has none)",
        "VGPU: asked 9, available 4 (capacity 4, used 0) on provider h1_gpu_a",
    ]


def test_classes_of_one_instance_may_be_on_several_children() -> None:
    worker = tree_cases.a_worker()

    worker.tell(tree_cases.claim(flavor=tree_cases.a_flavor(VGPU=1), resources={"CUSTOM_BANDWIDTH": 300}))

    assert tree_cases.used(worker) == {"h1_gpu_a": {"VGPU": 1}, "h1_port": {"CUSTOM_BANDWIDTH": 300}}
    tree_cases.check_trees(worker.store)


def test_one_notification_a_provider_that_changed_with_its_own_delta_and_cause() -> None:
    worker = tree_cases.a_worker()
    worker.forget_events()

    worker.handle(
        [
            builders.a_task(tree_cases.claim(), "gpu"),
            builders.a_task(commands.ClaimInstance(builders.an_instance(OTHER, flavor=builders.a_flavor())), "plain"),
        ]
    )

    root, child = worker.events(events.ProviderChanged)
    assert (root.view.name, dict(root.delta)) == ("h1", {"VCPU": 2, "MEMORY_MB": 1024, "DISK_GB": 20})
    assert (child.view.name, dict(child.delta)) == ("h1_gpu_a", {"VGPU": 1})
    assert [cause.message_id for cause in root.causes] == ["gpu", "plain"]
    assert [cause.message_id for cause in child.causes] == ["gpu"]
    assert (root.node.sequence, child.node.sequence) == (6, 7)
    (allocation,) = [one for one in worker.events(events.AllocationChanged) if one.consumer_uuid == builders.VM]
    assert allocation.allocations == {builders.uid(501): builders.SMALL, tree_cases.GPU_A: {"VGPU": 1}}


def test_a_plain_instance_changes_no_child() -> None:
    worker = tree_cases.a_worker()
    worker.forget_events()

    worker.tell(commands.ClaimInstance(builders.an_instance()))

    assert told(worker) == [("update", "h1")]
    assert worker.store.books[builders.VM].holdings[0].place is None


def test_facts_in_any_order_end_on_the_same_children() -> None:
    first, second = (
        tree_cases.a_node(revision=1),
        tree_cases.a_node(
            revision=2,
            providers=tree_cases.of_host("h1", tree_cases.GPUS[1], tree_cases.a_child(THIRD, "gpu_c", VGPU=8)),
        ),
    )
    reports = (builders.a_report(first), builders.a_report(second))
    facts: tuple[commands.Command, ...] = (*reports, tree_cases.fact(), tree_cases.fact(OTHER))
    found = []

    for order in itertools.permutations(facts):
        worker = builders.Worker()
        for one in order:
            worker.tell(one)
            tree_cases.check_trees(worker.store)
        found.append([tree_cases.shares(worker, uuid) for uuid in (builders.VM, OTHER)])

    assert all(one == found[0] for one in found)
    assert all(shares["instance"].keys() <= {tree_cases.GPU_B, THIRD} for shares in found[0])


def test_facts_of_many_instances_are_spread_over_the_children_that_can_ever_have_them() -> None:
    worker = tree_cases.a_worker()

    for number in range(1, 21):
        worker.tell(tree_cases.fact(builders.uid(number)))
    worker.tell(tree_cases.fact(builders.uid(30), flavor=tree_cases.a_flavor(VGPU=3)))

    found = tree_cases.used(worker)
    assert min(found["h1_gpu_a"]["VGPU"], found["h1_gpu_b"]["VGPU"]) >= 4
    assert tree_cases.shares(worker, builders.uid(30)) == {"instance": {tree_cases.GPU_A: {"VGPU": 3}}}


def test_more_than_a_child_can_give_is_found_at_an_audit() -> None:
    worker = tree_cases.a_worker(providers=tree_cases.of_host("h1", tree_cases.GPUS[1]))
    for number in range(1, 4):
        worker.tell(tree_cases.fact(builders.uid(number)))

    worker.tell(place_cases.audit())

    (found,) = worker.events(events.Found)
    assert (found.kind, found.text) == (
        "provider_strained", "h1/h1: provider h1_gpu_b can give 2 VGPU, 3 are held of it",
    )  # fmt: skip


def test_what_a_claim_chose_stays_while_the_class_is_held() -> None:
    worker = tree_cases.a_worker()
    fill = tree_cases.claim(OTHER, flavor=tree_cases.a_flavor(VGPU=4))
    worker.tell(fill)
    worker.tell(tree_cases.claim())
    worker.tell(commands.DeleteInstance(OTHER, 2))

    worker.tell(tree_cases.fact(revision=2, task_state="rebooting"))
    worker.tell(builders.a_report(tree_cases.a_node(revision=2, vcpus=16)))
    worker.tell(tree_cases.fact(revision=3, flavor=tree_cases.a_flavor(VGPU=2)))

    assert tree_cases.shares(worker) == {"instance": {tree_cases.GPU_B: {"VGPU": 2}}}
    tree_cases.check_trees(worker.store)


def test_a_child_that_left_stays_as_long_as_a_claim_put_something_there() -> None:
    worker = tree_cases.a_worker()
    worker.tell(tree_cases.claim())
    worker.forget_events()

    worker.tell(builders.a_report(tree_cases.a_node(revision=2, providers=tree_cases.of_host("h1", *tree_cases.NICS))))

    assert told(worker) == [("delete", "h1_gpu_b"), ("update", "h1_gpu_a")]
    left = tree_cases.views(worker)["h1_gpu_a"]
    assert (left.inventories, dict(left.used)) == ({}, {"VGPU": 1})
    assert worker.tell(tree_cases.claim(OTHER)).reason == "VGPU: asked 1, available 0 (the node has none)"

    worker.forget_events()
    worker.tell(commands.DeleteInstance(builders.VM, 2))

    assert told(worker) == [("delete", "h1_gpu_a"), ("update", "h1")]


def test_the_parent_of_a_child_that_is_held_stays_with_it() -> None:
    worker = tree_cases.a_worker()
    worker.tell(tree_cases.claim(flavor=builders.a_flavor(), resources={"CUSTOM_BANDWIDTH": 5}))

    worker.tell(builders.a_report(tree_cases.a_node(revision=2, providers=())))

    assert set(tree_cases.views(worker)) == {"h1", "h1_nic", "h1_port"}
    worker.forget_events()
    worker.tell(commands.DeleteInstance(builders.VM, 2))
    assert told(worker) == [("delete", "h1_port"), ("delete", "h1_nic"), ("update", "h1")]


def test_a_child_that_comes_back_has_what_was_held_there_all_the_time() -> None:
    worker = tree_cases.a_worker()
    worker.tell(tree_cases.claim())

    worker.tell(builders.a_report(tree_cases.a_node(revision=2, providers=())))
    worker.tell(builders.a_report(tree_cases.a_node(revision=3)))

    assert tree_cases.views(worker)["h1_gpu_a"].inventories == {"VGPU": records.Inventory(4, max_unit=4)}
    assert tree_cases.used(worker) == {"h1_gpu_a": {"VGPU": 1}}


def test_facts_on_a_child_that_left_go_to_another_or_to_the_root() -> None:
    worker = tree_cases.a_worker()
    worker.tell(tree_cases.fact())

    worker.tell(
        builders.a_report(tree_cases.a_node(revision=2, providers=tree_cases.of_host("h1", tree_cases.GPUS[1])))
    )
    on_b = tree_cases.used(worker)
    worker.tell(builders.a_report(tree_cases.a_node(revision=3, providers=())))

    assert on_b == {"h1_gpu_b": {"VGPU": 1}}
    assert tree_cases.used(worker) == {}
    assert tree_cases.views(worker)["h1"].used["VGPU"] == 1


def test_a_class_that_goes_from_the_root_to_children_takes_its_holders_along() -> None:
    inventory = {"VGPU": records.Inventory(6)}
    worker = tree_cases.a_worker(inventories=inventory, providers=())
    worker.tell(tree_cases.claim())
    assert tree_cases.views(worker)["h1"].used["VGPU"] == 1

    worker.tell(builders.a_report(tree_cases.a_node(revision=2)))

    assert sum(amounts["VGPU"] for amounts in tree_cases.used(worker).values()) == 1
    assert "VGPU" not in tree_cases.views(worker)["h1"].used
    allocation = worker.events(events.AllocationChanged)[-1]
    assert len(allocation.allocations) == 2
    worker.tell(builders.a_report(tree_cases.a_node(revision=3, inventories=inventory)))
    assert tree_cases.used(worker) == {}


def test_both_sides_of_a_move_are_on_children_of_their_nodes() -> None:
    worker = tree_cases.a_worker("h1", "h2")
    flavor = tree_cases.a_flavor(VGPU=1)
    worker.tell(tree_cases.claim())
    record = builders.an_instance(revision=2, flavor=flavor)

    outcome = worker.tell(
        commands.ClaimMigration(builders.a_move(old_flavor=flavor, new_flavor=tree_cases.a_flavor(VGPU=2)), record)
    )

    assert outcome.outcome == events.ACCEPTED
    assert tree_cases.used(worker) == {"h1_gpu_a": {"VGPU": 1}}
    assert tree_cases.used(worker, "h2") == {"h2_gpu_a": {"VGPU": 2}}
    child = tree_cases.views(worker, "h2")["h2_gpu_a"]
    assert dict(child.settled) == {}
    held = {one.consumer_uuid: set(one.allocations) for one in worker.events(events.AllocationChanged)}
    assert held == {
        builders.MIGRATION: {builders.uid(501), tree_cases.GPU_A}, builders.VM: {builders.uid(502), child.uuid},
    }  # fmt: skip

    arrived = builders.an_instance(revision=3, host="h2", flavor=tree_cases.a_flavor(VGPU=2))
    worker.tell(commands.UpdateMigration(builders.a_move(revision=2, status="confirmed"), arrived))

    assert tree_cases.used(worker) == {}
    assert dict(tree_cases.views(worker, "h2")["h2_gpu_a"].settled) == {"VGPU": 2}


def test_a_resize_on_one_node_needs_room_for_both_sides() -> None:
    worker = tree_cases.a_worker(providers=tree_cases.of_host("h1", tree_cases.GPUS[1]))
    flavor = tree_cases.a_flavor(VGPU=1)
    worker.tell(tree_cases.claim())
    record = builders.an_instance(revision=2, flavor=flavor)

    def resized(amount: int) -> Any:
        new = tree_cases.a_flavor(VGPU=amount)
        move = builders.a_move(source=builders.pair("h1"), dest=builders.pair("h1"), old_flavor=flavor, new_flavor=new)
        return worker.tell(commands.ClaimMigration(move, record))

    assert resized(2).reason == "VGPU: asked 2, available 1 (capacity 2, used 1) on provider h1_gpu_b"
    assert resized(1).outcome == events.ACCEPTED
    assert tree_cases.used(worker) == {"h1_gpu_b": {"VGPU": 2}}


@pytest.mark.parametrize(("policy", "outcome"), [("all", "refused"), ("local", "accepted"), ("none", "accepted")])
def test_a_claim_policy_that_tests_no_flavor_class_lets_it_exceed_a_child(policy: str, outcome: str) -> None:
    worker = tree_cases.a_worker(providers=tree_cases.of_host("h1", tree_cases.GPUS[1]), policy=policy)
    worker.tell(tree_cases.claim(OTHER, flavor=tree_cases.a_flavor(VGPU=2)))

    assert worker.tell(tree_cases.claim()).outcome == outcome


def test_what_no_flavor_says_is_tested_on_its_child_under_the_local_policy() -> None:
    worker = tree_cases.a_worker(policy="local")

    outcome = worker.tell(tree_cases.claim(flavor=builders.a_flavor(), resources={"CUSTOM_BANDWIDTH": 1001}))

    assert outcome.reason == "CUSTOM_BANDWIDTH: asked 1001, available 1000 (capacity 1000, used 0) on provider h1_port"


def test_units_and_steps_of_a_child_are_tested() -> None:
    odd = {"CUSTOM_LINK": records.Inventory(10, max_unit=4, step_size=2)}
    child = records.ChildProvider(tree_cases.GPU_A, "link", builders.uid(501), odd, ())
    worker = tree_cases.a_worker(providers=(child,))

    reasons = [
        worker.tell(tree_cases.claim(flavor=tree_cases.a_flavor(CUSTOM_LINK=amount))).reason for amount in (3, 6, 4)
    ]

    assert reasons == [
        "CUSTOM_LINK: asked 3, step_size is 2 on provider link", "CUSTOM_LINK: asked 6, max_unit is 4 on provider link",
        None,
    ]  # fmt: skip


def test_a_removed_node_keeps_the_children_on_which_something_is_held() -> None:
    worker = tree_cases.a_worker()
    worker.tell(tree_cases.claim())
    worker.forget_events()

    worker.tell(commands.RemoveNode(builders.uid(501), 2))

    assert told(worker) == [
        ("delete", "h1_port"), ("delete", "h1_nic"), ("delete", "h1_gpu_b"), ("update", "h1"), ("update", "h1_gpu_a"),
    ]  # fmt: skip
    worker.forget_events()
    worker.tell(commands.DeleteInstance(builders.VM, 2))
    assert told(worker) == [("delete", "h1_gpu_a"), ("delete", "h1")]
    worker.forget_events()
    worker.tell(builders.a_report(tree_cases.a_node(revision=3)))
    assert [change for change, _ in told(worker)] == ["create"] * 5


def test_a_node_that_is_removed_and_comes_back_the_same_has_its_tree() -> None:
    worker = tree_cases.a_worker()
    worker.tell(tree_cases.claim())
    worker.tell(commands.RemoveNode(builders.uid(501), 2))
    worker.tell(builders.a_report(tree_cases.a_node(revision=3)))

    assert len(tree_cases.views(worker)) == 5
    assert tree_cases.used(worker) == {"h1_gpu_a": {"VGPU": 1}}


def test_who_speaks_for_a_pair_has_its_tree() -> None:
    worker = builders.Worker()
    worker.tell(builders.a_report(tree_cases.a_node()))
    worker.tell(tree_cases.claim())
    rival = msgspec.structs.replace(tree_cases.a_node("h2", 2), host="h1", hypervisor_hostname="h1")

    worker.tell(builders.a_report(rival))
    tree_cases.check_trees(worker.store)
    theirs = tree_cases.used(worker)
    worker.tell(commands.RemoveNode(rival.uuid, 3))

    assert sum(amounts["VGPU"] for amounts in theirs.values()) == 1
    assert all(name.startswith("h2_") for name in theirs)
    assert all(name.startswith("h1_") for name in tree_cases.used(worker))
    tree_cases.check_trees(worker.store)
