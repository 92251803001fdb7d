"""What others do in Placement behind our back: it is found out when it matters, and put right."""

from __future__ import annotations

from tests import plain
from tests.fakes import placement_memory
from tests.placement import compare, desks
from worker import placement_wiring
from worker.placement import client, desired

NODE = plain.node_uuid(1)


def _until_settled(feeding: placement_wiring.Feeding) -> None:
    desks.until(lambda: not feeding.feeder.findings, "every finding to be resolved")


def test_a_provider_that_somebody_deleted_is_made_again_for_who_needs_it(desk: desks.Desk, api: compare.Api) -> None:
    with desk.feeding() as feeding:
        desk.call("report_node", node=plain.node(1, traits=["CUSTOM_GOLD"]))
        desk.equal()
        api.send("DELETE", f"/resource_providers/{NODE}")

        desk.call("claim_instance", instance=plain.instance(1), limits=None)

        desk.equal()
        _until_settled(feeding)


def test_inventories_that_somebody_took_away_are_set_again_for_who_needs_them(
    desk: desks.Desk, api: compare.Api
) -> None:
    with desk.feeding() as feeding:
        desk.call("report_node", node=plain.node(1))
        desk.equal()
        api.send("DELETE", f"/resource_providers/{NODE}/inventories")

        desk.call("claim_instance", instance=plain.instance(1), limits=None)

        desk.equal()
        _until_settled(feeding)


def test_a_class_and_a_trait_that_somebody_deleted_are_made_again(desk: desks.Desk, api: compare.Api) -> None:
    values = {"total": 4, "reserved": 0, "min_unit": 1, "max_unit": 4, "step_size": 1, "allocation_ratio": 1.0}
    special = {"inventories": {"CUSTOM_THING": plain.primitive("Inventory", values)}, "traits": ["CUSTOM_GOLD"]}
    with desk.feeding() as feeding:
        desk.call("report_node", node=plain.node(1, 1, **special))
        desk.equal()
        desk.call("report_node", node=plain.node(1, 2))
        desk.equal()
        desks.until(lambda: _without_gold(api), "the trait to be taken away")
        api.send("DELETE", "/resource_classes/CUSTOM_THING")
        api.send("DELETE", "/traits/CUSTOM_GOLD")

        desk.call("report_node", node=plain.node(1, 3, **special))

        desk.equal()
        _until_settled(feeding)


def _without_gold(api: compare.Api) -> bool:
    return "CUSTOM_GOLD" not in api.get(f"/resource_providers/{NODE}/traits")["traits"]


def test_what_a_scheduler_allocated_before_us_becomes_what_we_say(desk: desks.Desk, api: compare.Api) -> None:
    held = {
        "allocations": {NODE: {"resources": {"VCPU": 4}}}, "consumer_generation": None, "project_id": "theirs",
        "user_id": "theirs", "consumer_type": "THEIRS",
    }  # fmt: skip
    with desk.feeding() as feeding:
        desk.call("report_node", node=plain.node(1))
        desk.equal()
        api.send("PUT", f"/allocations/{plain.uid(1)}", held)

        desk.call("claim_instance", instance=plain.instance(1), limits=None)

        desk.equal()
        _until_settled(feeding)


def test_the_right_amounts_under_the_wrong_project_are_put_right(desk: desks.Desk, api: compare.Api) -> None:
    held = {
        "allocations": {NODE: {"resources": plain.SMALL}}, "consumer_generation": None, "project_id": "theirs",
        "user_id": "theirs", "consumer_type": "THEIRS",
    }  # fmt: skip
    with desk.feeding():
        desk.call("report_node", node=plain.node(1))
        desk.equal()
        api.send("PUT", f"/allocations/{plain.uid(1)}", held)

        desk.call("claim_instance", instance=plain.instance(1), limits=None)

        desk.equal()
    found = api.get(f"/allocations/{plain.uid(1)}")
    assert (found["project_id"], found["user_id"], found["consumer_type"]) == ("p1", "u1", "INSTANCE")


def test_an_instance_that_changes_its_project_changes_it_in_placement(desk: desks.Desk) -> None:
    with desk.feeding():
        desk.call("report_node", node=plain.node(1))
        desk.call("claim_instance", instance=plain.instance(1), limits=None)
        desk.equal()

        desk.call("update_instance", instance=plain.instance(1, 2, project_id="p2", flavor=plain.flavor("big")))

        desk.equal()


class Hasty(client.Placement):
    """Somebody else makes each provider a moment before we do."""

    def create_provider(self, uuid: str, name: str, parent_uuid: str | None) -> int:
        """Be too late."""
        super().create_provider(uuid, name, parent_uuid)
        return super().create_provider(uuid, name, parent_uuid)


def test_a_provider_that_somebody_makes_at_the_same_moment_is_adopted(desk: desks.Desk, api: compare.Api) -> None:
    kept = placement_memory.Memory()
    service = Hasty(placement_wiring.placement(desk.conf)._service)
    wanted = desired.Provider(NODE, "compute-1", None, NODE, NODE, 1, {}, frozenset({"COMPUTE_NODE"}))

    findings = placement_wiring.synchronizer(desk.conf, service, kept).apply(desired.Wanted({NODE: wanted}))

    assert findings == {}
    assert "COMPUTE_NODE" in api.get(f"/resource_providers/{NODE}/traits")["traits"]
    assert not kept.kept[NODE].made
