"""Nova's figures for a node, worked out from ours: the one place that knows how the two differ on purpose.

Each difference has its number in docs/deviations.md and is as narrow as it can be said: the figure that Nova gives is
computed from ours and from the scenario, and then compared; no field is left out.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

Line = Mapping[str, Any]
Accounts = dict[str, Any]

MIB_PER_GIB = 1024
CLAIMS = ("build_claim", "unshelve_claim", "resize_claim", "live_migration_claim", "evacuate_claim")
FIGURES = (
    "vcpus", "memory_mb", "local_gb", "vcpus_used", "memory_mb_used", "local_gb_used", "free_ram_mb", "free_disk_gb",
    "running_vms", "current_workload", "cpu_allocation_ratio", "ram_allocation_ratio", "disk_allocation_ratio",
)  # fmt: skip


@dataclasses.dataclass(slots=True)
class Guest:
    """What the scenario has made of an instance: its flavor, that of the other side of its move, how far that is.

    ``live``: it is migrated live to ``dest``; ``done_for``: its vm_state is `deleted`, and nobody has deleted it.
    """

    flavor: Mapping[str, Any]
    volume_backed: bool
    other: Mapping[str, Any] | None = None
    dest: str | None = None
    handed_over: bool = False
    live: bool = False
    done_for: bool = False
    places: set[str] = dataclasses.field(default_factory=set)


class History:
    """The scenario so far, as far as it matters to the differences."""

    def __init__(self) -> None:
        self.guests: dict[str, Guest] = {}
        self.reserved_disk_mb: dict[str, int] = collections.defaultdict(int)
        self.overcommitted: set[str] = set()
        self.reports: collections.Counter[str] = collections.Counter()
        self.reported: str | None = None

    def take(self, said: Line, nova: Line) -> set[str]:
        """Take an operation and what Nova answered; return the hosts to which something has happened."""
        label, host = said.get("instance"), said.get("host")
        self.reported = (said.get("node") or said["host"]) if said["op"] == "node_report" else None
        self.reports[self.reported or ""] += 1
        if "reserved" in said:
            self.reserved_disk_mb[said["host"]] = said["reserved"].get("disk_mb", 0)
        if label is None:
            return {said["host"]}
        if said["op"] == "build_claim" and "flavor" in said:
            self.guests[label] = Guest(said["flavor"], said.get("volume_backed", False))
        guest = self.guests[label]
        if host is not None:
            guest.places.add(host)
            if nova.get("note", {}).get("allocation", "ok") != "ok":
                self.overcommitted.add(host)
        if nova["ok"]:
            _STEPS.get(said["op"], _nothing)(guest, said)
        return set(guest.places)


def _nothing(guest: Guest, said: Line) -> None:
    pass


def _claimed(guest: Guest, said: Line) -> None:
    guest.other, guest.flavor = guest.flavor, said.get("flavor", guest.flavor)
    guest.dest = said.get("node") or said["host"]


def _handed_over(guest: Guest, said: Line) -> None:
    guest.handed_over = True


def _finished(guest: Guest, said: Line) -> None:
    guest.handed_over = False


def _ended(guest: Guest, said: Line) -> None:
    guest.other, guest.dest, guest.handed_over, guest.live = None, None, False, False


def _claimed_live(guest: Guest, said: Line) -> None:
    guest.dest, guest.live = said.get("node") or said["host"], True


def _state(guest: Guest, said: Line) -> None:
    guest.done_for = said.get("vm_state", "deleted" if guest.done_for else None) == "deleted"


def _deleted(guest: Guest, said: Line) -> None:
    guest.done_for = False


def _back(guest: Guest, said: Line) -> None:
    guest.flavor = guest.other or guest.flavor
    _ended(guest, said)


_STEPS: Mapping[str, Callable[[Guest, Line], None]] = {
    "resize_claim": _claimed, "resize_source": _handed_over, "resize_finish": _finished, "resize_confirm": _ended,
    "resize_revert": _back, "abort_claim": _back, "live_migration_claim": _claimed_live,
    "live_migration_complete": _ended, "live_migration_rollback": _ended, "instance_state": _state, "delete": _deleted,
}  # fmt: skip


def figures(ours: Accounts, node: str, history: History) -> Accounts:
    """Return what Nova's tracker says where our accounts say ``ours``."""
    said = {name: ours[name] for name in FIGURES}
    said["stats"] = {name: count for name, count in ours["stats"].items() if count}
    for deviation in (_whole_gibibytes, _both_sides_in_full, _ratios_from_the_first_report):
        deviation(said, ours, node, history)
    return said


