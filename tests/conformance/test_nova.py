"""Differences that no shared scenario shows: what ``nova`` makes of our accounts there."""

from __future__ import annotations

from typing import Any

from tests.conformance import nova

PF, VF = ("0000:81:00.0", "type-PF"), ("0000:81:02.0", "type-VF")
BUILD = {
    "op": "build_claim",
    "instance": "a",
    "host": "n1",
    "flavor": {"id": "f", "vcpus": 2, "memory_mb": 512, "root_gb": 10, "swap_mb": 1},
}
LIVE = {"op": "live_migration_claim", "instance": "a", "host": "n2"}
GONE = {"op": "instance_state", "instance": "a", "vm_state": "deleted"}
DELETE = {"op": "delete", "instance": "a"}


def after(*said: dict[str, Any]) -> nova.History:
    history = nova.History()
    for one in said:
        history.take(one, {"ok": True})
    return history


def accounts(vf: str, pf: str, owner: str | None) -> dict[str, Any]:
    return {
        "pci_devices": [
            {"address": PF[0], "dev_type": PF[1], "status": pf, "owner": None},
            {"address": VF[0], "dev_type": VF[1], "status": vf, "owner": owner},
        ]
    }


def test_an_audit_allocates_what_is_claimed_for_a_guest_that_is_still_elsewhere() -> None:
    claimed = accounts("claimed", "unclaimable", "a")

    found = nova.audited_devices(claimed, "n2", after(BUILD, LIVE))

    assert found == nova.devices(accounts("allocated", "unavailable", "a"))


def test_a_claim_of_nobody_who_comes_stays_a_claim() -> None:
    claimed = accounts("claimed", "unclaimable", "a")

    assert nova.audited_devices(claimed, "n2", after(BUILD)) == nova.devices(claimed)
    assert nova.audited_devices(claimed, "n1", after(BUILD, LIVE)) == nova.devices(claimed)


def test_placement_keeps_what_is_only_said_to_be_deleted() -> None:
    ours = {"placement": {"usages": {"VCPU": 1, "MEMORY_MB": 0, "DISK_GB": 0}, "consumers": ["b"]}}

    said, deleted = after(BUILD, GONE), after(BUILD, GONE, DELETE)

    assert nova.placement(ours, "n1", said) == {
        "usages": {"VCPU": 3, "MEMORY_MB": 512, "DISK_GB": 11},
        "consumers": ["a", "b"],
    }
    assert nova.placement(ours, "n2", said) == ours["placement"]
    assert nova.placement(ours, "n1", deleted) == ours["placement"]
