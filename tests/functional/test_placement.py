"""A worker's notifications applied to a real Placement, and what happens where others are there already."""

from __future__ import annotations

from typing import Any

import pytest

from tests import plain
from tests.placement import compare, desks
from worker import placement_wiring, standard_names
from worker.core import names
from worker.db import placement_memory
from worker.placement import check

FOREIGN = plain.uid(700)
"""A provider of somebody else."""
ALLOCATION = {"project_id": "p", "user_id": "u", "consumer_type": "INSTANCE", "consumer_generation": None}


def _make(api: compare.Api, uuid: str, name: str, **inventories: int) -> None:
    """Make a provider as somebody else would."""
    api.send("POST", "/resource_providers", {"uuid": uuid, "name": name})
    records = {
        cls: {"total": total, "reserved": 0, "min_unit": 1, "max_unit": total, "step_size": 1, "allocation_ratio": 1.0}
        for cls, total in inventories.items()
    }
    if records:
        body = {"resource_provider_generation": 0, "inventories": records}
        api.send("PUT", f"/resource_providers/{uuid}/inventories", body)


def _hold(api: compare.Api, consumer: str, **held: dict[str, int]) -> None:
    """Let a consumer hold amounts of providers by uuid, as somebody else would; what it has is replaced."""
    known = api.get(f"/allocations/{consumer}").get("consumer_generation")
    allocations = {uuid: {"resources": amounts} for uuid, amounts in held.items()}
    api.send("PUT", f"/allocations/{consumer}", ALLOCATION | {"allocations": allocations, "consumer_generation": known})


def _traits(api: compare.Api, uuid: str) -> set[str]:
    return set(api.get(f"/resource_providers/{uuid}/traits")["traits"])


def _set_traits(api: compare.Api, uuid: str, traits: set[str]) -> None:
    generation = api.get(f"/resource_providers/{uuid}")["generation"]
    body = {"resource_provider_generation": generation, "traits": sorted(traits)}
    api.send("PUT", f"/resource_providers/{uuid}/traits", body)


def _inventory(total: int) -> plain.Primitive:
    values = {"total": total, "reserved": 0, "min_unit": 1, "max_unit": total or 1, "step_size": 1}
    return plain.primitive("Inventory", values | {"allocation_ratio": 1.0})


def _check(desk: desks.Desk) -> check.Report:
    service = placement_wiring.placement(desk.conf)
    kept = placement_memory.PlacementMemory(desk.bind)
    wanted = placement_wiring.Ours(desk.bind).everything()
    return placement_wiring.checker(desk.bind, service, kept).compare(wanted)


def _until_told(feeding: placement_wiring.Feeding, words: str) -> None:
    def told() -> bool:
        return any(words in finding.text for finding in list(feeding.feeder.findings.values()))

    desks.until(told, f"a finding that says {words}")


def _until_settled(feeding: placement_wiring.Feeding) -> None:
    desks.until(lambda: not feeding.feeder.findings, "every finding to be resolved")


def test_a_build_a_resize_and_a_removal_leave_placement_equal(desk: desks.Desk, api: compare.Api) -> None:
    thing = {"CUSTOM_THING": _inventory(4)}
    with desk.feeding():
        desk.call("report_node", node=plain.node(1, traits=["CUSTOM_GOLD", "HW_CPU_X86_AVX"], inventories=thing))
        desk.call("report_node", node=plain.node(2))
        desk.call("claim_instance", instance=plain.instance(1, resources={"CUSTOM_THING": 1}), limits=None)
        desk.equal()
        resized = plain.instance(1, 2, resources={})
        desk.call("claim_migration", migration=plain.migration(1, 1, "accepted"), instance=resized, limits=None)
        desk.equal()
        holders = api.get(f"/resource_providers/{plain.node_uuid(1)}/allocations")["allocations"]
        assert list(holders) == [plain.uid(900_001)]
        ended = plain.instance(1, 3, on=2, flavor=plain.flavor("big"))
        desk.call("update_migration", migration=plain.migration(1, 2, "confirmed"), instance=ended)
        desk.equal()
        desk.call("remove_node", node_uuid=plain.node_uuid(2), revision=5)
        desk.equal()
        kept = api.get(f"/resource_providers/{plain.node_uuid(2)}/inventories")["inventories"]
        assert {name: one["total"] - one["reserved"] for name, one in kept.items()} == dict.fromkeys(plain.BIG, 0)
        desk.call("delete_instance", instance_uuid=plain.uid(1), revision=9)
        desk.equal()
        desk.call("remove_node", node_uuid=plain.node_uuid(1), revision=5)
        desk.equal()

    assert api.get("/resource_providers")["resource_providers"] == []


