"""A Placement that cannot be worked with: one clear line, and recovery."""

from __future__ import annotations

import logging
import pathlib
from typing import Any

import pytest

from tests import plain
from tests.fakes import placement_memory
from tests.placement import compare, desks, proxy, server
from worker import errors, listening, placement_wiring
from worker.placement import client, desired, faults, patience, sync


def _warnings(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    told = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    return [line for line in told if "action=wait" in line and words in line]


def test_a_placement_that_is_away_is_told_once_and_waited_for(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    with server.running(tmp_path) as placement, desks.desk(placement.url) as desk:
        placement.stop()
        with desk.feeding():
            desk.call("report_node", node=plain.node(1))
            desks.until(lambda: "away" in desk.health, "the feeder to say so")
            placement.start()
            desk.equal()
            desks.until(lambda: desk.health[-1] == "working", "the feeder to work again")

    (line,) = _warnings(caplog, "Unable to establish connection")
    assert line.startswith("action=wait Placement: ")


def test_wrong_credentials_are_told_and_nothing_is_lost(
    placement: server.Server, caplog: pytest.LogCaptureFixture
) -> None:
    with desks.desk(placement.url) as desk:
        desks.point_at(desk.conf, placement.url, token="s3cr3t-but-wrong")
        with desk.feeding():
            desk.call("report_node", node=plain.node(1))
            desks.until(lambda: "away" in desk.health, "the feeder to say so")
        desks.point_at(desk.conf, placement.url)
        with desk.feeding():
            desk.equal()
            desk.call("remove_node", node_uuid=plain.node_uuid(1), revision=9)
            desk.equal()

    assert _warnings(caplog, "it does not let us in (403): check the credentials of [placement]")
    assert "s3cr3t" not in caplog.text


def test_a_placement_that_is_too_old_is_told_with_both_versions(
    placement: server.Server, caplog: pytest.LogCaptureFixture
) -> None:
    with desks.desk(placement.url, placement__min_microversion="1.99") as desk:
        with desk.feeding():
            desk.call("report_node", node=plain.node(1))
            desks.until(lambda: "away" in desk.health, "the feeder to say so")
        desk.file.write_text(f"{desk.file.read_text()}min_microversion = 1.99\n")
        code, _ = desk.stocktake("placement", "check")

    assert _warnings(caplog, "it speaks the microversions 1.0 to 1.39, we speak 1.99 to 1.39")
    assert code == 2


def test_check_says_in_one_line_that_placement_cannot_be_reached(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with server.running(tmp_path) as placement, desks.desk(placement.url) as desk:
        placement.stop()

        code, _ = desk.stocktake("placement", "check")

    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2
    assert line.startswith("stocktake: Placement: Unable to establish connection")


def test_what_answers_may_be_no_placement_at_all(placement: server.Server) -> None:
    with desks.desk(f"{placement.url}/resource_classes") as desk:
        service = placement_wiring.placement(desk.conf)

        with pytest.raises(faults.Unavailable):
            service.providers()


def test_without_an_auth_type_it_is_refused(placement: server.Server) -> None:
    with desks.desk(placement.url) as desk:
        desk.conf.clear_override("auth_type", group="placement")

        with pytest.raises(errors.Misconfigured, match=r"^\[placement\] auth_type: is not set"):
            placement_wiring.placement(desk.conf)


def test_auth_type_none_needs_an_endpoint(placement: server.Server) -> None:
    with desks.desk(placement.url, token=None) as desk:
        desk.conf.clear_override("endpoint_override", group="placement")

        with pytest.raises(errors.Misconfigured, match=r"^\[placement\] endpoint_override: is not set"):
            placement_wiring.placement(desk.conf)


def test_an_open_placement_takes_auth_type_none(tmp_path: pathlib.Path) -> None:
    with (
        server.running(tmp_path, everybody=True) as placement,
        desks.desk(placement.url, token=None) as desk,
        desk.feeding(),
    ):
        desk.call("report_node", node=plain.node(1))

        desk.equal()


@pytest.fixture
def synchronizer(placement: server.Server) -> sync.Sync:
    return _sync(placement.url)


def _sync(url: str, attempts: int = 5) -> sync.Sync:
    service = client.Placement(_adapter(url))
    return sync.Sync(
        service, placement_memory.Memory(), patience.Patience(attempts, lambda: 0.0, lambda _: None), size=10
    )


def _adapter(url: str) -> Any:
    with desks.desk(url) as desk:
        return placement_wiring.placement(desk.conf)._service


def _provider(number: int, parent: int | None = None, sequence: int = 1, **changes: Any) -> listening.Notification:
    one = {"total": 8, "reserved": 0, "min_unit": 1, "max_unit": 8, "step_size": 1, "allocation_ratio": 1.0}
    payload = {
        "uuid": plain.uid(number), "name": f"tree-{number}", "node_uuid": plain.uid(1), "sequence": sequence,
        "parent_provider_uuid": None if parent is None else plain.uid(parent), "root_provider_uuid": plain.uid(1),
        "inventories": {"VCPU": one}, "usages": {}, "traits": [],
    }  # fmt: skip
    event_type = changes.pop("event_type", "resource_provider.create")
    return listening.Notification(f"{number} {sequence} {event_type}", event_type, payload | changes)


def _allocation(number: int, **held: Any) -> listening.Notification:
    payload = {
        "consumer_uuid": plain.uid(number), "consumer_type": "INSTANCE", "instance_uuid": plain.uid(number),
        "project_id": None, "user_id": None, "consumer_generation": 1,
        "allocations": {uuid: {"VCPU": amount} for uuid, amount in held.items()},
    }  # fmt: skip
    return listening.Notification(f"allocation {number}", "allocation.update", payload)


def test_a_tree_is_made_from_its_root_and_deleted_from_its_leaves(
    synchronizer: sync.Sync, placement: server.Server
) -> None:
    api = compare.Api(placement.url)
    tree = [_provider(3, 2, 3), _provider(2, 1, 2), _provider(1, None, 1)]

    made = synchronizer.apply(desired.coalesced([*tree, _allocation(50, **{plain.uid(3): 2})]))
    root = {one["root_provider_uuid"] for one in api.get("/resource_providers")["resource_providers"]}
    used = api.get(f"/resource_providers/{plain.uid(3)}/usages")["usages"]
    gone = [_provider(n, p, n + 3, event_type="resource_provider.delete") for n, p in ((1, None), (2, 1), (3, 2))]
    ended = synchronizer.apply(desired.coalesced([*gone, _allocation(50)]))

    assert (made, ended) == ({}, {})
    assert (root, used) == ({plain.uid(1)}, {"VCPU": 2})
    assert api.get("/resource_providers")["resource_providers"] == []
    api.close()


def test_a_child_waits_for_its_parent(synchronizer: sync.Sync, placement: server.Server) -> None:
    api = compare.Api(placement.url)

    early = synchronizer.apply(desired.coalesced([_provider(12, 11, 2)]))
    late = synchronizer.apply(desired.coalesced([_provider(11, None, 1)]))

    assert list(early) == [plain.uid(12)]
    assert late == {}
    assert api.get(f"/resource_providers/{plain.uid(12)}")["parent_provider_uuid"] == plain.uid(11)
    for number in (12, 11):
        api.send("DELETE", f"/resource_providers/{plain.uid(number)}")
    api.close()


def test_conflicts_without_end_are_waited_out_and_lost_answers_do_no_harm(placement: server.Server) -> None:
    liar = proxy.Proxy(placement.port, share=1.0)
    wanted = desired.coalesced([_provider(21), _allocation(60, **{plain.uid(21): 3})])
    feeder = _sync(liar.url, attempts=3)
    api = compare.Api(placement.url)

    with pytest.raises(faults.Unavailable):
        feeder.apply(wanted)
    liar.share = 0.4
    while True:
        try:
            findings = feeder.apply(wanted)
            break
        except faults.Unavailable:
            continue
    liar.close()

    assert findings == {}
    assert api.get(f"/resource_providers/{plain.uid(21)}/usages")["usages"] == {"VCPU": 3}
    api.send("DELETE", f"/allocations/{plain.uid(60)}")
    api.send("DELETE", f"/resource_providers/{plain.uid(21)}")
    api.close()


def test_a_consumer_left_behind_without_allocations_can_be_written(
    synchronizer: sync.Sync, placement: server.Server
) -> None:
    api = compare.Api(placement.url)
    body: dict[str, Any] = {"allocations": {}, "consumer_generation": None, "project_id": "p", "user_id": "u"}
    api.send("POST", "/allocations", {plain.uid(70): body | {"consumer_type": "INSTANCE"}})

    findings = synchronizer.apply(desired.coalesced([_provider(31), _allocation(70, **{plain.uid(31): 4})]))

    assert findings == {}
    assert api.get(f"/resource_providers/{plain.uid(31)}/usages")["usages"] == {"VCPU": 4}
    api.send("DELETE", f"/allocations/{plain.uid(70)}")
    api.send("DELETE", f"/resource_providers/{plain.uid(31)}")
    api.close()


def test_many_consumers_go_in_few_requests_and_updates_of_one_are_sent_once(placement: server.Server) -> None:
    through = proxy.Proxy(placement.port)
    feeder = _sync(through.url)
    updates = [_provider(41, sequence=number, inventories=_inventories(100 + number)) for number in range(1, 30)]
    holders = [_allocation(100 + number, **{plain.uid(41): 1}) for number in range(40)]
    api = compare.Api(placement.url)

    feeder.apply(desired.coalesced([*updates, *holders]))

    wrote = [line for line in through.requests if not line.startswith("GET")]
    through.close()
    assert wrote.count("POST /allocations") == 4
    assert wrote.count(f"PUT /resource_providers/{plain.uid(41)}/inventories") == 1
    assert api.get(f"/resource_providers/{plain.uid(41)}/usages")["usages"] == {"VCPU": 40}
    for number in range(40):
        api.send("DELETE", f"/allocations/{plain.uid(100 + number)}")
    api.send("DELETE", f"/resource_providers/{plain.uid(41)}")
    api.close()


def test_a_lost_answer_to_many_new_consumers_is_not_paid_for_one_by_one(placement: server.Server) -> None:
    through = proxy.Proxy(placement.port)
    feeder = _sync(through.url)
    holders = [_allocation(200 + number, **{plain.uid(42): 1}) for number in range(10)]
    feeder.apply(desired.coalesced([_provider(42, inventories=_inventories(100))]))
    again = _sync(through.url)  # another life, to which they are as new
    feeder.apply(desired.coalesced(holders))
    before = len(through.requests)

    findings = again.apply(desired.coalesced(holders))

    asked = through.requests[before:]
    through.close()
    api = compare.Api(placement.url)
    assert findings == {}
    assert asked.count("POST /allocations") == 1  # they were looked up, and there was nothing to do
    assert api.get(f"/resource_providers/{plain.uid(42)}/usages")["usages"] == {"VCPU": 10}
    for number in range(10):
        api.send("DELETE", f"/allocations/{plain.uid(200 + number)}")
    api.send("DELETE", f"/resource_providers/{plain.uid(42)}")
    api.close()


def test_many_consumers_that_have_to_be_looked_up_get_there_however_often_that_fails(placement: server.Server) -> None:
    liar = proxy.Proxy(placement.port, seed=5)
    wanted = desired.coalesced(
        [_provider(43), *(_allocation(300 + number, **{plain.uid(43): 1}) for number in range(8))]
    )
    assert _sync(liar.url).apply(wanted) == {}
    again = _sync(liar.url)  # another life, to which they are as new
    liar.share = 0.6
    tries = 0

    while True:
        tries += 1
        try:
            findings = again.apply(wanted)
            break
        except faults.Unavailable:
            assert tries < 200
    liar.close()

    api = compare.Api(placement.url)
    assert findings == {}
    assert api.get(f"/resource_providers/{plain.uid(43)}/usages")["usages"] == {"VCPU": 8}
    for number in range(8):
        api.send("DELETE", f"/allocations/{plain.uid(300 + number)}")
    api.send("DELETE", f"/resource_providers/{plain.uid(43)}")
    api.close()


def _inventories(total: int) -> dict[str, Any]:
    return {
        "VCPU": {"total": total, "reserved": 0, "min_unit": 1, "max_unit": total, "step_size": 1,
                 "allocation_ratio": 1.0},
    }  # fmt: skip
