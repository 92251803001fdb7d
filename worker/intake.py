"""From a decoded cast to a command of the core: every argument is checked here, once.

What does not pass raises Malformed with the path of the field at fault (``instance.flavor.vcpus: must be ...``).
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from oslo_versionedobjects import base as ovo

from objects import claims as claim_objects
from objects import compute_nodes, exceptions, fields, instances, limits, migrations, pci, reading, scalars
from worker import errors, interfaces
from worker.core import commands, records, usage

VERSION = (1, 0)
READS = frozenset({"get_node_usage", "list_node_usages", "get_instance_usage"})
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MICROSECOND = datetime.timedelta(microseconds=1)
REQUIRED = object()
SHOWN = 60
"""Most characters of a wrong value that an error repeats."""
MOST = 2147483647

Argument = tuple[Any, Any]


def task(envelope: interfaces.Envelope, bounds: limits.Limits = limits.DEFAULT) -> commands.Task:
    """Return what a cast or call tells the worker to do; raises Malformed."""
    _check_target(envelope)
    build = _BUILDERS.get(envelope.method)
    if build is None:
        raise errors.Malformed(f"method: {envelope.method!r} is unknown", field="method")
    command, subject, revision = build(arguments(envelope, _ARGUMENTS[envelope.method], bounds))
    return commands.Task(envelope.message_id, _cause(envelope, subject, revision), command, envelope.reply is not None)


def query(envelope: interfaces.Envelope, bounds: limits.Limits = limits.DEFAULT) -> dict[str, Any]:
    """Return the checked arguments of a read method; raises Malformed, also when nobody waits for the answer."""
    _check_target(envelope)
    if envelope.reply is None:
        raise errors.Malformed(f"method: {envelope.method} was cast, and only a call can be answered", field="method")
    return arguments(envelope, _QUERIES[envelope.method], bounds)


def _check_target(envelope: interfaces.Envelope) -> None:
    if envelope.namespace is not None:
        raise errors.Malformed(f"namespace: must be none, not {envelope.namespace[:SHOWN]!r}", field="namespace")
    major, _, minor = envelope.version.partition(".")
    known = major == str(VERSION[0]) and minor.isascii() and minor.isdigit() and len(minor) <= 9
    if not known or int(minor) > VERSION[1]:
        raise errors.Malformed(
            f"version: {envelope.version[:SHOWN]!r} is unknown; this worker takes 1.0 to {VERSION[0]}.{VERSION[1]}",
            field="version",
        )


def arguments(envelope: interfaces.Envelope, known: Mapping[str, Argument], bounds: limits.Limits) -> dict[str, Any]:
    """Return the checked arguments of a method, defaults filled in; raises Malformed."""
    unknown = sorted(envelope.args.keys() - known.keys())
    if unknown:
        raise errors.Malformed(f"{unknown[0]}: {envelope.method} has no such argument", field=unknown[0])
    checked = {}
    for name, (kind, default) in known.items():
        if name in envelope.args:
            checked[name] = _checked(kind, envelope.args[name], name, bounds)
        elif default is REQUIRED:
            raise errors.Malformed(f"{name}: is missing", field=name)
        else:
            checked[name] = default
    return checked


def _checked(kind: Any, value: Any, name: str, bounds: limits.Limits) -> Any:
    try:
        if isinstance(kind, type):
            return reading.read(kind, value, name, bounds)
        return reading.check(kind, value, name, bounds)
    except exceptions.InvalidField as error:
        raise errors.Malformed(str(error), field=error.path) from None


def _cause(envelope: interfaces.Envelope, subject: str, revision: int | None) -> commands.Cause:
    context = envelope.context
    return commands.Cause(
        message_id=envelope.message_id,
        method=envelope.method,
        request_id=_text(context.get("request_id")),
        global_request_id=_text(context.get("global_request_id")),
        user_id=_text(context.get("user")),
        project_id=_text(context.get("project") or context.get("project_id")),
        consumer_uuid=subject,
        revision=revision,
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and len(value) <= limits.DEFAULT.string_length else None


def microseconds(moment: datetime.datetime) -> int:
    """Return whole microseconds since 1970 of an aware moment."""
    return (moment - EPOCH) // MICROSECOND


def inventory(data: Mapping[str, Any]) -> records.Inventory:
    """Return an inventory record."""
    return records.Inventory(**data)


def flavor(data: Mapping[str, Any], path: str) -> records.Flavor:
    """Return a flavor record; raises Malformed if a ``resources:CLASS`` extra spec is no amount."""
    for key, text in data["extra_specs"].items():
        if key.startswith(usage.PREFIX) and not _is_amount(text):
            where = f"{path}.extra_specs[{key!r}]"
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


def compute_node(data: Mapping[str, Any]) -> records.ComputeNode:
    """Return a node's report."""
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


Built = tuple[commands.Command, str, int | None]


def _report_node(given: dict[str, Any]) -> Built:
    data = given["node"]
    return commands.ReportNode(compute_node(data), digest(data)), data["uuid"], data["revision"]


def _remove_node(given: dict[str, Any]) -> Built:
    return commands.RemoveNode(**given), given["node_uuid"], given["revision"]


def _set_node_disabled(given: dict[str, Any]) -> Built:
    return commands.SetNodeDisabled(**given), given["node_uuid"], given["revision"]


def _record_build(given: dict[str, Any]) -> Built:
    return commands.RecordBuild(**given), given["node_uuid"], None


def _claim_instance(given: dict[str, Any]) -> Built:
    record = instance(given["instance"])
    for name in ("host", "node"):
        if not getattr(record, name):
            raise errors.Malformed(f"instance.{name}: is required for a claim", field=f"instance.{name}")
    return commands.ClaimInstance(record, _limits(given)), record.uuid, record.revision