def test_only_traits_that_we_have_set_are_taken_away(desk: desks.Desk, api: compare.Api) -> None:
    node = plain.node_uuid(1)
    with desk.feeding():
        desk.call("report_node", node=plain.node(1, traits=["CUSTOM_GOLD", "CUSTOM_OLD"]))
        desk.equal()
    api.send("PUT", "/traits/CUSTOM_THEIRS")
    _set_traits(api, node, _traits(api, node) | {"CUSTOM_THEIRS"})

    with desk.feeding():  # another life: it knows from the database what it has set
        desk.call("report_node", node=plain.node(1, 2, traits=["CUSTOM_GOLD", "CUSTOM_THEIRS"]))
        desks.until(lambda: "CUSTOM_OLD" not in _traits(api, node), "our old trait to go")
        desk.call("report_node", node=plain.node(1, 3, vcpus=16))
        desks.until(lambda: "CUSTOM_GOLD" not in _traits(api, node), "our trait to go")

    assert "CUSTOM_THEIRS" in _traits(api, node)


def test_a_provider_that_was_there_is_kept_equal_and_never_deleted(desk: desks.Desk, api: compare.Api) -> None:
    _make(api, plain.node_uuid(1), "made-by-another", VCPU=2)
    with desk.feeding():
        desk.call("report_node", node=plain.node(1))
        desk.equal()
        desk.call("remove_node", node_uuid=plain.node_uuid(1), revision=5)
        desk.call("report_node", node=plain.node(2))
        desks.until(lambda: len(api.get("/resource_providers")["resource_providers"]) == 2, "the second node")

    found = _check(desk)
    assert api.get(f"/resource_providers/{plain.node_uuid(1)}")["name"] == plain.host(1)
    assert (found.differences, found.others) == ((), 1)


def test_what_others_hold_stays_with_them(desk: desks.Desk, api: compare.Api) -> None:
    api.send("PUT", "/resource_classes/CUSTOM_BANDWIDTH")
    _make(api, FOREIGN, "a-network-agent", CUSTOM_BANDWIDTH=100)
    stranger = plain.uid(77)
    with desk.feeding():
        desk.call("report_node", node=plain.node(1))
        desk.call("claim_instance", instance=plain.instance(1), limits=None)
        desk.equal(but_for=FOREIGN)
        held = {plain.node_uuid(1): dict(plain.SMALL), FOREIGN: {"CUSTOM_BANDWIDTH": 10}}
        _hold(api, plain.uid(1), **held)
        _hold(api, stranger, **{plain.node_uuid(1): {"VCPU": 1}})
        desk.call("update_instance", instance=plain.instance(1, 2, flavor=plain.flavor("big")))
        desks.until(lambda: _amounts(api, plain.uid(1)).get(plain.node_uuid(1)) == plain.BIG, "the bigger flavor")
        with_both = _amounts(api, plain.uid(1))
        desk.call("delete_instance", instance_uuid=plain.uid(1), revision=9)
        desks.until(lambda: plain.node_uuid(1) not in _amounts(api, plain.uid(1)), "ours to be given back")

    assert with_both[FOREIGN] == {"CUSTOM_BANDWIDTH": 10}
    assert _amounts(api, plain.uid(1)) == {FOREIGN: {"CUSTOM_BANDWIDTH": 10}}
    assert _amounts(api, stranger) == {plain.node_uuid(1): {"VCPU": 1}}
    (difference,) = _check(desk).differences
    assert (difference.what, difference.consumer) == (check.FOREIGN, stranger)
    assert not _check(desk).remedy


