"""PCI devices, requests and owners to start from, and strategies for what a node may have.

``pf(1)`` is the PF at 0000:01:00.0, ``vf(1, 2)`` its second VF at 0000:01:02.2, ``plain(7)`` a device of its own at
0000:07:00.0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from hypothesis import strategies as st

from tests import builders
from worker.core import pci, pci_choice, pci_pools, pci_states, records

ANY_VF = {"vendor_id": "8086", "product_id": "154c", "dev_type": "type-VF"}
ANY_PF = {"vendor_id": "8086", "product_id": "1572", "dev_type": "type-PF"}
GPU = {"vendor_id": "10de", "product_id": "1db6"}


def pf(bus: int, **changes: Any) -> records.Device:
    """Return a physical function."""
    values: dict[str, Any] = {"vendor_id": "8086", "product_id": "1572", "dev_type": "type-PF"}
    return records.Device(f"0000:{bus:02x}:00.0", **values | changes)


def vf(bus: int, number: int, **changes: Any) -> records.Device:
    """Return a virtual function of ``pf(bus)``."""
    values: dict[str, Any] = {"vendor_id": "8086", "product_id": "154c", "dev_type": "type-VF"}
    return records.Device(f"0000:{bus:02x}:02.{number}", **values | {"parent_addr": f"0000:{bus:02x}:00.0"} | changes)


def plain(bus: int, **changes: Any) -> records.Device:
    """Return a device that is neither a PF nor a part of one."""
    values: dict[str, Any] = {"vendor_id": "10de", "product_id": "1db6", "dev_type": "type-PCI"}
    return records.Device(f"0000:{bus:02x}:00.0", **values | changes)


def a_request(*spec: dict[str, Any], count: int = 1, **changes: Any) -> records.DeviceRequest:
    """Return a request; each ``spec`` is an alternative."""
    values: dict[str, Any] = {"request_id": builders.uid(70), "count": count, "spec": spec}
    return records.DeviceRequest(**values | changes)


def held(*devices: records.Device, allocated: bool = True, by: str = builders.VM) -> dict[str, Any]:
    """Return grants: one instance holds these devices."""
    return granted((pci.grant(device, builders.uid(70)) for device in devices), by, allocated)


def granted(grants: Iterable[records.Grant], by: str, allocated: bool) -> dict[str, Any]:
    """Return grants with their owner by address."""
    return {one.address: (one, pci.Owner(by, one.request_id, allocated)) for one in grants}


def pools(devices: Sequence[records.Device], grants: pci.Grants | None = None) -> tuple[pci_pools.Pool, ...]:
    """Return the pools of a node."""
    return pci_pools.pools(pci_pools.stock(devices), pci_states.states(devices, grants or {}))


def choice(
    devices: Sequence[records.Device],
    *requests: records.DeviceRequest,
    affinity: pci_choice.Affinity | None = None,
    grants: pci.Grants | None = None,
) -> tuple[str, ...] | pci_choice.Shortage:
    """Return the addresses that the requests get, or the shortage."""
    answer = pci_choice.choose(pci_choice.offer(pools(devices, grants), requests), affinity)
    return answer if isinstance(answer, pci_choice.Shortage) else tuple(one.address for one in answer)


@st.composite
def families(draw: st.DrawFn, bus: int) -> list[records.Device]:
    """A PF with its functions, the functions alone, or a device of its own; the NUMA node is that of all of them."""
    common = {"numa_node": draw(st.sampled_from([None, 0, 1, 2])), "tags": draw(TAGS)}
    if draw(st.integers(0, 3)) == 0:
        return [plain(bus, **common)]
    functions = [
        vf(bus, number, **common | {"dev_type": draw(st.sampled_from(["type-VF", "type-VF", "vdpa"]))})
        for number in range(draw(st.integers(0, 3)))
    ]
    return [pf(bus, **common), *functions] if draw(st.booleans()) else functions


TAGS = st.fixed_dictionaries(
    {},
    optional={
        "physical_network": st.sampled_from(["red", "Red", "blue"]),
        "remote_managed": st.sampled_from(["true", "false"]),
        "traits": st.sampled_from(["A", "B"]),
    },
)


def reports() -> st.SearchStrategy[tuple[records.Device, ...]]:
    """Every device of a node, in any order."""
    buses = st.integers(0, 4).flatmap(lambda many: st.tuples(*(families(bus) for bus in range(many))))
    return buses.flatmap(lambda found: st.permutations([device for family in found for device in family])).map(tuple)


SPECS = st.fixed_dictionaries(
    {},
    optional={
        "vendor_id": st.sampled_from(["8086", "10DE"]),
        "product_id": st.sampled_from(["154C", "1572"]),
        "dev_type": st.sampled_from(["type-VF", "type-PF", "vdpa", "type-PCI"]),
        "physical_network": st.sampled_from(["RED", "blue", None]),
        "remote_managed": st.sampled_from(["True", "false"]),
        "resource_class": st.just("CUSTOM_NIC"),
    },
)


@st.composite
def requests(draw: st.DrawFn) -> records.DeviceRequest:
    """A request for a few devices."""
    return a_request(
        *draw(st.lists(SPECS, min_size=1, max_size=3)),
        count=draw(st.integers(0, 3)),
        request_id=builders.uid(draw(st.integers(70, 75))),
        numa_policy=draw(st.sampled_from([None, "legacy", "required", "preferred", "socket"])),
    )


AFFINITIES = st.none() | st.builds(
    pci_choice.Affinity,
    st.frozensets(st.integers(0, 2), min_size=1),
    st.fixed_dictionaries({cell: st.sampled_from([None, 0, 0, 1]) for cell in range(3)}),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Situation:
    """All devices that a node ever had, those that the newest report has, and who holds what."""

    known: tuple[records.Device, ...]
    reported: tuple[records.Device, ...]
    grants: dict[str, Any]


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """A node where some free devices were given away one after the other and some devices left the report."""
    known = draw(reports())
    grants: dict[str, Any] = {}
    for number in range(draw(st.integers(0, 4))):
        free = [device for pool in pools(known, grants) for device in pool.devices]
        if free:
            grants |= held(draw(st.sampled_from(free)), allocated=draw(st.booleans()), by=builders.uid(number))
    lost = draw(st.sets(st.sampled_from([device.address for device in known]))) if known else set()
    return Situation(known, tuple(device for device in known if device.address not in lost), grants)
