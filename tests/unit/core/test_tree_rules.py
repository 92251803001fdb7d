"""What the operator adds to trees, and what does not go together."""

from __future__ import annotations

import msgspec
import pytest

from tests import builders
from tests.unit.core import place_cases, tree_cases
from worker.core import additions, events, node_tree, records

GOLD = {"CUSTOM_GOLD": records.Inventory(3, max_unit=3)}


def grown(*added: additions.Addition) -> node_tree.Grown:
    """Return the tree of h1 with what is added."""
    return node_tree.grown(tree_cases.a_node(), node_tree.Rules(added))


def child(found: node_tree.Grown, name: str) -> records.Child:
    """Return a child by its name."""
    return next(one for one in found.capacity.children if one.name == name)


@pytest.mark.parametrize("known", [{"uuid": tree_cases.GPU_A}, {"name": "h1_gpu_a"}])
def test_an_entry_adds_to_the_provider_that_it_names(known: dict[str, str]) -> None:
    found = grown(additions.Addition("a", inventories=GOLD, traits=("CUSTOM_T",), **known))

    assert found.troubles == ()
    assert child(found, "h1_gpu_a").inventories == {"VGPU": records.Inventory(4, max_unit=4), **GOLD}
    assert child(found, "h1_gpu_a").traits == ("CUSTOM_CHILD", "CUSTOM_T", "OWNER_NOVA")
    assert "CUSTOM_GOLD" not in found.capacity.inventories


def test_an_entry_for_every_node_is_not_for_one_that_another_entry_names() -> None:
    everywhere = additions.Addition("a", inventories=GOLD)
    own = additions.Addition("b", name="h1", traits=("CUSTOM_OWN",))

    found = grown(everywhere, own)

    assert "CUSTOM_GOLD" not in found.capacity.inventories
    assert found.capacity.traits == ("CUSTOM_OWN", "OWNER_NOVA")
    assert child(found, "h1_gpu_a").traits == ("CUSTOM_CHILD",)


def test_of_two_entries_for_one_provider_by_name_and_uuid_the_first_counts() -> None:
    found = grown(
        additions.Addition("a: providers[0]", name="h1_nic", traits=("CUSTOM_A",)),
        additions.Addition("b: providers[3]", uuid=tree_cases.NIC, traits=("CUSTOM_B",)),
    )

    assert found.troubles == ("b: providers[3]: provider h1_nic is named by a: providers[0] already",)
    assert child(found, "h1_nic").traits == ("CUSTOM_A", "CUSTOM_CHILD", "OWNER_NOVA")


def test_an_entry_for_a_provider_of_another_node_changes_nothing() -> None:
    assert grown(additions.Addition("a", name="h7", inventories=GOLD)) == grown()


def test_rules_that_change_make_an_unchanged_report_news() -> None:
    added = additions.Addition("site.yaml: providers[0]", inventories=GOLD, traits=("CUSTOM_FAST",))
    worker = tree_cases.a_worker()
    plain = tree_cases.views(worker)["h1"]

    worker.policy = msgspec.structs.replace(worker.policy, trees=node_tree.Rules((added,), mark="m"))
    worker.tell(builders.a_report(tree_cases.a_node(revision=2)))
    more = tree_cases.views(worker)["h1"]
    assert worker.tell(tree_cases.claim(flavor=tree_cases.a_flavor(CUSTOM_GOLD=3))).outcome == events.ACCEPTED
    worker.policy = msgspec.structs.replace(worker.policy, trees=node_tree.Rules())
    worker.tell(builders.a_report(tree_cases.a_node(revision=3)))

    assert more.inventories == {**plain.inventories, **GOLD}
    assert more.traits == (*plain.traits[:1], "CUSTOM_FAST", *plain.traits[1:])
    less = tree_cases.views(worker)["h1"]
    assert (less.inventories, less.traits) == (plain.inventories, plain.traits)
    assert less.used["CUSTOM_GOLD"] == 3


def test_an_entry_that_clashes_is_a_finding_and_nothing_of_it_counts() -> None:
    added = additions.Addition(
        "site.yaml: providers[1]", name="h1_gpu_a", inventories={"VGPU": records.Inventory(9)}, traits=("CUSTOM_X",)
    )
    worker = builders.Worker(trees=node_tree.Rules((added,), mark="m"))

    worker.tell(builders.a_report(tree_cases.a_node()))

    (found,) = worker.events(events.Found)
    assert (found.kind, found.text) == (
        "provider_conflict",
        "h1/h1: site.yaml: providers[1]: provider h1_gpu_a has an inventory of VGPU already",
    )
    assert tree_cases.views(worker)["h1_gpu_a"].traits == ("CUSTOM_CHILD",)


A, B, C = (builders.uid(number) for number in (651, 652, 653))
ROOT = builders.uid(501)


@pytest.mark.parametrize(
    ("children", "faults"),
    [
        (((A, "a", ROOT), (B, "b", A), (C, "c", B)), ()),
        (((A, "a", ROOT), (A, "b", ROOT)), (("providers[1].uuid", f"{A} is that of providers[0] too"),)),
        (((ROOT, "a", ROOT),), (("providers[0].uuid", f"{ROOT} is that of node too"),)),
        (((A, "h1", ROOT), (B, "b", ROOT), (C, "b", ROOT)), (
            ("providers[0].name", "h1 is that of node too"), ("providers[2].name", "b is that of providers[1] too"),
        )),
        (((A, "a", B),), (
            ("providers[0].parent_provider_uuid", f"{B} is neither the node nor one of its providers"),
        )),
        (((A, "a", B), (B, "b", A)), (
            ("providers[0].parent_provider_uuid", f"{B} does not lead to the node {ROOT}"),
            ("providers[1].parent_provider_uuid", f"{A} does not lead to the node {ROOT}"),
        )),
        (((A, "a", A),), (("providers[0].parent_provider_uuid", f"{A} does not lead to the node {ROOT}"),)),
    ],
)  # fmt: skip
def test_reported_children_must_be_a_tree_below_the_node(
    children: tuple[tuple[str, str, str], ...], faults: tuple[tuple[str, str], ...]
) -> None:
    found = tuple(records.ChildProvider(uuid, name, parent, {}, ()) for uuid, name, parent in children)

    assert node_tree.faults(tree_cases.a_node(providers=found)) == faults


def test_only_what_the_rules_make_of_a_report_tells_it_from_another() -> None:
    devices = place_cases.DEVICES
    plain, with_devices = tree_cases.a_node(providers=()), tree_cases.a_node(providers=(), pci_devices=devices)
    marked = node_tree.Rules(mark="m")

    assert node_tree.digest(node_tree.Rules(), plain, "d") == node_tree.digest(tree_cases.PCI, plain, "d") == "d"
    assert node_tree.digest(node_tree.Rules(), with_devices, "d") == "d"
    told = {
        node_tree.digest(rules, report, "d")
        for rules in (node_tree.Rules(), marked, tree_cases.PCI)
        for report in (tree_cases.a_node(), with_devices)
    }
    assert len(told) == 4