def _amounts(api: compare.Api, consumer: str) -> dict[str, dict[str, int]]:
    return {uuid: one["resources"] for uuid, one in api.get(f"/allocations/{consumer}")["allocations"].items()}


def test_a_name_that_somebody_else_has_is_a_finding_until_it_is_free(desk: desks.Desk, api: compare.Api) -> None:
    _make(api, FOREIGN, plain.host(1))
    with desk.feeding() as feeding:
        desk.call("report_node", node=plain.node(1))
        desk.call("claim_instance", instance=plain.instance(1), limits=None)
        _until_told(feeding, f"the name {plain.host(1)} is provider {FOREIGN}'s")
        _until_told(feeding, f"there is no provider {plain.node_uuid(1)} yet")

    with desk.feeding() as feeding:  # what waits is known to the next life as well
        api.send("DELETE", f"/resource_providers/{FOREIGN}")
        desk.equal()
        _until_settled(feeding)


def test_what_exceeds_capacity_is_a_finding_until_there_is_room(desk: desks.Desk, api: compare.Api) -> None:
    with desk.feeding() as feeding:
        desk.call("report_node", node=plain.node(1, vcpus=1))
        desk.call("update_instance", instance=plain.instance(1))
        desk.equal()
        desk.call("update_instance", instance=plain.instance(2))
        _until_told(feeding, "Unable to allocate inventory")
        differences = _check(desk).differences
        desk.call("delete_instance", instance_uuid=plain.uid(1), revision=9)
        desk.equal()
        _until_settled(feeding)

    assert [(one.what, one.consumer) for one in differences] == [(check.ALLOCATION, plain.uid(2))]


