"""From a decoded cast to a command of the core: every argument is checked here, once.

What does not pass raises Malformed with the path of the field at fault (``instance.flavor.vcpus: must be ...``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from oslo_versionedobjects import base as ovo

from objects import claims as claim_objects
from objects import compute_nodes, exceptions, fields, instances, limits, migrations, pci, reading, scalars
from worker import checked, errors, interfaces
from worker.core import commands, records

VERSION = (1, 0)
READS = frozenset({"get_node_usage", "list_node_usages", "get_instance_usage"})
REQUIRED = object()
SHOWN = 60
"""Most characters of a wrong value that an error repeats."""

Argument = tuple[Any, Any]


def task(envelope: interfaces.Envelope, bounds: limits.Limits = limits.DEFAULT) -> commands.Task:
    """Return what a cast or call tells the worker to do; raises Malformed."""
    _check_target(envelope)
    build = _BUILDERS.get(envelope.method)
    if build is None:
        raise errors.Malformed(f"method: {envelope.method!r} is unknown", field="method")
    command, subject, revision = build(arguments(envelope, _ARGUMENTS[envelope.method], bounds))
    return commands.Task(envelope.message_id, cause(envelope, subject, revision), command, envelope.reply is not None)


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
    values = {}
    for name, (kind, default) in known.items():
        if name in envelope.args:
            values[name] = _checked(kind, envelope.args[name], name, bounds)
        elif default is REQUIRED:
            raise errors.Malformed(f"{name}: is missing", field=name)
        else:
            values[name] = default
    return values


def _checked(kind: Any, value: Any, name: str, bounds: limits.Limits) -> Any:
    try:
        if isinstance(kind, type):
            return reading.read(kind, value, name, bounds)
        return reading.check(kind, value, name, bounds)
    except exceptions.InvalidField as error:
        raise errors.Malformed(str(error), field=error.path) from None


def cause(envelope: interfaces.Envelope, subject: str | None, revision: int | None) -> commands.Cause:
    """Return which message it is and on whose behalf; ``subject`` is the uuid of what it is about."""
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


Built = tuple[commands.Command, str, int | None]


def _report_node(given: dict[str, Any]) -> Built:
    data = given["node"]
    return commands.ReportNode(checked.compute_node(data), checked.digest(data)), data["uuid"], data["revision"]


def _remove_node(given: dict[str, Any]) -> Built:
    return commands.RemoveNode(**given), given["node_uuid"], given["revision"]


def _set_node_disabled(given: dict[str, Any]) -> Built:
    return commands.SetNodeDisabled(**given), given["node_uuid"], given["revision"]


def _record_build(given: dict[str, Any]) -> Built:
    return commands.RecordBuild(**given), given["node_uuid"], None


def _claim_instance(given: dict[str, Any]) -> Built:
    record = checked.instance(given["instance"])
    for name in ("host", "node"):
        if not getattr(record, name):
            raise errors.Malformed(f"instance.{name}: is required for a claim", field=f"instance.{name}")
    return commands.ClaimInstance(record, _limits(given)), record.uuid, record.revision


def _abort_claim(given: dict[str, Any]) -> Built:
    return commands.AbortClaim(**given), given["migration_uuid"] or given["instance_uuid"], given["revision"]


def _update_instance(given: dict[str, Any]) -> Built:
    record = checked.instance(given["instance"])
    return commands.UpdateInstance(record), record.uuid, record.revision


def _delete_instance(given: dict[str, Any]) -> Built:
    return commands.DeleteInstance(**given), given["instance_uuid"], given["revision"]


def _claim_migration(given: dict[str, Any]) -> Built:
    record = checked.instance(given["instance"])
    migration = _move_of(given["migration"], record)
    if migration.dest is None:
        raise errors.Malformed("migration.dest_node: is required for a claim", field="migration.dest_node")
    return commands.ClaimMigration(migration, record, _limits(given)), migration.uuid, migration.revision


def _update_migration(given: dict[str, Any]) -> Built:
    record = None if given["instance"] is None else checked.instance(given["instance"])
    migration = _move_of(given["migration"], record)
    return commands.UpdateMigration(migration, record), migration.uuid, migration.revision


def _move_of(data: Mapping[str, Any], record: records.Instance | None) -> records.Move:
    migration = checked.move(data)
    if record is not None and record.uuid != migration.instance_uuid:
        raise errors.Malformed(
            f"instance.uuid: {record.uuid} is not migration.instance_uuid {migration.instance_uuid}",
            field="instance.uuid",
        )
    return migration


def _attach_devices(given: dict[str, Any]) -> Built:
    requests = checked.device_requests(given["requests"])
    command = commands.AttachDevices(given["instance_uuid"], requests, given["revision"])
    return command, given["instance_uuid"], given["revision"]


def _detach_devices(given: dict[str, Any]) -> Built:
    command = commands.DetachDevices(given["instance_uuid"], tuple(given["request_ids"]), given["revision"])
    return command, given["instance_uuid"], given["revision"]


def _audit_node(given: dict[str, Any]) -> Built:
    listed = given["instances"]
    command = commands.AuditNode(
        given["node_uuid"],
        None
        if listed is None
        else tuple(checked.instance(one, f"instances[{place}]") for place, one in enumerate(listed)),
        checked.microseconds(given["taken_at"]),
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
