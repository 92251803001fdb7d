"""From what the readers of ``objects`` have checked, plain values, to the core's records.

What a single field cannot tell is checked here: names that would not be unique, amounts within extra specs, a resize
without its flavors. Raises Malformed with the path of the field at fault.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from worker import errors
from worker.core import records, usage

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MICROSECOND = datetime.timedelta(microseconds=1)
MOST = 2147483647
_CLASS = re.compile(r"[A-Z0-9_]{1,255}")


def microseconds(moment: datetime.datetime) -> int:
    """Return whole microseconds since 1970 of an aware moment."""
    return (moment - EPOCH) // MICROSECOND


def inventory(data: Mapping[str, Any]) -> records.Inventory:
    """Return an inventory record."""
    return records.Inventory(**data)


def flavor(data: Mapping[str, Any], path: str) -> records.Flavor:
    """Return a flavor record; raises Malformed if a ``resources:CLASS`` extra spec is no amount."""
    for key, text in data["extra_specs"].items():
        if not key.startswith(usage.PREFIX):
            continue
        where = f"{path}.extra_specs[{key!r}]"
        if not _CLASS.fullmatch(key.removeprefix(usage.PREFIX)):
            raise errors.Malformed(f"{where}: names no resource class (A-Z, 0-9 and _)", field=where)
        if not _is_amount(text):
            raise errors.Malformed(f"{where}: must be a whole number from 0 to {MOST}, not {text[:40]!r}", field=where)
    return records.Flavor(**data)


def _is_amount(text: str) -> bool:
    return len(text) <= len(str(MOST)) and usage.is_whole(text) and int(text) <= MOST


def guest_topology(data: Mapping[str, Any] | None) -> records.GuestTopology | None:
    """Return the NUMA topology of a guest, or None."""
    if data is None:
        return None
    cells = tuple(records.GuestCell(**cell) for cell in data["cells"])
    return records.GuestTopology(cells, data["emulator_threads_policy"])


def device_requests(data: list[Any]) -> tuple[records.DeviceRequest, ...]:
    """Return requests for PCI devices."""
    return tuple(records.DeviceRequest(**{**one, "spec": tuple(one["spec"])}) for one in data)


def instance(data: dict[str, Any], path: str = "instance") -> records.Instance:
    """Return an instance record; ``path`` is where it stands among the arguments."""
    _check_pair(path, data, "host", "node")
    changed = dict(data)
    changed["flavor"] = flavor(data["flavor"], f"{path}.flavor")
    changed["pci_requests"] = device_requests(data["pci_requests"]) if data["pci_requests"] else ()
    if data["numa_topology"] is not None:
        changed["numa_topology"] = guest_topology(data["numa_topology"])
    return records.Instance(**changed)


def host_cells(data: Mapping[str, Any] | None) -> tuple[records.HostCell, ...] | None:
    """Return the NUMA cells of a host, or None."""
    if data is None:
        return None
    return tuple(
        records.HostCell(
            **{
                **cell,
                "siblings": tuple(cell["siblings"]),
                "mempages": tuple(records.Pages(**pages) for pages in cell["mempages"]),
            }
        )
        for cell in data["cells"]
    )


def child_provider(data: Mapping[str, Any]) -> records.ChildProvider:
    """Return a provider below the node's root."""
    inventories = {name: inventory(one) for name, one in data["inventories"].items()}
    return records.ChildProvider(**{**data, "inventories": inventories, "traits": tuple(data["traits"])})


def _check_pair(path: str, data: Mapping[str, Any], *names: str) -> None:
    """Refuse a slash in the name of a host or node: HOST/NODE would be the name of several pairs."""
    for name in names:
        if data[name] and "/" in data[name]:
            raise errors.Malformed(f"{path}.{name}: must not contain a slash", field=f"{path}.{name}")


def compute_node(data: Mapping[str, Any]) -> records.ComputeNode:
    """Return a node's report."""
    _check_pair("node", data, "host", "hypervisor_hostname")
    return records.ComputeNode(
        **{
            **data,
            "numa_topology": host_cells(data["numa_topology"]),
            "pci_devices": tuple(records.Device(**device) for device in data["pci_devices"]),
            "inventories": {name: inventory(one) for name, one in data["inventories"].items()},
            "traits": tuple(data["traits"]),
            "providers": tuple(child_provider(one) for one in data["providers"]),
        }
    )


def move(data: Mapping[str, Any]) -> records.Move:
    """Return a migration record; raises Malformed if a resize lacks one of its flavors."""
    if data["migration_type"] == "resize":
        for name in ("old_flavor", "new_flavor"):
            if data[name] is None:
                raise errors.Malformed(f"migration.{name}: is required for a resize", field=f"migration.{name}")
    _check_pair("migration", data, "source_compute", "source_node", "dest_compute", "dest_node")
    requests = data["new_pci_requests"]
    return records.Move(
        uuid=data["uuid"],
        revision=data["revision"],
        instance_uuid=data["instance_uuid"],
        status=data["status"],
        migration_type=data["migration_type"],
        created_at=microseconds(data["created_at"]),
        source=_pair(data["source_compute"], data["source_node"]),
        dest=_pair(data["dest_compute"], data["dest_node"]),
        old_flavor=_flavor_of_move(data, "old_flavor"),
        new_flavor=_flavor_of_move(data, "new_flavor"),
        new_numa_topology=guest_topology(data["new_numa_topology"]),
        new_pci_requests=None if requests is None else device_requests(requests),
    )


def _flavor_of_move(data: Mapping[str, Any], name: str) -> records.Flavor | None:
    return None if data[name] is None else flavor(data[name], f"migration.{name}")


def _pair(host: str | None, node: str | None) -> records.Pair | None:
    return records.Pair(host, node) if host and node else None


def digest(data: Any) -> str:
    """Return what identifies a report's content: equal for two reports that differ in revision and disabled only."""
    content = {name: value for name, value in data.items() if name not in {"revision", "disabled"}}
    text = json.dumps(content, sort_keys=True, default=sorted)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
