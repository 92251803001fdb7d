"""From the structures that casts are read into to the core's records.

What a single field cannot tell is checked here: names that would not be unique, amounts within extra specs, a resize
without its flavors. Raises Malformed with the path of the field at fault.
"""

from __future__ import annotations

import datetime
import hashlib
import operator
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from objects import exceptions, fields, reading
from worker import errors
from worker.core import pci, records, strains, usage

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MICROSECOND = datetime.timedelta(microseconds=1)
MOST = 2147483647
_CLASS = re.compile(r"[A-Z0-9_]{1,255}")
_MOMENT = fields.DateTimeField()
_deterministic = msgspec.json.Encoder(order="deterministic")


def microseconds(text: str, path: str) -> int:
    """Return whole microseconds since 1970 of a moment as the wire has it; raises Malformed."""
    try:
        moment = reading.check(_MOMENT, text, path)
    except exceptions.InvalidField as error:
        raise errors.Malformed(str(error), field=error.path) from None
    return int((moment - EPOCH) // MICROSECOND)


def _inventories(of: Mapping[str, Any]) -> dict[str, records.Inventory]:
    return {name: _same(one.data, records.Inventory) for name, one in of.items()}


def _same(of: Any, record: type[Any]) -> Any:
    """Return a record of a structure with the same fields."""
    return msgspec.convert(of, record, from_attributes=True)


def flavor(of: Any, path: str) -> records.Flavor:
    """Return a flavor record; raises Malformed if a ``resources:CLASS`` extra spec is no amount."""
    data = of.data
    for key, text in data.extra_specs.items():
        if key.startswith(usage.PREFIX):
            _check_amount(key, text, f"{path}.extra_specs[{key!r}]")
    return records.Flavor(
        data.flavorid,
        data.name,
        data.vcpus,
        data.memory_mb,
        data.root_gb,
        data.ephemeral_gb,
        data.swap,
        data.extra_specs,
    )


def _check_amount(key: str, text: str, where: str) -> None:
    if not _CLASS.fullmatch(key.removeprefix(usage.PREFIX)):
        raise errors.Malformed(f"{where}: names no resource class (A-Z, 0-9 and _)", field=where)
    if len(text) > len(str(MOST)) or not usage.is_whole(text) or int(text) > MOST:
        raise errors.Malformed(f"{where}: must be a whole number from 0 to {MOST}, not {text[:40]!r}", field=where)


def guest_topology(of: Any) -> records.GuestTopology | None:
    """Return the NUMA topology of a guest, or None."""
    if of is None:
        return None
    cells = tuple(_same(cell.data, records.GuestCell) for cell in of.data.cells)
    return records.GuestTopology(cells, of.data.emulator_threads_policy)


def device_requests(of: Sequence[Any], path: str) -> tuple[records.DeviceRequest, ...]:
    """Return requests for PCI devices; raises Malformed if two of them have one request_id."""
    found: dict[str, records.DeviceRequest] = {}
    for place, one in enumerate(of):
        request = _same(one.data, records.DeviceRequest)
        if found.setdefault(request.request_id, request) is not request:
            where = f"{path}[{place}].request_id"
            raise errors.Malformed(f"{where}: {request.request_id} is given twice", field=where)
    return tuple(found.values())


def instance(of: Any, path: str = "instance") -> records.Instance:
    """Return an instance record; ``path`` is where it stands among the arguments."""
    data = of.data
    _check_name(path, "host", data.host)
    _check_name(path, "node", data.node)
    return records.Instance(
        data.uuid,
        data.revision,
        flavor(data.flavor, f"{path}.flavor"),
        data.project_id,
        data.user_id,
        data.display_name,
        data.host,
        data.node,
        data.vm_state,
        data.task_state,
        data.os_type,
        data.volume_backed,
        guest_topology(data.numa_topology),
        device_requests(data.pci_requests, f"{path}.pci_requests") if data.pci_requests else (),
        data.resources,
    )


def host_cells(of: Any) -> tuple[records.HostCell, ...] | None:
    """Return the NUMA cells of a host, or None."""
    return None if of is None else tuple(_same(cell.data, records.HostCell) for cell in of.data.cells)


def child_provider(of: Any) -> records.ChildProvider:
    """Return a provider below the node's root."""
    data = of.data
    return records.ChildProvider(
        data.uuid, data.name, data.parent_provider_uuid, _inventories(data.inventories), tuple(data.traits)
    )


def _check_name(path: str, name: str, value: str | None) -> None:
    """Refuse a slash in the name of a host or node: HOST/NODE would be the name of several pairs."""
    if value is not None and "/" in value:
        raise errors.Malformed(f"{path}.{name}: must not contain a slash", field=f"{path}.{name}")


def compute_node(of: Any) -> records.ComputeNode:
    """Return a node's report."""
    data = of.data
    _check_name("node", "host", data.host)
    _check_name("node", "hypervisor_hostname", data.hypervisor_hostname)
    report = records.ComputeNode(
        **dict(zip(_FIGURES, _figures_of(data), strict=True)),
        numa_topology=host_cells(data.numa_topology),
        pci_devices=tuple(_same(device.data, records.Device) for device in data.pci_devices),
        inventories=_inventories(data.inventories),
        traits=tuple(data.traits),
        providers=tuple(child_provider(one) for one in data.providers),
    )
    if report.numa_topology or report.pci_devices:
        _check_hardware(report)
    return report


def _check_hardware(report: records.ComputeNode) -> None:
    """Refuse cells and devices that cannot be; raises Malformed for the first fault."""
    faults = [(f"node.numa_topology.{path}", text) for path, text in strains.faults(report.numa_topology or ())]
    faults += [(f"node.{path}", text) for path, text in pci.faults(report.pci_devices)]
    for path, text in faults:
        raise errors.Malformed(f"{path}: {text}", field=path)


_NESTED = frozenset({"numa_topology", "pci_devices", "inventories", "traits", "providers"})
_FIGURES = tuple(one.name for one in msgspec.structs.fields(records.ComputeNode) if one.name not in _NESTED)
_figures_of = operator.attrgetter(*_FIGURES)


def move(of: Any) -> records.Move:
    """Return a migration record; raises Malformed if a resize lacks one of its flavors."""
    data = of.data
    if data.migration_type == "resize":
        for name in ("old_flavor", "new_flavor"):
            if getattr(data, name) is None:
                raise errors.Malformed(f"migration.{name}: is required for a resize", field=f"migration.{name}")
    for name in ("source_compute", "source_node", "dest_compute", "dest_node"):
        _check_name("migration", name, getattr(data, name))
    requests = data.new_pci_requests
    return records.Move(
        data.uuid,
        data.revision,
        data.instance_uuid,
        data.status,
        data.migration_type,
        microseconds(data.created_at, "migration.created_at"),
        _pair(data.source_compute, data.source_node),
        _pair(data.dest_compute, data.dest_node),
        None if data.old_flavor is None else flavor(data.old_flavor, "migration.old_flavor"),
        None if data.new_flavor is None else flavor(data.new_flavor, "migration.new_flavor"),
        guest_topology(data.new_numa_topology),
        None if requests is None else device_requests(requests, "migration.new_pci_requests"),
    )


def _pair(host: str | None, node: str | None) -> records.Pair | None:
    return records.Pair(host, node) if host and node else None


def digest(report: records.ComputeNode) -> str:
    """Return what identifies a report's content: equal for two reports that differ in revision and disabled only."""
    content = msgspec.structs.replace(report, revision=0, disabled=False)
    return hashlib.blake2b(_deterministic.encode(content), digest_size=16).hexdigest()