def _whole_gibibytes(said: Accounts, ours: Accounts, node: str, history: History) -> None:
    """Number 1: swap and reserved disk are whole GiB, rounded up for each; Nova's tracker cuts them off."""
    amounts = [history.reserved_disk_mb[node.partition("/")[0]]]
    for consumer in ours["placement"]["consumers"]:
        label = consumer.removeprefix("move of ")
        guest = history.guests[label]
        flavor = guest.other if consumer != label and guest.other is not None else guest.flavor
        amounts.append(flavor.get("swap_mb", 0))
    _less_disk(said, sum(-(-mib // MIB_PER_GIB) - mib // MIB_PER_GIB for mib in amounts))


def _less_disk(said: Accounts, gib: int) -> None:
    said["local_gb_used"] -= gib
    said["free_disk_gb"] += gib


def _both_sides_in_full(said: Accounts, ours: Accounts, node: str, history: History) -> None:
    """Number 3: a destination holds the new flavor from claim to end; Nova's counts the old one until the finish."""
    for guest in history.guests.values():
        if guest.handed_over and guest.dest == node and guest.other is not None and len(guest.places) > 1:
            new, old = guest.flavor, guest.other
            said["vcpus_used"] += old["vcpus"] - new["vcpus"]
            said["memory_mb_used"] += old["memory_mb"] - new["memory_mb"]
            said["free_ram_mb"] -= old["memory_mb"] - new["memory_mb"]
            _less_disk(said, _tracked_disk(new, guest) - _tracked_disk(old, guest))


def _tracked_disk(flavor: Mapping[str, Any], guest: Guest) -> int:
    root: int = 0 if guest.volume_backed else flavor["root_gb"]
    return root + int(flavor.get("ephemeral_gb", 0)) + int(flavor.get("swap_mb", 0)) // MIB_PER_GIB


def _ratios_from_the_first_report(said: Accounts, ours: Accounts, node: str, history: History) -> None:
    """Number 4: configured ratios count at once; Nova's row of a new node has its defaults until the second audit."""
    if history.reported == node and history.reports[node] == 1:
        said |= {"cpu_allocation_ratio": 4.0, "ram_allocation_ratio": 1.0, "disk_allocation_ratio": 1.0}


def cells(of: Accounts) -> dict[int, Accounts]:
    """Return the cells of a node by their id; of the pinned CPUs only how many there are."""
    return {
        cell["id"]: {
            **cell,
            "cpus": sorted(cell["cpus"]),
            "pcpus": sorted(cell["pcpus"]),
            "pinned_cpus": len(cell["pinned_cpus"]),
            "pages": {page["size_kb"]: page for page in cell["pages"]},
        }
        for cell in of["numa_cells"]
    }


def pools(of: Accounts) -> dict[tuple[Any, ...], int]:
    """Return how many devices are free, by vendor, product, NUMA node and type."""
    found = collections.Counter[tuple[Any, ...]]()
    for pool in of["pci_device_pools"]:
        key = pool["vendor_id"], pool["product_id"], pool["numa_node"], pool["tags"]["dev_type"]
        found[key] += pool["count"]
    return dict(+found)


Devices = collections.Counter[tuple[Any, ...]]


def devices(of: Accounts) -> Devices:
    """Return how many devices of each type are in which state for whom; which of equal ones is a system's own choice."""
    return Devices((one["dev_type"], one["status"], one["owner"]) for one in of["pci_devices"])


def audited_devices(ours: Accounts, node: str, history: History) -> Devices:
    """Return the devices as Nova's audit leaves them where our accounts say ``ours``.

    Number 27: of a guest that is migrated live the destination has claims only; Nova's audit there makes them allocations.
    """
    coming = {label for label, guest in history.guests.items() if guest.live and guest.dest == node}
    if not any(one["owner"] in coming for one in ours["pci_devices"]):
        return devices(ours)
    there = {"claimed": "allocated", "unclaimable": "unavailable"}
    told = [{**one, "status": there.get(one["status"], one["status"])} for one in ours["pci_devices"]]
    return devices({"pci_devices": told})


def placement(ours: Accounts, node: str, history: History) -> Accounts:
    """Return usages and consumers of Placement where our accounts say ``ours``.

    Number 8: vm_state `deleted` gives everything back; Placement keeps the allocation until somebody deletes the instance.
    """
    usages = collections.Counter(ours["placement"]["usages"])
    consumers = set(ours["placement"]["consumers"])
    for label, guest in history.guests.items():
        if guest.done_for and guest.places == {node}:
            consumers.add(label)
            usages.update(_allocated(guest))
    return {"usages": dict(usages), "consumers": sorted(consumers)}


def _allocated(guest: Guest) -> dict[str, int]:
    flavor, numa = guest.flavor, guest.flavor.get("numa") or {}
    root = 0 if guest.volume_backed else flavor["root_gb"]
    return {
        "PCPU" if numa.get("cpu_policy") == "dedicated" else "VCPU": flavor["vcpus"],
        "MEMORY_MB": flavor["memory_mb"],
        "DISK_GB": root + flavor.get("ephemeral_gb", 0) + -(-flavor.get("swap_mb", 0) // MIB_PER_GIB),
    }
