"""The provider trees of nodes in a real Placement: reports, claims, moves, devices, children that leave, provider.yaml."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests import plain, tree_sides
from tests.placement import compare, desks, server
from worker import wiring

GPU_A = tree_sides.child_uuid(tree_sides.GPU_A)
NIC = tree_sides.device_provider(tree_sides.PF)


@pytest.fixture
def desk(placement: server.Server, api: compare.Api) -> Iterator[desks.Desk]:
    with desks.desk(placement.url, pci__report_in_placement=True) as found:
        yield found


def a_guest(revision: int = 1, **changes: Any) -> plain.Primitive:
    """Return an instance with a virtual GPU and a card."""
    requests = [tree_sides.request(1, "10de")]
    return plain.instance(1, revision, **{"flavor": tree_sides.gpu_flavor(), "pci_requests": requests, **changes})


def _holders(api: compare.Api, uuid: str) -> dict[str, dict[str, int]]:
    found = api.get(f"/resource_providers/{uuid}/allocations")["allocations"]
    return {consumer: one["resources"] for consumer, one in found.items()}


def _names(api: compare.Api, node: int = 1) -> set[str]:
    tree = api.get(f"/resource_providers?in_tree={plain.node_uuid(node)}")["resource_providers"]
    return {one["name"].removeprefix(plain.host(node)) for one in tree}


def test_placement_follows_the_trees_through_a_life(desk: desks.Desk, api: compare.Api) -> None:
    with desk.feeding():
        for number in (1, 2):
            desk.call("report_node", node=tree_sides.node(number))
        desk.equal()
        assert _names(api) == {"", "_610", "_611", "_612", "_613", "_0000:01:00.0", "_0000:02:00.0"}

        desk.call("claim_instance", instance=a_guest(), limits=None)
        desk.call("attach_devices", instance_uuid=plain.uid(1), requests=[tree_sides.request(2, "8086")], revision=1)
        desk.equal()
        assert _holders(api, GPU_A) == {plain.uid(1): {"VGPU": 1}}
        assert _holders(api, NIC) == {plain.uid(1): {tree_sides.VF_CLASS: 1}}

        resize = {"old_flavor": tree_sides.gpu_flavor(), "new_flavor": tree_sides.gpu_flavor(2)}
        move = plain.migration(1, 1, "accepted", **resize)
        answer = desk.call("claim_migration", migration=move, instance=a_guest(2), limits=None)
        assert answer["outcome"] == "accepted", answer["reason"]
        desk.equal()
        assert _holders(api, GPU_A) == {plain.uid(900_001): {"VGPU": 1}}

        ended = plain.migration(1, 2, "confirmed", **resize)
        arrived = a_guest(3, host=plain.host(2), node=plain.host(2), flavor=tree_sides.gpu_flavor(2))
        desk.call("update_migration", migration=ended, instance=arrived)
        desk.call("detach_devices", instance_uuid=plain.uid(1), request_ids=[plain.uid(800_002)], revision=2)
        desk.equal()
        assert _holders(api, GPU_A) == {}

        left = {"providers": tree_sides.children(2, tree_sides.GPU_A, tree_sides.PORT), "pci_devices": []}
        desk.call("report_node", node=tree_sides.node(2, 2, **left))
        desk.equal()
        assert _names(api, 2) == {"", "_610", "_611", "_612", "_0000:02:00.0"}
        desk.call("delete_instance", instance_uuid=plain.uid(1), revision=9)
        desk.equal()
        assert _names(api, 2) == {"", "_611", "_612"}
        desk.call("remove_node", node_uuid=plain.node_uuid(1), revision=9)
        desk.equal()
        assert len(api.get("/resource_providers")["resource_providers"]) == 3


def test_a_class_that_goes_from_the_root_to_children_takes_its_allocations_along(
    desk: desks.Desk, api: compare.Api
) -> None:
    inventories = {"VGPU": tree_sides.inventory(6)}
    with desk.feeding():
        desk.call("report_node", node=plain.node(1, inventories=inventories))
        desk.call("claim_instance", instance=a_guest(pci_requests=[]), limits=None)
        desk.equal()
        desk.call("report_node", node=tree_sides.node(1, 2))
        desk.equal()

    assert "VGPU" not in api.get(f"/resource_providers/{plain.node_uuid(1)}/inventories")["inventories"]


def test_what_provider_yaml_adds_comes_and_goes(desk: desks.Desk, api: compare.Api, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "site.yaml"
    desk.conf.set_override("provider_config_location", str(tmp_path), group="compute")
    root = f"/resource_providers/{plain.node_uuid(1)}"
    found = []
    with desk.feeding():
        for revision, text in enumerate(("", tree_sides.GOLD, ""), 1):
            file.write_text(text, encoding="utf-8") if text else file.unlink(missing_ok=True)
            desk.running.stop()
            desk.running = wiring.Running(desk.conf)
            desk.running.start()
            desk.call("report_node", node=tree_sides.node(1, revision))
            desk.equal()
            traits = api.get(f"{root}/traits")["traits"]
            found.append(("CUSTOM_GOLD" in api.get(f"{root}/inventories")["inventories"], "CUSTOM_FAST" in traits))

    assert found == [(False, False), (True, True), (False, False)]


def test_a_check_finds_and_mends_what_is_wrong_below_a_root(desk: desks.Desk, api: compare.Api) -> None:
    desk.call("report_node", node=tree_sides.node())
    desk.call("claim_instance", instance=a_guest(), limits=None)
    desk.purge()

    code, told = desk.stocktake("placement", "check", "--fix")

    assert code in {0, 1}, told
    assert compare.differences(desk.url, desk.bind) == []
