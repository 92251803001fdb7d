"""PCI devices as resource providers: one for each device that is no function, and the functions of a device in its own.

What contradicts itself has no provider: the devices stay what they are to the accounts, and the reason is told.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence

import msgspec

from worker.core import names, pci, records

PHYSICAL_NETWORK = "physical_network"
MANAGED = "COMPUTE_MANAGED_PCI_DEVICE"
OWNER = "OWNER_NOVA"
FLAGS = (("live_migratable", "HW_PCI_LIVE_MIGRATABLE"), ("one_time_use", "HW_PCI_ONE_TIME_USE"))
"""Tags that are traits as well, if they are true."""
OWN = frozenset({MANAGED, OWNER, *(trait for _, trait in FLAGS)})
TRUE = frozenset({"1", "t", "true", "on", "y", "yes"})


class Kind(msgspec.Struct, frozen=True, gc=False):
    """What devices of one provider have in common."""

    resource_class: str
    traits: tuple[str, ...]


def children(report: records.ComputeNode, standard: names.Names) -> tuple[tuple[records.Child, ...], tuple[str, ...]]:
    """Return the providers of a report's devices, by address, and why some devices have none."""
    groups: dict[str, list[records.Device]] = {}
    for device in report.pci_devices:
        if not device.tags.get(PHYSICAL_NETWORK):
            groups.setdefault(pci.parent(device) or device.address, []).append(device)
    found, troubles = [], []
    for address, devices in sorted(groups.items()):
        reasons = tuple(_contradictions(address, devices, standard))
        if reasons:
            troubles.append(f"PCI device {address} has no resource provider: {reasons[0]}")
        else:
            found.append(_child(report, address, devices, kind(devices[0], standard)))
    return tuple(found), tuple(troubles)


def _contradictions(address: str, devices: Sequence[records.Device], standard: names.Names) -> Iterator[str]:
    functions = [device.address for device in devices if device.address != address]
    if functions and len(functions) < len(devices):
        yield f"both it and its functions {', '.join(functions)} are offered"
    kinds = [kind(device, standard) for device in devices]
    for what in ("resource_class", "traits"):
        if len({getattr(one, what) for one in kinds}) > 1:
            yield f"its functions {', '.join(functions)} have different {what}"
    for one in kinds:
        named = [(one.resource_class, standard.classes), *((trait, standard.traits) for trait in one.traits)]
        for name, known in named:
            if (fault := names.fault(name, known | OWN)) is not None:
                yield f"{name[:60]} {fault}"


def kind(device: records.Device, standard: names.Names) -> Kind:
    """Return the resource class and the traits that the tags of a device ask for."""
    tags = device.tags
    tagged = tags.get("resource_class") or f"{names.CUSTOM}PCI_{device.vendor_id}_{device.product_id}"
    traits = {names.normal_trait(name.strip(), standard.traits) for name in _listed(tags.get("traits", ""))}
    traits |= {trait for tag, trait in FLAGS if tags.get(tag, "").strip().lower() in TRUE}
    return Kind(names.normal_class(tagged.strip(), standard.classes), tuple(sorted(traits | {MANAGED, OWNER})))


def _listed(text: str) -> Iterator[str]:
    return (name for name in text.split(",") if name.strip())


def _child(report: records.ComputeNode, address: str, devices: Sequence[records.Device], common: Kind) -> records.Child:
    total = len(devices)
    return records.Child(
        uuid=provider_uuid(report.uuid, address),
        name=f"{report.hypervisor_hostname}_{address.upper()}",
        parent_uuid=report.uuid,
        inventories={common.resource_class: records.Inventory(total, max_unit=total)},
        traits=common.traits,
        devices=tuple(device.address for device in devices),
        device_class=common.resource_class,
    )


def provider_uuid(node_uuid: str, address: str) -> str:
    """Return the uuid of the provider of the device at an address: the same whenever it is asked for."""
    return str(uuid.uuid5(uuid.UUID(node_uuid), address))
