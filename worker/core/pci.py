"""PCI devices and who holds them: the parts that are kept.

The devices are kept with the report of their node, who holds which with the holdings of the instances. States
(``pci_states``), pools (``pci_pools``) and what a claim gets (``pci_choice``) are worked out from the two each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from worker.core import records

PF = "type-PF"
VF = "type-VF"
VDPA = "vdpa"

FUNCTIONS = frozenset({VF, VDPA})
"""Types of devices that are a part of their parent: nobody else can have the parent while one of them is held."""


class Owner(msgspec.Struct, frozen=True, gc=False):
    """Who holds a device; ``allocated`` is False while it is only claimed."""

    instance_uuid: str
    request_id: str
    allocated: bool


Grants = Mapping[str, tuple[records.Grant, Owner]]
"""Every device that is held on a node, by its address: an address has one owner at most."""


class Difference(msgspec.Struct, frozen=True, gc=False):
    """A held device that is not what it was when it was given; ``device`` is None when the report lacks it."""

    grant: records.Grant
    owner: Owner
    device: records.Device | None
    text: str


def grant(device: records.Device, request_id: str) -> records.Grant:
    """Return the device as given to a request."""
    return records.Grant(
        device.address,
        request_id,
        device.vendor_id,
        device.product_id,
        device.dev_type,
        device.numa_node,
        device.parent_addr,
    )


def parent(device: records.Device | records.Grant) -> str | None:
    """Return the address of the device that this one is a part of, or None."""
    return device.parent_addr if device.dev_type in FUNCTIONS else None


def differences(devices: Sequence[records.Device], grants: Grants) -> tuple[Difference, ...]:
    """Return the held devices that the report lacks or says something else of, by address."""
    present = {device.address: device for device in devices}
    found = []
    for address, (given, owner) in sorted(grants.items()):
        device = present.get(address)
        text = _difference(given, device)
        if text:
            found.append(Difference(given, owner, device, f"PCI device {address} {text}"))
    return tuple(found)


def _difference(given: records.Grant, device: records.Device | None) -> str:
    if device is None:
        return f"({given.vendor_id}:{given.product_id} {given.dev_type}) is not in the report"
    return ", ".join(
        f"has {name} {getattr(device, name)}, had {getattr(given, name)} when it was given"
        for name in ("vendor_id", "product_id", "dev_type", "parent_addr")
        if getattr(device, name) != getattr(given, name)
    )


def faults(devices: Sequence[records.Device]) -> tuple[tuple[str, str], ...]:
    """Return path and text of everything that makes the devices of a report impossible.

    A parent that is not in the report is none: a node may offer the functions of a device and not the device itself.
    """
    places: dict[str, int] = {}
    for place, device in enumerate(devices):
        places.setdefault(device.address, place)
    first = {address: devices[place] for address, place in places.items()}
    cyclic = _cyclic({address: device.parent_addr for address, device in first.items()})
    found: list[tuple[str, str]] = []
    for place, device in enumerate(devices):
        path = f"pci_devices[{place}]"
        if places[device.address] != place:
            found.append((f"{path}.address", f"{device.address} is that of pci_devices[{places[device.address]}] too"))
        found += ((f"{path}.parent_addr", text) for text in _parent_faults(device, first, cyclic))
    return tuple(found)


def _parent_faults(
    device: records.Device, reported: Mapping[str, records.Device], cyclic: frozenset[str]
) -> Iterator[str]:
    if device.parent_addr is None:
        if device.dev_type in FUNCTIONS:
            yield f"is required for {device.dev_type}"
        return
    above = reported.get(device.parent_addr)
    if above is not None and above.dev_type in FUNCTIONS:
        yield f"{device.parent_addr} is a {above.dev_type}, which is no parent"
    if device.address in cyclic:
        yield f"{device.parent_addr} has {device.address} above it"


def _cyclic(parents: Mapping[str, str | None]) -> frozenset[str]:
    """Return the addresses from which the parents lead back to themselves; each address is walked over once."""
    walks: dict[str, str] = {}
    found: set[str] = set()
    for start in parents:
        path = []
        at: str | None = start
        while at is not None and at in parents and at not in walks:
            walks[at] = start
            path.append(at)
            at = parents[at]
        if at is not None and walks.get(at) == start and path:
            found.update(path[path.index(at) :])
    return frozenset(found)