def test_an_unknown_standard_trait_or_class_is_one_finding_and_the_rest_is_done(
    desk: desks.Desk, api: compare.Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = names.Names(standard_names.CLASSES | {"NOVELTY"}, standard_names.TRAITS | {"HW_NOBODY_KNOWS"})
    monkeypatch.setattr(standard_names, "NAMES", newer)  # our libraries are newer than those of Placement
    with desk.feeding() as feeding:
        desk.call("report_node", node=plain.node(1, traits=["HW_NOBODY_KNOWS"], inventories={"NOVELTY": _inventory(3)}))
        _until_told(feeding, "Placement knows no resource class NOVELTY; Placement knows no trait HW_NOBODY_KNOWS")
        assert "COMPUTE_NODE" in _traits(api, plain.node_uuid(1))
        desk.call("report_node", node=plain.node(1, 2))
        desk.equal()
        _until_settled(feeding)


def test_a_node_under_another_uuid_takes_over_name_and_allocations(desk: desks.Desk, api: compare.Api) -> None:
    with desk.feeding() as feeding:
        desk.call("report_node", node=plain.node(1))
        desk.call("claim_instance", instance=plain.instance(1), limits=None)
        desk.equal()
        desk.call("report_node", node=plain.node(1, 2, uuid=plain.uid(600_001)))
        desk.equal()
        _until_settled(feeding)

    assert [one["uuid"] for one in api.get("/resource_providers")["resource_providers"]] == [plain.uid(600_001)]


def test_an_instance_on_a_node_that_nobody_reports_waits_for_its_report(desk: desks.Desk) -> None:
    with desk.feeding() as feeding:
        desk.call("update_instance", instance=plain.instance(1))
        _until_told(feeding, "there is no provider")
        desk.call("report_node", node=plain.node(1))
        desk.equal()
        _until_settled(feeding)


def test_a_consumer_that_comes_late_gets_there_by_announcements_and_stream(desk: desks.Desk) -> None:
    for number in (1, 2):
        desk.call("report_node", node=plain.node(number))
    desk.call("claim_instance", instance=plain.instance(1), limits=None)
    desk.call("claim_migration", migration=plain.migration(), instance=plain.instance(1, 2), limits=None)
    desk.purge()

    with desk.feeding():
        code, said = desk.stocktake("provider", "announce")
        desk.call("claim_instance", instance=plain.instance(2, on=2), limits=None)
        desk.equal()

    assert (code, said) == (0, "4 notifications are due\n")


def test_a_gap_is_made_good_from_the_database(desk: desks.Desk) -> None:
    with desk.feeding():
        desk.call("report_node", node=plain.node(1))
        for number in (1, 2):
            desk.call("claim_instance", instance=plain.instance(number), limits=None)
        desk.equal()

        desk.silently("delete_instance", instance_uuid=plain.uid(1), revision=9)
        stale = plain.uid(1) in _holders(desk)
        desk.call("claim_instance", instance=plain.instance(3), limits=None)
        desk.equal()

    assert stale


def _holders(desk: desks.Desk) -> Any:
    api = compare.Api(desk.url)
    found = api.get(f"/resource_providers/{plain.node_uuid(1)}/allocations")["allocations"]
    api.close()
    return found


def test_check_shows_what_differs_and_fix_makes_it_equal(desk: desks.Desk, api: compare.Api) -> None:
    desk.call("report_node", node=plain.node(1, traits=["CUSTOM_GOLD"]))
    desk.call("report_node", node=plain.node(2))
    desk.call("claim_instance", instance=plain.instance(1), limits=None)
    desk.call("claim_instance", instance=plain.instance(2), limits=None)
    with desk.feeding():
        desk.equal()
    desk.call("delete_instance", instance_uuid=plain.uid(2), revision=9)
    desk.call("update_instance", instance=plain.instance(1, 2, flavor=plain.flavor("big")))
    _set_traits(api, plain.node_uuid(1), set())
    api.send("DELETE", f"/resource_providers/{plain.node_uuid(2)}")

    code, said = desk.stocktake("placement", "check", "-f", "value", "-c", "what", "-c", "subject")
    rehearsed, requests = desk.stocktake("placement", "check", "--fix", "--dry-run")
    still, _ = desk.stocktake("placement", "check")
    fixed, verdict = desk.stocktake("placement", "check", "--fix")

    assert (code, rehearsed, still, fixed) == (1, 1, 1, 0)
    assert {tuple(line.split()) for line in said.splitlines()} == {
        ("trait", "COMPUTE_NODE"), ("trait", "CUSTOM_GOLD"), ("trait", "OWNER_NOVA"), ("allocation", plain.uid(1)),
        ("allocation", plain.uid(2)), ("provider", plain.host(2)),
    }  # fmt: skip
    assert "POST /allocations" in requests
    assert f"PUT /resource_providers/{plain.node_uuid(2)}/inventories" in requests
    assert "no difference in 2 providers" in verdict
    assert compare.differences(desk.url, desk.bind) == []


def test_a_dry_run_prints_the_requests_and_leaves_the_queue(desk: desks.Desk, api: compare.Api) -> None:
    desk.call("report_node", node=plain.node(1))
    desk.call("claim_instance", instance=plain.instance(1), limits=None)
    lines: list[str] = []

    count = placement_wiring.rehearse(desk.conf, lines.append)

    asked = [line.split(" {")[0] for line in lines]
    at = f"/resource_providers/{plain.node_uuid(1)}"
    assert asked == ["POST /resource_providers", f"PUT {at}/inventories", f"PUT {at}/traits", "POST /allocations"]
    assert api.get("/resource_providers")["resource_providers"] == []
    with desk.feeding():
        desk.equal()
    assert count == 4