def _abort_claim(given: dict[str, Any]) -> Built:
    return commands.AbortClaim(**given), given["migration_uuid"] or given["instance_uuid"], given["revision"]


def _update_instance(given: dict[str, Any]) -> Built:
    record = instance(given["instance"])
    return commands.UpdateInstance(record), record.uuid, record.revision


def _delete_instance(given: dict[str, Any]) -> Built:
    return commands.DeleteInstance(**given), given["instance_uuid"], given["revision"]


def _claim_migration(given: dict[str, Any]) -> Built:
    record = instance(given["instance"])
    migration = _move_of(given["migration"], record)
    if migration.dest is None:
        raise errors.Malformed("migration.dest_node: is required for a claim", field="migration.dest_node")
    return commands.ClaimMigration(migration, record, _limits(given)), migration.uuid, migration.revision


def _update_migration(given: dict[str, Any]) -> Built:
    record = None if given["instance"] is None else instance(given["instance"])
    migration = _move_of(given["migration"], record)
    return commands.UpdateMigration(migration, record), migration.uuid, migration.revision


def _move_of(data: Mapping[str, Any], record: records.Instance | None) -> records.Move:
    migration = move(data)
    if record is not None and record.uuid != migration.instance_uuid:
        raise errors.Malformed(
            f"instance.uuid: {record.uuid} is not migration.instance_uuid {migration.instance_uuid}",
            field="instance.uuid",
        )
    return migration


def _attach_devices(given: dict[str, Any]) -> Built:
    requests = device_requests(given["requests"])
    command = commands.AttachDevices(given["instance_uuid"], requests, given["revision"])
    return command, given["instance_uuid"], given["revision"]


def _detach_devices(given: dict[str, Any]) -> Built:
    command = commands.DetachDevices(given["instance_uuid"], tuple(given["request_ids"]), given["revision"])
    return command, given["instance_uuid"], given["revision"]


def _audit_node(given: dict[str, Any]) -> Built:
    listed = given["instances"]
    command = commands.AuditNode(
        given["node_uuid"],
        None if listed is None else tuple(instance(one, f"instances[{place}]") for place, one in enumerate(listed)),
        microseconds(given["taken_at"]),
        given["authoritative"],
    )
    return command, given["node_uuid"], None


def _limits(given: dict[str, Any]) -> records.Limits | None:
    return None if given["limits"] is None else records.Limits(**given["limits"])


def _object(cls: type[ovo.VersionedObject], nullable: bool = False) -> Argument:
    return (fields.ObjectField(cls, nullable=True), None) if nullable else (cls, REQUIRED)


_UUID: Argument = (fields.UUIDField(), REQUIRED)
_REVISION: Argument = (fields.RevisionField(), REQUIRED)
_FLAG: Argument = (fields.BooleanField(), REQUIRED)
_LIMITS = _object(claim_objects.Limits, nullable=True)

_ARGUMENTS: Mapping[str, Mapping[str, Argument]] = {
    "report_node": {"node": _object(compute_nodes.ComputeNode)},
    "remove_node": {"node_uuid": _UUID, "revision": _REVISION},
    "set_node_disabled": {"node_uuid": _UUID, "disabled": _FLAG, "revision": _REVISION},
    "record_build": {"node_uuid": _UUID, "succeeded": _FLAG},
    "claim_instance": {"instance": _object(instances.Instance), "limits": _LIMITS},
    "abort_claim": {
        "instance_uuid": _UUID,
        "revision": _REVISION,
        "migration_uuid": (fields.UUIDField(nullable=True), None),
    },
    "update_instance": {"instance": _object(instances.Instance)},
    "delete_instance": {"instance_uuid": _UUID, "revision": _REVISION},
    "claim_migration": {
        "migration": _object(migrations.Migration),
        "instance": _object(instances.Instance),
        "limits": _LIMITS,
    },
    "update_migration": {
        "migration": _object(migrations.Migration),
        "instance": _object(instances.Instance, nullable=True),
    },
    "attach_devices": {
        "instance_uuid": _UUID,
        "requests": (fields.ListOfObjectsField(pci.InstancePCIRequest), REQUIRED),
        "revision": _REVISION,
    },
    "detach_devices": {
        "instance_uuid": _UUID,
        "request_ids": (fields.ListField(scalars.UUID()), REQUIRED),
        "revision": _REVISION,
    },
    "audit_node": {
        "node_uuid": _UUID,
        "instances": (fields.ListOfObjectsField(instances.Instance, limit="audit_instances", nullable=True), None),
        "taken_at": (fields.DateTimeField(), REQUIRED),
        "authoritative": (fields.BooleanField(), False),
    },
}

_QUERIES: Mapping[str, Mapping[str, Argument]] = {
    "get_node_usage": {"node_uuid": _UUID},
    "list_node_usages": {
        "marker": (fields.UUIDField(nullable=True), None),
        "limit": (fields.IntegerField(minimum=1, maximum=1000), 100),
    },
    "get_instance_usage": {"instance_uuid": _UUID},
}

_BUILDERS: Mapping[str, Callable[[dict[str, Any]], Built]] = {
    "report_node": _report_node,
    "remove_node": _remove_node,
    "set_node_disabled": _set_node_disabled,
    "record_build": _record_build,
    "claim_instance": _claim_instance,
    "abort_claim": _abort_claim,
    "update_instance": _update_instance,
    "delete_instance": _delete_instance,
    "claim_migration": _claim_migration,
    "update_migration": _update_migration,
    "attach_devices": _attach_devices,
    "detach_devices": _detach_devices,
    "audit_node": _audit_node,
}
